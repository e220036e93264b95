/**
 * Seeded Gaussian noise and the priors a denoising run may start from. Pure functions; latents are planar [C, h, w] float32.
 *
 * sfc32 and Box–Muller, both in double precision and rounded once to float32: the same seed gives the same bytes on every machine.
 */
import type { WorkPoint } from './geometry.js';
import type { NoisePrior } from './types.js';

/** Uniform 32-bit integers, period about 2^128 (Chris Doty-Humphrey's sfc32). Each (seed, stream) is its own sequence. */
export function sfc32(seed: number, stream: number): () => number {
  let a = seed | 0;
  let b = stream | 0;
  let c = 0x9e3779b9 | 0;
  let counter = 1;
  const next = (): number => {
    const t = (((a + b) | 0) + counter) | 0;
    counter = (counter + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = ((c << 21) | (c >>> 11)) + t;
    c |= 0;
    return t >>> 0;
  };
  for (let i = 0; i < 15; i++) next(); // mix the seed in
  return next;
}

/** `length` samples of a standard normal. Streams: 0 for the start, 1 + i for the fresh noise of step i. */
export function gaussian(seed: number, stream: number, length: number): Float32Array {
  const next = sfc32(seed, stream);
  const out = new Float32Array(length);
  for (let i = 0; i < length; i += 2) {
    const radius = Math.sqrt(-2 * Math.log((next() + 1) / 4294967296)); // (0, 1], so the logarithm is finite
    const angle = (2 * Math.PI * next()) / 4294967296;
    out[i] = radius * Math.cos(angle);
    if (i + 1 < length) out[i + 1] = radius * Math.sin(angle);
  }
  return out;
}

export interface PriorInput {
  /** [C, h, w] standard normal */
  noise: Float32Array;
  /** [C, h, w] latent of the source */
  source: Float32Array;
  /** [C, h, w] latent of the source, warped by the dense field */
  warped: Float32Array;
  /** [h, w], 1 = may change */
  mask: Float32Array;
  /** handles and targets in work pixels */
  drags: readonly { handle: WorkPoint; target: WorkPoint }[];
  channels: number;
  height: number;
  width: number;
  /** work pixels per latent pixel */
  downscale: number;
  /** ᾱ of the first timestep */
  alpha: number;
}

/** Radius of the disk that COPY_PASTE carries from each handle to its target, as a share of the latent's shorter side. */
const DISK = 1 / 16;

/**
 * The start x_T = √ᾱ · m + √(1 − ᾱ) · ε for the prior's own m:
 * SOURCE the source; WARP the source warped by the dense field; COPY_PASTE the source with a disk around each handle copied to its
 * target; MIXED the source, but pure noise where the mask allows change; PURE noise alone.
 */
export function startFromPrior(prior: NoisePrior, input: PriorInput): Float32Array {
  const { noise, source, warped, mask, alpha } = input;
  switch (prior) {
    case 'PURE':
      return Float32Array.from(noise);
    case 'SOURCE':
      return addNoise(source, noise, alpha);
    case 'WARP':
      return addNoise(warped, noise, alpha);
    case 'COPY_PASTE':
      return addNoise(copyDisks(input), noise, alpha);
    case 'MIXED': {
      const out = addNoise(source, noise, alpha);
      const plane = mask.length;
      for (let i = 0; i < out.length; i++) if ((mask[i % plane] as number) >= 0.5) out[i] = noise[i] as number;
      return out;
    }
  }
}

/** √ᾱ · x0 + √(1 − ᾱ) · ε */
export function addNoise(x0: Float32Array, noise: Float32Array, alpha: number): Float32Array {
  const keep = Math.sqrt(alpha);
  const add = Math.sqrt(1 - alpha);
  const out = new Float32Array(x0.length);
  for (let i = 0; i < out.length; i++) out[i] = keep * (x0[i] as number) + add * (noise[i] as number);
  return out;
}

function copyDisks(input: PriorInput): Float32Array {
  const { source, drags, channels, height, width, downscale } = input;
  const out = Float32Array.from(source);
  const radius = Math.max(1, Math.round(DISK * Math.min(height, width)));
  for (const { handle, target } of drags) {
    const [hx, hy, tx, ty] = [handle.x, handle.y, target.x, target.y].map((v) => Math.floor(v / downscale)) as Four;
    for (let dy = -radius; dy <= radius; dy++) {
      for (let dx = -radius; dx <= radius; dx++) {
        const [fx, fy, gx, gy] = [hx + dx, hy + dy, tx + dx, ty + dy];
        if (dx * dx + dy * dy > radius * radius || !inside(fx, fy, width, height) || !inside(gx, gy, width, height))
          continue;
        for (let c = 0; c < channels; c++) {
          const plane = c * height * width;
          out[plane + gy * width + gx] = source[plane + fy * width + fx] as number;
        }
      }
    }
  }
  return out;
}

type Four = [number, number, number, number];
const inside = (x: number, y: number, width: number, height: number): boolean =>
  x >= 0 && y >= 0 && x < width && y < height;
