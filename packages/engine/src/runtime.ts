/**
 * The networks of an open bundle: which device, their sessions, running a graph on a store of named tensors. ONNX Runtime itself lives in
 * a thread of its own (graph-thread.ts), so whoever waits for a graph may do other work meanwhile.
 */
import { existsSync, readdirSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import path from 'node:path';
import { Worker } from 'node:worker_threads';
import { type Bundle, type GraphFiles, type GraphName, verifyGraphs, weightsBeside } from './bundle.js';
import { ahead, asEngineError, EngineError, firstLine } from './errors.js';
import type { GraphAnswers, GraphReply, GraphRequest } from './graph-thread.js';
import type { SessionOptions, Tensor } from './sessions.js';
import type { ConcreteDevice, Device, Precision } from './types.js';

export type { Tensor };

/**
 * Graphs take their inputs from it by name and put their outputs into it by name. A tensor that a graph has seen is never written to
 * again: the graphs' thread keeps a copy.
 */
export type Store = Map<string, Tensor>;

/** Told about every graph run: what went in, what came out, how long it took. For measuring. */
export type Observer = (graph: GraphName, inputs: ReadonlyMap<string, Tensor>, ms: number) => void;

export interface Runtime {
  readonly device: ConcreteDevice;
  readonly deviceReason: string;
  readonly precision: Precision;
  readonly precisionReason: string;
  readonly threads: number;
  /** Runs one graph; returns the milliseconds it took. Graphs run in the order that this is called. */
  run(graph: GraphName, store: Store): Promise<number>;
  /** Copies what a graph takes, and the store has, to where it will run: best called while another one runs. */
  send(graph: GraphName, store: Store): void;
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
  const thread = new GraphThread();
  const { device, reason, choice, files, ports } = await openSessions(bundle, options, threads, thread).catch(
    async (error: unknown) => {
      await thread.close();
      throw error;
    },
  );
  const opened = (graph: GraphName): Ports => {
    const found = ports.get(graph);
    if (found !== undefined) return found;
    throw new EngineError('BUNDLE_INVALID', `bundle ${bundle.name} has no network "${graph}"`);
  };
  return {
    device,
    deviceReason: reason,
    precision: choice.precision,
    precisionReason: choice.reason,
    threads,
    inputs: (graph) => opened(graph).inputs,
    outputs: (graph) => opened(graph).outputs,
    async run(graph, store) {
      const file = files[graph];
      if (!ports.has(graph) && file !== undefined) {
        const made = await thread
          .create(graph, file, device, threads, forGraph(bundle, graph))
          .catch((error: unknown) => {
            throw asEngineError(error, `loading the ${graph} network`);
          });
        ports.set(graph, made);
      }
      const inputs = new Map<string, Tensor>();
      for (const name of opened(graph).inputs) {
        const tensor = store.get(name);
        if (tensor === undefined) {
          throw new EngineError(
            'BUNDLE_INVALID',
            `bundle ${bundle.name}: ${graph} asks for "${name}", which nothing makes`,
          );
        }
        inputs.set(name, tensor);
      }
      const { outputs, ms } = await thread.run(graph, inputs).catch((error: unknown) => {
        throw asEngineError(error, `running the ${graph} network`);
      });
      for (const [name, { data, dims, type }] of outputs) {
        if (!(data instanceof Float32Array)) {
          throw new EngineError(
            'BUNDLE_INVALID',
            `bundle ${bundle.name}: ${graph} makes "${name}" as ${type}, not float32`,
          );
        }
        store.set(name, { data, dims });
      }
      observe?.(graph, inputs, ms);
      return ms;
    },
    send(graph, store) {
      const found = (ports.get(graph)?.inputs ?? []).map((name) => [name, store.get(name)] as const);
      thread.hold(new Map(found.filter((entry): entry is readonly [string, Tensor] => entry[1] !== undefined)));
    },
    close: () => thread.close(),
  };
}

/** What a graph takes and makes, by name. */
type Ports = GraphAnswers['create'];

/** So many buffers are kept for copies: about as many as an edit sends. */
const SPARE = 16;

/** The near end of graph-thread.ts. Requests are answered in order. */
class GraphThread {
  // beside this file's folder also when the sources run as they are
  readonly #worker = new Worker(new URL('../dist/graph-thread.js', import.meta.url), { execArgv: [] });
  readonly #waiting = new Map<number, { resolve(value: unknown): void; reject(error: unknown): void }>();
  /** what the thread was sent last under each name */
  readonly #held = new Map<string, WeakRef<Float32Array>>();
  /** memory that the thread gave back, for the next copies of the same size */
  #spare: ArrayBuffer[] = [];
  readonly #ended: Promise<void>;
  #over: EngineError | undefined;
  #count = 0;

  constructor() {
    this.#worker.unref(); // an engine that nobody closes keeps no process alive; a request under way does
    this.#worker.on('message', (reply: GraphReply) => {
      const waiting = this.#waiting.get(reply.id);
      this.#settled(reply.id);
      if (reply.ok) waiting?.resolve(reply.value);
      else waiting?.reject(reply.error);
    });
    let cause: unknown;
    this.#worker.on('error', (error) => {
      cause = error;
    });
    this.#ended = new Promise((resolve) => {
      this.#worker.on('exit', () => {
        this.#over =
          cause === undefined
            ? new EngineError('ENGINE_FAILED', 'the engine is closed')
            : asEngineError(cause, 'running the networks');
        for (const [id, { reject }] of this.#waiting) {
          this.#settled(id);
          reject(this.#over);
        }
        resolve();
      });
    });
  }

  devices(): Promise<GraphAnswers['devices']> {
    return this.#ask({ type: 'devices' });
  }

  create(
    graph: string,
    file: string,
    device: ConcreteDevice,
    threads: number,
    options: SessionOptions,
  ): Promise<GraphAnswers['create']> {
    return this.#ask({ type: 'create', graph, file, device, threads, options });
  }

  /** The request is on its way when this returns; tensors that the thread does not hold yet are copied for it. */
  async run(graph: string, inputs: ReadonlyMap<string, Tensor>): Promise<GraphAnswers['run']> {
    const made = await this.#sending(inputs, (fresh, buffers) => this.#ask({ type: 'run', graph, fresh }, buffers));
    this.#spare = [...made.spent, ...this.#spare].slice(0, SPARE);
    return made;
  }

  hold(inputs: ReadonlyMap<string, Tensor>): void {
    this.#sending(inputs, (fresh, buffers) => ahead(this.#ask({ type: 'hold', fresh }, buffers)));
  }

  #sending<T>(inputs: ReadonlyMap<string, Tensor>, send: (fresh: [string, Tensor][], buffers: ArrayBuffer[]) => T): T {
    const fresh = [...inputs].filter(([name, { data }]) => this.#held.get(name)?.deref() !== data);
    const copies = fresh.map(([name, { data, dims }]): [string, Tensor] => [name, { data: this.#copy(data), dims }]);
    const sent = send(
      copies,
      copies.map(([, { data }]) => data.buffer as ArrayBuffer),
    );
    for (const [name, { data }] of fresh) this.#held.set(name, new WeakRef(data));
    return sent;
  }

  #copy(data: Float32Array): Float32Array {
    const at = this.#spare.findIndex((buffer) => buffer.byteLength === data.byteLength);
    const [buffer] = at < 0 ? [] : this.#spare.splice(at, 1);
    if (buffer === undefined) return data.slice();
    const copy = new Float32Array(buffer);
    copy.set(data);
    return copy;
  }

  async close(): Promise<void> {
    if (this.#over === undefined) {
      await this.#ask({ type: 'close' }).catch(() => undefined); // it is over either way
      this.#worker.ref(); // until it has ended
    }
    await this.#ended;
  }

  #ask<T extends GraphRequest['type']>(
    request: Extract<GraphRequest, { type: T }>,
    transfer: ArrayBuffer[] = [],
  ): Promise<GraphAnswers[T]> {
    if (this.#over !== undefined) return Promise.reject(this.#over);
    return new Promise((resolve, reject) => {
      const id = this.#count++;
      this.#worker.postMessage({ id, request }, transfer);
      if (this.#waiting.size === 0) this.#worker.ref();
      this.#waiting.set(id, { resolve: (value) => resolve(value as GraphAnswers[T]), reject });
    });
  }

  #settled(id: number): void {
    this.#waiting.delete(id);
    if (this.#waiting.size === 0) this.#worker.unref();
  }
}

/** Networks of several gigabytes that only another scheduler than the default one needs: opened at their first use. */
function laterGraphs(bundle: Bundle): ReadonlySet<string> {
  if (bundle.family === 'warp' || bundle.graphs.unet_lcm === undefined) return new Set();
  return new Set([bundle.defaults.scheduler === 'LCM' ? 'unet' : 'unet_lcm']);
}

interface Opened {
  device: ConcreteDevice;
  reason: string;
  choice: Choice;
  files: GraphFiles;
  ports: Map<string, Ports>;
}

/** `auto` takes CUDA, then a hardware WebGPU adapter, then the CPU, and tells why; a device asked for by name is never replaced. */
async function openSessions(
  bundle: Bundle,
  { device: wanted, choose }: RuntimeOptions,
  threads: number,
  thread: GraphThread,
): Promise<Opened> {
  const later = laterGraphs(bundle);
  const skipped: string[] = [];
  for (const device of wanted === 'auto' ? (['cuda', 'webgpu', 'cpu'] as const) : [wanted]) {
    const obstacle = await whyNot(device, thread);
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
    const ports = new Map<string, Ports>();
    try {
      for (const [name, file] of Object.entries(files)) {
        if (later.has(name)) continue;
        ports.set(name, await thread.create(name, file, device, threads, forGraph(bundle, name)));
      }
      const because = wanted === 'auto' ? 'auto took the first device that works' : 'asked for';
      return { device, choice, files, ports, reason: [because, ...skipped].join('; ') };
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

/**
 * For a graph with its weights beside it, a large one: planning its activations as one block would hold that block as long as the
 * session lives, beside the one that the next size of picture needs.
 */
function forGraph(bundle: Bundle, name: string): SessionOptions {
  return weightsBeside(bundle, name) ? { enableMemPattern: false } : {};
}

interface Obstacle {
  what: string;
  remedy: string;
}

/** What keeps a device from being tried at all. Cheap looks at files; the proof is opening a session. */
async function whyNot(device: ConcreteDevice, thread: GraphThread): Promise<Obstacle | undefined> {
  if (device === 'cpu') return undefined;
  const { names, folder } = await thread.devices();
  if (!names.includes(device))
    return { what: `this build of ONNX Runtime has none for ${process.platform}`, remedy: USE_CPU };
  if (device === 'cuda') {
    const library = path.join(folder, 'libonnxruntime_providers_cuda.so');
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

function hardwareAdapter(): boolean {
  if (existsSync('/dev/nvidiactl') || existsSync('/dev/dxg')) return true;
  try {
    return readdirSync('/dev/dri').some((name) => name.startsWith('renderD'));
  } catch {
    return false;
  }
}

function unavailable(device: ConcreteDevice, obstacle: Obstacle): EngineError {
  return new EngineError('DEVICE_UNAVAILABLE', `${device} is not available: ${obstacle.what}; ${obstacle.remedy}`);
}
