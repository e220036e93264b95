/**
 * Knows: the shared documents — who may join a room and write in it, how a document is kept in the database, and how the
 * database's head gets into it. Rooms are named by canvas ids.
 */

import type { IncomingMessage } from 'node:http';
import { Hocuspocus } from '@hocuspocus/server';
import { mirrorHead, readDocument, type SharedState } from '@tug/schema';
import type { Logger } from 'pino';
import type { WebSocket } from 'ws';
import * as Y from 'yjs';
import type { Access, Auth } from './auth.js';
import type { Database } from './database.js';
import { isMissingRow } from './database.js';

const STORE_AFTER_MS = 250;
const STORE_AT_LATEST_MS = 1_000;
/** What may wait to be sent to somebody who does not read; then the connection is cut, and comes back to the state of that moment. */
const MAX_UNSENT_BYTES = 32 * 1024 * 1024;
const MAX_STATE_BYTES = 32 * 1024 * 1024;

interface RoomContext {
  userId?: string;
  access?: Access;
}

/** Written by the server itself; a connection's own origin is the connection. */
const SERVER_ORIGIN = { source: 'local' } as const;

export class Rooms {
  private readonly hocuspocus: Hocuspocus<RoomContext>;
  private readonly sockets = new Set<WebSocket>();
  private phase: 'open' | 'stopping' | 'stopped' = 'open';
  private readonly sizes = new WeakMap<Y.Doc, number>();
  /** the database's head of every room that is open */
  private readonly heads = new Map<string, string>();

  constructor(
    private readonly db: Database,
    private readonly auth: Auth,
    private readonly log: Logger,
  ) {
    this.hocuspocus = new Hocuspocus<RoomContext>({
      quiet: true,
      debounce: STORE_AFTER_MS,
      maxDebounce: STORE_AT_LATEST_MS,
      onAuthenticate: async ({ token, documentName, connectionConfig }) => {
        const user = await this.auth.userOf(token);
        const access = user === null ? null : await this.auth.access(user.id, documentName);
        if (user === null || access === null) throw Object.assign(new Error(), { reason: 'NOT_FOUND' });
        connectionConfig.readOnly = access.role === 'VIEWER';
        return { userId: user.id, access };
      },
      connected: async ({ connection, context, documentName }) => {
        const { userId, access } = context;
        if (userId === undefined || access === undefined) return;
        const follow = this.auth.follow(userId, documentName, access, (now) => {
          if (now === null) connection.close({ code: 4404, reason: 'NOT_FOUND' });
          else connection.readOnly = now.role === 'VIEWER';
        });
        connection.onClose(() => follow[Symbol.dispose]());
      },
      beforeHandleAwareness: async ({ states, context, connection, document }) => {
        if (connection === undefined) return;
        const taken = new Set(
          document
            .getConnections()
            .filter((other) => other !== connection)
            .flatMap((other) => [...document.getClients(other)]),
        );
        for (const [clientId, state] of states) {
          const user: unknown = state.user;
          const claimed = typeof user === 'object' && user !== null && 'id' in user ? user.id : undefined;
          if (taken.has(clientId) || (claimed !== undefined && claimed !== context?.userId)) states.delete(clientId);
        }
      },
      beforeSync: async ({ document, payload }) => {
        if (payload.byteLength > MAX_STATE_BYTES / 4) throw new Error('The update is too large.');
        if ((this.sizes.get(document) ?? 0) > MAX_STATE_BYTES) throw new Error('The shared document is full.');
      },
      onChange: async ({ document, documentName }) => this.guardHead(document, documentName),
      afterUnloadDocument: async ({ documentName }) => {
        this.heads.delete(documentName);
      },
      onLoadDocument: async ({ document, documentName }) => this.load(document, documentName),
      onStoreDocument: async ({ document, documentName }) => this.store(document, documentName),
    });
  }

