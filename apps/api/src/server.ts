/**
 * Knows: how the parts are put together into one HTTP server — GraphQL, rooms, files and the web app on one origin — and the
 * order in which they start and stop.
 */

import { readFile, rm } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import { expressMiddleware } from '@as-integrations/express5';
import express from 'express';
import helmet from 'helmet';
import { type Logger, pino } from 'pino';
import { type WebSocket, WebSocketServer } from 'ws';
import { Auth, bearerToken } from './auth.js';
import { Blobs } from './blobs.js';
import { Canvases } from './canvases.js';
import type { Config } from './config.js';
import { type Context, createContext, type Services } from './context.js';
import { lockDataDir } from './data-lock.js';
import { openDatabase } from './database.js';
import { EditQueue } from './edit-queue.js';
import { Edits } from './edits.js';
import { EngineProcess } from './engine-process.js';
import { CanvasEvents } from './events.js';
import { filesRouter } from './files.js';
import { createApollo, createSchema, serveGraphqlSockets } from './graphql.js';
import { RateLimit } from './rate-limit.js';
import { Rooms } from './rooms.js';
import { openSigner } from './secrets.js';
import { webRouter } from './web-app.js';

const SWEEP_MS = 3_600_000;
const MAX_MESSAGE_BYTES = 8 * 1024 * 1024;
const MAX_QUERY = '4mb';

/** A server that answers. */
export interface RunningServer extends AsyncDisposable {
  readonly url: string;
  readonly services: Services;
}

/** Starts everything and returns when requests are answered; the engine warms up behind it. */
export async function startServer(config: Config): Promise<RunningServer> {
  const log = pino({ level: config.logLevel, base: null }, pino.destination({ dest: 2, sync: true }));
  const stack = new Cleanup();
  try {
    const lock = lockDataDir(config.dataDir);
    stack.defer(async () => lock[Symbol.dispose]());
    await rm(join(config.dataDir, 'tmp'), { recursive: true, force: true });
    const signer = await openSigner(config.dataDir, config.secret);
    const database = await openDatabase(config);
    stack.defer(async () => database[Symbol.asyncDispose]());
    const { db } = database;

    const auth = new Auth(db);
    const blobs = new Blobs(db, signer, config.dataDir);
    const readBlob = (sha256: string) => readFile(blobs.path(sha256));
    const events = new CanvasEvents(db);
    const rooms = new Rooms(db, auth, log);
    const engine = await EngineProcess.create(config, log);
    const queue = new EditQueue({ db, blobs, events, engine, readBlob, log });
    stack.defer(async () => queue[Symbol.asyncDispose]());
    const onHead = (canvasId: string, headId: string, used: readonly string[]) => rooms.mirror(canvasId, headId, used);
    const canvases = new Canvases({ db, auth, blobs, events, signer, readBlob, onHead });
    const edits = new Edits({ db, auth, blobs, events, rooms, engine, queue, limits: config.limits });
    const signIns = new RateLimit('sign-ins', config.limits.signInsPerMinute);
    const services: Services = { db, auth, blobs, canvases, edits, queue, engine, events, signer, signIns };

    const url = await listen(config, log, services, rooms, stack);
    await queue.resume();
    engine.warmUp();
    const sweep = () => blobs.sweep().catch((error: unknown) => log.error({ err: error }, 'the sweep failed'));
    const timer = setInterval(sweep, SWEEP_MS);
    timer.unref();
    stack.defer(async () => clearInterval(timer));
    let stopping: Promise<void> | undefined;
    return {
      url,
      services,
      [Symbol.asyncDispose]() {
        stopping ??= stack.disposeAsync();
        return stopping;
      },
    };
  } catch (error) {
    await stack.disposeAsync();
    throw error;
  }
}

