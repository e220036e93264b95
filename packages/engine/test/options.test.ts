/**
 * Every option of the method. The shipped bundle need not take them all, but its networks can run them: a copy whose bundle.json says
 * so shows that each is carried through, changes the result, and keeps its promises.
 */
import { cp, readFile, writeFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openObservedEngine } from '../src/engine.js';
import { type EditOptions, type Engine, NOISE_PRIORS } from '../src/index.js';
import type { Tensor } from '../src/runtime.js';
import { BUNDLE, collect, drag, ellipse, picture, pixels, scratch } from './helpers.js';

let dir: Awaited<ReturnType<typeof scratch>>;
let engine: Engine;
let photo: Uint8Array;
let mask: Uint8Array;
/** how often the denoiser ran */
let denoised = 0;

beforeAll(async () => {
  dir = await scratch();
  await cp(BUNDLE, dir.folder, { recursive: true });
  const json = JSON.parse(await readFile(dir.file('bundle.json'), 'utf8'));
  Object.assign(json.options, {
    schedulers: ['DDIM', 'LCM'],
    noisePriors: [...NOISE_PRIORS],
    guidance: { min: 0, max: 8 },
    pointAugmentation: true,
    sequential: true,
  });
  await writeFile(dir.file('bundle.json'), JSON.stringify(json));
  engine = await openObservedEngine(dir.folder, { device: 'cpu' }, (name) => {
    if (name === 'denoiser') denoised++;
  });
  photo = await picture(256, 256);
  mask = await ellipse(256, 256, 128, 128, 80, 70);
});
afterAll(async () => {
  await engine.close();
  await dir[Symbol.asyncDispose]();
});

const run = (options: EditOptions) =>
  collect(engine, { image: photo, mask, drags: [drag(90, 128, 160, 120)], seed: 5, options: { steps: 2, ...options } });

describe('every option of the method', () => {
  it.each(NOISE_PRIORS)('noise prior %s', async (noisePrior) => {
    const { image } = await run({ noisePrior });
    expect((await pixels(image)).width).toBe(256);
  });

  it('LCM draws fresh noise, the same for the same seed', async () => {
    const [ddim, lcm, again] = [await run({}), await run({ scheduler: 'LCM' }), await run({ scheduler: 'LCM' })];
    expect(lcm.image).toEqual(again.image);
    expect(lcm.image).not.toEqual(ddim.image);
  });

  it('guidance 1 runs the denoiser once a step, more runs it twice for the guided steps only', async () => {
    // (what guidance does to the result is parity.test.ts' matter: these networks hardly heed their point embedding)
    const counted = async (options: EditOptions) => {
      const before = denoised;
      const { image } = await run(options);
      return { image, runs: denoised - before };
    };
    const plain = await counted({ guidance: 1 });
    const none = await counted({ guidance: 4, guidanceSteps: 0 });
    const once = await counted({ guidance: 4, guidanceSteps: 1, guidanceDecay: 'NONE' });
    const guided = await counted({ guidance: 4, guidanceDecay: 'NONE' });
    expect([plain.runs, none.runs, once.runs, guided.runs]).toEqual([2, 2, 3, 4]);
    expect(none.image).toEqual(plain.image);
  });

  it('out of range is refused with the range', async () => {
    await expect(run({ guidance: 9 })).rejects.toMatchObject({
      code: 'UNSUPPORTED_OPTION',
      message: expect.stringMatching(/guidance from 0 to 8, not 9/),
    });
    await expect(run({ guidanceSteps: 3 })).rejects.toMatchObject({ code: 'BAD_INPUT' });
  });

  it('point augmentation changes the field', async () => {
    expect((await run({ pointAugmentation: true })).image).not.toEqual((await run({})).image);
  });

  it('sequential dragging splits a long drag into stages, each on the last result', async () => {
    const { started, previews } = await run({ sequential: true });
    expect(started.totalSteps).toBe(4); // 70 px of a diagonal of 362: two stages of two steps
    expect(previews.at(-1)?.step).toBe(4);
    const short = await collect(engine, {
      image: photo,
      mask,
      drags: [drag(90, 128, 100, 120)],
      options: { steps: 2, sequential: true },
    });
    expect(short.started.totalSteps).toBe(2);
  });
});

it('looks closer at a small part, to tell what moves; everything else sees the photo as before', async () => {
  const seen: string[] = [];
  const observe = (name: string, inputs: ReadonlyMap<string, Tensor>) => {
    const [, , h, w] = (inputs.get('image') ?? inputs.get('latent'))?.dims ?? [];
    if (name !== 'denoiser' && name !== 'decoder') seen.push(`${name} ${w}×${h}`);
  };
  const engine = await openObservedEngine(BUNDLE, { device: 'cpu', precision: 'fp32' }, observe);
  const image = await picture(384, 384);
  const edit = async (mask: Uint8Array, handle: number) =>
    collect(engine, { image, mask, drags: [drag(handle, 190, handle + 20, 180)], seed: 2, options: { steps: 1 } });
  const small = await ellipse(384, 384, 130, 190, 50, 40);
  const { image: result } = await edit(small, 125);
  await edit(await ellipse(384, 384, 250, 190, 40, 40), 250);
  await engine.close();
  // the second edit needs no encoder, though it is elsewhere
  expect(seen).toEqual(['field 512×512', 'encoder 384×384', 'appearance 48×48', 'field 512×512']);
  const [before, after, inside] = await Promise.all([pixels(image), pixels(result), pixels(small)]);
  let [changed, outside] = [0, 0];
  for (let i = 0; i < 384 * 384; i++) {
    const differs = [0, 1, 2].some((c) => before.data[i * before.channels + c] !== after.data[i * after.channels + c]);
    if (differs && (inside.data[i * inside.channels] as number) < 128) outside++;
    else if (differs) changed++;
  }
  expect(outside).toBe(0);
  expect(changed).toBeGreaterThan(1000);
});

it.each(['fp32', 'int8'] as const)(
  'decodes only what is shown, which comes out as if all of it had been, in %s',
  async (precision) => {
    await using whole = await scratch();
    await cp(BUNDLE, whole.folder, { recursive: true });
    const { decoder, ...json } = JSON.parse(await readFile(whole.file('bundle.json'), 'utf8'));
    expect(decoder.reach).toBeGreaterThan(0);
    await writeFile(whole.file('bundle.json'), JSON.stringify(json));
    const input = { image: await picture(512, 512), drags: [drag(170, 260, 210, 240)], seed: 2, options: { steps: 2 } };
    const edited = async (folder: string) => {
      let area = 0;
      const observe = (name: string, inputs: ReadonlyMap<string, Tensor>) => {
        const [, , h = 0, w = 0] = inputs.get('mask')?.dims ?? [];
        if (name === 'decoder') area = h * w;
      };
      const open = await openObservedEngine(folder, { device: 'cpu', precision }, observe);
      const { image } = await collect(open, { ...input, mask: await ellipse(512, 512, 180, 250, 90, 70) });
      await open.close();
      return { image: await pixels(image), area };
    };
    const [part, all] = [await edited(BUNDLE), await edited(whole.folder)];
    expect(all.area).toBe(512 * 512);
    expect(part.area).toBeLessThan(0.6 * all.area);
    const worst = part.image.data.reduce(
      (most, byte, i) => Math.max(most, Math.abs(byte - (all.image.data[i] as number))),
      0,
    );
    expect(worst).toBeLessThanOrEqual(1);
  },
);
