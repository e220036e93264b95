/**
 * An open bundle: sessions, caches, and edits as async iterators. Pure pictures in, events out; no GraphQL, no database, no shared
 * documents. Memory is bounded: decoded photos and encodings of recent pictures are kept up to fixed sizes.
 */
import { LRUCache } from 'lru-cache';
import { type Bundle, bundleInfo, readBundle } from './bundle.js';
import { runEdit } from './edit.js';
import { asEngineError, EngineError, throwIfCancelled } from './errors.js';
import { fillHoles } from './fill.js';
import { wholeOf } from './geometry.js';
import { lightningDragFamily } from './lightningdrag/family.js';
import { gaussian } from './noise.js';
import { encodeMask, encodePng } from './png.js';
import { precisionFor } from './precision.js';
import type { Photo } from './raster.js';
import { type Observer, openRuntime, type Runtime } from './runtime.js';
import { encodingBytes, type Family, type Machine } from './scene.js';
import { cumulativeAlphas } from './scheduler.js';
import type { Device, EditEvent, EditInput, EngineInfo, WantedPrecision } from './types.js';
import { warpFamily } from './warp.js';

export interface Engine {
  readonly info: EngineInfo;
  /**
   * Runs one edit: started, previews, candidates, done. Cancelled (signal) within one network run; then, as on any failure, the
   * iterator throws an EngineError. Leaving the loop early ends the edit too.
   */
  edit(input: EditInput, options?: { signal?: AbortSignal }): AsyncGenerator<EditEvent, void, void>;
  close(): Promise<void>;
}

export interface OpenOptions {
  /** default auto: CUDA, then a hardware WebGPU adapter, then the CPU */
  device?: Device;
  /** default: all the machine has */
  threads?: number;
  /** default auto: int8 if the bundle has it and the CPU multiplies bytes quickly, otherwise the bundle's own */
  precision?: WantedPrecision;
  /** run a tiny edit before returning, so that the first real one is as fast as the others; default false */
  warmUp?: boolean;
}

const MB = 2 ** 20;
const PHOTO_CACHE = 96 * MB;
/** about 17 regions of 512×512 */
const ENCODING_CACHE = 192 * MB;

export async function openEngine(bundleDir: string, options: OpenOptions = {}): Promise<Engine> {
  return openObservedEngine(bundleDir, options);
}

/** openEngine with a look at every graph run, for the benchmark. */
export async function openObservedEngine(bundleDir: string, options: OpenOptions, observe?: Observer): Promise<Engine> {
  const bundle = await readBundle(bundleDir);
  const { device = 'auto', threads, precision = 'auto' } = options;
  const runtime = await openRuntime(bundle, { device, threads, choose: precisionFor(bundle, precision), observe });
  const machine: Machine = {
    bundle,
    family: await familyOf(bundle, runtime),
    runtime,
    noise: gaussian,
    alphas: cumulativeAlphas(bundle.schedule),
    photos: new LRUCache<string, Photo>({
      maxSize: PHOTO_CACHE,
      sizeCalculation: (photo) =>
        photo.rgb.length + (photo.alpha === undefined ? 0 : photo.flat.length + photo.alpha.length),
    }),
    encodings: new LRUCache({ maxSize: ENCODING_CACHE, sizeCalculation: encodingBytes }),
  };
  const info: EngineInfo = {
    ...bundleInfo(bundle),
    device: runtime.device,
    deviceReason: runtime.deviceReason,
    precision: runtime.precision,
    precisionReason: runtime.precisionReason,
    threads: runtime.threads,
  };
  const running = new Set<AbortController>();
  let closing: Promise<void> | undefined;

  async function* edit(
    input: EditInput,
    { signal }: { signal?: AbortSignal } = {},
  ): AsyncGenerator<EditEvent, void, void> {
    if (closing !== undefined) throw new EngineError('ENGINE_FAILED', 'the engine is closed');
    const own = new AbortController();
    const forward = (): void => own.abort(signal?.reason);
    if (signal?.aborted) forward();
    signal?.addEventListener('abort', forward, { once: true });
    running.add(own);
    try {
      yield* runEdit(machine, input, own.signal);
    } catch (error) {
      // closing takes the sessions away from under a run: that is a cancellation, whatever the runtime calls it
      throwIfCancelled(own.signal);
      throw asEngineError(error, 'the edit');
    } finally {
      signal?.removeEventListener('abort', forward);
      running.delete(own);
    }
  }

  if (options.warmUp === true) {
    const both = bundle.family === 'warp' && bundle.graphs.pull !== undefined;
    for (const painted of both ? [false, true] : [false]) {
      for await (const _ of edit(await tinyEdit(painted))) void _;
    }
    if (bundle.family === 'warp' && bundle.holes !== undefined) await fillSomething();
  }
  return {
    info,
    edit,
    close() {
      for (const controller of running) controller.abort();
      machine.photos.clear();
      machine.encodings.clear();
      closing ??= runtime.close();
      return closing;
    },
  };
}

async function familyOf(bundle: Bundle, runtime: Runtime): Promise<Family> {
  try {
    return bundle.family === 'warp' ? warpFamily(bundle, runtime.inputs('decoder')) : lightningDragFamily(bundle);
  } catch (error) {
    await runtime.close();
    throw error;
  }
}

/** A small hole filled, so that the first real one finds its code compiled: that takes longer than the hole. */
async function fillSomething(): Promise<void> {
  const size = { width: 128, height: 128 };
  const pixels = size.width * size.height;
  const picture = Uint8Array.from({ length: 3 * pixels }, (_, i) => (i * i) % 251);
  const hole = Uint8Array.from({ length: pixels }, (_, i) =>
    i % 128 > 50 && i % 128 < 80 && i > 6000 && i < 9000 ? 1 : 0,
  );
  const nowhere = new Uint8Array(pixels);
  await fillHoles(picture, { hole, moved: nowhere, told: nowhere }, size, wholeOf(size), async () => undefined);
}

/** An edit of nothing, small and quick, with or without a mask. */
async function tinyEdit(painted: boolean): Promise<EditInput> {
  const size = { width: 256, height: 256 };
  const image = await encodePng(new Uint8Array(size.width * size.height * 3).fill(128), size, 3);
  const drags = [{ handle: { x: 100, y: 128 }, target: { x: 140, y: 128 } }];
  const mask = new Uint8Array(size.width * size.height).fill(1);
  return { image, drags, seed: 0, ...(painted ? { mask: encodeMask(mask, size) } : {}) };
}