/** Builds the HTTP side and opens the port. */
async function listen(config: Config, log: Logger, services: Services, rooms: Rooms, stack: Cleanup): Promise<string> {
  const app = express();
  const http = createServer(app);
  const schema = createSchema();
  const apollo = createApollo(schema, http, log);
  await apollo.start();

  const contextOf = async (token: string | null, request: IncomingMessage): Promise<Context> =>
    createContext(
      services,
      await services.auth.userOf(token),
      request.socket.remoteAddress ?? '',
      baseUrl(config, request),
    );

  app.disable('x-powered-by');
  app.use(
    helmet({
      contentSecurityPolicy: { directives: { defaultSrc: ["'none'"] }, useDefaults: false },
      strictTransportSecurity: false,
    }),
  );
  app.get('/health', (_request, response) => {
    response.json({ status: 'ok' });
  });
  app.use(
    '/graphql',
    express.json({ limit: MAX_QUERY }),
    expressMiddleware(apollo, { context: ({ req }) => contextOf(bearerToken(req.headers.authorization), req) }),
  );
  app.use(
    filesRouter({
      db: services.db,
      auth: services.auth,
      blobs: services.blobs,
      limits: config.limits,
      dataDir: config.dataDir,
      log,
    }),
  );
  app.use(webRouter(config.webDir));
  app.use(((error: unknown, _request, response, next) => {
    if (response.headersSent) return next(error);
    const status = statusOf(error);
    if (status >= 500) log.error({ err: error }, 'a request failed');
    const code = status === 413 ? 'TOO_LARGE' : status < 500 ? 'BAD_USER_INPUT' : 'INTERNAL_SERVER_ERROR';
    const message = status < 500 ? 'The request cannot be read.' : 'Something went wrong on the server.';
    response.status(status).json({ errors: [{ message, extensions: { code } }], error: { code, message } });
  }) satisfies express.ErrorRequestHandler);

  const graphqlSockets = new WebSocketServer({ noServer: true, maxPayload: MAX_MESSAGE_BYTES });
  const collabSockets = new WebSocketServer({ noServer: true, maxPayload: MAX_MESSAGE_BYTES });
  const graphqlServer = serveGraphqlSockets(schema, graphqlSockets, contextOf, log);
  collabSockets.on('connection', (socket: WebSocket, request: IncomingMessage) => rooms.accept(socket, request));
  http.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    socket.on('error', () => socket.destroy());
    const { pathname } = new URL(request.url ?? '/', 'http://localhost');
    const target = pathname === '/graphql' ? graphqlSockets : pathname === '/collab' ? collabSockets : null;
    if (target === null) return refuse(socket, '404 Not Found');
    if (!isOwnOrigin(config, request)) return refuse(socket, '403 Forbidden');
    target.handleUpgrade(request, socket, head, (webSocket) => target.emit('connection', webSocket, request));
  });

  stack.defer(async () => {
    services.events.close();
    const closed = new Promise((resolve) => http.close(resolve));
    await Promise.all([rooms[Symbol.asyncDispose](), graphqlServer.dispose()]);
    await apollo.stop();
    http.closeAllConnections();
    await closed;
  });
  return openPort(http, config);
}

function openPort(http: Server, config: Config): Promise<string> {
  return new Promise((resolve, reject) => {
    http.once('error', reject);
    http.listen(config.port, config.host, () => {
      http.off('error', reject);
      const { port } = http.address() as AddressInfo;
      const local = ['127.0.0.1', '::1', '0.0.0.0', '::', 'localhost'].includes(config.host);
      resolve(config.publicUrl ?? `http://${local ? 'localhost' : config.host}:${port}`);
    });
  });
}

/** What urls begin with: the public address if one is set, else the one that the request came to. */
function baseUrl(config: Config, request: IncomingMessage): string {
  const host = request.headers.host ?? '';
  return config.publicUrl ?? (/^[\w.:[\]-]+$/.test(host) ? `http://${host}` : '');
}

/** Browsers say where a WebSocket comes from; pages of other sites are refused, programs name no origin. */
function isOwnOrigin(config: Config, request: IncomingMessage): boolean {
  const { origin, host } = request.headers;
  if (origin === undefined) return true;
  const own = [
    `http://${host}`,
    `https://${host}`,
    ...config.origins,
    ...(config.publicUrl === undefined ? [] : [new URL(config.publicUrl).origin]),
  ];
  return own.includes(origin);
}

function refuse(socket: Duplex, status: string): void {
  socket.end(`HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`);
}

function statusOf(error: unknown): number {
  const status = typeof error === 'object' && error !== null && 'status' in error ? Number(error.status) : 500;
  return status >= 400 && status < 600 ? status : 500;
}

/** Undoes in reverse order what was done; Node 20 has none of its own. */
class Cleanup {
  private readonly steps: (() => Promise<unknown>)[] = [];

  defer(step: () => Promise<unknown>): void {
    this.steps.push(step);
  }

  async disposeAsync(): Promise<void> {
    for (const step of this.steps.splice(0).reverse()) await step().catch(() => undefined);
  }
}
