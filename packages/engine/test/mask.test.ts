import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { type PhotoDrag, photoPoint, planView, type Rect } from '../src/geometry.js';
import { deriveMask, featherInside, maskBox, paintCapsule, reachHandles, workMask } from '../src/mask.js';

const size = { width: 200, height: 150 };
const drag = (hx: number, hy: number, tx: number, ty: number): PhotoDrag => ({
  handle: photoPoint({ x: hx, y: hy }),
  target: photoPoint({ x: tx, y: ty }),
});
const blank = (): Uint8Array => new Uint8Array(size.width * size.height);
const rectangle = (r: Rect): Uint8Array => {
  const mask = blank();
  for (let y = r.top; y < r.bottom; y++) mask.fill(1, y * size.width + r.left, y * size.width + r.right);
  return mask;
};
const at = (mask: Uint8Array, x: number, y: number): number => mask[y * size.width + x] as number;
const area = (mask: Uint8Array): number => mask.reduce((sum, v) => sum + v, 0);

describe('a mask derived from drags', () => {
  it('covers handle and target with room around them, and not the whole picture', () => {
    const mask = deriveMask(size, [drag(80, 70, 110, 70)]);
    for (const [x, y] of [
      [80, 70],
      [110, 70],
      [95, 84],
      [66, 70],
    ] as const) {
      expect(at(mask, x, y)).toBe(1);
    }
    expect(area(mask)).toBeLessThan(0.4 * mask.length);
  });

  it('grows with the length of the drag', () => {
    const short = area(deriveMask(size, [drag(80, 70, 85, 70)]));
    const long = area(deriveMask(size, [drag(80, 70, 130, 70)]));
    expect(long).toBeGreaterThan(2 * short);
  });

  it('joins drags near each other and leaves far ones apart', () => {
    expect(at(deriveMask(size, [drag(70, 60, 75, 60), drag(105, 60, 110, 60)]), 90, 60)).toBe(1);
    expect(at(deriveMask(size, [drag(15, 15, 18, 15), drag(180, 130, 183, 130)]), 100, 75)).toBe(0);
  });

  it('reaches from a moved point to a pinned one', () => {
    const mask = deriveMask(size, [drag(120, 70, 150, 70), drag(60, 70, 60, 70)]);
    expect(at(mask, 60, 70)).toBe(1);
    expect(at(mask, 80, 70)).toBe(1);
  });
});

/** Made by training's masks.py, which trains with such masks; see make_masks.py beside it. */
const golden = JSON.parse(readFileSync(new URL('./fixtures/masks.json', import.meta.url), 'utf8')) as {
  title: string;
  height: number;
  width: number;
  drags: [number, number, number, number][];
  /** where it goes from out to in and back, row after row */
  steps: number[];
}[];

describe('masks derived here and in training', () => {
  it.each(golden)('are the same for $title', ({ height, width, drags, steps }) => {
    const mask = deriveMask(
      { width, height },
      drags.map((d) => drag(...d)),
    );
    const expected = new Uint8Array(mask.length);
    for (let i = 0; i < steps.length; i += 2) expected.fill(1, steps[i], steps[i + 1]);
    expect(mask).toEqual(expected);
  });
});

describe('a painted mask', () => {
  it('is extended around a handle outside it, which is said', () => {
    const mask = rectangle({ left: 0, top: 0, right: 20, bottom: 20 });
    const warnings = reachHandles(mask, size, [drag(10, 10, 15, 15), drag(120, 90, 140, 90)]);
    expect(warnings).toEqual([expect.stringMatching(/^drag 2 starts outside the mask/)]);
    expect(at(mask, 120, 90)).toBe(1);
    expect(at(mask, 140, 90)).toBe(1);
  });

  it('stays as it is where only the target lies outside, or a pin', () => {
    const mask = rectangle({ left: 0, top: 0, right: 20, bottom: 20 });
    const before = area(mask);
    const warnings = reachHandles(mask, size, [drag(10, 10, 60, 10), drag(120, 90, 120, 90)]);
    expect(warnings.map((w) => w.slice(0, 6))).toEqual(['drag 1', 'drag 2']);
    expect(area(mask)).toBe(before);
  });

  it('takes points on the right and bottom edge as the last pixel', () => {
    const mask = rectangle({ left: 190, top: 140, right: 200, bottom: 150 });
    expect(reachHandles(mask, size, [drag(200, 150, 195, 145)])).toEqual([]);
  });
});

describe('the soft edge', () => {
  const box: Rect = { left: 50, top: 40, right: 150, bottom: 110 };
  const row = (alpha: Uint8Array, b: Rect, y: number): number[] => {
    const w = b.right - b.left;
    return [...alpha.subarray((y - b.top) * w, (y - b.top + 1) * w)];
  };

  it('rises from the edge inwards over the given width and reaches 255', () => {
    const profile = row(featherInside(rectangle(box), size, box, 8), box, 75);
    expect(profile[0]).toBeGreaterThan(0);
    expect(profile[0]).toBeLessThan(10);
    expect(profile.slice(0, 10)).toEqual(profile.slice(0, 10).toSorted((a, b) => a - b));
    expect(profile[4]).toBeGreaterThan(100);
    expect(profile.slice(9, 91)).toEqual(Array(82).fill(255));
    expect(profile.toReversed()).toEqual(profile);
  });

  it("does not soften at the picture's own border", () => {
    const left: Rect = { left: 0, top: 0, right: 60, bottom: 150 };
    const profile = row(featherInside(rectangle(left), size, left, 8), left, 0);
    expect(profile[0]).toBe(255);
    expect(profile[59]).toBeLessThan(10);
    const all: Rect = { left: 0, top: 0, ...{ right: size.width, bottom: size.height } };
    expect(featherInside(rectangle(all), size, all, 8).every((v) => v === 255)).toBe(true);
  });

  it('is zero exactly where the mask is zero, for any shape', () => {
    const mask = blank();
    paintCapsule(mask, size, { x: 60, y: 60 }, { x: 120, y: 90 }, 18);
    paintCapsule(mask, size, { x: 90, y: 30 }, { x: 90, y: 50 }, 6);
    const b = maskBox(mask, size) as Rect;
    const alpha = featherInside(mask, size, b, 8);
    for (let y = b.top, i = 0; y < b.bottom; y++) {
      for (let x = b.left; x < b.right; x++, i++) expect((alpha[i] as number) > 0).toBe(at(mask, x, y) === 1);
    }
  });

  it('still changes the middle of a thin mask fully', () => {
    const thin: Rect = { left: 50, top: 70, right: 150, bottom: 77 };
    expect(row(featherInside(rectangle(thin), size, thin, 8), thin, 73)[50]).toBe(255);
  });
});

describe('the mask at work size', () => {
  it('is the mask itself at scale 1 and a majority below', () => {
    const mask = rectangle({ left: 50, top: 40, right: 151, bottom: 110 });
    const box = maskBox(mask, size) as Rect;
    const rules = { area: 256 * 192, multiple: 64, minSide: 64 };
    const view = planView(size, box, rules);
    expect(view.work).toEqual({ width: 192, height: 128 });
    const work = workMask(mask, view, box);
    expect(work.length).toBe(192 * 128);
    const share = work.reduce((sum, v) => sum + v, 0) / work.length;
    expect(share).toBeCloseTo((101 * 70) / (200 * 150), 1);
    expect([...new Set(work)].toSorted()).toEqual([0, 1]);
  });

  it('an empty mask has no box', () => {
    expect(maskBox(blank(), size)).toBeUndefined();
  });
});
