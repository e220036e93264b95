/**
 * A scene is one photo with one set of drags, brought before the networks: region, mask, tensors, dense field, encodings. Everything
 * that does not depend on the seed. edit.ts samples from it.
 */
import type { LRUCache } from 'lru-cache';
import type { Bundle, GraphName } from './bundle.js';
import { EngineError } from './errors.js';
import { type Grid, halve } from './field.js';
import {
  type Closer,
  height,
  type PhotoDrag,
  type Rect,
  type Size,
  sizeOf,
  toWork,
  type View,
  type WorkPoint,
  wholeOf,
  width,
} from './geometry.js';
import { type Mask, workMask } from './mask.js';
import { crop, type Rgb, toTensor, warpToRgb } from './picture.js';
import { type Photo, resizeRgb } from './raster.js';
import type { Settings } from './request.js';
import type { Runtime, Store, Tensor } from './runtime.js';
import type { Stopwatch } from './stopwatch.js';

export type WorkDrag = { readonly handle: WorkPoint; readonly target: WorkPoint };

/** What the encoder and the appearance encoder made of a region: their outputs and the image itself, by tensor name. */
export type Encoding = ReadonlyMap<string, Tensor>;

/** Where the edit happens, the same for all candidates and stages. */
export interface Frame {
  readonly view: View;
  /** the mask's bounding box, photo pixels */
  readonly box: Rect;
  /** [H, W], 1 = may change */
  readonly mask: Float32Array;
  /** what a network sees that takes a closer look, and its mask; undefined = what the others see */
  readonly closer: { readonly view: View; readonly mask: Float32Array } | undefined;
  /** the mask was painted, and not derived from the drags */
  readonly painted: boolean;
}

/** What a scene starts from, before any network has seen it. */
export interface Laid {
  readonly photo: Photo;
  readonly drags: readonly WorkDrag[];
  /** image, mask and what the family's graphs make of them by name; see warp.ts and lightningdrag/family.ts */
  readonly store: Store;
}

export interface Scene extends Laid {
  /** on the work picture, or a part of its resolution */
  readonly field: Grid;
  /** the same, in work pixels too, on every pixel of a window of a picture of the region of whatever size */
  readonly fieldWithin: (size: Size, window: Rect) => Grid;
  /** [1, h, w], 1 = shown by the source; undefined = nothing says so, and no detail of the photo is carried over */
  readonly visibility: Grid | undefined;
  /** the same where what is seen by less than a half shall be filled with patches; undefined = the networks fill holes alone */
  readonly holes: Grid | undefined;
  /** the part of the work picture that is decoded, its sides on the latent's grid */
  readonly part: Rect;
  /**
   * What the decoder takes under this name, for the part: warped or cut out at the first call. Undefined as long as nothing has made it,
   * or if the decoder takes no such thing.
   */
  readonly landed: (name: string) => Tensor | undefined;
}

/** A scene that has been before the encoders. */
export interface EncodedScene extends Scene {
  /** no encoder had to run */
  readonly reused: boolean;
  /** the decoder's inputs for the part, all but `latent_out`, which every step makes anew; made at the first call */
  readonly decoderInputs: () => Store;
  /**
   * The same at half the size, for previews at a quarter of the cost. Undefined if something of it
   * has no half. The part keeps its border, which is then half as wide in the smaller pixels: good enough for a preview.
   */
  readonly halfInputs: () => Store | undefined;
}

/** What an open bundle offers to every edit. */
export interface Machine {
  readonly bundle: Bundle;
  readonly family: Family;
  readonly runtime: Runtime;
  readonly encodings: LRUCache<string, Encoding>;
  readonly photos: LRUCache<string, Photo>;
  /** ᾱ_t of every training timestep */
  readonly alphas: Float64Array;
  /** where noise comes from: gaussian of noise.ts, but for tests that bring their own */
  readonly noise: (seed: number, stream: number, length: number) => Float32Array;
}

