/** The engine through its public door, on the real shipped bundle. */
import { crc32 } from 'node:zlib';
import sharp, { type Sharp } from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type EditInput, type Engine, type EngineErrorCode, openEngine } from '../src/index.js';
import { BUNDLE, collect, drag, ellipse, picture, pixels, texture } from './helpers.js';

let engine: Engine;
let photo: Uint8Array;
let mask: Uint8Array;
const [W, H] = [320, 256];
const pull = drag(130, 128, 160, 120);
/** where the number of steps does not matter */
const quick = { options: { steps: 1 } };

beforeAll(async () => {
  engine = await openEngine(BUNDLE, { device: 'cpu' });
  photo = await picture(W, H);
  mask = await ellipse(W, H, 140, 128, 70, 60);
});
afterAll(() => engine.close());

/** Counts pixels that differ, outside and inside of a mask (white = inside). */
async function differences(before: Uint8Array, after: Uint8Array, used: Uint8Array) {
  const [a, b, m] = await Promise.all([pixels(before), pixels(after), pixels(used)]);
  expect([b.width, b.height, b.channels]).toEqual([a.width, a.height, a.channels]);
  const count = { outside: 0, inside: 0 };
  for (let i = 0; i < a.width * a.height; i++) {
    const at = i * a.channels;
    if (a.data.compare(b.data, at, at + a.channels, at, at + a.channels) === 0) continue;
    count[(m.data[i * m.channels] as number) >= 128 ? 'inside' : 'outside']++;
  }
  return count;
}

