/** The patch over an edit's holes: where they are in the work picture, what they are filled from, and how it is laid over a picture. */
import { axis, gridRow, lerp } from './field.js';
import { dilate, fillHoles, fillWindow, type Maps, RADIUS } from './fill.js';
import { height, type Rect, type Size, scaled, width } from './geometry.js';
import type { Rgb } from './picture.js';
import type { Run } from './sample.js';
import { type Scene, warpedPicture } from './scene.js';

/** Share of the longest drag up to which a place counts as one that stayed. */
const AT_REST = 0.4;
/** Work pixels by which a hole is wider than where less than a half is seen; as far its edge is soft. */
const WIDER = 2;
/** Grey levels within a patch up to which an edge that was drawn out is left: a frame around the picture. */
const FLAT = 4;

/** Filled holes, for pictures of the work size. */
export interface Patch {
  readonly window: Rect;
  /** [window, RGB] */
  readonly rgb: Rgb;
  /** [window], 0 to 1: how much of it is taken */
  readonly alpha: Float32Array;
}

/** Fills what the scene's motion uncovers, at work size; undefined if nothing is a hole. Needs no network but the field's. */
export async function patchHoles(run: Run, scene: Scene): Promise<Patch | undefined> {
  const { clock, frame, breathe } = run;
  const { work } = frame.view;
  if (scene.holes === undefined) return undefined;
  await breathe(); // what the networks wait for goes first
  const hole = await clock.time('fill', () => holesOf(scene, frame.mask, work));
  const window = fillWindow(hole, work);
  if (window === undefined) return undefined;
  const warped = await clock.time('fill', () => warpedPicture(scene, work, window));
  const maps = await clock.time('fill', () => withoutFlat(mapsOf(scene, hole, work), warped, work));
  const rgb = await fillHoles(warped, maps, work, window, async (ms) => {
    clock.add('fill', ms);
    await breathe();
  });
  return { window, rgb, alpha: softened(hole, work, window) };
}

/** Where less than a half is seen, and a little around, as far as anything may change: [work], 1 = hole. */
function holesOf({ holes }: Scene, mask: Float32Array, work: Size): Uint8Array {
  const hole = new Uint8Array(work.width * work.height);
  if (holes === undefined || holes.data.every((seen) => seen >= 0.5)) return hole;
  const [cellX, cellY] = [holes.width / work.width, holes.height / work.height];
  const xs = axis(work.width, 0.5 * cellX, cellX, holes.width);
  const ys = axis(work.height, 0.5 * cellY, cellY, holes.height);
  const row = new Float32Array(holes.width);
  for (let y = 0, i = 0; y < work.height; y++) {
    gridRow(holes, 0, ys, y, row);
    for (let x = 0; x < work.width; x++, i++) {
      const low = row[xs.low[x] as number] as number;
      const seen = lerp(low, row[xs.high[x] as number] as number, xs.weight[x] as number);
      hole[i] = seen < 0.5 ? 1 : 0;
    }
  }
  return dilate(hole, work, WIDER).map((yes, i) => ((mask[i] as number) > 0.5 ? yes : 0));
}

/** What `fillHoles` asks of a hole and what is around it. */
function mapsOf({ field, drags }: Scene, hole: Uint8Array, work: Size): Maps {
  const pixels = work.width * work.height;
  const lengths = drags.map(({ handle, target }) => Math.hypot(target.x - handle.x, target.y - handle.y));
  const least = (AT_REST * Math.max(...lengths)) ** 2;
  const moved = new Uint8Array(pixels);
  const told = new Uint8Array(pixels);
  for (let i = 0; i < pixels; i++) {
    const x = field.data[i] as number;
    const y = field.data[pixels + i] as number;
    moved[i] = x * x + y * y > least ? 1 : 0;
    const fromX = (i % work.width) + 0.5 + x;
    const fromY = Math.trunc(i / work.width) + 0.5 + y;
    told[i] = fromX < 0 || fromY < 0 || fromX > work.width || fromY > work.height ? 1 : 0;
  }
  const around = dilate(told, work, WIDER);
  // a thing that comes in from beyond the edge may well go on there
  if (hole.every((yes, i) => yes <= (around[i] as number))) moved.fill(0);
  return { hole, moved, told };
}

