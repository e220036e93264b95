/**
 * The engine's own process, which may be killed at any time: native inference can't be stopped, can die, and takes all the memory it
 * likes. Knows: the messages below, and one open engine. Does not know: queues, rows, users.
 */

import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import {
  type EditEvent,
  type EditInput,
  type Engine,
  EngineError,
  type EngineErrorCode,
  type EngineInfo,
  openEngine,
} from '@tug/engine';
import { ownMemoryMb } from './memory.js';

/** From the API to the child. */
export type ToChild =
  | { type: 'open'; bundle: string }
  | { type: 'edit'; id: string; bundle: string; input: EditInput }
  | { type: 'cancel'; id: string };

/** From the child to the API; about an edit always with the memory that the process then holds. */
export type FromChild =
  | { type: 'alive' }
  | { type: 'opened'; info: EngineInfo }
  | { type: 'event'; id: string; event: EditEvent; memoryMb: number }
  | { type: 'end'; id: string; memoryMb: number }
  | { type: 'failed'; id: string | null; code: EngineErrorCode; message: string; memoryMb: number };

/** What the child is told when it is forked, as JSON in its first argument. */
export interface ChildOptions {
  modelsDir: string;
  device: 'auto' | 'cpu' | 'cuda' | 'webgpu';
  threads?: number;
}

/** How often the child says that it is alive. */
export const ALIVE_EVERY_MS = 5_000;

const options = JSON.parse(process.argv[2] ?? '{}') as ChildOptions;
const running = new Map<string, AbortController>();
let current: { bundle: string; engine: Promise<Engine> } | null = null;
let work: Promise<void> = Promise.resolve();

function send(message: FromChild): void {
  if (process.connected) process.send?.(message);
}

/** Opens the bundle, or gives the one that is open already; only one is kept in memory. */
async function open(bundle: string): Promise<Engine> {
  if (current?.bundle === bundle) return current.engine;
  const before = current;
  if (before !== null) await before.engine.then((engine) => engine.close()).catch(() => undefined);
  const { device, threads } = options;
  const engine = openEngine(join(options.modelsDir, bundle), threads === undefined ? { device } : { device, threads });
  current = { bundle, engine };
  try {
    const opened = await engine;
    send({ type: 'opened', info: opened.info });
    return opened;
  } catch (error) {
    current = null;
    throw error;
  }
}

async function edit(id: string, bundle: string, input: EditInput, signal: AbortSignal): Promise<void> {
  try {
    const engine = await open(bundle);
    for await (const event of engine.edit(input, { signal })) {
      send({ type: 'event', id, event, memoryMb: ownMemoryMb() });
      await turn(); // lets a cancel message in
      if (signal.aborted) break;
    }
    send({ type: 'end', id, memoryMb: ownMemoryMb() });
  } catch (error) {
    send({ type: 'failed', id, ...explain(error), memoryMb: ownMemoryMb() });
  } finally {
    running.delete(id);
  }
}

function explain(error: unknown): { code: EngineErrorCode; message: string } {
  if (error instanceof EngineError) return { code: error.code, message: error.message };
  return { code: 'ENGINE_FAILED', message: error instanceof Error ? error.message : String(error) };
}

process.on('message', (message: ToChild) => {
  switch (message.type) {
    case 'open':
      work = work.then(() =>
        open(message.bundle).then(
          () => undefined,
          (error: unknown) => send({ type: 'failed', id: null, ...explain(error), memoryMb: ownMemoryMb() }),
        ),
      );
      break;
    case 'edit': {
      const abort = new AbortController();
      running.set(message.id, abort);
      work = work.then(() => edit(message.id, message.bundle, message.input, abort.signal));
      break;
    }
    case 'cancel':
      running.get(message.id)?.abort();
      break;
  }
});

setInterval(() => send({ type: 'alive' }), ALIVE_EVERY_MS);
if (!process.connected) process.exit(0); // the API died while this process was still starting
// at once: an orderly exit waits for a network that is running
process.on('disconnect', () => process.kill(process.pid, 'SIGKILL'));
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => undefined); // the API ends this process
