/** Whole edits with a LightningDrag bundle (tiny, random weights) through the engine's public door. */
import { readFile, rm, writeFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { splitStages } from '../src/drags.js';
import { openObservedEngine } from '../src/engine.js';
import type { PhotoDrag } from '../src/geometry.js';
import { type Engine, type NoisePrior, openEngine } from '../src/index.js';
import type { Settings } from '../src/request.js';
import { smallBundle } from './goldens.js';
import { collect, drag, ellipse, picture } from './helpers.js';

let dir: Awaited<ReturnType<typeof smallBundle>>;
let engine: Engine;
let photo: Uint8Array;
let mask: Uint8Array;
const runs: string[] = [];
const [W, H] = [160, 120];
const pull = drag(70, 60, 100, 50);

beforeAll(async () => {
  dir = await smallBundle();
  engine = await openObservedEngine(dir.folder, { device: 'cpu' }, (graph) => runs.push(graph));
  photo = await picture(W, H);
  mask = await ellipse(W, H, 80, 60, 50, 40);
});
afterAll(async () => {
  await engine.close();
  await dir[Symbol.asyncDispose]();
});

const count = (graph: string): number => runs.filter((name) => name === graph).length;

describe('an edit with LightningDrag', () => {
  it('starts from the interpolated warp, shows denoised previews, and ends in the photo’s size', async () => {
    const { started, previews, candidates } = await collect(engine, {
      image: photo,
      drags: [pull],
      mask,
      seed: 3,
      candidates: 2,
      options: { steps: 4 },
    });
    expect(started).toMatchObject({ width: W, height: H, totalSteps: 4, candidates: 2, warnings: [] });
    expect(previews[0]).toMatchObject({ step: 0 });
    expect(previews.at(-1)).toMatchObject({ candidate: 1, step: 4 });
    expect(candidates.map((c) => c.seed)).toEqual([3, 4]);
    expect(Buffer.compare(candidates[0]?.image ?? new Uint8Array(), candidates[1]?.image ?? new Uint8Array())).not.toBe(
      0,
    );
  });

  it('runs the encoders once a picture, and the unconditional branch only where it is guided', async () => {
    const edit = (guidance: number, guidanceSteps: number) =>
      collect(engine, { image: photo, drags: [pull], mask, seed: 3, options: { steps: 2, guidance, guidanceSteps } });
    await edit(4, 2);
    runs.length = 0;
    const { timings } = await edit(4, 1);
    expect(timings.reusedEncoder).toBe(true);
    expect([count('vae_encoder'), count('image_prompt'), count('appearance')]).toEqual([0, 0, 0]);
    expect([count('point_embedding'), count('unet')]).toEqual([1, 3]);
    runs.length = 0;
    await edit(1, 2);
    expect(count('unet')).toBe(2);
    runs.length = 0;
    await collect(engine, { image: photo, drags: [pull], seed: 3, options: { steps: 1 } }); // another mask
    expect([count('vae_encoder'), count('image_prompt'), count('appearance')]).toEqual([1, 0, 0]);
  });

  it('is the same again for the same seed, and differs for each noise prior', async () => {
    const priors: NoisePrior[] = ['SOURCE', 'PURE', 'MIXED', 'COPY_PASTE', 'WARP'];
    const images = new Set<string>();
    for (const noisePrior of [...priors, 'SOURCE' as const]) {
      const { image } = await collect(engine, {
        image: photo,
        drags: [pull],
        mask,
        seed: 5,
        options: { steps: 1, noisePrior },
      });
      images.add(Buffer.from(image).toString('base64'));
    }
    expect(images.size).toBe(priors.length);
  });

  it('takes LCM with its own defaults and its own network, opened when it is first asked for', async () => {
    runs.length = 0;
    const { started } = await collect(engine, { image: photo, drags: [pull], mask, options: { scheduler: 'LCM' } });
    expect(started.totalSteps).toBe(8);
    expect([count('unet'), count('unet_lcm')]).toEqual([0, 16]); // guided at 3 throughout
  });

  it('takes point augmentation and sequential dragging', async () => {
    runs.length = 0;
    const { started } = await collect(engine, {
      image: photo,
      drags: [drag(40, 60, 120, 60)],
      mask,
      options: { steps: 1, guidance: 1, pointAugmentation: true, sequential: true },
    });
    expect(started.totalSteps).toBeGreaterThan(1);
    expect(count('appearance')).toBe(started.totalSteps - 1); // the first stage's picture is known from before
  });

  it('warns of more drags than the networks were trained on, and augments no further than that', async () => {
    const drags = Array.from({ length: 21 }, (_, i) => drag(40 + 3 * i, 50, 44 + 3 * i, 60));
    const edit = (count: number) =>
      collect(engine, { image: photo, drags: drags.slice(0, count), mask, options: { steps: 1, guidance: 1 } });
    expect((await edit(20)).started.warnings).toEqual([]);
    expect((await edit(21)).started.warnings).toEqual([expect.stringMatching(/^21 drags; .* at most 20/)]);
    const settings = { pointAugmentation: true, sequential: false } as Settings;
    const pairs = (count: number) => splitStages(drags.slice(0, count) as PhotoDrag[], settings, 100, 20)[0]?.length;
    expect([1, 4, 6, 12, 21].map(pairs)).toEqual([5, 20, 18, 12, 21]);
  });

  it.each([
    [{ steps: 3 }, /does not take steps 3; it takes 1, 2, 4, 8/],
    [{ guidance: 20 }, /takes guidance from 1 to 10/],
  ])('refuses what the bundle does not take: %o', async (options, message) => {
    const refused = collect(engine, { image: photo, drags: [pull], options });
    await expect(refused).rejects.toMatchObject({
      code: 'UNSUPPORTED_OPTION',
      message: expect.stringMatching(message),
    });
  });
});

describe('a LightningDrag bundle', () => {
  it('without the LCM network says that it takes DDIM alone', async () => {
    await using own = await smallBundle();
    const json = JSON.parse(await readFile(own.file('bundle.json'), 'utf8'));
    delete json.graphs.unet_lcm;
    json.options.schedulers = ['DDIM'];
    await writeFile(own.file('bundle.json'), JSON.stringify(json));
    await rm(own.file('unet_lcm.onnx'));
    const opened = await openEngine(own.folder, { device: 'cpu' });
    const refused = collect(opened, { image: photo, drags: [pull], options: { scheduler: 'LCM' } });
    await expect(refused).rejects.toMatchObject({ code: 'UNSUPPORTED_OPTION' });
    await opened.close();
  });

  it('with weights beside the graph has those checked too', async () => {
    await using own = await smallBundle();
    const json = JSON.parse(await readFile(own.file('bundle.json'), 'utf8'));
    json.graphs.unet.data = { file: 'unet.onnx.data', sha256: '0'.repeat(64), bytes: 4 };
    await writeFile(own.file('bundle.json'), JSON.stringify(json));
    const open = () => openEngine(own.folder, { device: 'cpu' });
    await expect(open()).rejects.toMatchObject({
      code: 'BUNDLE_INVALID',
      message: expect.stringMatching(/unet\.onnx\.data is missing/),
    });
    await writeFile(own.file('unet.onnx.data'), 'data');
    await expect(open()).rejects.toMatchObject({
      code: 'BUNDLE_INVALID',
      message: expect.stringMatching(/unet\.onnx\.data is damaged/),
    });
  });
});
