/** The LightningDrag family against the reference: every stage of its golden tensors, on the tiny bundle of the same weights. */
import { LRUCache } from 'lru-cache';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type LightningDragBundle, readBundle } from '../src/bundle.js';
import type { PhotoDrag } from '../src/geometry.js';
import { lightningDragFamily } from '../src/lightningdrag/family.js';
import { timestepsOf } from '../src/lightningdrag/schedule.js';
import type { Rgb } from '../src/picture.js';
import type { Settings } from '../src/request.js';
import { openRuntime, type Runtime, type Tensor } from '../src/runtime.js';
import { type Run, sample } from '../src/sample.js';
import { encodingBytes, type Frame, layScene, type Machine } from '../src/scene.js';
import { cumulativeAlphas } from '../src/scheduler.js';
import { Stopwatch } from '../src/stopwatch.js';
import {
  type Case,
  type Golden,
  goldenDrags,
  goldenMask,
  goldenPicture,
  readGolden,
  relativeError,
  slice,
  tensor,
  tinyBundle,
} from './goldens.js';

const TOLERANCE = 1e-3;
const CASES = [
  'ddim25-square',
  'ddim25-wide-20drags',
  'ddim25-unguided-20drags',
  'lcm8-square-20drags',
  'lcm8-wide-unguided',
  'ddim4-none',
  'ddim4-linear',
  'ddim4-square',
  'ddim4-quadratic',
  'lcm1-512x768',
];

let dir: Awaited<ReturnType<typeof tinyBundle>>;
let bundle: LightningDragBundle;
let runtime: Runtime;

beforeAll(async () => {
  dir = await tinyBundle();
  bundle = (await readBundle(dir.folder)) as LightningDragBundle;
  runtime = await openRuntime(bundle, { device: 'cpu' });
});
afterAll(async () => {
  await runtime.close();
  await dir[Symbol.asyncDispose]();
});

/** What the graphs made of one candidate: the latent after each step, the first prediction of each branch, the decoded picture. */
interface Trace {
  latents: Float32Array[];
  epsilon: { cond: Float32Array | undefined; uncond: Float32Array | undefined };
  picture: Float32Array;
}

function settingsOf(c: Case): Settings {
  return {
    seed: 0,
    candidates: c.candidates,
    steps: c.steps,
    timesteps: timestepsOf(c.scheduler, c.steps, bundle.schedule.steps, bundle.schedule.offset),
    scheduler: c.scheduler,
    guidance: c.guidance,
    guidanceDecay: c.decay.toUpperCase() as Settings['guidanceDecay'],
    guidanceSteps: c.guided_steps ?? c.steps,
    noisePrior: 'SOURCE',
    pointAugmentation: false,
    sequential: false,
  };
}

