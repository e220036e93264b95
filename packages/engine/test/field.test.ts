import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { cropGrid, type Grid, halve, overlay, refineField, spread, warpLatent, warpWindow } from '../src/field.js';
import { type Size, wholeOf } from '../src/geometry.js';

/** Made by PyTorch, see make_warp.py beside it. */
const golden = JSON.parse(readFileSync(new URL('./fixtures/warp.json', import.meta.url), 'utf8')) as {
  height: number;
  width: number;
  source: number[];
  warps: { height: number; width: number; field: number[]; scale: number; warped: number[] }[];
};
const source: Grid = { ...golden, data: Float32Array.from(golden.source), channels: 3 };
const warps = golden.warps.map((each) => ({
  ...each,
  size: `${each.width}×${each.height}`,
  field: { data: Float32Array.from(each.field), channels: 2, height: each.height, width: each.width },
}));

function expectClose(actual: Float32Array, expected: readonly number[], tolerance = 1e-5): void {
  expect(actual.length).toBe(expected.length);
  const worst = Math.max(...expected.map((v, i) => Math.abs(v - (actual[i] as number))));
  expect(worst).toBeLessThan(tolerance);
}

describe.each(warps)('a field of $size', ({ field, scale, warped }) => {
  it('warps like grid_sample(align_corners=False, padding_mode="border") after interpolate(mode="bilinear")', () => {
    expectClose(warpWindow(source, field, wholeOf(source), scale).data, warped);
  });

  it('warps a window as it does that part of the whole', () => {
    const window = { left: 2, top: 1, right: 6, bottom: 4 };
    const whole = warpWindow(source, field, wholeOf(source), scale);
    expect(warpWindow(source, field, window, scale)).toEqual(cropGrid(whole, window));
  });
});

describe('a field that breaks', () => {
  const { height, width, ...found } = JSON.parse(
    readFileSync(new URL('./fixtures/refined.json', import.meta.url), 'utf8'),
  ) as { height: number; width: number; field: number[]; size: Size; refined: number[] };
  const coarse = { data: Float32Array.from(found.field), channels: 2, height, width };
  const size = found.size;
  const whole = wholeOf(size);

  it('is refined as it is in training', () => {
    expectClose(refineField(coarse, size, whole).data, found.refined, 1e-4);
  });

  it('is refined in a window as in that part of the whole', () => {
    const window = { left: 6, top: 3, right: 17, bottom: 15 };
    const part = refineField(coarse, size, window);
    expect(part).toEqual(cropGrid(refineField(coarse, size, whole), window));
    expect(cropGrid(spread(part, size, window), window)).toEqual(part);
    expect(spread(part, size, window).data.filter((value) => value !== 0).length).toBeLessThanOrEqual(part.data.length);
  });

  it('is interpolated where it may not break', () => {
    const step = { data: Float32Array.of(0, 40, 0, 0), channels: 2, height: 1, width: 2 };
    const four = { width: 4, height: 1 };
    expect([...refineField(step, four, wholeOf(four), false).data.subarray(0, 4)]).toEqual([0, 10, 30, 40]);
    expect([...refineField(step, four, wholeOf(four)).data.subarray(0, 4)]).toEqual([0, 0, 40, 40]);
  });
});

describe('a grid laid over another', () => {
  const slope = Float32Array.from({ length: 8 * 8 }, (_, i) => (i % 8) + 0.5); // where each cell's centre lies, in cells
  const grid = { data: slope, channels: 1, height: 8, width: 8 };

  it('keeps its values at their place in the photo, and is what was said beyond it', () => {
    const from = { left: 16, top: 32, right: 32, bottom: 48 }; // two photo pixels a cell
    const onto = { left: 0, top: 0, right: 64, bottom: 64 };
    const laid = overlay(grid, from, onto, { width: 32, height: 32 }, [-1]);
    for (let y = 0; y < 32; y++) {
      for (let x = 0; x < 32; x++) {
        const inside = x >= 8 && x < 16 && y >= 16 && y < 24;
        expect(laid.data[y * 32 + x]).toBeCloseTo(inside ? x - 8 + 0.5 : -1, 5);
      }
    }
  });

  it('is interpolated where its cells are larger', () => {
    const whole = { left: 0, top: 0, right: 8, bottom: 8 };
    const laid = overlay(grid, whole, whole, { width: 16, height: 16 }, [0]);
    expect([...laid.data.subarray(16 + 1, 16 + 5)]).toEqual([0.75, 1.25, 1.75, 2.25]);
  });
});

describe('units', () => {
  it('a field of zeros changes nothing', () => {
    const zero = { data: new Float32Array(2 * source.height * source.width), channels: 2, height: 6, width: 9 };
    expect(warpWindow(source, zero, wholeOf(source), 1).data).toEqual(source.data);
  });

  it('at half the size, what moves by whole pixels is the mean of four', () => {
    const side = 8;
    const wave: Grid = {
      data: Float32Array.from({ length: 64 }, (_, i) => Math.sin(i * i)),
      channels: 1,
      height: side,
      width: side,
    };
    const data = new Float32Array(2 * side * side).fill(2, 0, side * side).fill(-1, side * side);
    const shift: Grid = { data, channels: 2, height: side, width: side };
    const window = { left: 0, top: 2, right: 6, bottom: 8 }; // where nothing comes from beyond the border
    const half = warpWindow(wave, shift, window, 1, 2);
    expect([half.width, half.height]).toEqual([3, 3]);
    expectClose(half.data, [...halve(warpWindow(wave, shift, window, 1).data, 6)], 1e-6);
  });

  it('halving averages 2×2', () => {
    expect([...halve(Float32Array.of(8, 16, 24, 32), 2)]).toEqual([20]);
  });

  it('brings a field in work pixels on a quarter grid to a latent on an eighth grid', () => {
    // out(x) = source(x + 8 work px) = one latent pixel to the right
    const latent: Grid = { data: Float32Array.of(1, 2, 3, 4), channels: 1, height: 1, width: 4 };
    const data = new Float32Array(2 * 2 * 8).fill(8, 0, 16);
    const right: Grid = { data, channels: 2, height: 2, width: 8 };
    expect([...warpLatent(latent, right, 8).data]).toEqual([2, 3, 4, 4]);
  });
});
