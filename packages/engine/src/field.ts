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
  if (t === 0) out.set(grid.data.subarray(upper, upper + grid.width));
  else
    for (let x = 0; x < grid.width; x++)
      out[x] = lerp(grid.data[upper + x] as number, grid.data[lower + x] as number, t);
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
 * A field in work pixels, on a grid of its own → on every pixel of `window` of a picture of `size` that covers the same region; still in
 * work pixels. Bilinear, but where neighbouring cells differ by more than BREAK: there one thing moves over another, and what lies between
 * the two belongs to neither. Of the 4×4 cells around a pixel the two that differ most stand for the two sides; the pixel belongs to the
 * side that the smoothed field is nearer to, which draws a smooth line, and goes with the mean of the cells on that side. `mayBreak`
 * false: bilinear everywhere.
 */
export function refineField(field: Grid, size: Size, window: Rect, mayBreak = true): Grid {
  const { width, height } = field;
  const [wide, tall] = [window.right - window.left, window.bottom - window.top];
  const [cellX, cellY] = [width / size.width, height / size.height];
  const xs = axis(wide, (window.left + 0.5) * cellX, cellX, width);
  const ys = axis(tall, (window.top + 0.5) * cellY, cellY, height);
  const out = new Float32Array(2 * wide * tall);
  const dx = new Float32Array(width); // the field's row at the current height
  const dy = new Float32Array(width);
  const breaks = new Breaks(field);
  const [first, last] = [xs.low[0] ?? 0, xs.high[wide - 1] ?? -1];
  const torn: (Break | undefined)[] = new Array(width).fill(undefined); // by its left column, in the current row
  for (let y = 0, o = 0, known = -1; y < tall; y++) {
    gridRow(field, 0, ys, y, dx);
    gridRow(field, 1, ys, y, dy);
    const row = Math.min(ys.low[y] as number, Math.max(0, height - 2));
    const v = (ys.low[y] as number) - row + (ys.weight[y] as number);
    spline(v, breaks.down);
    if (mayBreak && row !== known) {
      for (let x = Math.max(0, Math.min(first, width - 2)); x <= last; x++) torn[x] = breaks.between(x, row);
      known = row;
    }
    for (let x = 0; x < wide; x++, o++) {
      const low = xs.low[x] as number;
      const t = xs.weight[x] as number;
      const mx = lerp(dx[low] as number, dx[xs.high[x] as number] as number, t);
      const my = lerp(dy[low] as number, dy[xs.high[x] as number] as number, t);
      out[o] = mx;
      out[wide * tall + o] = my;
      const column = low < width - 1 ? low : Math.max(0, width - 2);
      const here = torn[column];
      if (here === undefined) continue;
      spline(low - column + t, breaks.across);
      breaks.takeSide(here);
      out[o] = mx + here.share * (breaks.x - mx);
      out[wide * tall + o] = my + here.share * (breaks.y - my);
    }
  }
  return { data: out, channels: 2, height: tall, width: wide };
}

/** What is known of a place between four cells where the field breaks. */
interface Break {
  /** 0 to 1: how far it is broken */
  readonly share: number;
  /** the 4×4 cells around it, by their place in the grid */
  readonly cells: Int32Array;
  /** those two of them that differ most */
  readonly one: number;
  readonly other: number;
  /** [16], 1 = on the side of `one` */
  readonly sides: Uint8Array;
}

/** Where a field breaks, and with what a pixel there goes. */
class Breaks {
  /** weights of the four columns and the four rows around the current pixel */
  readonly across = new Float64Array(4);
  readonly down = new Float64Array(4);
  /** what `takeSide` found; no object of its own, since it is asked for every pixel */
  x = 0;
  y = 0;

  constructor(private readonly field: Grid) {}

