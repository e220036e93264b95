import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { type Grid, resizeGrid, warpGrid, warpLatent } from '../src/field.js';

/** Made by PyTorch, see make_warp.py beside it. */
const golden = JSON.parse(readFileSync(new URL('./fixtures/warp.json', import.meta.url), 'utf8')) as {
  height: number;
  width: number;
  source: number[];
  field: number[];
  warped: number[];
  half: number[];
  larger: number[];
};
const size = { height: golden.height, width: golden.width };
const source: Grid = { data: Float32Array.from(golden.source), channels: 3, ...size };
const field: Grid = { data: Float32Array.from(golden.field), channels: 2, ...size };

function expectClose(actual: Float32Array, expected: readonly number[], tolerance = 1e-5): void {
  expect(actual.length).toBe(expected.length);
  const worst = Math.max(...expected.map((v, i) => Math.abs(v - (actual[i] as number))));
  expect(worst).toBeLessThan(tolerance);
}

describe('the dense field agrees with PyTorch', () => {
  it('warps like grid_sample(align_corners=False, padding_mode="border")', () => {
    expectClose(warpGrid(source, field).data, golden.warped);
  });

  it('resizes like interpolate(mode="bilinear", align_corners=False), down and up', () => {
    expectClose(resizeGrid(source, 3, 5).data, golden.half);
    expectClose(resizeGrid(source, 16, 21).data, golden.larger);
  });
});

describe('units', () => {
  it('a field of zeros changes nothing', () => {
    const zero = { ...field, data: new Float32Array(field.data.length) };
    expect(warpGrid(source, zero).data).toEqual(source.data);
  });

  it('halving a grid averages 2×2 and the gain converts its unit', () => {
    const grid: Grid = { data: Float32Array.of(8, 16, 24, 32), channels: 1, height: 2, width: 2 };
    expect([...resizeGrid(grid, 1, 1, 1 / 8).data]).toEqual([2.5]);
  });

  it('brings a field in work pixels on a quarter grid to a latent on an eighth grid', () => {
    // out(x) = source(x + 8 work px) = one latent pixel to the right
    const latent: Grid = { data: Float32Array.of(1, 2, 3, 4), channels: 1, height: 1, width: 4 };
    const data = new Float32Array(2 * 2 * 8).fill(8, 0, 16);
    const right: Grid = { data, channels: 2, height: 2, width: 8 };
    expect([...warpLatent(latent, right, 8).data]).toEqual([2, 3, 4, 4]);
  });
});
