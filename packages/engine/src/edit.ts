/**
 * The pipeline of one edit, as numbered steps from encoded picture to candidates. It knows tensors' names (the bundle contract) and the
 * order of the graphs; arithmetic lives in scheduler, noise, field, mask and picture, ONNX Runtime in runtime, sharp in raster.
 *
 *   tensor      shape                what
 *   image       [1, 3, H, W]         the region in [−1, 1]
 *   mask        [1, 1, H, W]         1 = may change
 *   drags       [1, N, 4]            handle x, y, target x, y in work pixels
 *   field       [1, 2, H/4, W/4]     backward field in work pixels; visibility [1, 1, H/4, W/4]
 *   latent      [1, C, H/8, W/8]     of the source; warped: by the field; sample: x_t; latent_out: the final x̂_0
 *   picture     [1, 3, H, W]         what the decoder makes of latent_out
 */
import { createHash } from 'node:crypto';
import type { LRUCache } from 'lru-cache';
import { EngineError, throwIfCancelled } from './errors.js';
import { dragLength, height, type PhotoDrag, photoPoint, planView, type Rect, sizeOf, width } from './geometry.js';
import { deriveMask, featherInside, maskBox, reachHandles } from './mask.js';
import { gaussian, startFromPrior } from './noise.js';
import { allFinite, blendRows, crop, joinAlpha, type Rgb, renderPreview, toRgb, warpRows } from './picture.js';
import {
  decodeMask,
  decodePhoto,
  encodeMask,
  encodePng,
  encodePreview,
  type Photo,
  previewSize,
  resizeRgb,
} from './raster.js';
import { candidateSeed, checkDrags, checkSettings, type Settings } from './request.js';
import type { Tensor } from './runtime.js';
import {
  encode,
  type Frame,
  finite,
  latentSize,
  type Machine,
  makeFrame,
  openScene,
  type Scene,
  take,
  warpedPicture,
} from './scene.js';
import { ddimStep, guidanceAt, guide, lcmStep } from './scheduler.js';
import { Stopwatch } from './stopwatch.js';
import type { EditEvent, EditInput } from './types.js';

export interface EditMachine extends Machine {
  readonly photos: LRUCache<string, Photo>;
  /** ᾱ_t of every training timestep */
  readonly alphas: Float64Array;
}

/** Width of the mask's soft edge in work pixels. */
const FEATHER = 8;
/** Below this scale the region holds detail that the work size does not, and it is carried along by the warp. */
const DETAIL_BELOW = 0.97;
/** Sequential dragging splits a drag into stages no longer than this share of the work region's diagonal. */
const STAGE_LENGTH = 0.15;

interface Run {
  readonly machine: EditMachine;
  readonly settings: Settings;
  readonly frame: Frame;
  readonly clock: Stopwatch;
  readonly previewBase: Rgb;
  readonly totalSteps: number;
  /** lets the event loop turn, then throws if the edit was cancelled */
  readonly breathe: () => Promise<void>;
}