  /** Between columns x, x + 1 and rows y, y + 1. */
  between(x: number, y: number): Break | undefined {
    const { width, height } = this.field;
    const right = Math.min(x + 1, width - 1);
    const below = Math.min(y + 1, height - 1) * width;
    const a = y * width + x;
    const b = y * width + right;
    const c = below + x;
    const d = below + right;
    const squared = Math.max(
      this.squared(a, b),
      this.squared(a, c),
      this.squared(a, d),
      this.squared(b, c),
      this.squared(b, d),
      this.squared(c, d),
    );
    if (!(squared > BREAK.from * BREAK.from)) return undefined;
    const cells = new Int32Array(16);
    for (let i = 0, k = 0; i < 4; i++) {
      const row = Math.min(Math.max(y + i - 1, 0), height - 1) * width;
      for (let j = 0; j < 4; j++, k++) cells[k] = row + Math.min(Math.max(x + j - 1, 0), width - 1);
    }
    const { one, other } = this.furthest(cells);
    const t = Math.min((Math.sqrt(squared) - BREAK.from) / (BREAK.to - BREAK.from), 1);
    return {
      share: t * t * (3 - 2 * t),
      cells,
      one,
      other,
      sides: Uint8Array.from(cells, (cell) => (this.squared(cell, one) <= this.squared(cell, other) ? 1 : 0)),
    };
  }

  private furthest(cells: Int32Array): { one: number; other: number } {
    let [squared, one, other] = [-1, 0, 0];
    for (let a = 0; a < cells.length; a++) {
      for (let b = a + 1; b < cells.length; b++) {
        const apart = this.squared(cells[a] as number, cells[b] as number);
        if (apart > squared) [squared, one, other] = [apart, cells[a] as number, cells[b] as number];
      }
    }
    return { one, other };
  }

  private squared(p: number, q: number): number {
    const { data, width, height } = this.field;
    const ex = (data[p] as number) - (data[q] as number);
    const ey = (data[width * height + p] as number) - (data[width * height + q] as number);
    return ex * ex + ey * ey;
  }

  /** Puts the mean of the cells on the side that the current pixel belongs to into x and y. */
  takeSide({ cells, one, other, sides }: Break): void {
    const { across, down } = this;
    const { data, width, height } = this.field;
    const plane = width * height;
    let smoothX = 0;
    let smoothY = 0;
    let sumX = 0; // of the side of `one`
    let sumY = 0;
    let sum = 0;
    let allX = 0;
    let allY = 0;
    let all = 0;
    for (let k = 0; k < 16; k++) {
      const cell = cells[k] as number;
      const weight = (down[k >> 2] as number) * (across[k & 3] as number);
      const fx = data[cell] as number;
      const fy = data[plane + cell] as number;
      smoothX += weight * fx;
      smoothY += weight * fy;
      const some = weight + 1e-4;
      allX += some * fx;
      allY += some * fy;
      all += some;
      if (sides[k] === 0) continue;
      sumX += some * fx;
      sumY += some * fy;
      sum += some;
    }
    const toOne = (smoothX - (data[one] as number)) ** 2 + (smoothY - (data[plane + one] as number)) ** 2;
    const toOther = (smoothX - (data[other] as number)) ** 2 + (smoothY - (data[plane + other] as number)) ** 2;
    const mine = toOne <= toOther;
    this.x = mine ? sumX / sum : (allX - sumX) / (all - sum);
    this.y = mine ? sumY / sum : (allY - sumY) / (all - sum);
  }
}

/** Weights of the four cells around a place `t` in [0, 1] between the middle two: the cubic B-spline's. */
function spline(t: number, out: Float64Array): void {
  const s = 1 - t;
  out[0] = s ** 3 / 6;
  out[1] = (3 * t ** 3 - 6 * t * t + 4) / 6;
  out[2] = (3 * s ** 3 - 6 * s * s + 4) / 6;
  out[3] = t ** 3 / 6;
}