describe('an edit', () => {
  it('starts, shows the warp first, then denoised previews, then a lossless candidate of the same size', async () => {
    // far enough to uncover something: where all is visible the networks leave the warp as it is
    const far = drag(110, 128, 180, 116);
    const { started, previews, events, image, timings } = await collect(engine, {
      image: photo,
      drags: [far],
      mask,
      seed: 7,
    });
    const steps = engine.info.defaultSteps;
    expect(started).toMatchObject({ seed: 7, width: W, height: H, totalSteps: steps, candidates: 1, warnings: [] });
    expect(events.map((e) => e.type).filter((t) => t !== 'preview')).toEqual(['started', 'candidate', 'done']);
    expect(events[1]).toMatchObject({ type: 'preview', step: 0 });
    const order = previews.map((p) => p.step);
    expect(order).toEqual(order.toSorted((a, b) => a - b));
    expect(order.filter((step) => step === 0)).toHaveLength(2); // by the drags alone, then by the network's field
    expect(new Set(order).size).toBe(order.length - 1);
    expect(order.at(-1)).toBe(steps);
    expect(previews.length).toBeGreaterThanOrEqual(3);
    expect(new Set(previews.map((p) => Buffer.from(p.image).toString('base64'))).size).toBeGreaterThanOrEqual(3);
    for (const p of previews) {
      const meta = await sharp(p.image).metadata();
      expect([meta.format, meta.width, meta.height]).toEqual(['webp', 320, 256]);
    }
    expect(await sharp(image).metadata()).toMatchObject({ format: 'png', width: W, height: H, channels: 3 });
    expect(timings.totalMs).toBeGreaterThan(timings.firstPreviewMs);
    expect(Object.values(timings.stages).every((ms) => ms >= 0)).toBe(true);
    expect(structuredClone(events)).toEqual(events);
  });

  it('fills what a thing leaves with what is beside it, about as grained as that', async () => {
    const [w, h] = [512, 384];
    const bytes = new Uint8Array(3 * w * h);
    for (let y = 0, o = 0; y < h; y++) {
      for (let x = 0; x < w; x++, o += 3) {
        const grain = ((x * 31 + y * 17) % 23) - 11;
        const pale = Math.hypot(x - 180, y - 192) < 40;
        bytes.set(pale ? [240, 235, 220] : [90 + grain, 110 + 30 * Math.sin(y / 30) + grain, 60 - grain], o);
      }
    }
    const { image, timings } = await collect(engine, {
      image: await sharp(bytes, { raw: { width: w, height: h, channels: 3 } })
        .png()
        .toBuffer(),
      drags: [drag(165, 192, 285, 192), drag(195, 192, 315, 192)],
      mask: await ellipse(w, h, 240, 192, 170, 120),
      seed: 3,
    });
    const { data, channels } = await pixels(image);
    const red = (x: number, y: number): number => data[channels * (y * w + x)] as number;
    let [pale, steps, count] = [0, 0, 0];
    for (let y = 172; y < 212; y++) {
      for (let x = 160; x < 200; x++, count++) {
        if (red(x, y) > 150) pale++;
        steps += Math.abs(red(x + 1, y) - red(x, y));
      }
    }
    expect(pale / count).toBeLessThan(0.02);
    expect(steps / count).toBeGreaterThan(0.5 * 10.4); // of the ground's; stretched over it has 3
    expect(timings.stages.fill).toBeGreaterThan(1);
    expect(red(300, 192)).toBeGreaterThan(200);
  });

  it("fills what a drag pulls in from beyond the picture's edge, and leaves a frame around the picture as it is", async () => {
    const [w, h] = [512, 384];
    /** How unlike its lower neighbour a pixel is at the lower edge, in the mean, and how bright at the most, with so wide a black frame. */
    const pulledIn = async (frame: number): Promise<{ grain: number; brightest: number }> => {
      const bytes = new Uint8Array(3 * w * h);
      for (let y = 0, o = 0; y < h - frame; y++) {
        for (let x = 0; x < w; x++, o += 3) {
          const grain = ((x * 31 + y * 17) % 23) - 11;
          bytes.set([110 + grain, 120 + grain + 20 * Math.sin(x / 40), 80 - grain], o);
        }
      }
      const { image } = await collect(engine, {
        image: await sharp(bytes, { raw: { width: w, height: h, channels: 3 } })
          .png()
          .toBuffer(),
        drags: [drag(256, 350, 256, 270)],
        seed: 3,
        ...quick,
      });
      const { data, channels } = await pixels(image);
      const red = (x: number, y: number): number => data[channels * (y * w + x)] as number;
      let [steps, brightest, count] = [0, 0, 0];
      for (let y = 360; y < 382; y++) {
        for (let x = 236; x < 276; x++, count++) {
          steps += Math.abs(red(x, y + 1) - red(x, y));
          brightest = Math.max(brightest, red(x, y));
        }
      }
      return { grain: steps / count, brightest };
    };
    expect((await pulledIn(0)).grain).toBeGreaterThan(0.5 * 8.9); // of the ground's; drawn out it has none
    expect((await pulledIn(8)).brightest).toBeLessThan(12);
  });

  it('changes the inside of the mask and not one byte outside it', async () => {
    const { image, started } = await collect(engine, { image: photo, drags: [pull], mask, seed: 7 });
    const count = await differences(photo, image, mask);
    expect(count.outside).toBe(0);
    expect(count.inside).toBeGreaterThan(2000);
    const [given, used] = await Promise.all([pixels(mask), pixels(started.mask)]);
    for (let i = 0; i < W * H; i++) {
      expect((used.data[i * used.channels] as number) >= 128).toBe((given.data[i * given.channels] as number) >= 128);
    }
  });

  it('derives a mask from the drags and stays inside it', async () => {
    const { image, started } = await collect(engine, { image: photo, drags: [pull], seed: 7, ...quick });
    expect((await differences(photo, image, started.mask)).outside).toBe(0);
  });

  it('takes along what is around a drag where no mask was painted; then other candidates tear it off', async () => {
    const drags = [drag(110, 128, 170, 116)];
    const unpainted = { image: photo, drags, seed: 8, candidates: 2, ...quick };
    const { started, candidates } = await collect(engine, unpainted);
    const painted = await collect(engine, { image: photo, drags, mask: started.mask, seed: 8, ...quick });
    const [soft, torn] = candidates.map((each) => each.image) as [Uint8Array, Uint8Array];
    const apart = async (a: Uint8Array, b: Uint8Array): Promise<number> => {
      const [one, two] = await Promise.all([pixels(a), pixels(b)]);
      return one.data.reduce((sum, v, i) => sum + Math.abs(v - (two.data[i] as number)), 0) / one.data.length;
    };
    // the same mask, painted, is another question; the second candidate is its first answer
    expect(await apart(soft, painted.image)).toBeGreaterThan(5 * (await apart(torn, painted.image)));
    expect((await differences(photo, soft, started.mask)).outside).toBe(0);
  });

  it('extends the mask to a handle outside it, and says so', async () => {
    const far = drag(270, 200, 280, 210);
    const { image, started } = await collect(engine, { image: photo, drags: [pull, far], mask, seed: 7, ...quick });
    expect(started.warnings).toEqual([expect.stringMatching(/^drag 2 starts outside the mask/)]);
    const used = await pixels(started.mask);
    expect(used.data[(200 * W + 270) * used.channels]).toBe(255);
    expect((await differences(photo, image, started.mask)).outside).toBe(0);
  });

  it('gives the same bytes for the same seed, with and without the cache, and other bytes for another seed', async () => {
    const input: EditInput = { image: photo, drags: [pull], mask, seed: 11 };
    const first = await collect(engine, input);
    const second = await collect(engine, input);
    expect(second.timings.reusedEncoder).toBe(true);
    const fresh = await openEngine(BUNDLE, { device: 'cpu' });
    const third = await collect(fresh, input);
    await fresh.close();
    expect(third.timings.reusedEncoder).toBe(false);
    expect(second.image).toEqual(first.image);
    expect(third.image).toEqual(first.image);
    expect(third.previews).toEqual(first.previews);
    const other = await collect(engine, { ...input, seed: 12 });
    expect(other.image).not.toEqual(first.image);
  });

  it('runs neither encoder again for a second edit of the same picture', async () => {
    const image = await picture(288, 256);
    const first = await collect(engine, { image, drags: [drag(100, 100, 120, 100)], ...quick });
    expect(first.timings.stages.encoder).toBeGreaterThan(0);
    const second = await collect(engine, { image, drags: [drag(150, 120, 150, 150)], ...quick });
    expect(second.timings).toMatchObject({ reusedEncoder: true, stages: { encoder: 0, appearance: 0 } });
  });

  it('makes candidates one after the other: other answers, each what its own seed gives alone', async () => {
    const { candidates } = await collect(engine, {
      image: photo,
      drags: [pull],
      mask,
      seed: 7,
      candidates: 2,
      options: { steps: 2 },
    });
    expect(candidates.map((c) => [c.index, c.seed])).toEqual([
      [0, 7],
      [1, 7 + 2 ** 29],
    ]);
    const [one, two] = candidates.map(({ image }) => image) as [Uint8Array, Uint8Array];
    const alone = await collect(engine, {
      image: photo,
      drags: [pull],
      mask,
      seed: 7 + 2 ** 29,
      options: { steps: 2 },
    });
    expect(alone.image).toEqual(two);
    // not the same answer with other noise: another part of the picture follows
    const noise = await collect(engine, { image: photo, drags: [pull], mask, seed: 8, options: { steps: 2 } });
    const [byAnswer, byNoise] = await Promise.all([differences(one, two, mask), differences(one, noise.image, mask)]);
    expect(byAnswer.outside).toBe(0);
    expect(byAnswer.inside).toBeGreaterThan(2 * byNoise.inside);
  });

  it.each([1, 2])('takes %i steps', async (steps) => {
    if (!engine.info.steps.includes(steps)) return;
    const { started } = await collect(engine, { image: photo, drags: [pull], mask, options: { steps } });
    expect(started.totalSteps).toBe(steps);
  });

  it('two at once do not disturb each other', async () => {
    const inputs = [7, 8].map((seed): EditInput => ({ image: photo, drags: [pull], mask, seed, ...quick }));
    const together = await Promise.all(inputs.map((input) => collect(engine, input)));
    for (const [i, input] of inputs.entries()) {
      expect((await collect(engine, input)).image).toEqual(together[i]?.image);
    }
  });

  it('draws a seed when none is given, and tells it', async () => {
    const { started, candidates } = await collect(engine, { image: photo, drags: [pull], mask, ...quick });
    expect(Number.isInteger(started.seed)).toBe(true);
    expect(candidates[0]?.seed).toBe(started.seed);
  });
});

