import sharp from 'sharp';
import { describe, expect, it } from 'vitest';
import type { Grid } from '../src/field.js';
import { closerView, photoPoint, planView, type Rect, type Size, toPhoto, toWork, type View } from '../src/geometry.js';
import { blendRows, crop, joinAlpha, renderPreview, toRgb, toTensor, warpRows } from '../src/picture.js';
import { encodeMask, encodePng } from '../src/png.js';
import { decodeMask } from '../src/raster.js';

const photo: Size = { width: 60, height: 40 };
const rgb = Uint8Array.from({ length: 60 * 40 * 3 }, (_, i) => (i * 7919) % 251);
const whole: Rect = { left: 0, top: 0, right: 60, bottom: 40 };
const view = (scale: number, region = whole): View => ({
  photo,
  region,
  work: { width: (region.right - region.left) * scale, height: (region.bottom - region.top) * scale },
  scaleX: scale,
  scaleY: scale,
});
/** a constant field, in work pixels */
const constant = ({ width, height }: Size, dx: number, dy: number): Grid => {
  const data = new Float32Array(2 * width * height).fill(dx, 0, width * height).fill(dy, width * height);
  return { data, channels: 2, width, height };
};
const full = (box: Rect, value = 255): Uint8Array =>
  new Uint8Array((box.right - box.left) * (box.bottom - box.top)).fill(value);

describe('bytes and tensors', () => {
  it('come back the same', () => {
    expect(toRgb(toTensor(rgb, photo), photo)).toEqual(rgb);
  });

  it('clamp, and report what is not a number', () => {
    const pixel = { width: 1, height: 1 };
    expect(toRgb(Float32Array.of(-3, 0, 3), pixel)).toEqual(Uint8Array.of(0, 128, 255));
    expect(toRgb(Float32Array.of(0, Number.NaN, 0), pixel)).toBeUndefined();
    expect(toRgb(Float32Array.of(0, 0, Number.POSITIVE_INFINITY), pixel)).toBeUndefined();
  });
});

describe('the warp at full resolution', () => {
  const box: Rect = { left: 10, top: 10, right: 50, bottom: 30 };
  const warp = (v: View, dx: number, dy: number): Uint8Array => {
    const target = Uint8Array.from(crop(rgb, photo, v.region, 3));
    const moves = constant({ width: 40, height: 20 }, dx, dy);
    warpRows({ data: rgb, channels: 3 }, v, moves, box, full(box), target, 0, 20);
    return target;
  };

  it('a zero field leaves every byte', () => {
    expect(warp(view(1), 0, 0)).toEqual(rgb);
  });

  it('whole pixels are moved exactly, at any work scale', () => {
    for (const scale of [1, 0.5, 2]) {
      const warped = warp(view(scale), 4 * scale, -3 * scale);
      for (const [x, y] of [
        [10, 10],
        [33, 21],
        [49, 29],
      ] as const) {
        const [to, from] = [(y * 60 + x) * 3, ((y - 3) * 60 + x + 4) * 3];
        expect(warped.subarray(to, to + 3)).toEqual(rgb.subarray(from, from + 3));
      }
    }
  });

  it('works in a region that is not the whole photo', () => {
    const v = view(1, { left: 8, top: 4, right: 56, bottom: 36 });
    const warped = warp(v, 4, 0);
    const [to, from] = [((21 - 4) * 48 + 33 - 8) * 3, (21 * 60 + 37) * 3];
    expect(warped.subarray(to, to + 3)).toEqual(rgb.subarray(from, from + 3));
  });
});

describe('a result as a picture', () => {
  it.each([
    [17, 5, 3],
    [1, 1, 4],
    [700, 301, 3], // two strips
    [1024, 1100, 4], // more strips than are compressed at once
  ] as const)(
    '%i×%i with %i channels comes back the same, as the same file each time',
    async (width, height, channels) => {
      const data = Uint8Array.from({ length: width * height * channels }, (_, i) => (i * i + (i >> 7)) % 256);
      const png = await encodePng(data, { width, height }, channels);
      expect(png.byteLength).toBe(png.buffer.byteLength);
      const { data: back, info } = await sharp(png, { failOn: 'warning' }).raw().toBuffer({ resolveWithObject: true });
      expect(info).toMatchObject({ width, height, channels });
      expect(back.equals(data)).toBe(true);
      expect(Buffer.compare(await encodePng(data, { width, height }, channels), png)).toBe(0);
    },
  );
});

