/** Knows: how a test gets a server of its own and talks to it as any client would: fetch, graphql-ws and a Yjs provider. */

import { cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { HocuspocusProvider, HocuspocusProviderWebsocket } from '@hocuspocus/provider';
import type { CanvasPoint } from '@tug/schema';
import { canvasPoint } from '@tug/schema';
import { createClient } from 'graphql-ws';
import sharp from 'sharp';
import { inject } from 'vitest';
import WebSocket from 'ws';
import * as Y from 'yjs';
import { type Config, type Limits, readConfig } from '../src/config.js';
import { type RunningServer, startServer } from '../src/server.js';

/** What a test may set. */
export type TestConfig = Partial<Omit<Config, 'limits'>> & { limits?: Partial<Limits> };

/** The errors of an operation, by their public code. */
export class OperationError extends Error {
  constructor(readonly errors: readonly { message: string; extensions?: { code?: string } }[]) {
    super(errors.map((error) => `${error.extensions?.code}: ${error.message}`).join('; '));
  }

  get code(): string | undefined {
    return this.errors[0]?.extensions?.code;
  }
}

/** A copy of the migrated, empty data folder; the caller removes it. */
export async function newDataDir(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'tug-api-'));
  await cp(inject('databaseTemplate'), folder, { recursive: true });
  return folder;
}

/** A running server on a free port and a data folder of its own. */
export class TestServer implements AsyncDisposable {
  private readonly clients: Client[] = [];

  private constructor(
    readonly server: RunningServer,
    readonly dataDir: string,
    private readonly keep: boolean,
  ) {}

  static async start(config: TestConfig = {}): Promise<TestServer> {
    const dataDir = config.dataDir ?? (await newDataDir());
    const base = readConfig({
      ...process.env,
      PORT: '0',
      HOST: '127.0.0.1',
      DATABASE_URL: '',
      PUBLIC_URL: '',
      LOG_LEVEL: process.env.LOG_LEVEL ?? 'silent',
    });
    const { limits, ...rest } = config;
    const server = await startServer({ ...base, ...rest, dataDir, limits: { ...base.limits, ...limits } });
    return new TestServer(server, dataDir, config.dataDir !== undefined);
  }

  get url(): string {
    return this.server.url;
  }

  /** Signs somebody in. */
  async client(name = 'Somebody'): Promise<Client> {
    const client = await Client.signIn(this.url, name);
    this.clients.push(client);
    return client;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const client of this.clients) client.close();
    await this.server[Symbol.asyncDispose]();
    if (!this.keep) await rm(this.dataDir, { recursive: true, force: true });
  }
}

type Variables = Record<string, unknown>;

/** A person with a token. */
export class Client {
  private readonly closers: (() => void)[] = [];

  constructor(
    readonly url: string,
    readonly token: string | null,
    readonly userId: string,
  ) {}

  static async signIn(url: string, name: string): Promise<Client> {
    const query = 'mutation ($name: String!) { signInAsGuest(input: { name: $name }) { token user { id } } }';
    const { signInAsGuest } = await new Client(url, null, '').gql<{
      signInAsGuest: { token: string; user: { id: string } };
    }>(query, { name });
    return new Client(url, signInAsGuest.token, signInAsGuest.user.id);
  }

  get headers(): Record<string, string> {
    return this.token === null ? {} : { authorization: `Bearer ${this.token}` };
  }