/** A grid that covers the rectangle `from` of a photo, as one of `size` that covers `onto`: bilinear, and each plane's `beyond` where it covers nothing. */
export function overlay(grid: Grid, from: Rect, onto: Rect, size: Size, beyond: readonly number[]): Grid {
  const [right, bottom] = [from.right - from.left, from.bottom - from.top];
  const [cellX, cellY] = [(onto.right - onto.left) / size.width, (onto.bottom - onto.top) / size.height];
  const positions = (count: number, start: number, cell: number, length: number, cells: number): Axis =>
    axis(count, ((start + 0.5 * cell) * cells) / length, (cell * cells) / length, cells);
  const xs = positions(size.width, onto.left - from.left, cellX, right, grid.width);
  const ys = positions(size.height, onto.top - from.top, cellY, bottom, grid.height);
  const covered = (i: number, start: number, cell: number, length: number): boolean =>
    start + (i + 0.5) * cell >= 0 && start + (i + 0.5) * cell <= length;
  const columns = Array.from({ length: size.width }, (_, x) => covered(x, onto.left - from.left, cellX, right));
  const plane = size.width * size.height;
  const out = new Float32Array(grid.channels * plane);
  const row = new Float32Array(grid.width);
  for (let c = 0, o = 0; c < grid.channels; c++) {
    out.fill(beyond[c] ?? 0, o, o + plane);
    for (let y = 0; y < size.height; y++, o += size.width) {
      if (!covered(y, onto.top - from.top, cellY, bottom)) continue;
      gridRow(grid, c, ys, y, row);
      for (let x = 0; x < size.width; x++) {
        if (columns[x] !== true) continue;
        const low = row[xs.low[x] as number] as number;
        out[o + x] = lerp(low, row[xs.high[x] as number] as number, xs.weight[x] as number);
      }
    }
  }
  return { data: out, channels: grid.channels, ...size };
}

/** A grid of a window of a picture of `size` as one of the whole, 0 elsewhere. */
export function spread({ data, channels, width }: Grid, size: Size, window: Rect): Grid {
  const out = new Float32Array(channels * size.width * size.height);
  for (let c = 0, row = 0; c < channels; c++) {
    for (let y = window.top; y < window.bottom; y++, row++) {
      out.set(data.subarray(row * width, (row + 1) * width), (c * size.height + y) * size.width + window.left);
    }
  }
  return { data: out, channels, ...size };
}

/**
 * Every plane of `source` warped by a field in pixels of which one is `scale` cells of the source, over the part `window` of the result
 * (in the source's cells). The field may have another resolution; it is interpolated. With a `step` of 2 the result is half as large:
 * each of its pixels looks up what lands in the middle of the four it stands for, which is their mean where nothing moves.
 */
export function warpWindow(source: Grid, field: Grid, window: Rect, scale: number, step: 1 | 2 = 1): Grid {
  const { data, channels, height, width } = source;
  const wide = (window.right - window.left) / step;
  const tall = (window.bottom - window.top) / step;
  const cellX = field.width / width;
  const cellY = field.height / height;
  const middle = step / 2;
  const xs = axis(wide, (window.left + middle) * cellX, step * cellX, field.width);
  const ys = axis(tall, (window.top + middle) * cellY, step * cellY, field.height);
  const [left, top] = [window.left + middle - 0.5, window.top + middle - 0.5];
  const dx = new Float32Array(field.width);
  const dy = new Float32Array(field.width);
  const row = new Places(wide, width, height);
  const out = new Float32Array(channels * tall * wide);
  const [plane, landing] = [height * width, tall * wide];
  for (let y = 0; y < tall; y++) {
    gridRow(field, 0, ys, y, dx);
    gridRow(field, 1, ys, y, dy);
    row.place(xs, dx, dy, scale, left, top + step * y, step);
    const { from, to } = row;
    const still = (window.top + y) * width + window.left;
    for (let c = 0, above = 0, o = y * wide; c < channels; c++, above += plane, o += landing) {
      if (from > 0) out.set(data.subarray(above + still, above + still + from), o);
      if (to > from && to < wide) out.set(data.subarray(above + still + to, above + still + wide), o + to);
    }
    const fours = channels - (channels % 4);
    for (let c = 0; c < fours; c += 4) row.fetchFour(data, c * plane, out, c * landing + y * wide, landing);
    for (let c = fours; c < channels; c++) row.fetch(data, c * plane, out, c * landing + y * wide);
  }
  return { data: out, channels, height: tall, width: wide };
}