/** Runs a case below the public door, which would draw its own noise and extend the mask to the handles. */
async function runCase(golden: Golden): Promise<{ store: ReadonlyMap<string, Tensor>; traces: Trace[] }> {
  const { case: c } = golden;
  const traces: Trace[] = [];
  const recording: Runtime = {
    ...runtime,
    async run(graph, store) {
      const ms = await runtime.run(graph, store);
      const trace = traces.at(-1);
      const data = (name: string): Float32Array => (store.get(name) as Tensor).data;
      if (graph.startsWith('unet') && trace !== undefined) {
        const branch = data('point_scale')[0] === 1 ? 'cond' : 'uncond';
        trace.epsilon[branch] ??= data('epsilon');
        if (branch === 'cond') trace.latents.push(data('sample'));
      }
      if (graph === 'vae_decoder' && trace !== undefined) trace.picture = data('picture');
      return ms;
    },
  };
  const machine: Machine = {
    bundle,
    family: lightningDragFamily(bundle),
    runtime: recording,
    alphas: cumulativeAlphas(bundle.schedule),
    photos: new LRUCache({ max: 1 }),
    encodings: new LRUCache({ maxSize: 2 ** 28, sizeCalculation: encodingBytes }),
    noise: (seed, stream) => slice(slice(tensor(golden, 'noise'), stream), seed).data,
  };
  const size = { width: c.width, height: c.height };
  const box = { left: 0, top: 0, right: c.width, bottom: c.height };
  const frame: Frame = {
    view: { photo: size, region: box, work: size, scaleX: 1, scaleY: 1 },
    box,
    mask: goldenMask(c),
    closer: undefined,
    painted: true,
  };
  const rgb: Rgb = goldenPicture(c);
  const clock = new Stopwatch();
  const drags = goldenDrags(c) as PhotoDrag[];
  const laid = await layScene(machine, frame, { ...size, rgb, flat: rgb }, drags, 'key', clock);
  const opened = await machine.family.openScene(machine, frame, laid, 0, clock);
  const encoding = machine.family.encode(machine, opened, frame, 'key', clock);
  const run: Run = {
    machine,
    settings: settingsOf(c),
    frame,
    alpha: new Uint8Array(c.width * c.height).fill(255),
    clock,
    previewBase: Promise.resolve(rgb),
    totalSteps: c.steps,
    breathe: async () => undefined,
  };
  for (let candidate = 0; candidate < c.candidates; candidate++) {
    const trace: Trace = { latents: [], epsilon: { cond: undefined, uncond: undefined }, picture: new Float32Array() };
    traces.push(trace);
    // candidate 1 and on have no previews; candidate 0's would only be further decoder runs
    const patch = Promise.resolve(undefined);
    for await (const _ of sample(run, encoding, patch, candidate + 1, candidate, 0, () => undefined)) void _;
    trace.latents.shift(); // the prior
  }
  return { store: (await encoding).store, traces };
}

/** Every `thin`-th pixel of [1, 3, H, W]. */
function thinned(picture: Float32Array, { height, width }: Case): Float32Array {
  const thin = Math.max(1, Math.floor(height / 64));
  const [rows, columns] = [Math.ceil(height / thin), Math.ceil(width / thin)];
  return Float32Array.from({ length: 3 * rows * columns }, (_, i) => {
    const [c, y, x] = [Math.floor(i / (rows * columns)), Math.floor((i % (rows * columns)) / columns), i % columns];
    return picture[(c * height + y * thin) * width + x * thin] as number;
  });
}

describe('every stage agrees with the reference', () => {
  it.each(CASES)('%s', { timeout: 300_000 }, async (name) => {
    const golden = await readGolden(name);
    const { case: c } = golden;
    const { store, traces } = await runCase(golden);
    const errors = new Map<string, number>();
    const compare = (stage: string, ours: Float32Array | undefined, theirs: Float32Array): void => {
      errors.set(stage, ours === undefined ? Number.POSITIVE_INFINITY : relativeError(ours, theirs));
    };
    for (const [key, theirs] of golden.tensors) {
      const ours = store.get(key);
      if (ours !== undefined && key !== 'clip_pixels') compare(key, ours.data, theirs.data);
    }
    expect(errors.size).toBeGreaterThanOrEqual(3); // latent, masked_latent, image_tokens at least
    const { cond, uncond } = (traces[0] as Trace).epsilon;
    compare('epsilon_cond', cond, tensor(golden, 'epsilon_cond').data);
    if (c.guided_steps !== 0) compare('epsilon_uncond', uncond, tensor(golden, 'epsilon_uncond').data);
    else expect(uncond).toBeUndefined();

    const latents = tensor(golden, 'latents'); // after each step; with several candidates after steps 0, 1 and the last
    const kept = c.candidates === 1 ? [...Array(c.steps).keys()] : [0, 1, c.steps - 1];
    for (const [candidate, trace] of traces.entries()) {
      for (const [at, step] of kept.entries()) {
        const ours = trace.latents[step];
        if (ours === undefined) continue; // the last one goes straight to the decoder
        compare(`candidate ${candidate} step ${step}`, ours, slice(slice(latents, at), candidate).data);
      }
      compare(
        `candidate ${candidate} picture`,
        thinned(trace.picture, c),
        slice(tensor(golden, 'picture'), candidate).data,
      );
    }
    expect(Object.fromEntries([...errors].filter(([, error]) => !(error < TOLERANCE)))).toEqual({});
  });
});