  /** Takes over a WebSocket that came to /collab. */
  accept(socket: WebSocket, request: IncomingMessage): void {
    const headers = new Headers();
    for (const [name, value] of Object.entries(request.headers))
      if (typeof value === 'string') headers.set(name, value);
    const connection = this.hocuspocus.handleConnection(
      socket,
      new Request(`http://localhost${request.url ?? '/'}`, { headers }),
      {},
    );
    this.sockets.add(socket);
    const check = setInterval(
      () => socket.bufferedAmount > MAX_UNSENT_BYTES && socket.terminate(),
      STORE_AT_LATEST_MS * 5,
    );
    check.unref();
    socket.binaryType = 'nodebuffer';
    socket.on('message', (data: Buffer, isBinary) => {
      if (isBinary && this.phase === 'open') connection.handleMessage(new Uint8Array(data));
    });
    socket.on('close', (code, reason) => {
      clearInterval(check);
      this.sockets.delete(socket);
      connection.handleClose({ code, reason: reason.toString() });
    });
    socket.on('error', (error) => this.log.debug({ err: error }, 'a collab socket failed'));
  }

  /** What everybody on the canvas sees at this moment. */
  async read(canvasId: string): Promise<SharedState> {
    return this.withDocument(canvasId, (document) => readDocument(document));
  }

  /** Brings the new head into the document and takes the used drags out of it, in one transaction. */
  async mirror(canvasId: string, headId: string, usedDragIds: readonly string[]): Promise<void> {
    await this.withDocument(canvasId, (document) => {
      this.heads.set(canvasId, headId);
      mirrorHead(document, headId, usedDragIds, SERVER_ORIGIN);
    });
  }

  /** Stores what is not stored yet and lets everybody go. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.phase = 'stopping'; // what comes from now on is not acknowledged, and its sender keeps it
    for (const socket of this.sockets) socket.close(1001, 'The server is stopping.');
    for (const document of [...this.hocuspocus.documents.values()]) {
      await Promise.all(document.getConnections().map((connection) => connection.waitForPendingMessages()));
      await this.store(document, document.name);
    }
    this.phase = 'stopped';
    for (const socket of this.sockets) socket.terminate();
  }

  private async withDocument<T>(canvasId: string, use: (document: Y.Doc) => T): Promise<T> {
    const direct = await this.hocuspocus.openDirectConnection(canvasId, {});
    try {
      if (direct.document === null) throw new Error('The document was unloaded while it was opened.');
      return use(direct.document);
    } finally {
      await direct.disconnect();
    }
  }

  private async load(document: Y.Doc, canvasId: string): Promise<void> {
    const canvas = await this.db.canvas.findUnique({
      where: { id: canvasId },
      select: {
        headId: true,
        document: { select: { state: true } },
        head: { select: { edit: { select: { usedDragIds: true } } } },
      },
    });
    if (canvas === null) throw Object.assign(new Error(), { reason: 'NOT_FOUND' });
    if (canvas.document !== null) Y.applyUpdate(document, canvas.document.state, SERVER_ORIGIN);
    if (canvas.headId === null) return;
    this.heads.set(canvasId, canvas.headId);
    if (document.getMap('mirror').get('head') !== canvas.headId) {
      mirrorHead(document, canvas.headId, canvas.head?.edit?.usedDragIds ?? [], SERVER_ORIGIN);
    }
  }

  /** The mirror is the server's alone: what a client writes into it is put right again. */
  private guardHead(document: Y.Doc, canvasId: string): void {
    const head = this.heads.get(canvasId);
    if (head !== undefined && document.getMap('mirror').get('head') !== head)
      mirrorHead(document, head, [], SERVER_ORIGIN);
  }

  private async store(document: Y.Doc, canvasId: string): Promise<void> {
    if (this.phase === 'stopped') return; // everything was stored when it stopped
    const state = Uint8Array.from(Y.encodeStateAsUpdate(document));
    this.sizes.set(document, state.byteLength);
    try {
      await this.db.document.upsert({ where: { canvasId }, create: { canvasId, state }, update: { state } });
    } catch (error) {
      if (!isMissingRow(error)) throw error;
      this.log.debug({ canvasId }, 'a document of a deleted canvas was dropped');
    }
  }
}
