/**
 * Sampling: from the noise prior to the finished x̂_0, decoded, with previews on the way. The same for every family
 * of bundles; the arithmetic of a step is in scheduler.ts.
 */

import { ahead } from './errors.js';
import { cropGrid } from './field.js';
import { scaled, sizeOf, type View } from './geometry.js';
import { halfPatch, layPatch, type Patch } from './holes.js';
import { startFromPrior } from './noise.js';
import { allFinite, type Rgb, renderPreview, toRgb } from './picture.js';
import { encodePreview, previewSize } from './raster.js';
import type { Settings } from './request.js';
import type { Store, Tensor } from './runtime.js';
import {
  type EncodedScene,
  type Frame,
  finite,
  gridOf,
  halfTensor,
  latentSize,
  type Machine,
  shownWindow,
  take,
  tensorOf,
} from './scene.js';
import { ddimStep, guidanceAt, guide, lcmStep } from './scheduler.js';
import type { Stopwatch } from './stopwatch.js';
import type { EditEvent } from './types.js';

/** One edit under way. */
export interface Run {
  readonly machine: Machine;
  readonly settings: Settings;
  readonly frame: Frame;
  /** [frame.box] bytes: how much of the edit is taken, feathered inside the mask */
  readonly alpha: Uint8Array;
  readonly clock: Stopwatch;
  /** the photo at preview size; made on another thread */
  readonly previewBase: Promise<Rgb>;
  readonly totalSteps: number;
  /** lets the event loop turn, then throws if the edit was cancelled */
  readonly breathe: () => Promise<void>;
}

/**
 * Denoises from the prior to x̂_0, with previews on the way for the first candidate, and decodes it: [work, RGB]. Whatever needs no network
 * is done while one runs: a preview is painted during the step after it, the decoder's inputs are made during the last one. `meanwhile` is
 * called when there is time for more of the kind.
 */
export async function* sample(
  run: Run,
  encoding: Promise<EncodedScene>,
  patching: Promise<Patch | undefined>,
  candidate: number,
  seed: number,
  stage: number,
  meanwhile: () => void,
): AsyncGenerator<EditEvent, Rgb, void> {
  const { machine, settings, frame, clock, breathe } = run;
  const { bundle, family, alphas } = machine;
  const { timesteps } = settings;
  const size = { channels: bundle.latent.channels, ...latentSize(bundle, frame) };
  const dims = [1, size.channels, size.height, size.width];
  const length = size.channels * size.height * size.width;
  const alphaAt = (i: number): number => alphas[timesteps[i] as number] as number;

  // x_T; the noise while the encoders still run
  const noise = await clock.time('sampling', () => machine.noise(seed, streamOf(stage, 0), length));
  const scene = await encoding;
  await breathe();
  const store = new Map(scene.store);
  let x = await clock.time('sampling', () =>
    startFromPrior(settings.noisePrior, {
      noise,
      source: (store.get('latent') as Tensor).data,
      warped: (store.get('warped') as Tensor).data,
      mask: latentMask(frame, size),
      drags: scene.drags,
      ...size,
      downscale: bundle.latent.downscale,
      alpha: family.startAlpha(machine, timesteps),
    }),
  );
  const n = timesteps.length;
  const begin = async (i: number): Promise<Float32Array> => {
    // a network in int8 would turn what is not a number into a byte, and nobody would see it afterwards
    store.set('sample', { data: finite(allFinite(x) ? x : undefined, 'the sampler'), dims });
    store.set('timestep', { data: Float32Array.of(timesteps[i] as number), dims: [1] });
    return predict(run, store, i, alphaAt(i));
  };
  const wanted = (i: number): boolean => candidate === 0 && i < n - 1 && worthPreview(i, n);
  let predicted = ahead(begin(0));
  const small = timesteps.some((_, i) => wanted(i))
    ? await clock.time('preview', () => previewRendition(run, scene, patching))
    : undefined;
  for (let i = 0; i < n - 1; i++) {
    const x0 = await predicted;
    await breathe();
    const shown = small !== undefined && wanted(i) ? ahead(decode(run, scene, small, { data: x0, dims })) : undefined;
    x = await clock.time('sampling', () =>
      settings.scheduler === 'LCM'
        ? lcmStep(x0, machine.noise(seed, streamOf(stage, i + 1), length), alphaAt(i + 1))
        : ddimStep(x, x0, alphaAt(i), alphaAt(i + 1)),
    );
    predicted = ahead(begin(i + 1));
    if (shown !== undefined && small !== undefined)
      yield await preview(run, 0, stage * settings.steps + i + 1, await shown, small.view);
    if (i === 0) meanwhile();
  }
  if (n === 1) meanwhile();
  const full = await clock.time('composite', () => fullRendition(run, scene, patching));
  machine.runtime.send(family.decoder, full.inputs);
  const x0 = await predicted;
  await breathe();
  const data = family.finish(machine, x, x0, settings, alphaAt(n - 1));
  return decode(run, scene, full, { data, dims });
}