/** Where the pixels of one row come from on a grid: for each the upper left of the four cells around its place, and how far it lies between them. */
class Places {
  /** Beside from…to nothing moves: the field is 0 wherever the mask lets nothing change. Of rows at half the size all is looked up. */
  from = 0;
  to = 0;
  private readonly cell: Int32Array;
  private readonly across: Float64Array;
  private readonly down: Float64Array;
  private readonly right: number;
  private readonly below: number;

  constructor(
    private readonly count: number,
    private readonly width: number,
    private readonly height: number,
  ) {
    this.cell = new Int32Array(count);
    this.across = new Float64Array(count);
    this.down = new Float64Array(count);
    this.right = width > 1 ? 1 : 0;
    this.below = height > 1 ? width : 0;
  }

  /** A row whose pixels lie at x = left, left + step, … and y, moved by `scale` times the field's row dx, dy, looked up at `xs`. */
  place(xs: Axis, dx: Float32Array, dy: Float32Array, scale: number, left: number, y: number, step: number): void {
    const { low, high, weight } = xs;
    const count = this.count;
    let from = step === 1 ? count : 0;
    let to = 0;
    for (let i = 0; i < count; i++) {
      const l = low[i] as number;
      const h = high[i] as number;
      const t = weight[i] as number;
      const moveX = scale * lerp(dx[l] as number, dx[h] as number, t);
      const moveY = scale * lerp(dy[l] as number, dy[h] as number, t);
      this.put(i, left + step * i + moveX, y + moveY);
      if (moveX === 0 && moveY === 0) continue;
      if (from === count) from = i;
      to = i + 1;
    }
    this.from = from;
    this.to = step === 1 ? to : count;
  }

  /** Pixel i comes from column x and row y, counted from the middle of the first cell; beside the grid its border is repeated. */
  private put(i: number, x: number, y: number): void {
    const endX = this.width - 1;
    const endY = this.height - 1;
    const sx = Math.min(Math.max(x, 0), endX);
    const sy = Math.min(Math.max(y, 0), endY);
    // at the far border the place lies at the end of the last two cells
    const column = sx < endX || endX === 0 ? sx | 0 : endX - 1;
    const row = sy < endY || endY === 0 ? sy | 0 : endY - 1;
    this.cell[i] = row * this.width + column;
    this.across[i] = sx - column;
    this.down[i] = sy - row;
  }

  /** The row's pixels of the plane that begins at `plane` of `data`; the row begins at `at` in `out`. */
  fetch(data: Float32Array, plane: number, out: Float32Array, at: number): void {
    const { cell, across, down, right, below, from, to } = this;
    for (let x = from; x < to; x++) {
      const above = plane + (cell[x] as number);
      out[at + x] = between(data, above, above + below, right, across[x] as number, down[x] as number);
    }
  }

  /** The same of four planes, `size` cells each, into four whose rows are `landing` apart: places are looked up once for all of them. */
  fetchFour(data: Float32Array, plane: number, out: Float32Array, at: number, landing: number): void {
    const { cell, across, down, right, below, from, to } = this;
    const size = this.width * this.height;
    for (let x = from; x < to; x++) {
      const a = plane + (cell[x] as number);
      const b = a + below;
      const t = across[x] as number;
      const v = down[x] as number;
      const o = at + x;
      out[o] = between(data, a, b, right, t, v);
      out[o + landing] = between(data, a + size, b + size, right, t, v);
      out[o + 2 * landing] = between(data, a + 2 * size, b + 2 * size, right, t, v);
      out[o + 3 * landing] = between(data, a + 3 * size, b + 3 * size, right, t, v);
    }
  }
}

/** Between four cells: two at `above` and two at `below`, `next` apart; `t` of the way across and `v` of the way down. */
function between(data: Float32Array, above: number, below: number, next: number, t: number, v: number): number {
  const p = data[above] as number;
  const q = data[below] as number;
  const high = p + ((data[above + next] as number) - p) * t;
  const low = q + ((data[below + next] as number) - q) * t;
  return high + (low - high) * v;
}

/** The source latent warped by a field in work pixels, of which one latent pixel has `downscale`. */
export function warpLatent(latent: Grid, field: Grid, downscale: number): Grid {
  return warpWindow(latent, field, wholeOf(latent), 1 / downscale);
}
