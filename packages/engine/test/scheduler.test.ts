import { describe, expect, it } from 'vitest';
import { addNoise } from '../src/noise.js';
import { cumulativeAlphas, ddimStep, guidanceAt, guide, lcmStep } from '../src/scheduler.js';
import { GUIDANCE_DECAYS } from '../src/types.js';

const sd = cumulativeAlphas({ kind: 'scaled_linear', betaStart: 0.00085, betaEnd: 0.012, steps: 1000 });
const x0 = Float32Array.of(0.3, -1.2, 0.8);
const eps = Float32Array.of(-0.5, 0.1, 1.4);

const expectClose = (actual: Float32Array, expected: Float32Array): void => {
  for (const [i, v] of expected.entries()) expect(actual[i]).toBeCloseTo(v, 5);
};

describe('the noise schedule', () => {
  it("is Stable Diffusion's", () => {
    expect(sd[0]).toBeCloseTo(0.99915, 6);
    expect(sd[499]).toBeCloseTo(0.27764, 3);
    expect(sd[999]).toBeCloseTo(0.00466, 5);
  });

  it('descends strictly', () => {
    for (let t = 1; t < sd.length; t++) expect(sd[t]).toBeLessThan(sd[t - 1] as number);
  });
});

describe('one step', () => {
  const [a, b] = [sd[800] as number, sd[400] as number];

  it('DDIM with the true x0 keeps the noise and lands on the next timestep', () => {
    expectClose(ddimStep(addNoise(x0, eps, a), x0, a, b), addNoise(x0, eps, b));
  });

  it('LCM takes x0 and fresh noise', () => {
    expectClose(lcmStep(x0, eps, b), addNoise(x0, eps, b));
  });
});

describe('guidance', () => {
  it.each(GUIDANCE_DECAYS)('%s starts at g', (decay) => {
    expect(guidanceAt(decay, 4, 0, 10, 10)).toBe(4);
  });

  it('follows the published formulas half way', () => {
    const half = GUIDANCE_DECAYS.map((decay) => guidanceAt(decay, 4, 5, 10, 10));
    expect(half).toEqual([4, 2.5, 3.25, 3.625, 1.75]);
  });

  it('is off after the guided steps', () => {
    expect(guidanceAt('NONE', 4, 3, 10, 3)).toBe(1);
    expect(guidanceAt('NONE', 4, 0, 10, 0)).toBe(1);
  });

  it('gives the same whether x0 or the noise is guided', () => {
    const alpha = sd[600] as number;
    const x = addNoise(x0, eps, alpha);
    const other = Float32Array.of(0.1, -0.9, 0.2);
    const noiseOf = (clean: Float32Array): Float32Array =>
      clean.map((v, i) => ((x[i] as number) - Math.sqrt(alpha) * v) / Math.sqrt(1 - alpha));
    const cleanOf = (noise: Float32Array): Float32Array =>
      noise.map((v, i) => ((x[i] as number) - Math.sqrt(1 - alpha) * v) / Math.sqrt(alpha));
    expectClose(guide(x0, other, 3), cleanOf(guide(noiseOf(x0), noiseOf(other), 3)));
  });
});