/** x̂_0 of the current sample, guided where the settings say so. Without guidance the unconditional branch is not run at all. */
async function predict(run: Run, store: Store, i: number, alpha: number): Promise<Float32Array> {
  const { machine, settings, clock } = run;
  const branch = async (pointScale: number): Promise<Float32Array> => {
    store.set('point_scale', { data: Float32Array.of(pointScale), dims: [1] });
    return machine.family.predict(machine, store, settings, alpha, clock);
  };
  const conditional = await branch(1);
  const scale = guidanceAt(settings.guidanceDecay, settings.guidance, i, settings.steps, settings.guidanceSteps);
  const x0 = scale === 1 ? conditional : guide(conditional, await branch(0), scale);
  return finite(allFinite(x0) ? x0 : undefined, 'the denoiser');
}

/** How a latent is decoded: at which size, with what beside it, and what is laid over it. */
interface Rendition {
  readonly view: View;
  readonly inputs: Store;
  readonly patch: Promise<Patch | undefined>;
}

function fullRendition({ frame }: Run, scene: EncodedScene, patch: Promise<Patch | undefined>): Rendition {
  return { view: frame.view, inputs: scene.decoderInputs(), patch };
}

/** For previews: half the size, a quarter of the cost, where that is still enough and everything has a half. */
function previewRendition(run: Run, scene: EncodedScene, patch: Promise<Patch | undefined>): Rendition {
  const view = previewView(run.frame.view);
  const { height, width } = latentSize(run.machine.bundle, run.frame);
  if (view === run.frame.view || height % 2 !== 0 || width % 2 !== 0) return fullRendition(run, scene, patch);
  const inputs = scene.halfInputs();
  if (inputs === undefined) return fullRendition(run, scene, patch);
  return { view, inputs, patch: ahead(patch.then((whole) => (whole === undefined ? undefined : halfPatch(whole)))) };
}

/** A latent [1, C, H/8, W/8] of the whole work picture → [view.work, RGB], where it is shown. */
async function decode(run: Run, scene: EncodedScene, rendition: Rendition, latent: Tensor): Promise<Rgb> {
  const { machine, clock, frame } = run;
  const { bundle, family, runtime } = machine;
  const { view, inputs } = rendition;
  const share = view.work.width / frame.view.work.width;
  const part = scaled(scene.part, share);
  const store: Store = new Map(inputs);
  await clock.time('composite', () => {
    const cut = tensorOf(cropGrid(gridOf(latent), scaled(scene.part, 1 / bundle.latent.downscale)));
    store.set('latent_out', share === 1 ? cut : (halfTensor(cut) as Tensor));
  });
  clock.add('decoder', await runtime.run(family.decoder, store));
  const picture = take(bundle, store, 'picture', { channels: 3, ...sizeOf(part) });
  const shown = shownWindow(frame, view.work);
  const rgb = finite(await clock.time('composite', () => toRgb(picture.data, view.work, shown, part)), 'the decoder');
  const patch = await rendition.patch;
  if (patch !== undefined) await clock.time('composite', () => layPatch(rgb, view.work, patch));
  return rgb;
}

/** The view that previews are made at: half the work size, where that still has about as many pixels as a preview. */
export function previewView(view: View): View {
  const enough = previewSize(view.photo).width / view.photo.width < 1.34 * (view.scaleX / 2);
  return enough ? halfView(view) : view;
}

function halfView(view: View): View {
  const work = { width: view.work.width / 2, height: view.work.height / 2 };
  return { ...view, work, scaleX: view.scaleX / 2, scaleY: view.scaleY / 2 };
}

/**
 * Which unfinished steps are decoded for a preview: each costs a decoder run, so at most three, the first at once, and
 * not the last of four, which the result follows too soon to be seen.
 */
function worthPreview(i: number, n: number): boolean {
  const wanted = Math.min(3, Math.max(1, n - 2));
  return Math.ceil(((i + 1) * wanted) / (n - 1)) > Math.ceil((i * wanted) / (n - 1));
}

/** `picture` is [view.work, RGB]. */
export async function preview(run: Run, candidate: number, step: number, picture: Rgb, view: View): Promise<EditEvent> {
  const { frame, alpha, clock, totalSteps, previewBase } = run;
  const size = previewSize(view.photo);
  const base = await previewBase;
  const rgb = await clock.time('preview', () => renderPreview(base, size, view, picture, frame.box, alpha));
  const image = await clock.time('preview', () => encodePreview(rgb, size));
  clock.previewReady(step);
  return { type: 'preview', candidate, step, totalSteps, image };
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
