/**
 * Lattices of cells over the work picture, from fine to coarse, on which patchmatch.ts searches: interleaved bytes, row-major.
 */

/** Cells around a patch's middle; the lattice has as many more on every side, so that every patch lies within it. */
export const RADIUS = 2;
/** Values of a cell: R, G, B and the luminance's steps across and down. */
export const CHANNELS = 5;
/** Weight of a whole known cell in a patch. */
export const KNOWN = 16;
/** Sixteenths of the luminance's steps that count beside the colours. */
const TEXTURE = 5;

/**
 * The photo and what is known of the picture, in cells of `cell` work pixels, without the border.
 * source, now: [h, w, CHANNELS]; hole, allowed (may be copied): [h, w], 0 or 1; known: [h, w], 0 to KNOWN, how much of a cell is
 * background that stays.
 */
export interface Lattice {
  readonly cell: number;
  readonly height: number;
  readonly width: number;
  readonly source: Uint8Array;
  readonly now: Uint8Array;
  readonly hole: Uint8Array;
  readonly known: Uint8Array;
  readonly allowed: Uint8Array;
}

export const clamp = (value: number, last: number): number => Math.min(Math.max(value, 0), last);

/** [3, H, W] in [−1, 1] → [H/2, W/2, CHANNELS] */
export function colours(image: Float32Array, height: number, width: number): Uint8Array {
  const across = 2 * width;
  const plane = across * 2 * height;
  const bytes = new Uint8Array(3 * plane);
  for (let i = 0; i < bytes.length; i++) bytes[i] = clamp(Math.floor(((image[i] as number) + 1) * 127.5 + 0.5), 255);
  const sums = new Int32Array(plane);
  for (let i = 0; i < plane; i++) {
    sums[i] = (bytes[i] as number) + (bytes[plane + i] as number) + (bytes[2 * plane + i] as number);
  }
  const out = new Uint8Array(height * width * CHANNELS);
  for (let y = 0, o = 0; y < height; y++) {
    for (let x = 0; x < width; x++, o += CHANNELS) {
      const first = 2 * y * across + 2 * x;
      for (let c = 0, p = first; c < 3; c++, p += plane) {
        const upper = (bytes[p] as number) + (bytes[p + 1] as number);
        out[o + c] = (upper + (bytes[p + across] as number) + (bytes[p + across + 1] as number) + 2) >> 2;
      }
      let right = 0;
      let down = 0;
      for (let k = 0; k < 4; k++) {
        const p = first + (k >> 1) * across + (k & 1);
        if (x > 0 || (k & 1) === 1) right += Math.abs((sums[p] as number) - (sums[p - 1] as number));
        if (y > 0 || k > 1) down += Math.abs((sums[p] as number) - (sums[p - across] as number));
      }
      out[o + 3] = Math.min((right * TEXTURE) >> 4, 255);
      out[o + 4] = Math.min((down * TEXTURE) >> 4, 255);
    }
  }
  return out;
}

export function coarser(fine: Lattice): Lattice {
  const [height, width] = [fine.height >> 1, fine.width >> 1];
  const size = height * width;
  const [source, now] = [new Uint8Array(size * CHANNELS), new Uint8Array(size * CHANNELS)];
  const [hole, known, allowed] = [new Uint8Array(size), new Uint8Array(size), new Uint8Array(size)];
  const four = new Int32Array(4);
  for (let y = 0, o = 0; y < height; y++) {
    for (let x = 0; x < width; x++, o++) {
      let hidden = 0;
      let weight = 0;
      let free = 0;
      for (let k = 0; k < 4; k++) {
        const i = (2 * y + (k >> 1)) * fine.width + 2 * x + (k & 1);
        four[k] = i;
        hidden += fine.hole[i] as number;
        weight += fine.known[i] as number;
        free += fine.allowed[i] as number;
      }
      for (let c = 0; c < CHANNELS; c++) {
        let sum = 2;
        let seen = weight >> 1;
        for (let k = 0; k < 4; k++) {
          const i = four[k] as number;
          sum += fine.source[i * CHANNELS + c] as number;
          seen += (fine.now[i * CHANNELS + c] as number) * (fine.known[i] as number);
        }
        source[o * CHANNELS + c] = sum >> 2;
        now[o * CHANNELS + c] = Math.floor(seen / Math.max(weight, 1));
      }
      hole[o] = hidden > 0 && weight < 2 * KNOWN ? 1 : 0;
      known[o] = hole[o] === 1 ? 0 : weight >> 2;
      allowed[o] = free === 4 ? 1 : 0;
    }
  }
  return { cell: 2 * fine.cell, height, width, source, now, hole, known, allowed };
}

/** [h, w, channels] with RADIUS cells of zeros on every side. */
export function padded({ height, width }: Lattice, cells: Uint8Array, channels: number): Uint8Array {
  const row = (width + 2 * RADIUS) * channels;
  const out = new Uint8Array((height + 2 * RADIUS) * row);
  for (let y = 0; y < height; y++) {
    out.set(cells.subarray(y * width * channels, (y + 1) * width * channels), (y + RADIUS) * row + RADIUS * channels);
  }
  return out;
}

/** Where cells are not zero. */
export function indices(cells: Uint8Array): Int32Array {
  let count = 0;
  for (let i = 0; i < cells.length; i++) if (cells[i] !== 0) count++;
  const out = new Int32Array(count);
  for (let i = 0, o = 0; i < cells.length; i++) if (cells[i] !== 0) out[o++] = i;
  return out;
}
