/**
 * Knows: the shared document of one canvas as this person works on it: reading, writing, own undo, presence, connection.
 * Does not know: the stage, React, GraphQL.
 */

import { HocuspocusProvider } from '@hocuspocus/provider';
import {
  addStroke,
  type CanvasPoint,
  changeSettings,
  clearMask,
  moveDragEnd,
  type Presence,
  putDrag,
  readDocument,
  readPresence,
  removeDrags,
  type SharedSettings,
  type SharedState,
  type StrokeGeometry,
} from '@tug/schema';
import * as Y from 'yjs';
import { createStore, type StoreApi } from 'zustand/vanilla';
import { socketUrl } from './connect';
import { newId } from './id';

export type Connection = 'connecting' | 'live' | 'offline' | 'refused';

export interface Peer extends Presence {
  readonly clientId: number;
}

export interface RoomState {
  readonly shared: SharedState;
  readonly connection: Connection;
  /** the document came from the server at least once */
  readonly loaded: boolean;
  readonly canUndo: boolean;
  readonly canRedo: boolean;
  /** others, one entry a tab; without cursors and strokes, which move too often for React */
  readonly people: readonly Presence['user'][];
}

/** A move of a drag's end is sent this often at most, milliseconds; the last one always is. */
const SEND_EVERY_MS = 33;
const NUDGE_JOINS_MS = 900;

export class Room {
  readonly doc = new Y.Doc();
  readonly store: StoreApi<RoomState>;
  /** called when a peer's cursor, stroke or selection changed */
  onPeers: () => void = () => {};
  private readonly origin = { name: 'me' };
  private readonly undoManager: Y.UndoManager;
  private readonly provider: HocuspocusProvider;
  private presence: Presence;
  private peerCache: readonly Peer[] = [];
  private lastNudge = 0;
  private stackAtBegin = 0;
  private pendingMoves = new Map<string, () => void>();
  private moveTimer: ReturnType<typeof setTimeout> | null = null;
  private presenceTimer: ReturnType<typeof setTimeout> | null = null;
  private readTimer: ReturnType<typeof setTimeout> | null = null;

  constructor(
    canvasId: string,
    token: () => Promise<string>,
    readonly me: Presence['user'],
  ) {
    this.undoManager = new Y.UndoManager([this.doc.getMap('drags'), this.doc.getArray('strokes')], {
      trackedOrigins: new Set([this.origin]),
      captureTimeout: Number.MAX_SAFE_INTEGER,
    });
    this.presence = { user: me, cursor: null, stroke: null, selection: [] };
    this.store = createStore<RoomState>(() => ({
      shared: readDocument(this.doc),
      connection: 'connecting',
      loaded: false,
      canUndo: false,
      canRedo: false,
      people: [],
    }));
    this.provider = new HocuspocusProvider({
      url: socketUrl('/collab'),
      name: canvasId,
      document: this.doc,
      token,
      onStatus: ({ status }) => {
        if (this.store.getState().connection === 'refused') return;
        if (status === 'disconnected') this.store.setState({ connection: 'offline' });
        else if (status === 'connecting' && !this.store.getState().loaded)
          this.store.setState({ connection: 'connecting' });
      },
      onSynced: ({ state }) => {
        if (state) this.store.setState({ connection: 'live', loaded: true });
      },
      onAuthenticationFailed: () => this.store.setState({ connection: 'refused' }),
      onAwarenessChange: () => this.readPeers(),
    });
    this.doc.on('update', this.scheduleRead);
    for (const name of ['stack-item-added', 'stack-item-popped', 'stack-cleared'] as const) {
      this.undoManager.on(name, this.readStacks);
    }
    this.provider.setAwarenessField('user', me);
    this.sendPresence();
  }

  /** Changes that the server has not confirmed yet. */
  get hasUnsentChanges(): boolean {
    return this.provider.hasUnsyncedChanges;
  }

  /** Waits until the server has what was written here, at most `patience` milliseconds. */
  async settled(patience = 1500): Promise<void> {
    this.flushMoves();
    const until = Date.now() + patience;
    while (this.provider.hasUnsyncedChanges && Date.now() < until)
      await new Promise((resolve) => setTimeout(resolve, 15));
  }

  get peers(): readonly Peer[] {
    return this.peerCache;
  }

  /** What follows is one step of undo; a nudge joins the nudges just before it. */
  begin(nudge = false): void {
    const now = Date.now();
    if (!nudge || now - this.lastNudge > NUDGE_JOINS_MS) this.undoManager.stopCapturing();
    this.lastNudge = nudge ? now : 0;
    this.stackAtBegin = this.undoManager.undoStack.length;
  }

  /** Takes back what was written since `begin`, as if it had not been. */
  abort(): void {
    this.flushMoves();
    if (this.undoManager.undoStack.length > this.stackAtBegin) {
      this.undoManager.undo();
      this.undoManager.redoStack.pop();
      this.readStacks();
    }
  }

  undo(): void {
    this.flushMoves();
    this.undoManager.undo();
  }

