/**
 * The dense backward field: out(x) = source(x + field(x)). Planar float32 grids; pixel centres lie at half-integers, so this matches
 * torch's grid_sample(align_corners=False, padding_mode='border') and interpolate(mode='bilinear', align_corners=False).
 */
import { type Rect, type Size, wholeOf } from './geometry.js';

/** [channels, height, width], planar */
export interface Grid {
  readonly data: Float32Array;
  readonly channels: number;
  readonly height: number;
  readonly width: number;
}

/** Where the sample positions of one axis fall on a grid: lower index, upper index, and the weight of the upper. */
export interface Axis {
  readonly low: Int32Array;
  readonly high: Int32Array;
  readonly weight: Float32Array;
}

/**
 * Positions start, start + step, … (`count` of them, continuous coordinates of the grid, corner origin), prepared for bilinear
 * sampling with the border repeated.
 */
export function axis(count: number, start: number, step: number, length: number): Axis {
  const low = new Int32Array(count);
  const high = new Int32Array(count);
  const weight = new Float32Array(count);
  for (let i = 0; i < count; i++) {
    const at = Math.min(Math.max(start + i * step - 0.5, 0), length - 1);
    const floor = Math.floor(at);
    low[i] = floor;
    high[i] = Math.min(floor + 1, length - 1);
    weight[i] = at - floor;
  }
  return { low, high, weight };
}

/** One row of a channel, interpolated between the two grid rows around position `y` of the axis. */
export function gridRow(grid: Grid, channel: number, ys: Axis, y: number, out: Float32Array): void {
  const plane = channel * grid.height * grid.width;
  const upper = plane + (ys.low[y] as number) * grid.width;
  const lower = plane + (ys.high[y] as number) * grid.width;
  const t = ys.weight[y] as number;
  for (let x = 0; x < grid.width; x++) out[x] = lerp(grid.data[upper + x] as number, grid.data[lower + x] as number, t);
}

export const lerp = (a: number, b: number, t: number): number => a + (b - a) * t;

/** The cells of every plane within `window`. */
export function cropGrid({ data, channels, height, width }: Grid, window: Rect): Grid {
  const size = { height: window.bottom - window.top, width: window.right - window.left };
  const out = new Float32Array(channels * size.height * size.width);
  for (let c = 0, o = 0; c < channels; c++) {
    for (let y = window.top; y < window.bottom; y++, o += size.width) {
      const row = (c * height + y) * width;
      out.set(data.subarray(row + window.left, row + window.right), o);
    }
  }
  return { data: out, channels, ...size };
}

/** Every plane of […, h, w] at half its size, averaged 2×2. h and w must be even. */
export function halve(data: Float32Array, width: number): Float32Array {
  const out = new Float32Array(data.length / 4);
  for (let o = 0, row = 0; o < out.length; row += 2 * width) {
    for (let x = row; x < row + width; x += 2) {
      const upper = (data[x] as number) + (data[x + 1] as number);
      out[o++] = 0.25 * (upper + (data[x + width] as number) + (data[x + width + 1] as number));
    }
  }
  return out;
}

/** Pixels of the work picture by which a field's neighbouring cells differ where it begins to break, and where it has broken. */
const BREAK = { from: 8, to: 16 };

/**
 * A field in work pixels, on a grid of its own → on every work pixel of `window`; 0 elsewhere. Bilinear, but where neighbouring cells
 * differ by more than BREAK: there one thing moves over another, what lies between the two belongs to neither, and each pixel goes with
 * the cell that the mixture is nearest to.
 */
export function refineField(field: Grid, size: Size, window: Rect): Grid {
  const { data, width, height } = field;
  const [plane, fine] = [width * height, size.width * size.height];
  const [cellX, cellY] = [width / size.width, height / size.height];
  const xs = axis(window.right - window.left, (window.left + 0.5) * cellX, cellX, width);
  const ys = axis(window.bottom - window.top, (window.top + 0.5) * cellY, cellY, height);
  const out = new Float32Array(2 * fine);
  const dx = new Float32Array(width); // the field's row at the current height
  const dy = new Float32Array(width);
  const torn = new Float32Array(width); // by the cell's left corner: how far it is broken there
  const [first, last] = [xs.low[0] ?? 0, xs.low[xs.low.length - 1] ?? -1];
  for (let y = window.top, row = -1; y < window.bottom; y++) {
    const i = y - window.top;
    gridRow(field, 0, ys, i, dx);
    gridRow(field, 1, ys, i, dy);
    const upper = (ys.low[i] as number) * width;
    const lower = (ys.high[i] as number) * width;
    if (row !== upper) for (let x = first; x <= last; x++) torn[x] = tornAt(data, plane, upper, lower, x, width);
    row = upper;
    for (let x = window.left, j = 0, o = y * size.width + x; x < window.right; x++, j++, o++) {
      const low = xs.low[j] as number;
      const share = torn[low] as number;
      if (share < 0) continue;
      const high = xs.high[j] as number;
      const t = xs.weight[j] as number;
      const mx = lerp(dx[low] as number, dx[high] as number, t);
      const my = lerp(dy[low] as number, dy[high] as number, t);
      out[o] = mx;
      out[fine + o] = my;
      if (share === 0) continue;
      let best = Number.POSITIVE_INFINITY;
      for (let corner = 0; corner < 4; corner++) {
        const at = (corner < 2 ? upper : lower) + (corner % 2 === 0 ? low : high);
        const ex = (data[at] as number) - mx;
        const ey = (data[plane + at] as number) - my;
        if (ex * ex + ey * ey >= best) continue;
        best = ex * ex + ey * ey;
        out[o] = mx + share * ex;
        out[fine + o] = my + share * ey;
      }
    }
  }
  return { data: out, channels: 2, ...size };
}

