/** LightningDrag's pure functions against the reference's golden tensors. */
import { describe, expect, it } from 'vitest';
import { interpolatedField } from '../src/interpolate.js';
import { clipPixels } from '../src/lightningdrag/clip.js';
import { labelMaps } from '../src/lightningdrag/points.js';
import { timestepsOf } from '../src/lightningdrag/schedule.js';
import type { WorkDrag } from '../src/scene.js';
import { goldenPicture, readGolden, tensor } from './goldens.js';

const CLIP = {
  size: 224,
  mean: [0.48145466, 0.4578275, 0.40821073],
  std: [0.26862954, 0.26130258, 0.27577711],
};
const drag = (hx: number, hy: number, tx: number, ty: number): WorkDrag =>
  ({ handle: { x: hx, y: hy }, target: { x: tx, y: ty } }) as WorkDrag;

describe('the picture for CLIP', () => {
  it.each(['ddim25-square', 'ddim25-wide-20drags', 'lcm1-512x768'])(
    'is the reference’s to the last bit: %s',
    async (name) => {
      const golden = await readGolden(name);
      const pixels = clipPixels(goldenPicture(golden.case), golden.case, CLIP);
      const expected = tensor(golden, 'clip_pixels').data; // every seventh pixel
      const ours = Float32Array.from(expected, (_, i) => {
        const [c, y, x] = [Math.floor(i / 1024), Math.floor((i % 1024) / 32), i % 32];
        return pixels[c * 224 * 224 + 7 * y * 224 + 7 * x] as number;
      });
      expect(Math.max(...ours.map((v, i) => Math.abs(v - (expected[i] as number))))).toBeLessThan(1e-6);
    },
  );
});

describe('timesteps', () => {
  it('of DDIM lead, and are shifted by the offset', () => {
    expect(timestepsOf('DDIM', 25, 1000, 1)).toEqual(Array.from({ length: 25 }, (_, i) => 961 - 40 * i));
    expect(timestepsOf('DDIM', 1, 1000, 1)).toEqual([1]);
  });

  it('of LCM are spread over the 50 of its distillation', () => {
    expect(timestepsOf('LCM', 8, 1000, 1)).toEqual([999, 879, 759, 639, 499, 379, 259, 139]);
    expect(timestepsOf('LCM', 4, 1000, 1)).toEqual([999, 759, 499, 259]);
    expect(() => timestepsOf('LCM', 51, 1000, 1)).toThrow(/at most 50/);
  });
});

describe('label maps', () => {
  it('hold the number of each pair on one pixel; the later pair wins', () => {
    const work = { width: 9, height: 8 };
    const { handles, targets } = labelMaps([drag(3.9, 5.2, 6.99, 7), drag(3.1, 5.8, 2, 2), drag(0, 0, 9, 8)], work);
    expect([...handles.entries()].filter(([, v]) => v > 0)).toEqual([
      [0, 3],
      [5 * 9 + 3, 2],
    ]);
    expect([...targets.entries()].filter(([, v]) => v > 0)).toEqual([
      [2 * 9 + 2, 2],
      [7 * 9 + 6, 1],
      [7 * 9 + 8, 3],
    ]);
  });
});

describe('the interpolated field', () => {
  it('takes each target from its handle and leaves the outside alone', () => {
    const work = { width: 128, height: 64 };
    const mask = Float32Array.from({ length: 128 * 64 }, (_, i) => (i % 128 > 20 && i % 128 < 110 ? 1 : 0));
    const field = interpolatedField([drag(40, 30, 62, 34), drag(90, 30, 90, 30)], mask, work, 4);
    const at = (x: number, y: number) => {
      const i = Math.floor(y / 4) * 32 + Math.floor(x / 4);
      return [field.data[i], field.data[32 * 16 + i]];
    };
    expect(at(62, 34)).toEqual([expect.closeTo(-22, 0), expect.closeTo(-4, 0)]);
    expect(Math.abs(at(90, 30)[0] as number)).toBeLessThan(1);
    expect(at(10, 34)).toEqual([0, 0]);
    expect(at(120, 34)).toEqual([0, 0]);
  });
});