describe('pictures of any kind', () => {
  it.each([
    ['a portrait', 200, 333],
    ['a wide strip', 900, 90],
    ['a thumbnail', 48, 40],
  ] as const)('%s keeps its size', async (_, width, height) => {
    const image = await picture(width, height);
    const input = { image, drags: [drag(width * 0.4, height / 2, width * 0.45, height / 2)], ...quick };
    const { image: result, started } = await collect(engine, input);
    expect((await differences(image, result, started.mask)).outside).toBe(0);
  });

  it('a 3000×2000 photo: worked on around the mask, composited at full resolution with its detail', async () => {
    const [width, height] = [3000, 2000];
    const image = await picture(width, height);
    const wide = await ellipse(width, height, 1200, 1000, 700, 600);
    const { image: result, previews } = await collect(engine, {
      image,
      drags: [drag(1100, 1000, 1250, 960)],
      mask: wide,
      ...quick,
    });
    expect((await differences(image, result, wide)).outside).toBe(0);
    const meta = await sharp(previews[0]?.image).metadata();
    expect([meta.width, meta.height]).toEqual([320, 213]);
    // the grain's period is a few pixels, far below what the work size can hold: enlarged from there, a hundredth would be left
    const grain = async (encoded: Uint8Array): Promise<number> => {
      const { data } = await sharp(encoded)
        .extract({ left: 1000, top: 900, width: 400, height: 200 })
        .greyscale()
        .raw()
        .toBuffer({ resolveWithObject: true });
      let energy = 0;
      for (let i = 1; i < data.length; i++) energy += ((data[i] as number) - (data[i - 1] as number)) ** 2;
      return energy / data.length;
    };
    expect((await grain(result)) / (await grain(image))).toBeGreaterThan(0.3);
  });

  it('transparency moves along and stays as it was outside the mask', async () => {
    const raw = texture(W, H, 4);
    const image = await sharp(raw, { raw: { width: W, height: H, channels: 4 } })
      .png()
      .toBuffer();
    const { image: result } = await collect(engine, { image, drags: [pull], mask, ...quick });
    expect((await differences(image, result, mask)).outside).toBe(0);
  });

  it.each([
    ['grey', (s: Sharp) => s.greyscale().png()],
    ['16 bit', (s: Sharp) => s.toColourspace('rgb16').png()],
    ['CMYK', (s: Sharp) => s.toColourspace('cmyk').jpeg()],
    ['WebP', (s: Sharp) => s.webp()],
  ])('%s is taken', async (_, convert) => {
    const image = await convert(sharp(photo)).toBuffer();
    const { image: result } = await collect(engine, { image, drags: [pull], mask, ...quick });
    expect(await sharp(result).metadata()).toMatchObject({ width: W, height: H, space: 'srgb', depth: 'uchar' });
  });

  it('is turned upright', async () => {
    const image = await sharp(photo).withMetadata({ orientation: 6 }).jpeg().toBuffer();
    const { started } = await collect(engine, { image, drags: [drag(100, 100, 120, 100)], ...quick });
    expect([started.width, started.height]).toEqual([H, W]);
  });
});