  /** Runs an operation over HTTP. */
  async gql<T = Record<string, unknown>>(query: string, variables: Variables = {}): Promise<T> {
    const response = await fetch(`${this.url}/graphql`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...this.headers },
      body: JSON.stringify({ query, variables }),
    });
    const { data, errors } = (await response.json()) as { data: T; errors?: OperationError['errors'] };
    if (errors !== undefined) throw new OperationError(errors);
    return data;
  }

  /** The public code of the error that an operation must end with. */
  async code(query: string, variables: Variables = {}): Promise<string> {
    const error = await this.gql(query, variables).then(
      (data) => new Error(`no error but ${JSON.stringify(data)}`),
      (thrown: unknown) => thrown,
    );
    if (error instanceof OperationError && error.code !== undefined) return error.code;
    throw error;
  }

  /** Sends bytes to POST /files. */
  async post(bytes: Uint8Array, part = 'file'): Promise<{ status: number; body: UploadAnswer }> {
    const form = new FormData();
    form.append(part, new Blob([Uint8Array.from(bytes)]), 'picture');
    const response = await fetch(`${this.url}/files`, { method: 'POST', headers: this.headers, body: form });
    return { status: response.status, body: (await response.json()) as UploadAnswer };
  }

  /** Uploads a picture that must be taken. */
  async upload(bytes: Uint8Array): Promise<{ fileId: string; width: number; height: number }> {
    const { status, body } = await this.post(bytes);
    if (status !== 201 || body.fileId === undefined) throw new Error(`upload: ${status} ${JSON.stringify(body)}`);
    return { fileId: body.fileId, width: body.width ?? 0, height: body.height ?? 0 };
  }

  /** A canvas of a new picture. */
  async canvas(bytes?: Uint8Array): Promise<TestCanvas> {
    const { fileId } = await this.upload(bytes ?? (await photo()));
    const query =
      'mutation ($fileId: ID!) { createCanvas(input: { fileId: $fileId }) { canvas { id width height head { id url } } } }';
    return (await this.gql<{ createCanvas: { canvas: TestCanvas } }>(query, { fileId })).createCanvas.canvas;
  }

  /** A link into the canvas. */
  async share(
    canvasId: string,
    role: 'EDITOR' | 'VIEWER',
    expiresAt?: string,
  ): Promise<{ id: string; url: string; token: string }> {
    const query = `mutation ($canvasId: ID!, $role: Role!, $expiresAt: DateTime) {
      createShareLink(input: { canvasId: $canvasId, role: $role, expiresAt: $expiresAt }) { token shareLink { id url } } }`;
    type Answer = { createShareLink: { token: string; shareLink: { id: string; url: string } } };
    const { createShareLink } = await this.gql<Answer>(query, { canvasId, role, expiresAt });
    return { ...createShareLink.shareLink, token: createShareLink.token };
  }

  async redeem(token: string): Promise<{ id: string; role: string }> {
    const query = 'mutation ($token: String!) { redeemShareLink(input: { token: $token }) { canvas { id role } } }';
    return (await this.gql<{ redeemShareLink: { canvas: { id: string; role: string } } }>(query, { token }))
      .redeemShareLink.canvas;
  }

  async startEdit(input: Variables): Promise<TestEdit> {
    const query = `mutation ($input: StartEditInput!) { startEdit(input: $input) { edit { ${EDIT} } } }`;
    return (await this.gql<{ startEdit: { edit: TestEdit } }>(query, { input })).startEdit.edit;
  }

  async edit(id: string): Promise<TestEdit | null> {
    return (
      await this.gql<{ node: TestEdit | null }>(`query ($id: ID!) { node(id: $id) { ... on Edit { ${EDIT} } } }`, {
        id,
      })
    ).node;
  }

  /** Watches a canvas. */
  watch(canvasId: string): EventStream {
    const client = createClient({
      url: `${this.url.replace('http', 'ws')}/graphql`,
      webSocketImpl: WebSocket,
      connectionParams: { token: this.token },
      retryAttempts: 0,
    });
    this.closers.push(() => client.terminate());
    return new EventStream(client.iterate<{ canvasEvents: TestEvent }>({ query: EVENTS, variables: { canvasId } }));
  }

  /** Joins a canvas' room; waits until its document is there. */
  async room(canvasId: string): Promise<Room> {
    const room = this.knock(canvasId);
    await room.synced;
    return room;
  }

  /** Joins a canvas' room without waiting. */
  knock(canvasId: string): Room {
    const room = new Room(this.url, canvasId, this.token ?? '');
    this.closers.push(() => room.close());
    return room;
  }

  close(): void {
    for (const close of this.closers.splice(0)) close();
  }
}

type UploadAnswer = { fileId?: string; width?: number; height?: number; error?: { code: string; message: string } };
export type TestCanvas = { id: string; width: number; height: number; head: { id: string; url: string } };
export type TestEdit = {
  id: string;
  status: string;
  step: number;
  totalSteps: number;
  seed: number;
  warnings: string[];
  drags: { handle: { x: number; y: number }; target: { x: number; y: number } }[];
  maskUrl: string;
  base: { id: string };
  candidates: { index: number; url: string; seed: number }[];
  error: { code: string; message: string } | null;
  timings: { queuedMs: number; runningMs: number; firstPreviewMs: number | null } | null;
};
export type TestEvent =
  | { __typename: 'CanvasSnapshot'; seq: number; canvas: { id: string; head: { id: string } }; activeEdits: TestEdit[] }
  | { __typename: 'EditQueued'; seq: number; edit: TestEdit; position: number }
  | { __typename: 'EditStarted'; seq: number; edit: TestEdit }
  | { __typename: 'EditPreview'; editId: string; index: number; step: number; totalSteps: number; image: string }
  | {
      __typename: 'EditCandidate';
      seq: number;
      editId: string;
      candidate: { index: number; url: string; seed: number };
    }
  | { __typename: 'EditFinished'; seq: number; edit: TestEdit }
  | { __typename: 'HeadChanged'; seq: number; canvasId: string; head: { id: string; url: string } };

const EDIT = `id status step totalSteps seed warnings drags { handle { x y } target { x y } } maskUrl base { id }
  candidates { index url seed } error { code message } timings { queuedMs runningMs firstPreviewMs }`;

const EVENTS = `subscription ($canvasId: ID!) { canvasEvents(canvasId: $canvasId) { __typename
  ... on CanvasSnapshot { seq canvas { id head { id } } activeEdits { ${EDIT} } }
  ... on EditQueued { seq position edit { ${EDIT} } }
  ... on EditStarted { seq edit { ${EDIT} } }
  ... on EditPreview { editId index: candidate step totalSteps image }
  ... on EditCandidate { seq editId candidate { index url seed } }
  ... on EditFinished { seq edit { ${EDIT} } }
  ... on HeadChanged { seq canvasId head { id url } } } }`;

