'use client';

/** Knows: everything that one open canvas consists of, and what a person can do with it. Components reach it by context. */

import { followingSeed } from '@tug/schema';
import { createContext, useContext } from 'react';
import { type StoreApi, useStore } from 'zustand';
import { createStore } from 'zustand/vanilla';
import { explain, hasCode } from '@/api/client';
import { AcceptCandidate, CancelEdit, RenameCanvas, RestoreRevision, StartEdit } from '@/api/operations';
import type { OpenCanvasQuery } from '@/generated/graphql';
import { connectFeed, type FeedConnection, type Refusal } from '@/session/connect';
import { type Feed, isActive, type Run } from '@/session/feed';
import { call, ensureGuest, guest, type Person } from '@/session/guest';
import { newId } from '@/session/id';
import { Room, type RoomState } from '@/session/room';
import { toast } from '@/ui/toast';
import { StageController } from './controller';
import { createEditorStore, type EditorState, type EditorStore } from './store';

export type OpenedCanvas = NonNullable<OpenCanvasQuery['canvas']>;
export type Engine = OpenCanvasQuery['engine'];

/** What is on its way to the server. */
export type Pending = 'run' | 'cancel' | 'accept' | 'restore' | null;

const STRANGER = '#8a8a86';

export class EditorSession {
  readonly ui: EditorStore = createEditorStore();
  readonly room: Room;
  readonly feed: FeedConnection;
  readonly stage: StageController;
  readonly pending: StoreApi<{ pending: Pending }> = createStore(() => ({ pending: null }));
  private readonly stops: (() => void)[] = [];
  /** colours of everyone seen here, so that their drags keep theirs after they left */
  private readonly colors = new Map<string, string>();

  constructor(
    readonly canvas: OpenedCanvas,
    readonly engine: Engine,
    readonly me: Person,
    onLost: (refusal: Refusal) => void,
  ) {
    const user = () => ({ id: me.id, name: guest.getState().name || me.name, color: me.color });
    this.room = new Room(canvas.id, async () => (await ensureGuest()).token, user());
    this.feed = connectFeed(canvas.id, onLost);
    this.stage = new StageController(canvas, this.room, this.ui);
    this.stage.colorOf = (id) => this.colorOf(id);
    this.stage.onDenied = () => {
      toast('You can look but not change this picture. Ask its owner for an editing link.');
      this.stage.onDenied = () => {};
    };
    this.stops.push(
      guest.subscribe((state, before) => {
        if (state.name !== before.name) this.room.show({ user: user() });
      }),
    );
  }

  /** Owners and editors may change things; viewers may look. */
  get canEdit(): boolean {
    return (this.feed.store.getState().canvas?.role ?? this.canvas.role) !== 'VIEWER';
  }

  close(): void {
    for (const stop of this.stops) stop();
    this.feed.close();
    this.room.destroy();
  }

  /** Starts a run on what everybody sees now. `after` is one whose results were not what was meant: others than those are asked for. */
  async run(after?: Run): Promise<void> {
    const { shared } = this.room.store.getState();
    if (!this.canEdit || this.pending.getState().pending) return;
    if (shared.drags.length === 0) {
      toast('Nothing to run yet: press on a part of the picture and pull it to where it belongs.');
      return;
    }
    const { candidates, steps } = shared.settings;
    const seed =
      after === undefined ? shared.settings.seed : followingSeed(after.edit.seed, after.edit.candidates.length);
    await this.during('run', async () => {
      await this.room.settled();
      const { startEdit } = await call(StartEdit, {
        input: {
          canvasId: this.canvas.id,
          candidates,
          idempotencyKey: newId(),
          ...(seed === null ? {} : { seed }),
          ...(steps === null ? {} : { options: { steps } }),
        },
      });
      this.ui.setState({ viewing: null, chosen: null });
      this.feed.adoptEdit(startEdit.edit);
    });
  }

  async cancel(run: Run): Promise<void> {
    if (!isActive(run.edit)) return;
    await this.during('cancel', async () => {
      const { cancelEdit } = await call(CancelEdit, { editId: run.edit.id });
      this.feed.adoptEdit(cancelEdit.edit);
    });
  }