describe('cancelling', () => {
  it('ends within one step', async () => {
    const abort = new AbortController();
    const seen: string[] = [];
    let cancelledAt = 0;
    const edit = async (): Promise<void> => {
      for await (const event of engine.edit(
        { image: photo, drags: [pull], mask, candidates: 4 },
        { signal: abort.signal },
      )) {
        seen.push(event.type);
        if (event.type === 'preview' && event.step > 0) {
          cancelledAt = seen.length;
          abort.abort();
        }
      }
    };
    await expect(edit()).rejects.toMatchObject({ name: 'EngineError', code: 'CANCELLED' });
    expect(seen.length).toBe(cancelledAt);
  });

  it('works from a timer while the networks run, and a deadline says so', async () => {
    const edit = collect(engine, { image: photo, drags: [pull], mask, candidates: 4 }, AbortSignal.timeout(50));
    await expect(edit).rejects.toMatchObject({
      code: 'TIMED_OUT',
      message: expect.stringMatching(/past its deadline/),
    });
  });

  it('before the start runs nothing', async () => {
    const edit = collect(engine, { image: photo, drags: [pull] }, AbortSignal.abort());
    await expect(edit).rejects.toMatchObject({ code: 'CANCELLED' });
  });

  it('closing the engine cancels what runs and refuses what comes later', async () => {
    const own = await openEngine(BUNDLE, { device: 'cpu' });
    const events = own.edit({ image: photo, drags: [pull], mask });
    await events.next();
    await own.close();
    await expect(events.next()).rejects.toMatchObject({ code: 'CANCELLED' });
    await expect(own.edit({ image: photo, drags: [pull] }).next()).rejects.toMatchObject({ code: 'ENGINE_FAILED' });
  });
});

