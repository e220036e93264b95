/**
 * Masks of the photo's size: one byte a pixel, 1 = may change. Derived from drags, extended to reach handles, feathered inwards.
 */
import { diagonal, dragLength, height, type PhotoDrag, type Rect, type Size, type View, width } from './geometry.js';
import type { Point } from './types.js';

/** row-major, 0 or 1 */
export type Mask = Uint8Array;

/**
 * A loose mask for people who did not paint one. Around each drag a capsule from handle to target, as wide as users' own masks tend
 * to be: it grows with the drag (far moves take more along) and with the picture. Drags near each other are joined, so that what
 * lies between them can follow. A pin joins the nearest drag: the part between a pinned and a moved point must be able to stretch.
 */
export function deriveMask(size: Size, drags: readonly PhotoDrag[]): Mask {
  const mask = new Uint8Array(size.width * size.height);
  const moving = drags.filter((d) => dragLength(d) > 0);
  const pins = drags.filter((d) => dragLength(d) === 0);
  const radii = moving.map((d) => dragRadius(dragLength(d), size));
  moving.forEach((d, i) => {
    paintCapsule(mask, size, d.handle, d.target, radii[i] as number);
    for (let j = 0; j < i; j++) {
      const other = moving[j] as PhotoDrag;
      const reach = (radii[i] as number) + (radii[j] as number);
      if (distance(d.handle, other.handle) < 1.5 * reach) {
        const radius = Math.min(radii[i] as number, radii[j] as number);
        paintCapsule(mask, size, d.handle, other.handle, radius);
        paintCapsule(mask, size, d.target, other.target, radius);
      }
    }
  });
  const pinRadius = PIN_RADIUS * diagonal(size);
  for (const pin of pins) {
    const nearest = moving.toSorted((a, b) => distance(a.handle, pin.handle) - distance(b.handle, pin.handle))[0];
    if (nearest === undefined) paintCapsule(mask, size, pin.handle, pin.handle, pinRadius);
    else if (distance(nearest.handle, pin.handle) < 0.5 * diagonal(size)) {
      paintCapsule(mask, size, nearest.handle, pin.handle, pinRadius);
    }
  }
  return mask;
}

/**
 * Photo pixels. Generous: a mask that cuts through the thing tears it, and one that is too wide bends what lies around a little. Of the 98
 * hand-painted masks of training/eval/user_drags.json, masks derived so hold 96 %, at 1.7 times the area (median).
 */
function dragRadius(length: number, size: Size): number {
  const wanted = 0.77 * length + PIN_RADIUS * diagonal(size);
  return Math.min(wanted, 0.36 * Math.min(size.width, size.height));
}

/** Room around a point that does not move, as a share of the picture's diagonal. */
const PIN_RADIUS = 0.112;

/**
 * Makes a painted mask reach every handle. Returns one warning for each drag that the mask did not cover; the mask is changed in place.
 * A pin outside the mask is held anyway, and a target outside it stays outside: what may change is the user's decision.
 */
export function reachHandles(mask: Mask, size: Size, drags: readonly PhotoDrag[]): string[] {
  const at = (p: Point): number => mask[pixelOf(p, size)] as number;
  const outside = drags.map((d) => ({ handle: at(d.handle) === 0, target: at(d.target) === 0 }));
  return drags.flatMap((d, i) => {
    const name = `drag ${i + 1}`;
    if (outside[i]?.handle && dragLength(d) > 0) {
      paintCapsule(mask, size, d.handle, d.target, dragRadius(dragLength(d), size));
      return [`${name} starts outside the mask, which was extended around it`];
    }
    if (outside[i]?.handle) return [`${name} pins a point outside the mask, where nothing moves`];
    if (outside[i]?.target)
      return [`${name} ends outside the mask: what it moves can be seen only up to the mask's edge`];
    return [];
  });
}

/** Index of the pixel that a point lies in; points on the right and bottom edge belong to the last pixel. */
function pixelOf(p: Point, size: Size): number {
  const x = Math.min(Math.floor(p.x), size.width - 1);
  const y = Math.min(Math.floor(p.y), size.height - 1);
  return y * size.width + x;
}

/** Sets every pixel whose centre lies within `radius` of the segment a–b. */
export function paintCapsule(mask: Mask, size: Size, a: Point, b: Point, radius: number): void {
  const [dx, dy] = [b.x - a.x, b.y - a.y];
  const squared = dx * dx + dy * dy;
  const top = Math.max(0, Math.floor(Math.min(a.y, b.y) - radius));
  const bottom = Math.min(size.height, Math.ceil(Math.max(a.y, b.y) + radius));
  const left = Math.max(0, Math.floor(Math.min(a.x, b.x) - radius));
  const right = Math.min(size.width, Math.ceil(Math.max(a.x, b.x) + radius));
  for (let y = top; y < bottom; y++) {
    for (let x = left; x < right; x++) {
      const [px, py] = [x + 0.5 - a.x, y + 0.5 - a.y];
      const along = squared > 0 ? Math.min(Math.max((px * dx + py * dy) / squared, 0), 1) : 0;
      const [ex, ey] = [px - along * dx, py - along * dy];
      if (ex * ex + ey * ey <= radius * radius) mask[y * size.width + x] = 1;
    }
  }
}

