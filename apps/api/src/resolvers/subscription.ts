/** Knows: how a subscription to a canvas begins (a snapshot), goes on (its feed) and ends (with the viewer's access). */

import { TugError } from '@tug/schema';
import type { Context } from '../context.js';
import type { CanvasEvent } from '../events.js';
import type { SubscriptionResolvers } from '../generated/resolvers.js';

export const Subscription: SubscriptionResolvers = {
  canvasEvents: {
    subscribe: async (_root, { canvasId }, context) => {
      const { user, access } = await context.services.auth.require(context.viewer, canvasId, 'VIEWER');
      const feed = context.services.events.open(canvasId);
      const follow = context.services.auth.follow(user.id, canvasId, access, (now) => {
        if (now === null) feed.end();
      });
      const close = () => {
        follow[Symbol.dispose]();
        feed.end();
      };
      try {
        const first = await snapshot(canvasId, context);
        return stream(first, (seq) => feed.next(seq), close);
      } catch (error) {
        close();
        throw error;
      }
    },
    resolve: (event: CanvasEvent) => event,
  },
};

/** The snapshot, then what is newer than it. Ends at once when the client leaves, also while nothing happens. */
function stream(
  first: CanvasEvent & { seq: number },
  next: (seq: number) => Promise<CanvasEvent | null>,
  close: () => void,
): AsyncIterableIterator<CanvasEvent> {
  let { seq } = first;
  let begun = false;
  const done = { done: true, value: undefined } as const;
  return {
    async next() {
      if (!begun) {
        begun = true;
        return { done: false, value: first };
      }
      const event = await next(seq);
      if (event === null) {
        close();
        return done;
      }
      if ('seq' in event) seq = event.seq;
      return { done: false, value: event };
    },
    async return() {
      close();
      return done;
    },
    async throw(error) {
      close();
      throw error;
    },
    [Symbol.asyncIterator]() {
      return this;
    },
  };
}

async function snapshot(canvasId: string, { services: { db } }: Context): Promise<CanvasEvent & { seq: number }> {
  const [canvas, activeEdits] = await db.$transaction([
    db.canvas.findUnique({ where: { id: canvasId } }),
    db.edit.findMany({
      where: { canvasId, status: { in: ['QUEUED', 'RUNNING'] } },
      orderBy: [{ createdAt: 'asc' }, { id: 'asc' }],
    }),
  ]);
  if (canvas === null) throw new TugError('NOT_FOUND', 'There is no such canvas.');
  return { __typename: 'CanvasSnapshot', seq: canvas.seq, canvas, activeEdits };
}
