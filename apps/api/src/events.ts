/**
 * Knows: the events of a canvas — how they get their numbers and how they reach subscribers.
 *
 * A change and the number of its event are committed in one transaction; it is published after that, in the order of the numbers.
 * A subscriber that reads too slowly loses previews that a newer one supersedes, and nothing else.
 */

import { TugError } from '@tug/schema';
import type { Database, Transaction } from './database.js';
import { isMissingRow } from './database.js';
import type { CandidateModel, CanvasModel, EditModel, RevisionModel } from './models.js';
import { KeyedMutex } from './mutex.js';

/** A numbered event, before it has its number. */
export type EventBody =
  | { __typename: 'EditQueued'; edit: EditModel; position: number }
  | { __typename: 'EditStarted'; edit: EditModel }
  | { __typename: 'EditCandidate'; editId: string; candidate: CandidateModel }
  | { __typename: 'EditFinished'; edit: EditModel }
  | { __typename: 'HeadChanged'; canvasId: string; head: RevisionModel };

export type NumberedEvent = EventBody & { seq: number };

export type PreviewEvent = {
  __typename: 'EditPreview';
  editId: string;
  candidate: number;
  step: number;
  totalSteps: number;
  image: string;
};

export type SnapshotEvent = {
  __typename: 'CanvasSnapshot';
  seq: number;
  canvas: CanvasModel;
  activeEdits: EditModel[];
};

export type CanvasEvent = SnapshotEvent | NumberedEvent | PreviewEvent;

/** What a change in a transaction gives back: its result, and what subscribers shall hear of it. */
export interface Change<T> {
  result: T;
  events: EventBody[];
}

/** Numbered events that a subscriber may leave unread; beyond that it is cut off and gets a new snapshot when it comes back. */
const MAX_UNREAD = 2000;

/** Previews of one candidate that may wait for a subscriber. */
const MAX_UNREAD_PREVIEWS = 4;

export class CanvasEvents {
  private readonly mutex = new KeyedMutex();
  private readonly feeds = new Map<string, Set<CanvasFeed>>();

  constructor(private readonly db: Database) {}

  /** Makes a change to a canvas and publishes its events once it is committed. An unknown canvas is NOT_FOUND. */
  commit<T>(canvasId: string, change: (tx: Transaction) => Promise<Change<T>>): Promise<T> {
    return this.mutex.run(canvasId, async () => {
      const { result, numbered } = await this.db
        .$transaction(async (tx) => {
          const { result, events } = await change(tx);
          if (events.length === 0) return { result, numbered: [] };
          const { seq } = await tx.canvas.update({
            where: { id: canvasId },
            data: { seq: { increment: events.length } },
            select: { seq: true },
          });
          return {
            result,
            numbered: events.map((event, index) => ({ ...event, seq: seq - events.length + 1 + index })),
          };
        })
        .catch((error: unknown) => {
          throw isMissingRow(error) ? new TugError('NOT_FOUND', 'There is no such canvas.', { cause: error }) : error;
        });
      for (const event of numbered) this.publish(canvasId, event);
      return result;
    });
  }

  /** Sends a preview to whoever watches now. It is not stored. */
  preview(canvasId: string, event: PreviewEvent): void {
    this.publish(canvasId, event);
  }

  /** Starts to collect a canvas' events. Open the feed first and read the snapshot after it, so that nothing falls between. */
  open(canvasId: string): CanvasFeed {
    const feeds = this.feeds.get(canvasId) ?? new Set();
    this.feeds.set(canvasId, feeds);
    const feed = new CanvasFeed(() => {
      feeds.delete(feed);
      if (feeds.size === 0 && this.feeds.get(canvasId) === feeds) this.feeds.delete(canvasId);
    });
    feeds.add(feed);
    return feed;
  }

  /** Ends every feed, at shutdown. */
  close(): void {
    for (const feeds of this.feeds.values()) for (const feed of [...feeds]) feed.end();
  }

  private publish(canvasId: string, event: NumberedEvent | PreviewEvent): void {
    for (const feed of [...(this.feeds.get(canvasId) ?? [])]) feed.push(event);
  }
}

/** One subscriber's unread events. */
export class CanvasFeed {
  private unread: (NumberedEvent | PreviewEvent)[] = [];
  private wake: (() => void) | undefined;
  private ended = false;

  constructor(private readonly onEnd: () => void) {}

  push(event: NumberedEvent | PreviewEvent): void {
    if (this.ended) return;
    this.unread.push(event);
    if (event.__typename === 'EditPreview') this.dropSuperseded(event);
    if (this.unread.length > MAX_UNREAD) this.end();
    this.wake?.();
  }

  /** The next event that is newer than `seq`, or null when the feed has ended. */
  async next(seq: number): Promise<NumberedEvent | PreviewEvent | null> {
    while (!this.ended) {
      const event = this.unread.shift();
      if (event !== undefined && (event.__typename === 'EditPreview' || event.seq > seq)) return event;
      if (event === undefined) await this.arrival();
    }
    return null;
  }

  end(): void {
    if (this.ended) return;
    this.ended = true;
    this.unread = [];
    this.onEnd();
    this.wake?.();
  }

  /** Keeps the newest few previews of a candidate: a burst comes through whole, a slow reader skips ahead. */
  private dropSuperseded({ editId, candidate }: PreviewEvent): void {
    const isSame = (event: NumberedEvent | PreviewEvent) =>
      event.__typename === 'EditPreview' && event.editId === editId && event.candidate === candidate;
    if (this.unread.filter(isSame).length > MAX_UNREAD_PREVIEWS) this.unread.splice(this.unread.findIndex(isSame), 1);
  }

  private arrival(): Promise<void> {
    return new Promise((resolve) => {
      this.wake = () => {
        this.wake = undefined;
        resolve();
      };
    });
  }
}
