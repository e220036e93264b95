/**
 * From the networks' picture back to the photo: tensors and bytes, the warp at full resolution, compositing, previews.
 * Pure functions; the long ones work on a range of rows, so that the caller can breathe between bands.
 */
import { axis, type Grid, gridRow, lerp } from './field.js';
import { height, type Rect, type Size, type View, wholeOf, width } from './geometry.js';

/** Interleaved RGB bytes, row-major. */
export type Rgb = Uint8Array;

/** A byte's value in [−1, 1]. */
const UNIT = Float32Array.from({ length: 256 }, (_, byte) => byte / 127.5 - 1);

/** RGB bytes → [3, H, W] in [−1, 1]. */
export function toTensor(rgb: Rgb, size: Size): Float32Array {
  const plane = size.width * size.height;
  const out = new Float32Array(3 * plane);
  for (let i = 0, s = 0; i < plane; i++, s += 3) {
    out[i] = UNIT[rgb[s] as number] as number;
    out[plane + i] = UNIT[rgb[s + 1] as number] as number;
    out[2 * plane + i] = UNIT[rgb[s + 2] as number] as number;
  }
  return out;
}

/**
 * [3, h, w] in [−1, 1], the part `covered` of a picture of `size` → the picture's RGB bytes within `window`, clamped; the rest stays
 * black. Undefined if any value there is not finite.
 */
export function toRgb(
  tensor: Float32Array,
  size: Size,
  window: Rect = wholeOf(size),
  covered: Rect = wholeOf(size),
): Rgb | undefined {
  const plane = width(covered) * height(covered);
  const out = new Uint8ClampedArray(3 * size.width * size.height);
  let check = 0;
  for (let y = window.top; y < window.bottom; y++) {
    const row = (y - covered.top) * width(covered) - covered.left;
    for (let i = row + window.left, o = 3 * (y * size.width + window.left); i < row + window.right; i++, o += 3) {
      const r = tensor[i] as number;
      const g = tensor[plane + i] as number;
      const b = tensor[2 * plane + i] as number;
      check += (r + g + b) * 0; // NaN as soon as one of them is NaN or infinite
      out[o] = (r + 1) * 127.5; // Uint8ClampedArray rounds
      out[o + 1] = (g + 1) * 127.5;
      out[o + 2] = (b + 1) * 127.5;
    }
  }
  return check === 0 ? new Uint8Array(out.buffer) : undefined;
}

/**
 * `image` [3, H, W] in [−1, 1] warped by a field in its own pixels (on whatever grid), bilinear, border repeated: RGB bytes of `size`,
 * which is the image's or half of it, where `window` is; the rest stays black. Undefined if the field is not finite there.
 */
export function warpToRgb(image: Grid, field: Grid, size: Size, window: Rect): Rgb | undefined {
  const { data, width: w, height: h } = image;
  const plane = w * h;
  const [stepX, stepY] = [w / size.width, h / size.height];
  const [cellX, cellY] = [field.width / size.width, field.height / size.height];
  const xs = axis(width(window), (window.left + 0.5) * cellX, cellX, field.width);
  const ys = axis(height(window), (window.top + 0.5) * cellY, cellY, field.height);
  const dx = new Float32Array(field.width); // the field's row at the current height
  const dy = new Float32Array(field.width);
  const out = new Uint8ClampedArray(3 * size.width * size.height);
  let check = 0;
  for (let y = window.top; y < window.bottom; y++) {
    gridRow(field, 0, ys, y - window.top, dx);
    gridRow(field, 1, ys, y - window.top, dy);
    const atY = (y + 0.5) * stepY - 0.5;
    for (let x = window.left, i = 0, o = 3 * (y * size.width + x); x < window.right; x++, i++, o += 3) {
      const low = xs.low[i] as number;
      const high = xs.high[i] as number;
      const t = xs.weight[i] as number;
      const fx = lerp(dx[low] as number, dx[high] as number, t);
      const fy = lerp(dy[low] as number, dy[high] as number, t);
      check += (fx + fy) * 0;
      const sx = (x + 0.5) * stepX - 0.5 + fx;
      const sy = atY + fy;
      const cx = Math.min(Math.max(sx, 0), w - 1);
      const cy = Math.min(Math.max(sy, 0), h - 1);
      const x0 = cx | 0;
      const y0 = cy | 0;
      const u = cx - x0;
      const v = cy - y0;
      let p = y0 * w + x0;
      let q = p + (y0 < h - 1 ? w : 0);
      const right = x0 < w - 1 ? 1 : 0;
      for (let c = 0; c < 3; c++, p += plane, q += plane) {
        const upper = lerp(data[p] as number, data[p + right] as number, u);
        const lower = lerp(data[q] as number, data[q + right] as number, u);
        out[o + c] = (lerp(upper, lower, v) + 1) * 127.5;
      }
    }
  }
  return check === 0 ? new Uint8Array(out.buffer) : undefined;
}