describe('the mask as a picture', () => {
  it.each([
    [60, 40],
    [61, 17],
    [8, 3],
  ])('%i×%i comes back the same', async (width, height) => {
    const mask = Uint8Array.from({ length: width * height }, (_, i) => ((i * 7919) % 13 < 5 ? 1 : 0));
    const png = encodeMask(mask, { width, height });
    expect(await decodeMask(png, { width, height })).toEqual(mask);
  });
});

describe('blending', () => {
  const box: Rect = { left: 10, top: 10, right: 50, bottom: 30 };
  const picture = new Uint8Array(rgb.length).fill(200);

  it('takes the picture where alpha is full and the photo where it is zero', () => {
    const alpha = full(box);
    alpha.fill(0, 0, 5);
    const out = Uint8Array.from(rgb);
    blendRows(out, picture, undefined, view(1), box, alpha, 0, 20);
    for (let y = 0, p = 0; y < 40; y++) {
      for (let x = 0; x < 60; x++, p += 3) {
        const inside = x >= 10 && x < 50 && y >= 10 && y < 30 && !(y === 10 && x < 15);
        expect([...out.subarray(p, p + 3)]).toEqual(inside ? [200, 200, 200] : [...rgb.subarray(p, p + 3)]);
      }
    }
  });

  it('adds the fine detail of the warp where the source is visible, and none in holes', () => {
    const v = view(0.5);
    const warped = new Uint8Array(rgb.length).fill(150);
    const smooth = new Uint8Array(rgb.length).fill(120);
    const visibility = (value: number): Grid => ({
      data: new Float32Array(150).fill(value),
      channels: 1,
      width: 15,
      height: 10,
    });
    for (const [visible, expected] of [
      [1, 230],
      [0.5, 215],
      [0, 200],
    ] as const) {
      const out = Uint8Array.from(rgb);
      blendRows(out, picture, { warped, smooth, visibility: visibility(visible) }, v, box, full(box), 0, 20);
      expect(out[(20 * 60 + 30) * 3]).toBe(expected);
    }
  });

  it('a preview shows the picture inside and the photo outside', () => {
    const size = { width: 30, height: 20 };
    const base = new Uint8Array(30 * 20 * 3).fill(10);
    const out = renderPreview(base, size, view(1), picture, box, full(box));
    expect(out[(10 * 30 + 15) * 3]).toBe(200);
    expect(out[(2 * 30 + 2) * 3]).toBe(10);
  });
});

describe('transparency', () => {
  const box: Rect = { left: 10, top: 10, right: 50, bottom: 30 };
  const own = { rgb, alpha: new Uint8Array(60 * 40).fill(128) };

  it("keeps the photo's four bytes outside and takes colour off the white inside", () => {
    const flat = new Uint8Array(rgb.length).fill(205); // 50 % of 155 over white
    const out = joinAlpha(own, flat, new Uint8Array(60 * 40).fill(128), view(1), box, full(box));
    expect([...out.subarray(0, 4)]).toEqual([...rgb.subarray(0, 3), 128]);
    const [r, , , a] = out.subarray((20 * 60 + 30) * 4);
    expect(a).toBe(128);
    expect(Math.abs((r as number) - 155)).toBeLessThanOrEqual(1);
  });
});

