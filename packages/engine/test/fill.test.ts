import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { dilate, fillHoles, fillWindow } from '../src/fill.js';
import { crop } from '../src/picture.js';

/** Made by training's fill.py, see make_fill.py beside it. */
const golden = JSON.parse(readFileSync(new URL('./fixtures/fill.json', import.meta.url), 'utf8')) as {
  height: number;
  width: number;
  filled: string;
  edge: string;
};
const size = { width: golden.width, height: golden.height };
const GREEN = [0, 255, 0];
const RED = [200, 30, 30];
const BLUE = [20, 30, 200];

/** Waves below, a plain sky above, and noise; see make_fill.py. */
function textured(x: number, y: number): number[] {
  const noise = (x * 7919 + y * 104729 + x * y * 31) % 23;
  const field = [60 + 3 * ((x + 2 * y) % 24), 90 + 2 * ((x * 2 + y) % 32), 40 + (y % 16)];
  const sky = [150 - y, 170 - Math.floor(y / 2), 220];
  return (y > 50 ? field : sky).map((value) => Math.min(255, value + noise));
}

const map = (of: (x: number, y: number) => boolean): Uint8Array =>
  Uint8Array.from({ length: size.width * size.height }, (_, i) =>
    Number(of(i % size.width, Math.floor(i / size.width))),
  );
const hole = map((x, y) => (y >= 30 && y < 70 && x >= 40 && x < 74) || (y >= 44 && y < 52 && x >= 74 && x < 80));
const moved = map((x, y) => y >= 20 && y < 80 && x >= 76 && x < 110);
const picture = new Uint8Array(3 * hole.length);
for (let i = 0; i < hole.length; i++) {
  const [x, y] = [i % size.width, Math.floor(i / size.width)];
  picture.set(hole[i] === 1 ? GREEN : moved[i] === 1 ? RED : textured(x, y), 3 * i);
}

const nowhere = map(() => false);

async function filled(
  of = hole,
  away = moved,
  told = nowhere,
  shown = picture,
): Promise<{ of: Uint8Array; rgb: Uint8Array; rounds: number }> {
  const window = fillWindow(of, size);
  if (window === undefined) throw new Error('nothing is a hole');
  let rounds = 0;
  const rgb = await fillHoles(shown, { hole: of, moved: away, told }, size, window, async (ms) => {
    expect(ms).toBeGreaterThan(0);
    rounds++;
  });
  return { of: crop(of, size, window, 1), rgb, rounds };
}

const colours = (rgb: Uint8Array, of: Uint8Array): number[] =>
  [...rgb.keys()].filter((i) => of[Math.floor(i / 3)] === 1).map((i) => rgb[i] as number);

describe('holes', () => {
  it('are filled byte for byte as in training', async () => {
    const { of, rgb } = await filled();
    expect(Buffer.from(colours(rgb, of)).toString('base64')).toBe(golden.filled);
  });

  it("at the picture's edge are filled byte for byte as in training, by what is told of them", async () => {
    const edge = map((x, y) => y >= 40 && y < 70 && x >= 180);
    const shown = picture.slice();
    for (let i = 0; i < edge.length; i++) if (edge[i] === 1) shown.set(BLUE, 3 * i);
    const told = map((x) => x >= 194); // more than the hole: of no account beside it
    const { of, rgb } = await filled(edge, moved, told, shown);
    expect(Buffer.from(colours(rgb, of)).toString('base64')).toBe(golden.edge);
  });

  it('are filled with what stayed: neither what was in them nor what moved is seen there', async () => {
    const { of, rgb } = await filled();
    const inside = colours(rgb, of);
    const like = ([r, g, b]: number[]): number => {
      let count = 0;
      for (let i = 0; i < inside.length; i += 3) {
        const far = [r, g, b].map((value, c) => Math.abs((value as number) - (inside[i + c] as number)));
        if (Math.max(...far) < 40) count++;
      }
      return count;
    };
    expect(like(GREEN)).toBe(0);
    expect(like(RED)).toBe(0);
  });

  it('leave everything else as it was, and let the caller breathe between rounds', async () => {
    const { of, rgb, rounds } = await filled();
    const window = fillWindow(hole, size);
    const before = crop(picture, size, window ?? { left: 0, top: 0, right: 0, bottom: 0 }, 3);
    expect([...rgb.keys()].every((i) => of[Math.floor(i / 3)] === 1 || rgb[i] === before[i])).toBe(true);
    expect(rounds).toBeGreaterThan(3);
  });

  it('stay as they were where nothing beside them stayed', async () => {
    const { of, rgb } = await filled(
      hole,
      map(() => true),
    );
    expect(new Set(colours(rgb, of))).toEqual(new Set(GREEN));
  });

  it('are looked at with their surroundings, on a grid of eight pixels', () => {
    expect(fillWindow(hole, size)).toEqual({ left: 0, top: 0, right: 144, bottom: 104 });
    expect(fillWindow(nowhere, size)).toBeUndefined();
  });
});

it('a mask is made wider by squares', () => {
  const wide = dilate(
    map((x, y) => (x === 0 && y === 0) || (x === 50 && y === 60)),
    size,
    2,
  );
  const expected = map((x, y) => (x <= 2 && y <= 2) || (Math.abs(x - 50) <= 2 && Math.abs(y - 60) <= 2));
  expect(wide).toEqual(expected);
});