export function allFinite(values: Float32Array): boolean {
  let check = 0;
  for (let i = 0; i < values.length; i++) check += (values[i] as number) * 0;
  return check === 0;
}

/** The part of a picture inside `box`, `channels` interleaved bytes a pixel. */
export function crop(data: Uint8Array, size: Size, box: Rect, channels: number): Uint8Array {
  if (width(box) === size.width && height(box) === size.height) return data;
  const row = width(box) * channels;
  const out = new Uint8Array(row * height(box));
  for (let y = box.top, o = 0; y < box.bottom; y++, o += row) {
    const from = (y * size.width + box.left) * channels;
    out.set(data.subarray(from, from + row), o);
  }
  return out;
}

/**
 * The photo warped at its own resolution, bicubic, border repeated; written over a copy of the region's pixels.
 * `target` [region height, region width, channels] starts as the unwarped region; only pixels with alpha > 0 are replaced.
 * Rows from…to are counted within `box`; `moves` [2, to − from, box width] has the field there, in work pixels.
 */
export function warpRows(
  photo: { data: Uint8Array; channels: number },
  view: View,
  moves: Grid,
  box: Rect,
  alpha: Uint8Array,
  target: Uint8Array,
  from: number,
  to: number,
): void {
  const { data, channels } = photo;
  const { photo: size, region, scaleX, scaleY } = view;
  const plane = moves.width * moves.height;
  const [maxX, maxY] = [size.width - 1, size.height - 1];
  const pitch = size.width * channels;
  const bytes = clamping(target);
  for (let y = from; y < to; y++) {
    const o0 = ((box.top - region.top + y) * width(region) + box.left - region.left) * channels;
    for (let x = 0; x < width(box); x++) {
      if (alpha[y * width(box) + x] === 0) continue;
      const move = (y - from) * moves.width + x;
      const sx = box.left + x + (moves.data[move] as number) / scaleX;
      const sy = box.top + y + (moves.data[plane + move] as number) / scaleY;
      const cx = Math.min(Math.max(sx, 0), maxX);
      const cy = Math.min(Math.max(sy, 0), maxY);
      const ix = cx | 0;
      const iy = cy | 0;
      // Catmull–Rom: the weights of four columns and four rows
      const u = cx - ix;
      const v = cy - iy;
      const w0 = u * (u * (1 - u / 2) - 0.5);
      const w1 = 1 + u * u * (1.5 * u - 2.5);
      const w2 = u * (0.5 + u * (2 - 1.5 * u));
      const w3 = u * u * (u / 2 - 0.5);
      const v0 = v * (v * (1 - v / 2) - 0.5);
      const v1 = 1 + v * v * (1.5 * v - 2.5);
      const v2 = v * (0.5 + v * (2 - 1.5 * v));
      const v3 = v * v * (v / 2 - 0.5);
      const c1 = ix * channels;
      const c0 = ix > 0 ? c1 - channels : c1;
      const c2 = ix < maxX ? c1 + channels : c1;
      const c3 = ix + 1 < maxX ? c2 + channels : c2;
      const r1 = iy * pitch;
      const r0 = iy > 0 ? r1 - pitch : r1;
      const r2 = iy < maxY ? r1 + pitch : r1;
      const r3 = iy + 1 < maxY ? r2 + pitch : r2;
      const o = o0 + x * channels;
      for (let c = 0; c < channels; c++) {
        const p0 = c0 + c;
        const p1 = c1 + c;
        const p2 = c2 + c;
        const p3 = c3 + c;
        bytes[o + c] =
          v0 * (w0 * at(data, r0 + p0) + w1 * at(data, r0 + p1) + w2 * at(data, r0 + p2) + w3 * at(data, r0 + p3)) +
          v1 * (w0 * at(data, r1 + p0) + w1 * at(data, r1 + p1) + w2 * at(data, r1 + p2) + w3 * at(data, r1 + p3)) +
          v2 * (w0 * at(data, r2 + p0) + w1 * at(data, r2 + p1) + w2 * at(data, r2 + p2) + w3 * at(data, r2 + p3)) +
          v3 * (w0 * at(data, r3 + p0) + w1 * at(data, r3 + p1) + w2 * at(data, r3 + p2) + w3 * at(data, r3 + p3));
      }
    }
  }
}