  redo(): void {
    this.undoManager.redo();
  }

  /** Adds a drag or moves the target of the one with this id. */
  putDrag(id: string, handle: CanvasPoint, target: CanvasPoint, base: string): void {
    if (this.doc.getMap('drags').has(id)) {
      this.moveEnd(id, 'target', target, false);
      return;
    }
    putDrag(this.doc, { id, handle, target, author: this.me.id, base, createdAt: Date.now() }, this.origin);
  }

  moveEnd(id: string, end: 'handle' | 'target', to: CanvasPoint, final: boolean): void {
    this.pendingMoves.set(`${id} ${end}`, () => moveDragEnd(this.doc, id, end, to, this.origin));
    if (final) this.flushMoves();
    else this.moveTimer ??= setTimeout(() => this.flushMoves(), SEND_EVERY_MS);
  }

  /** Writes what the throttle holds back; call it when a gesture ends. */
  flushMoves(): void {
    if (this.moveTimer) clearTimeout(this.moveTimer);
    this.moveTimer = null;
    const moves = [...this.pendingMoves.values()];
    this.pendingMoves.clear();
    if (moves.length > 0)
      this.doc.transact(() => {
        for (const move of moves) move();
      }, this.origin);
  }

  removeDrags(ids: readonly string[]): void {
    removeDrags(this.doc, ids, this.origin);
  }

  addStroke(stroke: StrokeGeometry): void {
    addStroke(
      this.doc,
      {
        id: newId(),
        mode: stroke.mode,
        radius: stroke.radius,
        points: [...stroke.points],
        author: this.me.id,
      },
      this.origin,
    );
  }

  clearMask(): void {
    this.begin();
    clearMask(this.doc, this.origin);
  }

  /** Removes every drag and stroke, as one step. */
  clearAll(): void {
    this.begin();
    this.doc.transact(() => {
      removeDrags(this.doc, [...this.doc.getMap('drags').keys()], this.origin);
      clearMask(this.doc, this.origin);
    }, this.origin);
  }

  changeSettings(change: Partial<SharedSettings>): void {
    changeSettings(this.doc, change, this.origin);
  }

  /** Shows others the cursor, a stroke in the making, the selection or another name; sent at most 30 times a second. */
  show(change: Partial<Presence>): void {
    this.presence = { ...this.presence, ...change };
    this.presenceTimer ??= setTimeout(() => this.sendPresence(), SEND_EVERY_MS);
  }

  destroy(): void {
    this.flushMoves();
    for (const timer of [this.presenceTimer, this.readTimer]) if (timer) clearTimeout(timer);
    this.doc.off('update', this.scheduleRead);
    this.provider.destroy();
    this.undoManager.destroy();
    this.doc.destroy();
  }

  private sendPresence(): void {
    this.presenceTimer = null;
    this.provider.awareness?.setLocalState(this.presence);
  }

  private readonly scheduleRead = (): void => {
    this.readTimer ??= setTimeout(() => {
      this.readTimer = null;
      this.store.setState(({ shared }) => ({ shared: shareUnchanged(shared, readDocument(this.doc)) }));
    }, 8);
  };

  private readonly readStacks = (): void => {
    const canUndo = this.undoManager.undoStack.length > 0;
    const canRedo = this.undoManager.redoStack.length > 0;
    const state = this.store.getState();
    if (state.canUndo !== canUndo || state.canRedo !== canRedo) this.store.setState({ canUndo, canRedo });
  };

  private readPeers(): void {
    const awareness = this.provider.awareness;
    if (!awareness) return;
    const peers: Peer[] = [];
    for (const [clientId, value] of awareness.getStates()) {
      const presence = clientId === awareness.clientID ? null : readPresence(value);
      if (presence) peers.push({ ...presence, clientId });
    }
    this.peerCache = peers;
    const people = [...new Map(peers.map((peer) => [peer.user.id, peer.user])).values()];
    if (JSON.stringify(people) !== JSON.stringify(this.store.getState().people)) this.store.setState({ people });
    this.onPeers();
  }
}

/** The new state with the old objects where nothing changed, so that only what shows a change is rendered again. */
export function shareUnchanged(before: SharedState, now: SharedState): SharedState {
  const known = new Map(before.drags.map((drag) => [drag.id, drag]));
  const drags = now.drags.map((drag) => {
    const old = known.get(drag.id);
    return old && JSON.stringify(old) === JSON.stringify(drag) ? old : drag;
  });
  const sameDrags = drags.length === before.drags.length && drags.every((drag, index) => drag === before.drags[index]);
  const sameStrokes =
    now.strokes.length === before.strokes.length &&
    now.strokes.every((stroke, index) => stroke.id === before.strokes[index]?.id);
  return {
    ...now,
    drags: sameDrags ? before.drags : drags,
    strokes: sameStrokes ? before.strokes : now.strokes,
    settings: JSON.stringify(now.settings) === JSON.stringify(before.settings) ? before.settings : now.settings,
  };
}