describe('bad input gets a clear answer', () => {
  const refused = async (input: Partial<EditInput>, code: EngineErrorCode, message: RegExp): Promise<void> => {
    const edit = collect(engine, { image: photo, drags: [pull], ...input });
    await expect(edit).rejects.toMatchObject({ name: 'EngineError', code, message: expect.stringMatching(message) });
  };

  it.each([
    ['no drags', { drags: [] }, /no drags/],
    ['too many drags', { drags: Array(500).fill(pull) }, /500 drags; .* at most \d+/],
    ['NaN', { drags: [pull, drag(1, Number.NaN, 2, 2)] }, /drag 2: its handle is \(1, NaN\)/],
    ['infinity', { drags: [drag(1, 1, Number.POSITIVE_INFINITY, 2)] }, /drag 1: its target/],
    ['outside', { drags: [drag(10, 10, 321, 20)] }, /drag 1: its target \(321, 20\) lies outside .* 320×256/],
    ['no image', { image: new Uint8Array() }, /the image is empty/],
    [
      'a drawing',
      { image: Buffer.from('<svg xmlns="http://www.w3.org/2000/svg" width="99" height="99"/>') },
      /is svg; expected PNG/,
    ],
    ['not an image', { image: new Uint8Array(500).fill(65) }, /the image can't be decoded/],
    ['a seed that is none', { seed: 1.5 }, /seed must be a whole number/],
    ['candidates', { candidates: 5 }, /candidates must be a whole number from 1 to 4, not 5/],
  ] as const)('%s', (_, input, message) => refused(input as Partial<EditInput>, 'BAD_INPUT', message));

  it('a mask of another size, a black mask, a broken mask', async () => {
    const other = await ellipse(100, 100, 50, 50, 20, 20);
    await refused({ mask: other }, 'BAD_INPUT', /the mask is 100×100, but the image is 320×256/);
    const black = await ellipse(W, H, 0, 0, 0, 0);
    await refused({ mask: black, drags: [drag(9, 9, 9, 9)] }, 'BAD_INPUT', /lets nothing change/);
    await refused({ mask: new Uint8Array(99) }, 'BAD_INPUT', /the mask can't be decoded/);
  });

  it('a truncated JPEG, a tiny picture, a pixel bomb', async () => {
    const jpeg = await sharp(photo).jpeg().toBuffer();
    await refused({ image: jpeg.subarray(0, jpeg.length >> 1) }, 'BAD_INPUT', /the image can't be decoded/);
    await refused({ image: await picture(8, 8) }, 'BAD_INPUT', /8×8; both sides must be at least 16/);
    const bomb = pngHeader(30_000, 30_000); // the size is believed and refused before any pixel is decoded
    await refused({ image: bomb }, 'BAD_INPUT', /30000×30000 \(900\.0 megapixels\); at most 16\.8/);
  });

  it('options that the bundle does not take, with what it takes', async () => {
    const { steps, guidance, pointAugmentation } = engine.info;
    expect(steps).not.toContain(37);
    await refused({ options: { steps: 37 } }, 'UNSUPPORTED_OPTION', /does not take steps 37; it takes 1, /);
    await refused({ options: { scheduler: 'BRIDGE' } }, 'UNSUPPORTED_OPTION', /scheduler BRIDGE; it takes DDIM/);
    if (!guidance) await refused({ options: { guidance: 3 } }, 'UNSUPPORTED_OPTION', /guidance 3; it takes 1/);
    if (!pointAugmentation)
      await refused({ options: { pointAugmentation: true } }, 'UNSUPPORTED_OPTION', /pointAugmentation/);
  });

  it('and the next edit works', async () => {
    const { image } = await collect(engine, { image: photo, drags: [pull], mask, ...quick });
    expect(image.length).toBeGreaterThan(0);
  });
});

/** A PNG that claims a size and holds no pixels. */
function pngHeader(width: number, height: number): Uint8Array {
  const chunk = (type: string, data: Buffer): Buffer => {
    const body = Buffer.concat([Buffer.from(type), data]);
    const out = Buffer.alloc(body.length + 8);
    out.writeUInt32BE(data.length, 0);
    body.copy(out, 4);
    out.writeUInt32BE(crc32(body), body.length + 4);
    return out;
  };
  const header = Buffer.from([0, 0, 0, 0, 0, 0, 0, 0, 8, 2, 0, 0, 0]);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  const signature = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
  return Buffer.concat([
    signature,
    chunk('IHDR', header),
    chunk('IDAT', Buffer.alloc(16)),
    chunk('IEND', Buffer.alloc(0)),
  ]);
}
