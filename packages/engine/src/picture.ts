/**
 * From the networks' picture back to the photo: tensors and bytes, the warp at full resolution, compositing, previews.
 * Pure functions; the long ones work on a range of rows, so that the caller can breathe between bands.
 */
import { axis, type Grid, gridRow, lerp } from './field.js';
import { height, type Rect, type Size, type View, width } from './geometry.js';

/** Interleaved RGB bytes, row-major. */
export type Rgb = Uint8Array;

/** RGB bytes → [3, H, W] in [−1, 1]. */
export function toTensor(rgb: Rgb, size: Size): Float32Array {
  const plane = size.width * size.height;
  const out = new Float32Array(3 * plane);
  for (let i = 0, s = 0; i < plane; i++, s += 3) {
    out[i] = (rgb[s] as number) / 127.5 - 1;
    out[plane + i] = (rgb[s + 1] as number) / 127.5 - 1;
    out[2 * plane + i] = (rgb[s + 2] as number) / 127.5 - 1;
  }
  return out;
}

/** [3, H, W] in [−1, 1] → RGB bytes, clamped. Returns undefined if any value is not finite. */
export function toRgb(tensor: Float32Array): Rgb | undefined {
  const plane = tensor.length / 3;
  const out = new Uint8ClampedArray(tensor.length);
  let check = 0;
  for (let i = 0, o = 0; i < plane; i++, o += 3) {
    const r = tensor[i] as number;
    const g = tensor[plane + i] as number;
    const b = tensor[2 * plane + i] as number;
    check += (r + g + b) * 0; // NaN as soon as one of them is NaN or infinite
    out[o] = (r + 1) * 127.5; // Uint8ClampedArray rounds
    out[o + 1] = (g + 1) * 127.5;
    out[o + 2] = (b + 1) * 127.5;
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

/** Catmull–Rom weights of the four samples around a position `t` ∈ [0, 1) past the second. */
function cubic(t: number, out: Float64Array): void {
  const [t2, t3] = [t * t, t * t * t];
  out[0] = (-t + 2 * t2 - t3) / 2;
  out[1] = (2 - 5 * t2 + 3 * t3) / 2;
  out[2] = (t + 4 * t2 - 3 * t3) / 2;
  out[3] = (t3 - t2) / 2;
}

/**
 * The photo warped at its own resolution, bicubic, border repeated; written over a copy of the region's pixels.
 * `target` [region height, region width, channels] starts as the unwarped region; only pixels with alpha > 0 are replaced.
 * Rows from…to are counted within `box`.
 */
export function warpRows(
  photo: { data: Uint8Array; channels: number },
  view: View,
  field: Grid,
  box: Rect,
  alpha: Uint8Array,
  target: Uint8Array,
  from: number,
  to: number,
): void {
  const { data, channels } = photo;
  const { photo: size, region, scaleX, scaleY } = view;
  const cell = { x: (scaleX * field.width) / view.work.width, y: (scaleY * field.height) / view.work.height };
  const xs = axis(width(box), (box.left + 0.5 - region.left) * cell.x, cell.x, field.width);
  const ys = axis(height(box), (box.top + 0.5 - region.top) * cell.y, cell.y, field.height);
  const dx = new Float32Array(field.width); // the field's row at the current height
  const dy = new Float32Array(field.width);
  const [maxX, maxY] = [size.width - 1, size.height - 1];
  const wx = new Float64Array(4);
  const wy = new Float64Array(4);
  const rows = new Int32Array(4); // offsets of the four source rows
  for (let y = from; y < to; y++) {
    gridRow(field, 0, ys, y, dx);
    gridRow(field, 1, ys, y, dy);
    const o0 = ((box.top - region.top + y) * width(region) + box.left - region.left) * channels;
    for (let x = 0; x < width(box); x++) {
      if (alpha[y * width(box) + x] === 0) continue;
      const [low, high, t] = [xs.low[x] as number, xs.high[x] as number, xs.weight[x] as number];
      const sx = box.left + x + lerp(dx[low] as number, dx[high] as number, t) / scaleX;
      const sy = box.top + y + lerp(dy[low] as number, dy[high] as number, t) / scaleY;
      const cx = Math.min(Math.max(sx, 0), maxX);
      const cy = Math.min(Math.max(sy, 0), maxY);
      const [ix, iy] = [Math.floor(cx), Math.floor(cy)];
      cubic(cx - ix, wx);
      cubic(cy - iy, wy);
      for (let k = 0; k < 4; k++) rows[k] = Math.min(Math.max(iy + k - 1, 0), maxY) * size.width * channels;
      const w0 = wx[0] as number;
      const w1 = wx[1] as number;
      const w2 = wx[2] as number;
      const w3 = wx[3] as number;
      const c0 = Math.max(ix - 1, 0) * channels;
      const c1 = ix * channels;
      const c2 = Math.min(ix + 1, maxX) * channels;
      const c3 = Math.min(ix + 2, maxX) * channels;
      const o = o0 + x * channels;
      for (let c = 0; c < channels; c++) {
        let sum = 0;
        for (let j = 0; j < 4; j++) {
          const row = (rows[j] as number) + c;
          sum +=
            (wy[j] as number) *
            (w0 * (data[row + c0] as number) +
              w1 * (data[row + c1] as number) +
              w2 * (data[row + c2] as number) +
              w3 * (data[row + c3] as number));
        }
        target[o + c] = clampByte(sum);
      }
    }
  }
}

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
  for (let y = from; y < to; y++) {
    if (v !== undefined) gridRow(v, 0, ys, y, seen);
    for (let x = 0; x < width(box); x++) {
      const a = alpha[y * width(box) + x] as number;
      if (a === 0) continue;
      const r = ((box.top - region.top + y) * width(region) + box.left - region.left + x) * 3;
      const o = ((box.top + y) * photo.width + box.left + x) * 3;
      const visible = lerp(
        seen[xs.low[x] as number] as number,
        seen[xs.high[x] as number] as number,
        xs.weight[x] as number,
      );
      for (let c = 0; c < 3; c++) {
        let value = picture[r + c] as number;
        if (detail !== undefined) {
          value += visible * ((detail.warped[r + c] as number) - (detail.smooth[r + c] as number));
        }
        const own = out[o + c] as number;
        out[o + c] = clampByte(own + (a / 255) * (value - own));
      }
    }
  }
}

/** The picture at preview size with the networks' picture [work, RGB] in its place; `base` is the photo at preview size. */
export function renderPreview(base: Rgb, size: Size, view: View, picture: Rgb, box: Rect, alpha: Uint8Array): Rgb {
  const out = Uint8Array.from(base);
  const { photo, region, work, scaleX, scaleY } = view;
  const stepX = photo.width / size.width; // photo pixels per preview pixel
  const stepY = photo.height / size.height;
  const taps = { x: Math.max(1, Math.round(stepX * scaleX)), y: Math.max(1, Math.round(stepY * scaleY)) };
  const x0 = Math.max(0, Math.floor(box.left / stepX));
  const x1 = Math.min(size.width, Math.ceil(box.right / stepX));
  const y0 = Math.max(0, Math.floor(box.top / stepY));
  const y1 = Math.min(size.height, Math.ceil(box.bottom / stepY));
  for (let y = y0; y < y1; y++) {
    for (let x = x0; x < x1; x++) {
      let [weight, r, g, b] = [0, 0, 0, 0];
      for (let j = 0; j < taps.y; j++) {
        const py = (y + (j + 0.5) / taps.y) * stepY;
        const wy = Math.min(work.height - 1, Math.max(0, Math.floor((py - region.top) * scaleY)));
        const ay = Math.floor(py) - box.top;
        for (let i = 0; i < taps.x; i++) {
          const px = (x + (i + 0.5) / taps.x) * stepX;
          const ax = Math.floor(px) - box.left;
          if (ax < 0 || ay < 0 || ax >= width(box) || ay >= height(box)) continue;
          const a = alpha[ay * width(box) + ax] as number;
          if (a === 0) continue;
          const wx = Math.min(work.width - 1, Math.max(0, Math.floor((px - region.left) * scaleX)));
          const s = (wy * work.width + wx) * 3;
          weight += a;
          r += a * (picture[s] as number);
          g += a * (picture[s + 1] as number);
          b += a * (picture[s + 2] as number);
        }
      }
      if (weight === 0) continue;
      const keep = 1 - weight / (255 * taps.x * taps.y);
      const scale = 1 / (255 * taps.x * taps.y);
      const o = (y * size.width + x) * 3;
      out[o] = clampByte((base[o] as number) * keep + r * scale);
      out[o + 1] = clampByte((base[o + 1] as number) * keep + g * scale);
      out[o + 2] = clampByte((base[o + 2] as number) * keep + b * scale);
    }
  }
  return out;
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
  for (let i = 0; i < pixels; i++) {
    out.set(own.rgb.subarray(3 * i, 3 * i + 3), 4 * i);
    out[4 * i + 3] = own.alpha[i] as number;
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