export async function* runEdit(
  machine: EditMachine,
  input: EditInput,
  signal: AbortSignal | undefined,
): AsyncGenerator<EditEvent, void, void> {
  const clock = new Stopwatch();
  const breathe = async (): Promise<void> => {
    await new Promise((resolve) => setImmediate(resolve));
    throwIfCancelled(signal);
  };
  throwIfCancelled(signal);

  // 1. the request and the photo
  const settings = checkSettings(input, machine.bundle);
  const hash = createHash('sha256').update(input.image).digest('hex');
  const photo = await clock.time('decode', async () => machine.photos.get(hash) ?? (await decodePhoto(input.image)));
  machine.photos.set(hash, photo);
  const drags = checkDrags(input, machine.bundle, photo);

  // 2. what may change, and the part of the photo that the networks see
  const { mask, warnings } = await clock.time('mask', async () => {
    if (input.mask === undefined) return { mask: deriveMask(photo, drags), warnings: [] };
    const painted = await decodeMask(input.mask, photo);
    return { mask: painted, warnings: reachHandles(painted, photo, drags) };
  });
  const box = maskBox(mask, photo);
  if (box === undefined)
    throw new EngineError('BAD_INPUT', 'the mask lets nothing change: paint what may change white');
  const view = planView(photo, reachOf(box, drags), machine.bundle.size);
  const feather = Math.max(2, FEATHER / Math.min(view.scaleX, view.scaleY));
  const frame = await clock.time('mask', () => makeFrame(mask, view, box, featherInside(mask, photo, box, feather)));
  const seen = drags.filter((d) => within(d, view.region));
  const stages = splitStages(
    seen.length > 0 ? seen : drags,
    settings,
    Math.hypot(width(view.region), height(view.region)),
  );
  const totalSteps = settings.steps * stages.length;
  yield {
    type: 'started',
    seed: settings.seed,
    width: photo.width,
    height: photo.height,
    totalSteps,
    candidates: settings.candidates,
    mask: await clock.time('mask', () => encodeMask(mask, photo)),
    warnings,
  };
  await breathe();

  // 3. the dense field and preview 0, the warp; then what the encoders make of the region
  const key = `${hash}:${Object.values(view.region).join()}:${view.work.width}x${view.work.height}`;
  const scene = await openScene(machine, frame, photo, stages[0] as PhotoDrag[], key, clock);
  const previewBase = await clock.time('preview', () => resizeRgb(photo.flat, photo, previewSize(photo)));
  const run: Run = { machine, settings, frame, clock, previewBase, totalSteps, breathe };
  yield await preview(run, 0, 0, await clock.time('preview', () => warpedPicture(scene, view)));
  await breathe();
  const reused = await encode(machine, scene, key, clock);

  // 4. each candidate: stages of sampling, then the result at the photo's size
  for (let index = 0; index < settings.candidates; index++) {
    const seed = candidateSeed(settings.seed, index);
    let result = photo;
    for (const [stage, stageDrags] of stages.entries()) {
      let current = scene;
      if (stage > 0) {
        current = await openScene(machine, frame, result, stageDrags, undefined, clock);
        await encode(machine, current, undefined, clock);
      }
      const picture = yield* sample(run, current, index, seed, stage);
      await breathe();
      result = await clock.time('composite', () => composite(run, current, picture));
    }
    const png = await clock.time('encode', () =>
      result.alpha === undefined ? encodePng(result.rgb, result, 3) : encodePng(withAlpha(result), result, 4),
    );
    yield { type: 'candidate', index, seed, image: png };
    await breathe();
  }
  yield { type: 'done', timings: clock.timings(reused) };
}

/** Denoises from the prior to x̂_0, with previews on the way for the first candidate, and decodes it: [work, RGB]. */
async function* sample(
  run: Run,
  scene: Scene,
  candidate: number,
  seed: number,
  stage: number,
): AsyncGenerator<EditEvent, Rgb, void> {
  const { machine, settings, frame, clock, breathe } = run;
  const { bundle, alphas } = machine;
  const { timesteps } = settings;
  const store = new Map(scene.store);
  const size = { channels: bundle.latent.channels, ...latentSize(bundle, scene) };
  const dims = [1, size.channels, size.height, size.width];
  const length = size.channels * size.height * size.width;
  const alphaAt = (i: number): number => alphas[timesteps[i] as number] as number;

  // x_T
  let x = await clock.time('sampling', () =>
    startFromPrior(settings.noisePrior, {
      noise: gaussian(seed, streamOf(stage, 0), length),
      source: (store.get('latent') as Tensor).data,
      warped: (store.get('warped') as Tensor).data,
      mask: latentMask(frame, size),
      drags: scene.drags,
      ...size,
      downscale: bundle.latent.downscale,
      alpha: alphaAt(0),
    }),
  );
  const n = timesteps.length;
  for (let i = 0; ; i++) {
    await breathe();
    store.set('sample', { data: x, dims });
    store.set('timestep', { data: Float32Array.of(timesteps[i] as number), dims: [1] });
    const x0 = await predict(run, store, i);
    const step = stage * settings.steps + i + 1;
    const last = i === n - 1;
    store.set('latent_out', { data: x0, dims });
    if (last || (candidate === 0 && worthPreview(i, n))) {
      await breathe();
      const picture = await decode(run, store);
      yield await preview(run, candidate, step, picture);
      if (last) return picture;
    }
    x = await clock.time('sampling', () =>
      settings.scheduler === 'LCM'
        ? lcmStep(x0, gaussian(seed, streamOf(stage, i + 1), length), alphaAt(i + 1))
        : ddimStep(x, x0, alphaAt(i), alphaAt(i + 1)),
    );
  }
}

