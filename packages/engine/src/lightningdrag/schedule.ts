/**
 * LightningDrag's timesteps and steps, for a network that predicts the noise. Pure functions; symbols as in scheduler.ts.
 *
 * Sampling starts from the source noised to t = 999 although the first timestep lies lower: the method's own choice.
 */
import { EngineError } from '../errors.js';
import type { Scheduler } from '../types.js';

/** Timesteps of the model that LCM-LoRA was distilled from. */
const LCM_STEPS = 50;

/** Descending. DDIM: leading spacing, shifted by `offset`. LCM: evenly out of the 50 that distillation used, each the last of its part. */
export function timestepsOf(scheduler: Scheduler, count: number, training: number, offset: number): number[] {
  if (scheduler === 'DDIM') {
    const stride = Math.floor(training / count);
    return Array.from({ length: count }, (_, i) => (count - 1 - i) * stride + offset);
  }
  if (count > LCM_STEPS) {
    throw new EngineError('UNSUPPORTED_OPTION', `the LCM scheduler takes at most ${LCM_STEPS} steps, not ${count}`);
  }
  const stride = Math.floor(training / LCM_STEPS);
  return Array.from({ length: count }, (_, i) => (LCM_STEPS - Math.floor((LCM_STEPS * i) / count)) * stride - 1);
}

/** x̂_0 = (x_t − √(1 − ᾱ_t) ε̂) / √ᾱ_t */
export function cleanFromNoise(x: Float32Array, eps: Float32Array, alpha: number): Float32Array {
  const [signal, noise] = [Math.sqrt(alpha), Math.sqrt(1 - alpha)];
  const out = new Float32Array(x.length);
  for (let i = 0; i < out.length; i++) out[i] = ((x[i] as number) - noise * (eps[i] as number)) / signal;
  return out;
}