/** How far a field is broken, 0 to 1, between column x and the next of the rows that begin at `upper` and `lower`; −1 if it is 0 there. */
function tornAt(data: Float32Array, plane: number, upper: number, lower: number, x: number, width: number): number {
  const next = Math.min(x + 1, width - 1);
  const [a, b, c, d] = [upper + x, upper + next, lower + x, lower + next];
  const size = (p: number): number => Math.abs(data[p] as number) + Math.abs(data[plane + p] as number);
  if (size(a) + size(b) + size(c) + size(d) === 0) return -1;
  const squared = (p: number, q: number): number => {
    const ex = (data[p] as number) - (data[q] as number);
    const ey = (data[plane + p] as number) - (data[plane + q] as number);
    return ex * ex + ey * ey;
  };
  const sides = Math.max(squared(a, b), squared(c, d), squared(a, c), squared(b, d));
  const most = Math.max(sides, squared(a, d), squared(b, c));
  if (most <= BREAK.from * BREAK.from) return 0;
  const t = Math.min((Math.sqrt(most) - BREAK.from) / (BREAK.to - BREAK.from), 1);
  return t * t * (3 - 2 * t);
}

/**
 * Every plane of `source` warped by a field in pixels of which one is `scale` cells of the source, over the part `window` of the result
 * (in the source's cells). The field may have another resolution; it is interpolated.
 */
export function warpWindow(source: Grid, field: Grid, window: Rect, scale: number): Grid {
  const { data, channels, height, width } = source;
  const wide = window.right - window.left;
  const tall = window.bottom - window.top;
  const cellX = field.width / width;
  const cellY = field.height / height;
  const xs = axis(wide, (window.left + 0.5) * cellX, cellX, field.width);
  const ys = axis(tall, (window.top + 0.5) * cellY, cellY, field.height);
  const dx = new Float32Array(field.width);
  const dy = new Float32Array(field.width);
  const upper = new Int32Array(wide);
  const lower = new Int32Array(wide);
  const right = new Int32Array(wide);
  const wx = new Float32Array(wide);
  const wy = new Float32Array(wide);
  const out = new Float32Array(channels * tall * wide);
  const plane = height * width;
  for (let y = 0; y < tall; y++) {
    gridRow(field, 0, ys, y, dx);
    gridRow(field, 1, ys, y, dy);
    // beside from…to nothing moves: the field is 0 wherever the mask lets nothing change
    let from = wide;
    let to = 0;
    for (let x = 0; x < wide; x++) {
      const low = xs.low[x] as number;
      const high = xs.high[x] as number;
      const t = xs.weight[x] as number;
      const moveX = scale * lerp(dx[low] as number, dx[high] as number, t);
      const moveY = scale * lerp(dy[low] as number, dy[high] as number, t);
      if (moveX !== 0 || moveY !== 0) {
        if (from === wide) from = x;
        to = x + 1;
      }
      const sx = Math.min(Math.max(window.left + x + moveX, 0), width - 1);
      const sy = Math.min(Math.max(window.top + y + moveY, 0), height - 1);
      const column = sx | 0;
      const row = sy | 0;
      upper[x] = row * width + column;
      lower[x] = Math.min(row + 1, height - 1) * width + column;
      right[x] = column + 1 < width ? 1 : 0;
      wx[x] = sx - column;
      wy[x] = sy - row;
    }
    const still = (window.top + y) * width + window.left;
    for (let c = 0, above = 0, o = y * wide; c < channels; c++, above += plane, o += tall * wide) {
      if (from > 0) out.set(data.subarray(above + still, above + still + from), o);
      if (to > from && to < wide) out.set(data.subarray(above + still + to, above + still + wide), o + to);
      warpSpan(data, above, upper, lower, right, wx, wy, from, to, out, o);
    }
  }
  return { data: out, channels, height: tall, width: wide };
}

/** Pixels from…to of one row of one plane, which begins at `plane` of `data`; `at` is where the row begins in `out`. */
function warpSpan(
  data: Float32Array,
  plane: number,
  upper: Int32Array,
  lower: Int32Array,
  right: Int32Array,
  wx: Float32Array,
  wy: Float32Array,
  from: number,
  to: number,
  out: Float32Array,
  at: number,
): void {
  for (let x = from; x < to; x++) {
    const above = plane + (upper[x] as number);
    const below = plane + (lower[x] as number);
    const next = right[x] as number;
    const t = wx[x] as number;
    const p = data[above] as number;
    const q = data[below] as number;
    const high = p + ((data[above + next] as number) - p) * t;
    const low = q + ((data[below + next] as number) - q) * t;
    out[at + x] = high + (low - high) * (wy[x] as number);
  }
}

/** The source latent warped by a field in work pixels, of which one latent pixel has `downscale`. */
export function warpLatent(latent: Grid, field: Grid, downscale: number): Grid {
  return warpWindow(latent, field, wholeOf(latent), 1 / downscale);
}
