/**
 * A scene is one photo with one set of drags, brought before the networks: region, mask, tensors, dense field, encodings. Everything
 * that does not depend on the seed. edit.ts samples from it.
 */
import type { LRUCache } from 'lru-cache';
import type { Bundle } from './bundle.js';
import { EngineError } from './errors.js';
import { type Grid, halve, resizeGrid, warpGrid, warpLatent } from './field.js';
import { type PhotoDrag, type Rect, type Size, sizeOf, toWork, type View, type WorkPoint } from './geometry.js';
import { type Mask, workMask } from './mask.js';
import { crop, type Rgb, toRgb, toTensor } from './picture.js';
import { type Photo, resizeRgb } from './raster.js';
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
  /** [box] bytes: how much of the edit is taken, feathered inside the mask */
  readonly alpha: Uint8Array;
  /** [H, W], 1 = may change */
  readonly mask: Float32Array;
}

export interface Scene {
  readonly photo: Photo;
  readonly drags: readonly WorkDrag[];
  /** image, mask, drags, field, visibility; encode() adds latent, warped, skip_*, ref_* */
  readonly store: Store;
  readonly field: Grid;
  readonly visibility: Grid;
}

/** What an open bundle offers to every edit. */
export interface Machine {
  readonly bundle: Bundle;
  readonly runtime: Runtime;
  readonly encodings: LRUCache<string, Encoding>;
  readonly photos: LRUCache<string, Photo>;
  /** ᾱ_t of every training timestep */
  readonly alphas: Float64Array;
}

export function makeFrame(mask: Mask, view: View, box: Rect, alpha: Uint8Array): Frame {
  return { view, box, alpha, mask: workMask(mask, view) };
}

/** Brings the photo's region to work size and lets the field network tell where every pixel comes from. */
export async function openScene(
  machine: Machine,
  frame: Frame,
  photo: Photo,
  drags: readonly PhotoDrag[],
  key: string | undefined,
  clock: Stopwatch,
): Promise<Scene> {
  const { bundle, runtime } = machine;
  const { view } = frame;
  const { work } = view;
  const image = await clock.time('prepare', async () => {
    const known = key === undefined ? undefined : machine.encodings.get(key)?.get('image');
    if (known !== undefined) return known;
    const region = crop(photo.flat, photo, view.region, 3);
    const rgb = await resizeRgb(region, sizeOf(view.region), work);
    return { data: toTensor(rgb, work), dims: [1, 3, work.height, work.width] };
  });
  const inWork = drags.map((d) => ({ handle: toWork(view, d.handle), target: toWork(view, d.target) }));
  const points = inWork.flatMap((d) => [d.handle.x, d.handle.y, d.target.x, d.target.y]);
  const store: Store = new Map([
    ['image', image],
    ['mask', { data: frame.mask, dims: [1, 1, work.height, work.width] }],
    ['drags', { data: Float32Array.from(points), dims: [1, inWork.length, 4] }],
  ]);
  clock.add('field', await runtime.run('field', store));
  const cells = { height: work.height / bundle.field.downscale, width: work.width / bundle.field.downscale };
  const field = take(bundle, store, 'field', { channels: 2, ...cells });
  const visibility = take(bundle, store, 'visibility', { channels: 1, ...cells });
  return { photo, drags: inWork, store, field, visibility };
}

/** The region warped by the field, without any denoising: [size, RGB], where `size` is the work size or half of it. */
export function warpedPicture(scene: Scene, size: Size): Rgb {
  const image = scene.store.get('image') as Tensor;
  const small = size.width < (image.dims[3] as number) ? (halfTensor(image) as Tensor) : image;
  const field = resizeGrid(scene.field, size.height, size.width, size.width / (image.dims[3] as number));
  const warped = warpGrid({ data: small.data, channels: 3, ...size }, field);
  return finite(toRgb(warped.data), 'the field network');
}

/**
 * Adds what the encoder and the appearance encoder make of the region, from the cache if an earlier edit saw the same one, and the
 * source latent warped by the field. Returns whether it was cached.
 */
export async function encode(
  machine: Machine,
  scene: Scene,
  key: string | undefined,
  clock: Stopwatch,
): Promise<boolean> {
  const { bundle, runtime, encodings } = machine;
  const { store } = scene;
  const known = key === undefined ? undefined : encodings.get(key);
  if (known !== undefined) for (const [name, tensor] of known) store.set(name, tensor);
  else {
    clock.add('encoder', await runtime.run('encoder', store));
    clock.add('appearance', await runtime.run('appearance', store));
    if (key !== undefined) {
      const names = ['image', ...runtime.outputs('encoder'), ...runtime.outputs('appearance')];
      encodings.set(key, new Map(names.map((name) => [name, store.get(name) as Tensor])));
    }
  }
  const { height, width } = latentSize(bundle, scene);
  const latent = take(bundle, store, 'latent', { channels: bundle.latent.channels, height, width });
  const warped = await clock.time('sampling', () => warpLatent(latent, scene.field, bundle.latent.downscale));
  store.set('warped', { data: warped.data, dims: [1, warped.channels, height, width] });
  return known !== undefined;
}

/**
 * The decoder's inputs at half their size, for previews at a quarter of the cost: everything averaged 2×2, the field in the smaller
 * pixels. Undefined if the decoder takes something that has no size. `latent_out`, which changes with every step, is left out.
 */
export function halfStore(runtime: Runtime, scene: Scene): Store | undefined {
  const names = runtime.inputs('decoder').filter((name) => name !== 'latent_out');
  const halved = names.map((name) => [name, halfTensor(scene.store.get(name), name === 'field' ? 0.5 : 1)] as const);
  return halved.every((entry): entry is readonly [string, Tensor] => entry[1] !== undefined)
    ? new Map(halved)
    : undefined;
}

/** [1, C, h, w] averaged 2×2. */
export function halfTensor(tensor: Tensor | undefined, gain = 1): Tensor | undefined {
  const [batch, channels, height, width] = tensor?.dims ?? [];
  if (tensor === undefined || batch !== 1 || channels === undefined || !height || !width) return undefined;
  if (height % 2 !== 0 || width % 2 !== 0) return undefined;
  return { data: halve(tensor.data, width, gain), dims: [1, channels, height / 2, width / 2] };
}

export function encodingBytes(encoding: Encoding): number {
  let bytes = 0;
  for (const tensor of encoding.values()) bytes += tensor.data.byteLength;
  return Math.max(1, bytes);
}

export function latentSize(bundle: Bundle, scene: Scene): { height: number; width: number } {
  const [, , height, width] = (scene.store.get('image') as Tensor).dims as [number, number, number, number];
  return { height: height / bundle.latent.downscale, width: width / bundle.latent.downscale };
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