/** What differs between kinds of bundles, behind one interface: edit.ts and sample.ts know no network by name. */
export interface Family {
  /** takes `latent_out` and `EncodedScene.decoderInputs`, makes `picture` */
  readonly decoder: GraphName;

  /** how many answers it has to what belongs to a drag; candidates get one after the other */
  readonly answers: number;

  /** how far what lies around the mask is enlarged for the network that makes the scene's field; undefined = not at all */
  readonly closer: Closer | undefined;

  /** whether the scene's field is a network's, which takes its time: until then the drags' interpolation is shown */
  readonly learned: boolean;

  /** Brings the photo's region before the networks, with a dense field that says where every pixel comes from: its `answer`th one. */
  openScene(machine: Machine, frame: Frame, laid: Laid, answer: number, clock: Stopwatch): Promise<Scene>;

  /**
   * Adds `latent`, `warped` (the latent, warped by the field) and all that the denoiser takes beside the sample, from the cache where an
   * earlier edit saw the same region.
   */
  encode(
    machine: Machine,
    scene: Scene,
    frame: Frame,
    key: string | undefined,
    clock: Stopwatch,
  ): Promise<EncodedScene>;

  /** ᾱ that the prior is noised to */
  startAlpha(machine: Machine, timesteps: readonly number[]): number;

  /** x̂_0 of `sample` at `timestep`, whose ᾱ is `alpha`; `point_scale` tells whether the points are seen. */
  predict(machine: Machine, store: Store, settings: Settings, alpha: number, clock: Stopwatch): Promise<Float32Array>;

  /** The final latent from the last x_t, its x̂_0 and its ᾱ. */
  finish(machine: Machine, x: Float32Array, x0: Float32Array, settings: Settings, alpha: number): Float32Array;
}

export function makeFrame(mask: Mask, view: View, box: Rect, painted: boolean, closer?: View): Frame {
  const look = closer && { view: closer, mask: workMask(mask, closer, box) };
  return { view, box, mask: workMask(mask, view, box), closer: look, painted };
}

/** What every family starts from: the region at work size, the mask, and the drags in work pixels. */
export async function layScene(
  machine: Machine,
  frame: Frame,
  photo: Photo,
  drags: readonly PhotoDrag[],
  key: string | undefined,
  clock: Stopwatch,
): Promise<Laid> {
  const { view } = frame;
  const { work } = view;
  const image = await clock.time('prepare', async () => {
    const known = key === undefined ? undefined : machine.encodings.get(key)?.get('image');
    if (known !== undefined) return known;
    return imageTensor(photo, view);
  });
  const store: Store = new Map([
    ['image', image],
    ['mask', { data: frame.mask, dims: [1, 1, work.height, work.width] }],
  ]);
  return {
    photo,
    store,
    drags: drags.map((d) => ({ handle: toWork(view, d.handle), target: toWork(view, d.target) })),
  };
}

/** The view's region at work size, [1, 3, H, W]. */
export async function imageTensor(photo: Photo, { region, work }: View): Promise<Tensor> {
  const rgb = await resizeRgb(crop(photo.flat, photo, region, 3), sizeOf(region), work);
  return { data: toTensor(rgb, work), dims: [1, 3, work.height, work.width] };
}

/**
 * The region warped by the field, before any network but the field's has seen it: [size, RGB], where `size` is the work size or half of
 * it. Only `window` is warped, the rest stays black.
 */
export function warpedPicture(scene: Pick<Scene, 'store' | 'field'>, size: Size, window: Rect): Rgb {
  const image = gridOf(scene.store.get('image') as Tensor);
  return finite(warpToRgb(image, scene.field, size, window), 'the field network');
}

/** The part of the work picture, at `size`, that is ever shown: the mask's box and what resizing looks at around it. */
export function shownWindow(frame: Frame, size: Size): Rect {
  const { region } = frame.view;
  const { box } = frame;
  const [scaleX, scaleY] = [size.width / width(region), size.height / height(region)];
  const around = Math.max(8, Math.ceil(4 * Math.max(scaleX, scaleY))); // Lanczos reaches over three pixels of the smaller picture
  return {
    left: Math.max(0, Math.floor((box.left - region.left) * scaleX) - around),
    top: Math.max(0, Math.floor((box.top - region.top) * scaleY) - around),
    right: Math.min(size.width, Math.ceil((box.right - region.left) * scaleX) + around),
    bottom: Math.min(size.height, Math.ceil((box.bottom - region.top) * scaleY) + around),
  };
}