/** x̂_0 of the current sample, guided where the settings say so. Without guidance the unconditional branch is not run at all. */
async function predict(run: Run, store: Map<string, Tensor>, i: number): Promise<Float32Array> {
  const { machine, settings, clock } = run;
  const branch = async (pointScale: number): Promise<Float32Array> => {
    store.set('point_scale', { data: Float32Array.of(pointScale), dims: [1] });
    clock.add('denoiser', await machine.runtime.run('denoiser', store));
    const [, channels, h, w] = (store.get('sample') as Tensor).dims as [number, number, number, number];
    return take(machine.bundle, store, 'x0', { channels, height: h, width: w }).data;
  };
  const conditional = await branch(1);
  const scale = guidanceAt(settings.guidanceDecay, settings.guidance, i, settings.steps, settings.guidanceSteps);
  const x0 = scale === 1 ? conditional : guide(conditional, await branch(0), scale);
  return finite(allFinite(x0) ? x0 : undefined, 'the denoiser');
}

async function decode(run: Run, store: Map<string, Tensor>): Promise<Rgb> {
  const { machine, frame, clock } = run;
  clock.add('decoder', await machine.runtime.run('decoder', store));
  const picture = take(machine.bundle, store, 'picture', { channels: 3, ...frame.view.work });
  return finite(await clock.time('composite', () => toRgb(picture.data)), 'the decoder');
}

/** Which unfinished steps are decoded for a preview: each costs a decoder run, so at most three, spread evenly. */
function worthPreview(i: number, n: number): boolean {
  const wanted = Math.min(3, n - 1);
  return Math.floor(((i + 1) * wanted) / (n - 1)) > Math.floor((i * wanted) / (n - 1));
}

async function preview(run: Run, candidate: number, step: number, picture: Rgb): Promise<EditEvent> {
  const { frame, clock, totalSteps, previewBase } = run;
  const size = previewSize(frame.view.photo);
  const image = await clock.time('preview', () =>
    encodePreview(renderPreview(previewBase, size, frame.view, picture, frame.box, frame.alpha), size),
  );
  clock.previewReady(step);
  return { type: 'preview', candidate, step, totalSteps, image };
}

/** The networks' picture [work, RGB] put into the photo at its own resolution. */
async function composite(run: Run, scene: Scene, picture: Rgb): Promise<Photo> {
  const { view, box, alpha } = run.frame;
  const { photo, field, visibility } = scene;
  const regionSize = sizeOf(view.region);
  const bands = async (rows: (from: number, to: number) => void): Promise<void> => {
    for (let from = 0; from < height(box); from += BAND) {
      rows(from, Math.min(from + BAND, height(box)));
      await run.breathe();
    }
  };
  const warp = async (data: Uint8Array, channels: number): Promise<Uint8Array> => {
    const target = Uint8Array.from(crop(data, photo, view.region, channels));
    await bands((from, to) => warpRows({ data, channels }, view, field, box, alpha, target, from, to));
    return target;
  };
  const enlarged = await resizeRgb(picture, view.work, regionSize);
  let detail: Parameters<typeof blendRows>[2];
  if (Math.min(view.scaleX, view.scaleY) < DETAIL_BELOW) {
    const warped = await warp(photo.flat, 3);
    const smooth = await resizeRgb(await resizeRgb(warped, regionSize, view.work), view.work, regionSize);
    detail = { warped, smooth, visibility };
  }
  const flat = Uint8Array.from(photo.flat);
  await bands((from, to) => blendRows(flat, enlarged, detail, view, box, alpha, from, to));
  const size = { width: photo.width, height: photo.height };
  if (photo.alpha === undefined) return { ...size, rgb: flat, flat };
  const rgba = joinAlpha({ rgb: photo.rgb, alpha: photo.alpha }, flat, await warp(photo.alpha, 1), view, box, alpha);
  return { ...size, ...splitAlpha(rgba), flat };
}