/** The events of a canvas, in order, each kept so that a test can look back. */
export class EventStream {
  readonly seen: TestEvent[] = [];

  constructor(
    private readonly events: AsyncIterableIterator<{
      data?: { canvasEvents: TestEvent } | null | undefined;
      errors?: readonly unknown[] | undefined;
    }>,
  ) {}

  /** The next event, or null when the stream has ended. */
  async next(): Promise<TestEvent | null> {
    const { done, value } = await this.events.next();
    if (done) return null;
    if (value.errors !== undefined || !value.data) throw new Error(JSON.stringify(value.errors));
    this.seen.push(value.data.canvasEvents);
    return value.data.canvasEvents;
  }

  /** Reads on until an event of this type comes. */
  async until<T extends TestEvent['__typename']>(
    type: T,
    fits: (event: Extract<TestEvent, { __typename: T }>) => boolean = () => true,
  ): Promise<Extract<TestEvent, { __typename: T }>> {
    for (;;) {
      const event = await this.next();
      if (event === null) throw new Error(`The stream ended before ${type} came.`);
      if (isOf(event, type) && fits(event)) return event;
    }
  }

  of<T extends TestEvent['__typename']>(type: T): Extract<TestEvent, { __typename: T }>[] {
    return this.seen.filter((event) => isOf(event, type));
  }
}

function isOf<T extends TestEvent['__typename']>(
  event: TestEvent,
  type: T,
): event is Extract<TestEvent, { __typename: T }> {
  return event.__typename === type;
}

/** A connection to a canvas' shared document. */
export class Room {
  readonly doc = new Y.Doc();
  readonly synced: Promise<void>;
  /** the reason, when the server shuts this connection out */
  readonly closed: Promise<string>;
  readonly provider: HocuspocusProvider;
  private readonly socket: HocuspocusProviderWebsocket;

  constructor(url: string, canvasId: string, token: string) {
    this.socket = new HocuspocusProviderWebsocket({
      url: `${url.replace('http', 'ws')}/collab`,
      WebSocketPolyfill: WebSocket,
      maxAttempts: 1,
    });
    let synced = () => {};
    let refused: (reason: Error) => void = () => {};
    let closed: (reason: string) => void = () => {};
    this.synced = new Promise((resolve, reject) => {
      synced = resolve;
      refused = reject;
    });
    this.synced.catch(() => undefined);
    this.closed = new Promise((resolve) => {
      closed = resolve;
    });
    this.provider = new HocuspocusProvider({
      websocketProvider: this.socket,
      name: canvasId,
      document: this.doc,
      token,
      onSynced: () => synced(),
      onAuthenticationFailed: ({ reason }) => refused(new Error(reason)),
      onClose: ({ event }) => closed(event.reason),
    });
    this.provider.attach();
  }

  /** Waits until the document, here, fulfils a condition. */
  until(condition: (doc: Y.Doc) => boolean): Promise<void> {
    return new Promise((resolve) => {
      const look = () => {
        if (!condition(this.doc)) return;
        this.doc.off('update', look);
        resolve();
      };
      this.doc.on('update', look);
      look();
    });
  }

  /** Waits until the server has everything that was written here. */
  flushed(): Promise<void> {
    return new Promise((resolve) => {
      const look = () => {
        if (this.provider.hasUnsyncedChanges) return;
        this.provider.off('unsyncedChanges', look);
        resolve();
      };
      this.provider.on('unsyncedChanges', look);
      look();
    });
  }

  close(): void {
    this.provider.destroy();
    this.socket.destroy();
  }
}

/** A picture with enough in it to be dragged: a house in a landscape. */
export function photo(width = 320, height = 240): Promise<Buffer> {
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 320 240">
    <defs><linearGradient id="s" x2="0" y2="1"><stop stop-color="#69b"/><stop offset="1" stop-color="#fec"/></linearGradient></defs>
    <rect width="320" height="240" fill="url(#s)"/><path d="M0 170 Q80 130 160 165 T320 160 V240 H0Z" fill="#4a7a3a"/>
    <rect x="120" y="110" width="80" height="70" fill="#c96"/><path d="M110 112 160 70 210 112Z" fill="#833"/>
    <rect x="150" y="140" width="22" height="40" fill="#432"/><circle cx="260" cy="50" r="22" fill="#fd5"/></svg>`;
  return sharp(Buffer.from(svg)).jpeg({ quality: 92 }).toBuffer();
}

/** A drag of the request's shape. */
export function drag(
  x: number,
  y: number,
  toX: number,
  toY: number,
): { handle: { x: number; y: number }; target: { x: number; y: number } } {
  return { handle: { x, y }, target: { x: toX, y: toY } };
}

/** A drag of the shared document's shape. */
export function sharedDrag(id: string, author: string, base: string, from: [number, number], to: [number, number]) {
  const [handle, target]: [CanvasPoint, CanvasPoint] = [canvasPoint(...from), canvasPoint(...to)];
  return { id, handle, target, author, base, createdAt: Date.now() };
}