/** Sides of decoded parts are multiples of so many pixels: few different sizes, so that the runtime reuses its memory. */
const PART = 32;

/**
 * The part of the work picture to decode so that what is shown comes out as if all of it had been: what the decoder makes of a pixel
 * depends on `reach` pixels around it; undefined = on all of them.
 */
export function decodedPart(reach: number | undefined, frame: Frame): Rect {
  const size = frame.view.work;
  if (reach === undefined) return wholeOf(size);
  const shown = shownWindow(frame, size);
  const low = (at: number): number => Math.max(0, Math.floor((at - reach) / PART) * PART);
  const high = (at: number, end: number): number => Math.min(end, Math.ceil((at + reach) / PART) * PART);
  return {
    left: low(shown.left),
    top: low(shown.top),
    right: high(shown.right, size.width),
    bottom: high(shown.bottom, size.height),
  };
}

/**
 * Puts tensors that depend on nothing but `key` into the store: from the cache if an earlier edit made them, else by `make`, which
 * returns their names. Returns whether they were cached.
 */
export async function recall(
  machine: Machine,
  store: Store,
  key: string | undefined,
  make: () => Promise<readonly string[]>,
): Promise<boolean> {
  const known = key === undefined ? undefined : machine.encodings.get(key);
  if (known !== undefined) {
    for (const [name, tensor] of known) store.set(name, tensor);
    return true;
  }
  const names = await make();
  if (key !== undefined) machine.encodings.set(key, new Map(names.map((name) => [name, store.get(name) as Tensor])));
  return false;
}

/** [1, C, h, w] averaged 2×2. */
export function halfTensor({ data, dims }: Tensor): Tensor | undefined {
  const [batch, channels, height, width] = dims;
  if (batch !== 1 || channels === undefined || !height || !width) return undefined;
  if (height % 2 !== 0 || width % 2 !== 0) return undefined;
  return { data: halve(data, width), dims: [1, channels, height / 2, width / 2] };
}

export function encodingBytes(encoding: Encoding): number {
  let bytes = 0;
  for (const tensor of encoding.values()) bytes += tensor.data.byteLength;
  return Math.max(1, bytes);
}

export function latentSize({ latent }: Bundle, { view }: Frame): { height: number; width: number } {
  return { height: view.work.height / latent.downscale, width: view.work.width / latent.downscale };
}

/** [1, C, h, w] as a grid. */
export function gridOf({ data, dims }: Tensor): Grid {
  const [, channels, height, width] = dims as [number, number, number, number];
  return { data, channels, height, width };
}

export function tensorOf({ data, channels, height, width }: Grid): Tensor {
  return { data, dims: [1, channels, height, width] };
}

/** A tensor of the store as a grid, after checking that it has the shape the bundle promised. */
export function take(
  bundle: Bundle,
  store: Store,
  name: string,
  expected: { channels: number; height: number; width: number },
): Grid {
  const tensor = store.get(name);
  const dims = [1, expected.channels, expected.height, expected.width];
  if (tensor === undefined || tensor.dims.join() !== dims.join()) {
    const found = tensor === undefined ? 'nothing' : `[${tensor.dims.join(', ')}]`;
    throw new EngineError(
      'BUNDLE_INVALID',
      `bundle ${bundle.name}: "${name}" should be [${dims.join(', ')}], but is ${found}`,
    );
  }
  return { data: tensor.data, ...expected };
}

export function finite<T>(value: T | undefined, who: string): T {
  if (value !== undefined) return value;
  throw new EngineError(
    'BAD_OUTPUT',
    `${who} produced values that are not numbers; try other drags, or another device or precision`,
  );
}