/** The smallest rectangle around all that may change; undefined if nothing may. */
export function maskBox(mask: Mask, size: Size): Rect | undefined {
  let [left, top, right, bottom] = [size.width, size.height, 0, 0];
  for (let y = 0; y < size.height; y++) {
    const row = mask.subarray(y * size.width, (y + 1) * size.width);
    const first = row.indexOf(1);
    if (first < 0) continue;
    left = Math.min(left, first);
    right = Math.max(right, row.lastIndexOf(1) + 1);
    top = Math.min(top, y);
    bottom = y + 1;
  }
  return right > left ? { left, top, right, bottom } : undefined;
}

/**
 * The mask with a soft edge: [box height, box width] bytes, 0 outside the mask, rising to 255 over `featherPx` photo pixels inwards.
 * The picture's own border is not an edge. Where the mask is thin the edge narrows, so that its middle is still changed fully.
 */
export function featherInside(mask: Mask, size: Size, box: Rect, featherPx: number): Uint8Array {
  // distances in fifths of a pixel (5-7 chamfer), on the box plus the ring of pixels around it that the photo has
  const left = Math.max(0, box.left - 1);
  const top = Math.max(0, box.top - 1);
  const right = Math.min(size.width, box.right + 1);
  const bottom = Math.min(size.height, box.bottom + 1);
  const [w, h] = [right - left, bottom - top];
  const far = 0xffff - 7;
  // one more row and column on each side, infinitely far: the picture's own border is no edge
  const pitch = w + 2;
  const dist = new Uint16Array(pitch * (h + 2)).fill(far);
  for (let y = 0; y < h; y++) {
    const from = (top + y) * size.width + left;
    for (let x = 0, i = (y + 1) * pitch + 1; x < w; x++, i++) {
      if (mask[from + x] === 0) {
        dist[i] = 0;
        continue;
      }
      const side = Math.min((dist[i - 1] as number) + 5, (dist[i - pitch] as number) + 5);
      const corner = Math.min((dist[i - pitch - 1] as number) + 7, (dist[i - pitch + 1] as number) + 7);
      dist[i] = Math.min(far, side, corner);
    }
  }
  let deepest = 0;
  for (let y = h - 1; y >= 0; y--) {
    for (let x = w - 1, i = (y + 1) * pitch + w; x >= 0; x--, i--) {
      const own = dist[i] as number;
      if (own === 0) continue;
      const side = Math.min((dist[i + 1] as number) + 5, (dist[i + pitch] as number) + 5);
      const corner = Math.min((dist[i + pitch - 1] as number) + 7, (dist[i + pitch + 1] as number) + 7);
      const d = Math.min(own, side, corner);
      dist[i] = d;
      if (d > deepest) deepest = d;
    }
  }
  const reach = Math.max(1, Math.min(featherPx, (0.4 * deepest) / 5));
  const ramp = Uint8Array.from({ length: Math.ceil(reach * 5) + 3 }, (_, d) => {
    const u = Math.min(Math.max((d / 5 - 0.5) / reach, 0), 1);
    return d === 0 ? 0 : Math.max(1, Math.round(255 * u * u * (3 - 2 * u)));
  });
  const alpha = new Uint8Array(width(box) * height(box));
  for (let y = box.top, o = 0; y < box.bottom; y++) {
    const row = (y - top + 1) * pitch + 1 - left;
    for (let x = box.left; x < box.right; x++, o++) {
      const d = dist[row + x] as number;
      alpha[o] = d >= ramp.length ? 255 : (ramp[d] as number);
    }
  }
  return alpha;
}

/** The mask as the networks get it: [H, W] float32, 1 where at least half of the work pixel's area may change. `box` bounds the mask. */
export function workMask(mask: Mask, view: View, box: Rect): Float32Array {
  const { work, region, photo, scaleX, scaleY } = view;
  const out = new Float32Array(work.width * work.height);
  const xs = cells(work.width, region.left, scaleX, box.left, box.right);
  const ys = cells(work.height, region.top, scaleY, box.top, box.bottom);
  for (let y = ys.from; y < ys.to; y++) {
    const [y0, y1] = [ys.start[y] as number, ys.end[y] as number];
    for (let x = xs.from, o = y * work.width + x; x < xs.to; x++, o++) {
      const [x0, x1] = [xs.start[x] as number, xs.end[x] as number];
      let on = 0;
      for (let row = y0 * photo.width; row < y1 * photo.width; row += photo.width) {
        for (let px = row + x0; px < row + x1; px++) on += mask[px] as number;
      }
      out[o] = 2 * on >= (y1 - y0) * (x1 - x0) ? 1 : 0;
    }
  }
  return out;
}

/** Along one axis: the photo pixels start…end of each work pixel, and the work pixels from…to that meet low…high of the photo. */
function cells(count: number, region: number, scale: number, low: number, high: number) {
  const start = new Int32Array(count);
  const end = new Int32Array(count);
  let [from, to] = [count, 0];
  for (let i = 0; i < count; i++) {
    const first = region + Math.floor(i / scale);
    const last = Math.max(first + 1, region + Math.round((i + 1) / scale));
    start[i] = first;
    end[i] = last;
    if (last <= low || first >= high) continue;
    from = Math.min(from, i);
    to = i + 1;
  }
  return { from, to, start, end };
}

const distance = (a: Point, b: Point): number => Math.hypot(a.x - b.x, a.y - b.y);