  /** Makes the candidate the picture that everybody works on. */
  async accept(run: Run, index: number): Promise<void> {
    if (!this.canEdit) return;
    const expectedHeadId = this.feed.store.getState().head?.id ?? null;
    await this.during('accept', async () => {
      const { acceptCandidate } = await call(AcceptCandidate, { editId: run.edit.id, index, expectedHeadId });
      this.feed.adoptHead(acceptCandidate.canvas.head);
      this.ui.setState({ chosen: null, selection: [] });
      const undo = { label: 'Go back', run: () => void (expectedHeadId && this.restore(expectedHeadId)) };
      toast('This is the picture now, for everyone.', 'good', undo);
    });
  }

  /** Puts a run's results aside, for this person. */
  dismiss(run: Run): void {
    this.ui.setState({ dismissed: new Set([...this.ui.getState().dismissed, run.edit.id]), chosen: null });
  }

  /** Shows results again that were put aside. */
  recall(run: Run): void {
    const dismissed = new Set(this.ui.getState().dismissed);
    dismissed.delete(run.edit.id);
    this.ui.setState({ dismissed, viewing: null });
  }

  async restore(revisionId: string): Promise<void> {
    const expectedHeadId = this.feed.store.getState().head?.id ?? null;
    await this.during('restore', async () => {
      const variables = { canvasId: this.canvas.id, revisionId, expectedHeadId };
      const { restoreRevision } = await call(RestoreRevision, variables);
      this.feed.adoptHead(restoreRevision.canvas.head);
      this.ui.setState({ viewing: null });
      toast('This version is the picture again. Nothing was lost.', 'good');
    });
  }

  async rename(title: string): Promise<string> {
    const { renameCanvas } = await call(RenameCanvas, { canvasId: this.canvas.id, title });
    document.title = `${renameCanvas.canvas.title} – Tug`;
    return renameCanvas.canvas.title;
  }

  /** The colour of whoever made something: somebody in the room or in the history, else grey. */
  colorOf(id: string): string {
    if (id === this.me.id) return this.me.color;
    const known = this.colors.get(id);
    if (known) return known;
    const { people } = this.room.store.getState();
    const { revisions, runs } = this.feed.store.getState();
    const person =
      people.find((each) => each.id === id) ??
      revisions.find((revision) => revision.createdBy.id === id)?.createdBy ??
      runs.find((run) => run.edit.requestedBy.id === id)?.edit.requestedBy;
    if (person) this.colors.set(id, person.color);
    return person?.color ?? STRANGER;
  }

  private async during(pending: Exclude<Pending, null>, work: () => Promise<void>): Promise<void> {
    this.pending.setState({ pending });
    try {
      await work();
    } catch (error) {
      if (hasCode(error, 'CONFLICT')) {
        this.feed.refresh();
        toast('Somebody changed the picture a moment ago. Look at it, then try again.', 'bad');
      } else toast(explain(error), 'bad');
    } finally {
      this.pending.setState({ pending: null });
    }
  }
}

/** Saves a picture of this origin under a readable name. */
export function download(url: string, name: string): void {
  const link = document.createElement('a');
  link.href = url;
  link.download = `${name.replace(/[^\p{L}\p{N} _.-]+/gu, '').trim() || 'picture'}.png`;
  link.click();
}

const Context = createContext<EditorSession | null>(null);
export const SessionProvider = Context.Provider;

export function useSession(): EditorSession {
  const session = useContext(Context);
  if (!session) throw new Error('useSession outside of an editor');
  return session;
}

export function useUi<T>(select: (state: EditorState) => T): T {
  return useStore(useSession().ui, select);
}

export function useFeed<T>(select: (feed: Feed) => T): T {
  return useStore(useSession().feed.store, select);
}

export function useRoom<T>(select: (state: RoomState) => T): T {
  return useStore(useSession().room.store, select);
}

export function usePending(): Pending {
  return useStore(useSession().pending, (state) => state.pending);
}

/** Whether this person may change things, now: a role can change while the page is open. */
export function useCanEdit(): boolean {
  const session = useSession();
  return useFeed((feed) => (feed.canvas?.role ?? session.canvas.role) !== 'VIEWER');
}