/** The maps without what is told of a hole, and is of one colour in the picture [size, RGB]: there is nothing to fill. */
function withoutFlat(maps: Maps, picture: Rgb, size: Size): Maps {
  const hole = maps.hole.map((yes, i) => (yes === 1 && maps.told[i] === 1 && isFlat(picture, size, i) ? 0 : yes));
  return { ...maps, hole };
}

/** Whether the patch around a place, y · width + x, differs by no more than FLAT in any colour. */
function isFlat(picture: Rgb, size: Size, place: number): boolean {
  const [x, y] = [place % size.width, Math.trunc(place / size.width)];
  const least = [255, 255, 255];
  const most = [0, 0, 0];
  for (let v = Math.max(0, y - RADIUS); v <= Math.min(size.height - 1, y + RADIUS); v++) {
    for (let u = Math.max(0, x - RADIUS); u <= Math.min(size.width - 1, x + RADIUS); u++) {
      for (let c = 0; c < 3; c++) {
        const value = picture[3 * (v * size.width + u) + c] as number;
        if (value < (least[c] as number)) least[c] = value;
        if (value > (most[c] as number)) most[c] = value;
      }
    }
  }
  return most.every((value, c) => value - (least[c] as number) <= FLAT);
}

/** A hole's pixels within `window`, less of them towards its edge. */
function softened(hole: Uint8Array, size: Size, window: Rect): Float32Array {
  const alpha = new Float32Array(width(window) * height(window));
  const share = 1 / (2 * WIDER + 1) ** 2;
  for (let y = window.top, o = 0; y < window.bottom; y++) {
    for (let x = window.left; x < window.right; x++, o++) {
      if (hole[y * size.width + x] === 0) continue;
      let sum = 0;
      for (let dy = -WIDER; dy <= WIDER; dy++) {
        const row = Math.min(Math.max(y + dy, 0), size.height - 1) * size.width;
        for (let dx = -WIDER; dx <= WIDER; dx++) {
          sum += hole[row + Math.min(Math.max(x + dx, 0), size.width - 1)] as number;
        }
      }
      alpha[o] = share * sum;
    }
  }
  return alpha;
}

/** Lays a patch over `picture` [size, RGB], in place. */
export function layPatch(picture: Rgb, size: Size, { window, rgb, alpha }: Patch): void {
  const bytes = new Uint8ClampedArray(picture.buffer, picture.byteOffset, picture.length); // rounds
  for (let y = window.top, i = 0; y < window.bottom; y++) {
    for (let x = window.left, o = 3 * (y * size.width + x); x < window.right; x++, i++, o += 3) {
      const a = alpha[i] as number;
      if (a === 0) continue;
      for (let c = 0; c < 3; c++) bytes[o + c] = lerp(picture[o + c] as number, rgb[3 * i + c] as number, a);
    }
  }
}

/** The patch for pictures of half the size: averaged 2×2, each pixel by how much of it is taken. */
export function halfPatch({ window, rgb, alpha }: Patch): Patch {
  const [wide, tall, row] = [width(window) / 2, height(window) / 2, width(window)];
  const half = new Float32Array(wide * tall);
  const small = new Uint8ClampedArray(3 * wide * tall);
  for (let y = 0, o = 0; y < tall; y++) {
    for (let x = 0, i = 2 * y * row; x < wide; x++, i += 2, o++) {
      const four = [i, i + 1, i + row, i + row + 1];
      const total = four.reduce((sum, p) => sum + (alpha[p] as number), 0);
      if (total === 0) continue;
      half[o] = total / 4;
      for (let c = 0; c < 3; c++) {
        small[3 * o + c] = four.reduce((sum, p) => sum + (alpha[p] as number) * (rgb[3 * p + c] as number), 0) / total;
      }
    }
  }
  return { window: scaled(window, 0.5), rgb: new Uint8Array(small.buffer), alpha: half };
}