/** The same bytes, rounding and clamping what is written to them: quicker than Math.round and two comparisons. */
const clamping = (bytes: Uint8Array): Uint8ClampedArray =>
  new Uint8ClampedArray(bytes.buffer, bytes.byteOffset, bytes.length);

const at = (data: Uint8Array, index: number): number => data[index] as number;

export interface Detail {
  /** [region], RGB: the photo warped at full resolution */
  warped: Rgb;
  /** [region], RGB: the warp at work size, which the networks' picture is built on, enlarged */
  smooth: Rgb;
  /** [1, h, w] visibility, 1 where the source shows what belongs there */
  visibility: Grid;
}

/**
 * Blends the networks' picture into the photo, within `box`:  out = photo + α (picture + v (warped − smooth) − photo).
 * The bracket is the fine detail that the work size could not hold, carried along by the warp where the source is visible.
 * `out` [photo, RGB] starts as the photo and keeps its own bytes wherever α = 0. `picture` is [region, RGB].
 */
export function blendRows(
  out: Rgb,
  picture: Rgb,
  detail: Detail | undefined,
  view: View,
  box: Rect,
  alpha: Uint8Array,
  from: number,
  to: number,
): void {
  const { region, photo } = view;
  const v = detail?.visibility;
  const cellX = v === undefined ? 1 : v.width / width(region);
  const cellY = v === undefined ? 1 : v.height / height(region);
  const xs = axis(width(box), (box.left + 0.5 - region.left) * cellX, cellX, v?.width ?? 1);
  const ys = axis(height(box), (box.top + 0.5 - region.top) * cellY, cellY, v?.height ?? 1);
  const seen = new Float32Array(v?.width ?? 1);
  const bytes = clamping(out);
  for (let y = from; y < to; y++) {
    if (v !== undefined) gridRow(v, 0, ys, y, seen);
    for (let x = 0; x < width(box); x++) {
      const a = alpha[y * width(box) + x] as number;
      if (a === 0) continue;
      const r = ((box.top - region.top + y) * width(region) + box.left - region.left + x) * 3;
      const o = ((box.top + y) * photo.width + box.left + x) * 3;
      const low = seen[xs.low[x] as number] as number;
      const visible = lerp(low, seen[xs.high[x] as number] as number, xs.weight[x] as number);
      for (let c = 0; c < 3; c++) {
        let value = picture[r + c] as number;
        if (detail !== undefined) {
          value += visible * ((detail.warped[r + c] as number) - (detail.smooth[r + c] as number));
        }
        const own = out[o + c] as number;
        bytes[o + c] = own + (a / 255) * (value - own);
      }
    }
  }
}

