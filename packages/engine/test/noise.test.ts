import { describe, expect, it } from 'vitest';
import type { WorkPoint } from '../src/geometry.js';
import { gaussian, type PriorInput, startFromPrior } from '../src/noise.js';

describe('seeded noise', () => {
  it('is the same for ever', () => {
    expect([...gaussian(7, 0, 5)]).toEqual(GOLDEN);
  });

  it('is standard normal', () => {
    const n = 200_000;
    const x = gaussian(1, 0, n);
    const moment = (k: number): number => x.reduce((sum, v) => sum + v ** k, 0) / n;
    expect(Math.abs(moment(1))).toBeLessThan(0.01);
    expect(moment(2)).toBeCloseTo(1, 1);
    expect(Math.abs(moment(3))).toBeLessThan(0.03);
    expect(moment(4)).toBeGreaterThan(2.9);
    expect(moment(4)).toBeLessThan(3.1);
    expect(x.filter((v) => Math.abs(v) > 1.96).length / n).toBeCloseTo(0.05, 2);
  });

  it('has independent seeds, streams and neighbours', () => {
    const n = 50_000;
    const correlation = (a: Float32Array, b: Float32Array): number =>
      a.reduce((sum, v, i) => sum + v * (b[i] as number), 0) / n;
    const base = gaussian(1, 0, n);
    expect(Math.abs(correlation(base, gaussian(2, 0, n)))).toBeLessThan(0.02);
    expect(Math.abs(correlation(base, gaussian(1, 1, n)))).toBeLessThan(0.02);
    expect(Math.abs(correlation(base.subarray(0, n - 1), base.subarray(1)))).toBeLessThan(0.02);
  });

  it('an odd length is a prefix of a longer one', () => {
    expect(gaussian(3, 0, 7)).toEqual(gaussian(3, 0, 8).subarray(0, 7));
  });
});

describe('noise priors', () => {
  const n = 64;
  const input: PriorInput = {
    noise: gaussian(1, 0, n),
    source: Float32Array.from({ length: n }, (_, i) => i),
    warped: Float32Array.from({ length: n }, (_, i) => -i),
    mask: Float32Array.from({ length: n }, (_, i) => (i < 8 ? 1 : 0)),
    drags: [{ handle: at(4, 4), target: at(36, 36) }],
    channels: 1,
    height: 8,
    width: 8,
    downscale: 8,
    alpha: 0.25,
  };
  const noised = (x0: number, i: number): number => 0.5 * x0 + Math.sqrt(0.75) * (input.noise[i] as number);

  it('PURE is the noise alone', () => {
    expect(startFromPrior('PURE', input)).toEqual(input.noise);
  });

  it('SOURCE and WARP noise their latent', () => {
    expect(startFromPrior('SOURCE', input)[20]).toBeCloseTo(noised(20, 20), 5);
    expect(startFromPrior('WARP', input)[20]).toBeCloseTo(noised(-20, 20), 5);
  });

  it('MIXED is pure noise inside the mask and the noised source outside', () => {
    const start = startFromPrior('MIXED', input);
    expect(start[3]).toBe(input.noise[3]);
    expect(start[20]).toBeCloseTo(noised(20, 20), 5);
  });

  it('COPY_PASTE carries a disk from the handle to the target, clipped to the picture', () => {
    const start = startFromPrior('COPY_PASTE', input);
    expect(start[4 * 8 + 4]).toBeCloseTo(noised(0, 36), 5); // target (4, 4) gets handle (0, 0)
    expect(start[4 * 8 + 5]).toBeCloseTo(noised(1, 37), 5);
    expect(start[7 * 8 + 7]).toBeCloseTo(noised(63, 63), 5); // elsewhere the source
  });
});

function at(x: number, y: number): WorkPoint {
  return { x, y } as WorkPoint;
}

const GOLDEN = [-0.45886915922164917, -0.9645315408706665, 1.1271626949310303, -0.8940422534942627, 0.9978070855140686];
