/**
 * The picture as CLIP's image encoder gets it: 224 × 224, bicubic, centre-cropped, normalised. Byte for byte what Pillow and the
 * reference implementation make of it, since the tokens that come out of it steer every step.
 */
import type { Size } from '../geometry.js';
import type { Rgb } from '../picture.js';

export interface ClipRules {
  /** side of the square */
  readonly size: number;
  readonly mean: readonly number[];
  readonly std: readonly number[];
}

/** [work, RGB] → [3, size, size] */
export function clipPixels(rgb: Rgb, work: Size, rules: ClipRules): Float32Array {
  const { size, mean, std } = rules;
  const short = Math.min(work.width, work.height);
  const scaled = {
    width: Math.floor((size * work.width) / short),
    height: Math.floor((size * work.height) / short),
  };
  const small = resizeBicubic(throughFloat(rgb), work, scaled);
  const left = Math.floor((scaled.width - size) / 2);
  const top = Math.floor((scaled.height - size) / 2);
  const out = new Float32Array(3 * size * size);
  for (let c = 0, o = 0; c < 3; c++) {
    for (let y = 0; y < size; y++) {
      const row = (top + y) * scaled.width + left;
      for (let x = 0; x < size; x++, o++) {
        out[o] = ((small[3 * (row + x) + c] as number) / 255 - (mean[c] as number)) / (std[c] as number);
      }
    }
  }
  return out;
}

/** The reference takes the picture to [−1, 1] and back in float32 and truncates: some values come out one lower. */
function throughFloat(rgb: Rgb): Rgb {
  const f = Math.fround;
  const table = Uint8Array.from({ length: 256 }, (_, v) => f(127.5 * f(f(f((2 * v) / 255) - 1) + 1)));
  return rgb.map((v) => table[v] as number);
}

/** Antialiased bicubic resampling in fixed point, columns first, as Pillow does it. Interleaved RGB. */
export function resizeBicubic(rgb: Rgb, from: Size, to: Size): Rgb {
  const wide = resizeLines(rgb, from.height, from.width, to.width, 3, from.width * 3, 3, to.width * 3);
  return resizeLines(wide, to.width, from.height, to.height, to.width * 3, 3, to.width * 3, 3);
}

const PRECISION = 2 ** 22;

/**
 * Resamples `lines` lines from `length` to `wanted` samples. step: distance between the samples of a line, stride: between lines,
 * each for the input and the output.
 */
function resizeLines(
  data: Rgb,
  lines: number,
  length: number,
  wanted: number,
  step: number,
  stride: number,
  outStep: number,
  outStride: number,
): Rgb {
  if (length === wanted) return data;
  const out = new Uint8ClampedArray(lines * wanted * 3);
  for (const [i, { first, weights }] of taps(length, wanted).entries()) {
    for (let line = 0; line < lines; line++) {
      for (let c = 0; c < 3; c++) {
        let sum = PRECISION / 2;
        let at = line * stride + first * step + c;
        for (let k = 0; k < weights.length; k++, at += step) sum += (weights[k] as number) * (data[at] as number);
        out[line * outStride + i * outStep + c] = Math.floor(sum / PRECISION);
      }
    }
  }
  return new Uint8Array(out.buffer);
}

/** For every output sample: the first input sample it sees, and integer weights that sum to about PRECISION. */
function taps(length: number, wanted: number): { first: number; weights: Float64Array }[] {
  const scale = length / wanted;
  const widen = Math.max(1, scale);
  const support = 2 * widen;
  return Array.from({ length: wanted }, (_, i) => {
    const centre = (i + 0.5) * scale;
    const first = Math.max(0, Math.trunc(centre - support + 0.5));
    const end = Math.min(length, Math.trunc(centre + support + 0.5));
    const raw = Float64Array.from({ length: end - first }, (_, k) => cubic((k + first - centre + 0.5) / widen));
    const total = raw.reduce((a, b) => a + b, 0);
    return { first, weights: raw.map((w) => roundAway((w / total) * PRECISION)) };
  });
}

/** Catmull–Rom, a = −1/2. */
function cubic(x: number): number {
  const t = Math.abs(x);
  if (t < 1) return (1.5 * t - 2.5) * t * t + 1;
  return t < 2 ? ((-0.5 * t + 2.5) * t - 4) * t + 2 : 0;
}

const roundAway = (x: number): number => Math.trunc(x < 0 ? x - 0.5 : x + 0.5);
