/**
 * The thread that runs the networks, so that the engine can prepare, compose and encode pictures meanwhile. It takes one request after
 * the other, in the order they were sent. Knows: open sessions, and the latest tensor of every name that it was sent, which a graph may
 * be run on again without sending it again. runtime.ts is its only partner.
 */
import { parentPort } from 'node:worker_threads';
import {
  binaryFolder,
  builtInDevices,
  createSession,
  type Output,
  runSession,
  type Session,
  type SessionOptions,
  type Tensor,
} from './sessions.js';
import type { ConcreteDevice } from './types.js';

export type GraphRequest =
  | { type: 'devices' }
  | {
      type: 'create';
      graph: string;
      file: string;
      device: ConcreteDevice;
      threads: number;
      options: SessionOptions;
    }
  /** tensors for runs to come, each in the place of the one sent before under its name */
  | { type: 'hold'; fresh: [string, Tensor][] }
  /** `fresh`: those of the graph's inputs that are not held yet */
  | { type: 'run'; graph: string; fresh: [string, Tensor][] }
  /** releases the sessions and ends the thread */
  | { type: 'close' };

/** What each request is answered with. */
export interface GraphAnswers {
  devices: { names: string[]; folder: string };
  create: { inputs: readonly string[]; outputs: readonly string[] };
  hold: undefined;
  /** `spent`: the memory of tensors that were replaced since the last run */
  run: { outputs: [string, Output][]; ms: number; spent: ArrayBuffer[] };
  close: undefined;
}

export type GraphReply = { id: number } & (
  | { ok: true; value: GraphAnswers[keyof GraphAnswers] }
  | { ok: false; error: unknown }
);

const sessions = new Map<string, Session>();
const held = new Map<string, Tensor>();
let spent: ArrayBuffer[] = [];

function hold(fresh: readonly [string, Tensor][]): void {
  for (const [name, tensor] of fresh) {
    const before = held.get(name);
    if (before !== undefined) spent.push(before.data.buffer as ArrayBuffer);
    held.set(name, tensor);
  }
}

function opened(graph: string): Session {
  const session = sessions.get(graph);
  if (session === undefined) throw new Error(`the ${graph} network is not open`);
  return session;
}

async function answer(request: GraphRequest): Promise<GraphAnswers[keyof GraphAnswers]> {
  switch (request.type) {
    case 'devices':
      return { names: builtInDevices(), folder: binaryFolder() };
    case 'create': {
      await sessions.get(request.graph)?.release(); // of a device on which another graph could not be opened
      const session = await createSession(request.file, request.device, request.threads, request.options);
      sessions.set(request.graph, session);
      return { inputs: session.inputNames, outputs: session.outputNames };
    }
    case 'hold':
      hold(request.fresh);
      return undefined;
    case 'run': {
      hold(request.fresh);
      const session = opened(request.graph);
      const inputs = session.inputNames.map((name) => [name, held.get(name) as Tensor] as const);
      const made = await runSession(session, new Map(inputs));
      const given = { ...made, spent };
      spent = [];
      return given;
    }
    case 'close':
      await Promise.all([...sessions.values()].map((session) => session.release()));
      sessions.clear();
      held.clear();
      return undefined;
  }
}

/** What can be handed over instead of copied. */
function buffersOf(value: GraphAnswers[keyof GraphAnswers]): ArrayBuffer[] {
  const { outputs, spent } = value as GraphAnswers['run'];
  const made = outputs.flatMap(([, { data }]) => (ArrayBuffer.isView(data) ? [data.buffer as ArrayBuffer] : []));
  return [...new Set([...made, ...spent])];
}

const port = parentPort;
if (port === null) throw new Error('graph-thread.ts runs as a worker thread only');
let last: Promise<void> = Promise.resolve();
port.on('message', ({ id, request }: { id: number; request: GraphRequest }) => {
  last = last.then(async () => {
    try {
      const value = await answer(request);
      port.postMessage({ id, ok: true, value } satisfies GraphReply, request.type === 'run' ? buffersOf(value) : []);
    } catch (error) {
      port.postMessage({ id, ok: false, error } satisfies GraphReply);
    }
    if (request.type === 'close') port.close();
  });
});
