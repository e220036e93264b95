/**
 * The only file that touches ONNX Runtime: sessions, and running one on tensors by name. `run()` of onnxruntime-node is synchronous native
 * code that holds up its whole thread, so for edits this file is loaded in a thread of its own (graph-thread.ts); measurements call it
 * directly.
 */
import { createRequire } from 'node:module';
import path from 'node:path';
import { performance } from 'node:perf_hooks';
import * as ort from 'onnxruntime-node';
import type { ConcreteDevice } from './types.js';

ort.env.logLevel = 'error';

export interface Tensor {
  readonly data: Float32Array;
  readonly dims: readonly number[];
}

/** What a graph made, which may be of any type. */
export interface Output {
  readonly data: unknown;
  readonly dims: readonly number[];
  readonly type: string;
}

export type Session = ort.InferenceSession;
export type SessionOptions = ort.InferenceSession.SessionOptions;

/** One graph's session. More options (profiling, no optimisation) are for measuring. */
export function createSession(
  file: string | Uint8Array,
  device: ConcreteDevice,
  threads: number,
  more: SessionOptions = {},
): Promise<Session> {
  const options: SessionOptions = {
    executionProviders: device === 'cpu' ? ['cpu'] : [device, 'cpu'],
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    executionMode: 'sequential',
    graphOptimizationLevel: 'all',
    // Waiting threads sleep instead of spinning: the engine shares its cores with the API and the browser. On two busy cores that
    // made the denoiser 1.6 times as fast, and it changes no result.
    extra: { session: { intra_op: { allow_spinning: '0' } } },
    ...more,
  };
  return typeof file === 'string'
    ? ort.InferenceSession.create(file, options)
    : ort.InferenceSession.create(file, options);
}

/** Runs a session on tensors by name; its outputs by name, and the milliseconds that it took. */
export async function runSession(
  session: Session,
  inputs: ReadonlyMap<string, Tensor>,
): Promise<{ outputs: [string, Output][]; ms: number }> {
  const feeds = Object.fromEntries([...inputs].map(([name, t]) => [name, new ort.Tensor('float32', t.data, t.dims)]));
  const start = performance.now();
  const results = await session.run(feeds);
  const ms = performance.now() - start;
  const outputs = Object.entries(results).map(([name, { data, dims, type }]): [string, Output] => [
    name,
    { data, dims, type },
  ]);
  return { outputs, ms };
}

/** The execution providers that this build of ONNX Runtime has. */
export function builtInDevices(): string[] {
  return (ort as unknown as Backends).listSupportedBackends().map(({ name }) => name);
}

interface Backends {
  listSupportedBackends(): { name: string; bundled: boolean }[];
}

/** Where ONNX Runtime's libraries lie. */
export function binaryFolder(): string {
  const main = createRequire(import.meta.url).resolve('onnxruntime-node');
  return path.join(path.dirname(main), '..', 'bin', 'napi-v6', process.platform, process.arch);
}
