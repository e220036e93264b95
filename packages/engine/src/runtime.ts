/**
 * The only file that touches ONNX Runtime: which device, sessions, running a graph on a store of named tensors.
 * `run()` of onnxruntime-node is synchronous native code; callers let the event loop turn between graphs (see `breathe` in edit.ts).
 */
import { existsSync, readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { availableParallelism } from 'node:os';
import path from 'node:path';
import { performance } from 'node:perf_hooks';
import * as ort from 'onnxruntime-node';
import { type Bundle, type GraphFiles, type GraphName, verifyGraphs, weightsBeside } from './bundle.js';
import { asEngineError, EngineError, firstLine } from './errors.js';
import type { Device, Precision } from './types.js';

ort.env.logLevel = 'error';

export const ORT_VERSION: string = ort.env.versions.node ?? ort.env.versions.common;

export interface Tensor {
  readonly data: Float32Array;
  readonly dims: readonly number[];
}

/** Graphs take their inputs from it by name and put their outputs into it by name. */
export type Store = Map<string, Tensor>;

export type ConcreteDevice = Exclude<Device, 'auto'>;

/** Told about every graph run: what went in, what came out, how long it took. For measuring. */
export type Observer = (graph: GraphName, inputs: ReadonlyMap<string, Tensor>, ms: number) => void;

export interface Runtime {
  readonly device: ConcreteDevice;
  readonly deviceReason: string;
  readonly precision: Precision;
  readonly precisionReason: string;
  readonly threads: number;
  /** Runs one graph; returns the milliseconds it took. */
  run(graph: GraphName, store: Store): Promise<number>;
  /** Names of the tensors that a graph takes, and that it makes. */
  inputs(graph: GraphName): readonly string[];
  outputs(graph: GraphName): readonly string[];
  close(): Promise<void>;
}

export interface Choice {
  readonly precision: Precision;
  readonly reason: string;
}

export interface RuntimeOptions {
  device: Device;
  threads?: number | undefined;
  /** which precision to run in on a device; undefined = what is wanted does not run on it. Default: the bundle's own */
  choose?: ((device: ConcreteDevice) => Promise<Choice | undefined>) | undefined;
  observe?: Observer | undefined;
}

export async function openRuntime(bundle: Bundle, options: RuntimeOptions): Promise<Runtime> {
  const { threads = availableParallelism(), observe } = options;
  const { device, reason, choice, files, sessions } = await openSessions(bundle, options, threads);
  const opened = (graph: GraphName): ort.InferenceSession => {
    const session = sessions.get(graph);
    if (session !== undefined) return session;
    throw new EngineError('BUNDLE_INVALID', `bundle ${bundle.name} has no network "${graph}"`);
  };
  return {
    device,
    deviceReason: reason,
    precision: choice.precision,
    precisionReason: choice.reason,
    threads,
    inputs: (graph) => opened(graph).inputNames,
    outputs: (graph) => opened(graph).outputNames,
    async run(graph, store) {
      const file = files[graph];
      if (!sessions.has(graph) && file !== undefined) {
        const session = await createSession(file, device, threads, forGraph(bundle, graph)).catch((error: unknown) => {
          throw asEngineError(error, `loading the ${graph} network`);
        });
        sessions.set(graph, session);
      }
      const session = opened(graph);
      const inputs = new Map<string, Tensor>();
      const feeds: Record<string, ort.Tensor> = {};
      for (const name of session.inputNames) {
        const tensor = store.get(name);
        if (tensor === undefined) {
          throw new EngineError(
            'BUNDLE_INVALID',
            `bundle ${bundle.name}: ${graph} asks for "${name}", which nothing makes`,
          );
        }
        inputs.set(name, tensor);
        feeds[name] = new ort.Tensor('float32', tensor.data, tensor.dims);
      }
      const start = performance.now();
      const results = await session.run(feeds).catch((error: unknown) => {
        throw asEngineError(error, `running the ${graph} network`);
      });
      const ms = performance.now() - start;
      for (const [name, value] of Object.entries(results)) {
        if (!(value.data instanceof Float32Array)) {
          throw new EngineError(
            'BUNDLE_INVALID',
            `bundle ${bundle.name}: ${graph} makes "${name}" as ${value.type}, not float32`,
          );
        }
        store.set(name, { data: value.data, dims: value.dims });
      }
      observe?.(graph, inputs, ms);
      return ms;
    },
    async close() {
      await Promise.all([...sessions.values()].map((session) => session.release()));
    },
  };
}

type Sessions = Map<string, ort.InferenceSession>;

interface Opened {
  device: ConcreteDevice;
  reason: string;
  choice: Choice;
  files: GraphFiles;
  sessions: Sessions;
}

/** Networks of several gigabytes that only another scheduler than the default one needs: opened at their first use. */
function laterGraphs(bundle: Bundle): ReadonlySet<string> {
  if (bundle.family === 'warp' || bundle.graphs.unet_lcm === undefined) return new Set();
  return new Set([bundle.defaults.scheduler === 'LCM' ? 'unet' : 'unet_lcm']);
}

/** `auto` takes CUDA, then a hardware WebGPU adapter, then the CPU, and tells why; a device asked for by name is never replaced. */
async function openSessions(
  bundle: Bundle,
  { device: wanted, choose }: RuntimeOptions,
  threads: number,
): Promise<Opened> {
  const later = laterGraphs(bundle);
  const skipped: string[] = [];
  for (const device of wanted === 'auto' ? (['cuda', 'webgpu', 'cpu'] as const) : [wanted]) {
    const obstacle = whyNot(device);
    const choice = obstacle === undefined ? await (choose?.(device) ?? plain(bundle)) : undefined;
    if (choice === undefined) {
      const found = obstacle ?? {
        what: 'int8 runs on the CPU only',
        remedy: 'use the device "cpu" or another precision',
      };
      if (device === wanted) throw unavailable(device, found);
      skipped.push(`${device}: ${found.what}`);
      continue;
    }
    const files = await verifyGraphs(bundle, choice.precision);
    const first = Object.fromEntries(Object.entries(files).filter(([name]) => !later.has(name)));
    try {
      const sessions = await createAll(bundle, first, device, threads);
      const because = wanted === 'auto' ? 'auto took the first device that works' : 'asked for';
      return { device, choice, files, sessions, reason: [because, ...skipped].join('; ') };
    } catch (error) {
      const text = firstLine(error instanceof Error ? error.message : String(error));
      if (device === 'cpu') {
        const typed = asEngineError(error, `loading bundle ${bundle.name}`);
        if (typed.code === 'OUT_OF_MEMORY') throw typed;
        throw new EngineError('BUNDLE_INVALID', `bundle ${bundle.name}: a network can't be loaded: ${text}`, {
          cause: error,
        });
      }
      if (device === wanted)
        throw unavailable(device, { what: text, remedy: 'check the driver, or use the device "cpu"' });
      skipped.push(`${device}: ${text}`);
    }
  }
  throw new EngineError('DEVICE_UNAVAILABLE', `no device works: ${skipped.join('; ')}`);
}

async function plain({ precision }: Bundle): Promise<Choice> {
  return { precision, reason: "the bundle's own" };
}

async function createAll(
  bundle: Bundle,
  files: GraphFiles,
  device: ConcreteDevice,
  threads: number,
): Promise<Sessions> {
  const opened: Sessions = new Map();
  try {
    for (const [name, file] of Object.entries(files))
      opened.set(name, await createSession(file, device, threads, forGraph(bundle, name)));
  } catch (error) {
    await Promise.all([...opened.values()].map((session) => session.release()));
    throw error;
  }
  return opened;
}

/**
 * For a graph with its weights beside it, a large one: planning its activations as one block would hold that block as long as the
 * session lives, beside the one that the next size of picture needs.
 */
function forGraph(bundle: Bundle, name: string): ort.InferenceSession.SessionOptions {
  return weightsBeside(bundle, name) ? { enableMemPattern: false } : {};
}

/** One graph's session. More options (profiling, no optimisation) are for measuring. */
export function createSession(
  file: string | Uint8Array,
  device: ConcreteDevice,
  threads: number,
  more: ort.InferenceSession.SessionOptions = {},
): Promise<ort.InferenceSession> {
  const options: ort.InferenceSession.SessionOptions = {
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

/** Runs a session once on named tensors: for measuring outside an engine. */
export async function runSession(session: ort.InferenceSession, inputs: ReadonlyMap<string, Tensor>): Promise<void> {
  const feeds = Object.fromEntries([...inputs].map(([name, t]) => [name, new ort.Tensor('float32', t.data, t.dims)]));
  await session.run(feeds);
}

interface Obstacle {
  what: string;
  remedy: string;
}

/** What keeps a device from being tried at all. Cheap looks at files; the proof is opening a session. */
function whyNot(device: ConcreteDevice): Obstacle | undefined {
  if (device === 'cpu') return undefined;
  const backend = (ort as unknown as Backends).listSupportedBackends().find((b) => b.name === device);
  if (backend === undefined)
    return { what: `this build of ONNX Runtime has none for ${process.platform}`, remedy: USE_CPU };
  if (device === 'cuda') {
    const library = path.join(binaryFolder(), 'libonnxruntime_providers_cuda.so');
    if (!existsSync(library) && process.platform === 'linux') {
      return {
        what: 'its provider library is not installed',
        remedy: `with an NVIDIA GPU, run "node node_modules/onnxruntime-node/script/install.js --onnxruntime-node-install=cuda12"; otherwise ${USE_CPU}`,
      };
    }
    return undefined;
  }
  // a software adapter would be slower than the CPU provider, and Dawn falls back to one without a word
  if (process.platform === 'linux' && !hardwareAdapter())
    return { what: 'no hardware graphics adapter', remedy: USE_CPU };
  return undefined;
}

const USE_CPU = 'use the device "cpu" or "auto"';

interface Backends {
  listSupportedBackends(): { name: string; bundled: boolean }[];
}

function hardwareAdapter(): boolean {
  if (existsSync('/dev/nvidiactl') || existsSync('/dev/dxg')) return true;
  try {
    return readdirSync('/dev/dri').some((name) => name.startsWith('renderD'));
  } catch {
    return false;
  }
}

function binaryFolder(): string {
  const main = createRequire(import.meta.url).resolve('onnxruntime-node');
  return path.join(path.dirname(main), '..', 'bin', 'napi-v6', process.platform, process.arch);
}

function unavailable(device: ConcreteDevice, obstacle: Obstacle): EngineError {
  return new EngineError('DEVICE_UNAVAILABLE', `${device} is not available: ${obstacle.what}; ${obstacle.remedy}`);
}
