/**
 * Knows: how to keep a canvas' event stream running over graphql-ws, and where its state is kept.
 * Does not know: what the events mean (`feed.ts`), the shared document (`room.ts`).
 */

import { createClient } from 'graphql-ws';
import { createStore, type StoreApi } from 'zustand/vanilla';
import { CanvasEvents, RecentEdits } from '@/api/operations';
import type { CanvasEventsSubscription } from '@/generated/graphql';
import { adoptEdit, adoptHead, adoptRecent, type Edit, EMPTY_FEED, type Feed, type Revision, reduceFeed } from './feed';
import { call, ensureGuest } from './guest';

export interface FeedConnection {
  readonly store: StoreApi<Feed>;
  adoptEdit(edit: Edit): void;
  adoptHead(head: Revision): void;
  /** asks for a new snapshot, with fresh picture addresses; at most once in five seconds */
  refresh(): void;
  close(): void;
}

const REFRESH_PAUSE_MS = 5000;

/** Why the server will not let us follow the canvas. */
export interface Refusal {
  readonly gone: boolean;
  readonly message: string;
}

/** Subscribes to the canvas; `onRefused` is told when the server will not have us. */
export function connectFeed(canvasId: string, onRefused: (refusal: Refusal) => void): FeedConnection {
  const store = createStore<Feed>(() => EMPTY_FEED);
  const client = createClient({
    url: socketUrl('/graphql'),
    connectionParams: async () => ({ token: (await ensureGuest()).token }),
    shouldRetry: () => true,
    retryAttempts: Number.MAX_SAFE_INTEGER,
    retryWait: (retries) =>
      new Promise((resolve) => setTimeout(resolve, Math.min(500 * 2 ** Math.min(retries, 5), 8000))),
    keepAlive: 12_000,
  });
  let closed = false;
  let unsubscribe = () => {};
  let lastRefresh = 0;

  // A snapshot names the edits that still run; those that ended meanwhile are asked for.
  const readRecent = async () => {
    const { canvas } = await call(RecentEdits, { id: canvasId }).catch(() => ({ canvas: null }));
    const edits = canvas?.edits.edges.map((edge) => edge.node) ?? [];
    const before = store.getState();
    const changed = edits.filter((edit) => {
      const known = before.runs.find((run) => run.edit.id === edit.id)?.edit;
      return known?.status !== edit.status || known.candidates.length < edit.candidates.length;
    });
    if (!closed && changed.length > 0) store.setState(adoptRecent(before, changed), true);
  };

  const subscribe = () => {
    unsubscribe();
    if (closed) return;
    let current = true;
    const stop = client.subscribe<CanvasEventsSubscription>(
      { query: CanvasEvents.toString(), variables: { canvasId } },
      {
        next: ({ data, errors }) => {
          if (!current || closed) return;
          if (errors?.[0]) return onRefused(refusalOf(errors[0]));
          if (!data) return;
          const { feed, gap } = reduceFeed(store.getState(), data.canvasEvents);
          store.setState(feed, true);
          if (gap) subscribe();
          else if (data.canvasEvents.__typename === 'CanvasSnapshot') void readRecent();
        },
        error: (error) => {
          if (!current || closed) return;
          if (Array.isArray(error)) onRefused(refusalOf(error[0]));
          else setTimeout(() => current && subscribe(), 2000);
        },
        complete: () => {
          // The server ended the stream, as when it restarts: begin again.
          if (current && !closed) setTimeout(() => current && subscribe(), 1000);
        },
      },
    );
    unsubscribe = () => {
      current = false;
      stop();
    };
  };
  subscribe();

  return {
    store,
    adoptEdit: (edit) => store.setState(adoptEdit(store.getState(), edit), true),
    adoptHead: (head) => store.setState(adoptHead(store.getState(), head), true),
    refresh: () => {
      const now = Date.now();
      if (now - lastRefresh < REFRESH_PAUSE_MS) return;
      lastRefresh = now;
      subscribe();
    },
    close: () => {
      closed = true;
      unsubscribe();
      void client.dispose();
    },
  };
}

function refusalOf(error: { message?: string; extensions?: Record<string, unknown> } | undefined): Refusal {
  const code = error?.extensions?.code;
  const gone = code === 'NOT_FOUND' || code === 'FORBIDDEN';
  return { gone, message: error?.message ?? 'The server does not say what happens on this picture.' };
}

/** ws: or wss: on the page's own origin. */
export function socketUrl(path: string): string {
  return `${location.protocol === 'https:' ? 'wss' : 'ws'}://${location.host}${path}`;
}
