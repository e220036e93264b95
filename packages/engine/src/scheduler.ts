/**
 * Samplers and guidance for a network that predicts x0. Pure functions on float32 arrays of any one length.
 *
 *   code          paper          meaning
 *   alphas[t]     ᾱ_t            product of (1 − β) up to t: share of signal left at timestep t
 *   x             x_t            the noisy latent
 *   x0            x̂_0            the network's estimate of the clean latent
 *   eps           ε̂              the noise this implies, (x_t − √ᾱ_t x̂_0) / √(1 − ᾱ_t)
 *   scale         g_i            guidance at step i of n
 */
import type { GuidanceDecay } from './types.js';

export interface NoiseSchedule {
  kind: 'scaled_linear' | 'linear';
  betaStart: number;
  betaEnd: number;
  /** number of training timesteps */
  steps: number;
}

/** ᾱ_t for t = 0 … steps − 1. scaled_linear: √β is linear in t, as in Stable Diffusion. */
export function cumulativeAlphas(schedule: NoiseSchedule): Float64Array {
  const { kind, betaStart, betaEnd, steps } = schedule;
  const alphas = new Float64Array(steps);
  let product = 1;
  for (let t = 0; t < steps; t++) {
    const part = steps > 1 ? t / (steps - 1) : 0;
    const beta =
      kind === 'scaled_linear'
        ? (Math.sqrt(betaStart) + part * (Math.sqrt(betaEnd) - Math.sqrt(betaStart))) ** 2
        : betaStart + part * (betaEnd - betaStart);
    product *= 1 - beta;
    alphas[t] = product;
  }
  return alphas;
}

/** DDIM with η = 0 (arXiv 2010.02502, eq. 12): x_next = √ᾱ_next x̂_0 + √(1 − ᾱ_next) ε̂. */
export function ddimStep(x: Float32Array, x0: Float32Array, alpha: number, alphaNext: number): Float32Array {
  const out = new Float32Array(x.length);
  const [signal, noise] = [Math.sqrt(alpha), Math.sqrt(1 - alpha)];
  const [signalNext, noiseNext] = [Math.sqrt(alphaNext), Math.sqrt(1 - alphaNext)];
  for (let i = 0; i < out.length; i++) {
    const eps = ((x[i] as number) - signal * (x0[i] as number)) / noise;
    out[i] = signalNext * (x0[i] as number) + noiseNext * eps;
  }
  return out;
}

/** A latent consistency step (arXiv 2310.04378): x̂_0 with fresh noise. c_skip and c_out are taken at their limits 0 and 1. */
export function lcmStep(x0: Float32Array, fresh: Float32Array, alphaNext: number): Float32Array {
  const out = new Float32Array(x0.length);
  const [signal, noise] = [Math.sqrt(alphaNext), Math.sqrt(1 - alphaNext)];
  for (let i = 0; i < out.length; i++) out[i] = signal * (x0[i] as number) + noise * (fresh[i] as number);
  return out;
}

/**
 * The guidance of step i (0-based) of n, where `scale` is the user's g and only the first `guidedSteps` steps are guided.
 * NONE g; LINEAR g(1−u)+u; SQUARE g(1−u²)+u²; QUADRATIC with u³; INV_SQUARE (g−1)(1−u)²+1; u = i/n.
 */
export function guidanceAt(decay: GuidanceDecay, scale: number, i: number, n: number, guidedSteps: number): number {
  if (i >= guidedSteps) return 1;
  const u = i / n;
  switch (decay) {
    case 'NONE':
      return scale;
    case 'LINEAR':
      return scale * (1 - u) + u;
    case 'SQUARE':
      return scale * (1 - u ** 2) + u ** 2;
    case 'QUADRATIC':
      return scale * (1 - u ** 3) + u ** 3;
    case 'INV_SQUARE':
      return (scale - 1) * (1 - u) ** 2 + 1;
  }
}

/** uncond + g (cond − uncond). For one x_t, guiding x̂_0 and guiding ε̂ are the same, since each is affine in the other. */
export function guide(cond: Float32Array, uncond: Float32Array, scale: number): Float32Array {
  const out = new Float32Array(cond.length);
  for (let i = 0; i < out.length; i++) {
    out[i] = (uncond[i] as number) + scale * ((cond[i] as number) - (uncond[i] as number));
  }
  return out;
}
