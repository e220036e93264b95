/** Filling holes with patches of the photo: the same places as training's fill.py finds, nothing where there is nothing to do. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { Grid } from '../src/field.js';
import { type Filled, fill } from '../src/fill.js';
import { toTensor } from '../src/picture.js';

/** Made by training's fill.py, see make_fill.py beside it. */
const golden = JSON.parse(readFileSync(new URL('./fixtures/fill.json', import.meta.url), 'utf8')) as {
  height: number;
  width: number;
  photo: string;
  mask: string;
  field: string;
  visibility: string;
  hole: string;
  moves: string;
  sums: number[];
};
const bytes = (name: 'photo' | 'mask' | 'field' | 'visibility' | 'hole' | 'moves'): Uint8Array =>
  Uint8Array.from(Buffer.from(golden[name], 'base64'));
const floats = (name: 'field' | 'visibility'): Float32Array => new Float32Array(bytes(name).buffer);

const { height, width } = golden;
const size = { height, width };
const cells = { height: height / 4, width: width / 4 };
const image = toTensor(bytes('photo'), size);
const mask = Float32Array.from(bytes('mask'));
const field: Grid = { data: floats('field'), channels: 2, ...cells };
const visibility: Grid = { data: floats('visibility'), channels: 1, ...cells };

function filled(seed = 5): Filled {
  const result = fill(image, mask, field, visibility, seed);
  if (result === undefined) throw new Error('nothing was filled');
  return result;
}

describe('a hole', () => {
  it('is filled from the very places that training finds', () => {
    const result = filled();
    const packed = bytes('hole');
    const moves = new Int16Array(bytes('moves').buffer);
    const plane = height * width;
    const ours: number[] = [];
    for (let p = 0; p < 2 * plane; p++) {
      const i = p % plane;
      if ((((packed[i >> 3] as number) >> (7 - (i & 7))) & 1) === 1) ours.push(result.field.data[p] as number);
    }
    expect(ours).toEqual([...moves]);
    const sum = (values: Float32Array): number => values.reduce((total, v) => total + Math.abs(v), 0);
    const parts = [result.field.data.subarray(0, plane), result.field.data.subarray(plane), result.visibility.data];
    for (const [k, part] of parts.entries()) expect(sum(part) / (golden.sums[k] as number)).toBeCloseTo(1, 5);
  });

  it('shows nothing of what moved, and is visible throughout', () => {
    const result = filled(8);
    const plane = height * width;
    const packed = bytes('hole');
    let [ghosts, hidden] = [0, 0];
    for (let i = 0; i < plane; i++) {
      if ((((packed[i >> 3] as number) >> (7 - (i & 7))) & 1) === 0) continue;
      const x = (i % width) + (result.field.data[i] as number);
      const y = Math.floor(i / width) + (result.field.data[plane + i] as number);
      if (x >= 40 && x < 90 && y >= 40 && y < 90) ghosts++;
      if (result.visibility.data[i] !== 1) hidden++;
    }
    expect([ghosts, hidden]).toEqual([0, 0]);
  });

  it('leaves the field outside the mask as it is', () => {
    const result = filled();
    expect(result.field).toMatchObject({ channels: 2, ...size });
    for (const [x, y] of [
      [3, 3],
      [100, 120],
      [188, 60],
    ] as const) {
      expect(result.visibility.data[y * width + x]).toBe(1);
      expect(Math.abs(result.field.data[y * width + x] as number)).toBeLessThan(3);
    }
  });
});

describe('nothing is done', () => {
  it('without a hole, and with a single hidden cell', () => {
    const all = { ...visibility, data: new Float32Array(visibility.data.length).fill(1) };
    expect(fill(image, mask, field, all)).toBeUndefined();
    const speck = { ...all, data: all.data.map((v, i) => (i === 15 * cells.width + 20 ? 0 : v)) };
    expect(fill(image, mask, field, speck)).toBeUndefined();
  });

  it('where nothing is there to copy', () => {
    const none = { ...visibility, data: new Float32Array(visibility.data.length) };
    expect(fill(image, new Float32Array(mask.length).fill(1), field, none)).toBeUndefined();
  });
});