describe('the view', () => {
  const rules = { area: 512 * 512, multiple: 64, minSide: 256 };
  const middle = (size: Size, w: number, h: number): Rect => ({
    left: Math.round((size.width - w) / 2),
    top: Math.round((size.height - h) / 2),
    right: Math.round((size.width + w) / 2),
    bottom: Math.round((size.height + h) / 2),
  });

  it.each([
    ['a square photo as it is', { width: 512, height: 512 }, [512, 512]],
    ['a portrait', { width: 512, height: 768 }, [448, 640]],
    ['a small photo, not enlarged beyond need', { width: 300, height: 200 }, [384, 256]],
    ['a thumbnail', { width: 64, height: 64 }, [256, 256]],
    ['a strip', { width: 2000, height: 100 }, [2048, 256]],
  ] as const)('%s', (_, size, work) => {
    const v = planView(size, middle(size, size.width / 2, size.height / 2), rules);
    expect(v.region).toEqual({ left: 0, top: 0, right: size.width, bottom: size.height });
    expect([v.work.width, v.work.height]).toEqual(work);
  });

  it('a small mask in a large photo is seen at scale 1 with context', () => {
    const size = { width: 4000, height: 3000 };
    const v = planView(size, middle(size, 100, 80), rules);
    expect(v.scaleX).toBe(1);
    expect(v.region.right - v.region.left).toBeLessThan(640);
    expect(v.region.left % 32).toBe(0);
  });

  const closer = (size: Size, box: Rect, length = 20): View | undefined => {
    const drags = [{ handle: photoPoint({ x: 100, y: 100 }), target: photoPoint({ x: 100 + length, y: 100 }) }];
    return closerView(planView(size, box, rules), box, rules, { times: 2, longest: 48 }, drags);
  };

  it.each([
    ['a small photo is looked at larger', { width: 320, height: 320 }, [512, 512]],
    ['a tiny one is not enlarged beyond the limit', { width: 256, height: 192 }, [512, 384]],
    ['a photo of the work size is looked at as it is', { width: 512, height: 512 }, undefined],
  ] as const)('%s', (_, size, work) => {
    const v = closer(size, middle(size, size.width * 0.7, size.height * 0.7));
    expect(v && [v.work.width, v.work.height]).toEqual(work);
    if (v !== undefined) expect(v.region).toEqual({ left: 0, top: 0, right: size.width, bottom: size.height });
  });

  it('a small mask is looked at closer, with its context, and nearby ones share what is seen', () => {
    const size = { width: 512, height: 512 };
    const box = { left: 100, top: 205, right: 200, bottom: 305 };
    const v = closer(size, box);
    expect(v?.work).toEqual({ width: 512, height: 512 });
    expect(v?.scaleX).toBe(2);
    expect(v?.region.left).toBeLessThanOrEqual(box.left - 30);
    expect(v?.region.bottom).toBeGreaterThanOrEqual(box.bottom + 30);
    expect(closer(size, { ...box, left: box.left + 4, right: box.right + 4 })?.region).toEqual(v?.region);
  });

  it.each([
    [24, 2],
    [32, 1.5],
    [47, undefined],
    [100, undefined],
  ])('a drag of %i px is looked at %s times as large: it becomes 48 px long at most', (length, scale) => {
    const size = { width: 256, height: 256 };
    expect(closer(size, middle(size, 200, 200), length)?.scaleX).toBe(scale);
  });

  it.each([0, 137, 300, 411])('a closer look holds a mask that begins at %i px', (left) => {
    const size = { width: 500, height: 500 };
    const box = { left, top: 500 - left - 89, right: left + 89, bottom: 500 - left };
    const v = closer(size, box);
    expect(v?.region.left).toBeLessThanOrEqual(box.left);
    expect(v?.region.right).toBeGreaterThanOrEqual(box.right);
    expect(v?.region.top).toBeLessThanOrEqual(box.top);
    expect(v?.region.bottom).toBeGreaterThanOrEqual(box.bottom);
  });

  it('a large mask in a large photo is seen smaller, and the region contains it', () => {
    const size = { width: 4000, height: 3000 };
    const box = { left: 0, top: 1500, right: 1800, bottom: 3000 };
    const v = planView(size, box, rules);
    expect(v.region.left).toBe(0);
    expect(v.region.bottom).toBe(3000);
    expect(v.region.right).toBeGreaterThan(1800);
    expect(v.work.width * v.work.height).toBeLessThan(1.3 * rules.area);
    expect(v.work.width % 64).toBe(0);
    expect(Math.abs(v.scaleX / v.scaleY - 1)).toBeLessThan(0.1);
  });

  it('maps corners to corners', () => {
    const size = { width: 4000, height: 3000 };
    const v = planView(size, { left: 700, top: 900, right: 1500, bottom: 1600 }, rules);
    expect(toWork(v, photoPoint({ x: v.region.left, y: v.region.top }))).toEqual({ x: 0, y: 0 });
    expect(toPhoto(v, toWork(v, photoPoint({ x: 800, y: 1000 })))).toEqual({ x: 800, y: 1000 });
    const far = toWork(v, photoPoint({ x: v.region.right, y: v.region.bottom }));
    expect(far.x).toBeCloseTo(v.work.width, 9);
    expect(far.y).toBeCloseTo(v.work.height, 9);
  });
});