const BAND = 128;

/** A long drag as several shorter ones, each starting where the last one ended; one stage unless asked for. */
function splitStages(drags: readonly PhotoDrag[], settings: Settings, diagonal: number): PhotoDrag[][] {
  const all = settings.pointAugmentation ? drags.flatMap((d) => augment(d, diagonal)) : [...drags];
  const longest = Math.max(...all.map(dragLength));
  const stages = settings.sequential ? Math.max(1, Math.ceil(longest / (STAGE_LENGTH * diagonal))) : 1;
  const along = (d: PhotoDrag, u: number) =>
    photoPoint({ x: d.handle.x + u * (d.target.x - d.handle.x), y: d.handle.y + u * (d.target.y - d.handle.y) });
  return Array.from({ length: stages }, (_, k) =>
    all.map((d) => ({ handle: along(d, k / stages), target: along(d, (k + 1) / stages) })),
  );
}

/** Point augmentation: four more pairs around a drawn one, moving with it. */
function augment(drag: PhotoDrag, diagonal: number): PhotoDrag[] {
  const r = 0.01 * diagonal;
  const around = [
    [0, 0],
    [r, 0],
    [-r, 0],
    [0, r],
    [0, -r],
  ] as const;
  return around.map(([dx, dy]) => ({
    handle: photoPoint({ x: drag.handle.x + dx, y: drag.handle.y + dy }),
    target: photoPoint({ x: drag.target.x + dx, y: drag.target.y + dy }),
  }));
}

/** The mask's box, enlarged to hold the ends of every moving drag. */
function reachOf(box: Rect, drags: readonly PhotoDrag[]): Rect {
  const ends = drags.filter((d) => dragLength(d) > 0).flatMap((d) => [d.handle, d.target]);
  return {
    left: Math.floor(Math.min(box.left, ...ends.map((p) => p.x))),
    top: Math.floor(Math.min(box.top, ...ends.map((p) => p.y))),
    right: Math.ceil(Math.max(box.right, ...ends.map((p) => p.x))),
    bottom: Math.ceil(Math.max(box.bottom, ...ends.map((p) => p.y))),
  };
}

function within(drag: PhotoDrag, r: Rect): boolean {
  return [drag.handle, drag.target].every((p) => p.x >= r.left && p.x <= r.right && p.y >= r.top && p.y <= r.bottom);
}

/** The mask on the latent's grid, nearest. */
function latentMask(frame: Frame, size: { height: number; width: number }): Float32Array {
  const { work } = frame.view;
  const out = new Float32Array(size.height * size.width);
  for (let y = 0, o = 0; y < size.height; y++) {
    const row = Math.floor((y * work.height) / size.height) * work.width;
    for (let x = 0; x < size.width; x++, o++)
      out[o] = frame.mask[row + Math.floor((x * work.width) / size.width)] as number;
  }
  return out;
}

/** Every stage and step draws its noise from its own stream. */
const streamOf = (stage: number, step: number): number => stage * 1000 + step;

function withAlpha(photo: Photo): Uint8Array {
  const alpha = photo.alpha as Uint8Array;
  const out = new Uint8Array(alpha.length * 4);
  for (let i = 0; i < alpha.length; i++) {
    out.set(photo.rgb.subarray(3 * i, 3 * i + 3), 4 * i);
    out[4 * i + 3] = alpha[i] as number;
  }
  return out;
}

function splitAlpha(rgba: Uint8Array): { rgb: Rgb; alpha: Uint8Array } {
  const alpha = new Uint8Array(rgba.length / 4);
  const rgb = new Uint8Array(alpha.length * 3);
  for (let i = 0; i < alpha.length; i++) {
    rgb.set(rgba.subarray(4 * i, 4 * i + 3), 3 * i);
    alpha[i] = rgba[4 * i + 3] as number;
  }
  return { rgb, alpha };
}