/** The picture at preview size with the networks' picture [work, RGB] in its place; `base` is the photo at preview size. */
export function renderPreview(base: Rgb, size: Size, view: View, picture: Rgb, box: Rect, alpha: Uint8Array): Rgb {
  const out = base.slice();
  const bytes = clamping(out);
  const { photo, region, work, scaleX, scaleY } = view;
  const xs = taps(size.width, photo.width, [box.left, box.right], region.left, scaleX, work.width);
  const ys = taps(size.height, photo.height, [box.top, box.bottom], region.top, scaleY, work.height);
  const share = 1 / (255 * xs.each * ys.each);
  for (let y = ys.from; y < ys.to; y++) {
    for (let x = xs.from; x < xs.to; x++) {
      let weight = 0;
      let r = 0;
      let g = 0;
      let b = 0;
      for (let j = (y - ys.from) * ys.each, endJ = j + ys.each; j < endJ; j++) {
        const alphaRow = (ys.box[j] as number) * width(box);
        if (alphaRow < 0) continue;
        const row = (ys.work[j] as number) * work.width;
        for (let i = (x - xs.from) * xs.each, endI = i + xs.each; i < endI; i++) {
          const column = xs.box[i] as number;
          if (column < 0) continue;
          const a = alpha[alphaRow + column] as number;
          const s = (row + (xs.work[i] as number)) * 3;
          weight += a;
          r += a * (picture[s] as number);
          g += a * (picture[s + 1] as number);
          b += a * (picture[s + 2] as number);
        }
      }
      if (weight === 0) continue;
      const keep = 1 - weight * share;
      const o = (y * size.width + x) * 3;
      bytes[o] = (base[o] as number) * keep + r * share;
      bytes[o + 1] = (base[o + 1] as number) * keep + g * share;
      bytes[o + 2] = (base[o + 2] as number) * keep + b * share;
    }
  }
  return out;
}

/**
 * Along one axis: what preview pixels from…to are made of, `each` samples a pixel. For every sample, its pixel of the box, −1 if it
 * lies beside it, and its pixel of the picture at work size.
 */
function taps(
  size: number,
  photo: number,
  [start, end]: readonly [number, number],
  region: number,
  scale: number,
  work: number,
): { from: number; to: number; each: number; box: Int32Array; work: Int32Array } {
  const step = photo / size; // photo pixels per preview pixel
  const each = Math.max(1, Math.round(step * scale));
  const from = Math.max(0, Math.floor(start / step));
  const to = Math.min(size, Math.ceil(end / step));
  const inBox = new Int32Array((to - from) * each);
  const inWork = new Int32Array((to - from) * each);
  for (let i = 0; i < inBox.length; i++) {
    const at = (from + (i + 0.5) / each) * step;
    inBox[i] = at >= start && at < end ? Math.floor(at) - start : -1;
    inWork[i] = Math.min(Math.max(Math.floor((at - region) * scale), 0), work - 1);
  }
  return { from, to, each, box: inBox, work: inWork };
}

/**
 * Puts colour and opacity together for a photo with transparency: [photo, RGBA]. Where α = 0 the photo's own four bytes; elsewhere
 * the opacity moves with the warp, and the colour, which the networks saw over white, is taken off the white again.
 */
export function joinAlpha(
  own: { rgb: Rgb; alpha: Uint8Array },
  flat: Rgb,
  warpedAlpha: Uint8Array,
  view: View,
  box: Rect,
  alpha: Uint8Array,
): Uint8Array {
  const pixels = own.alpha.length;
  const out = new Uint8Array(pixels * 4);
  for (let i = 0, s = 0, o = 0; i < pixels; i++, s += 3, o += 4) {
    out[o] = own.rgb[s] as number;
    out[o + 1] = own.rgb[s + 1] as number;
    out[o + 2] = own.rgb[s + 2] as number;
    out[o + 3] = own.alpha[i] as number;
  }
  const { region, photo } = view;
  for (let y = box.top, m = 0; y < box.bottom; y++) {
    for (let x = box.left; x < box.right; x++, m++) {
      const a = alpha[m] as number;
      if (a === 0) continue;
      const i = y * photo.width + x;
      const before = own.alpha[i] as number;
      const moved = warpedAlpha[(y - region.top) * width(region) + x - region.left] as number;
      const opacity = clampByte(before + (a / 255) * (moved - before));
      for (let c = 0; c < 3; c++) {
        const over = flat[3 * i + c] as number;
        out[4 * i + c] = opacity === 0 ? over : clampByte(255 + ((over - 255) * 255) / opacity);
      }
      out[4 * i + 3] = opacity;
    }
  }
  return out;
}

function clampByte(value: number): number {
  return value <= 0 ? 0 : value >= 255 ? 255 : Math.round(value);
}
