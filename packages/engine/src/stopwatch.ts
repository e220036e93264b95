/** Adds up the milliseconds of each stage of one edit. */
import { performance } from 'node:perf_hooks';
import { type EditTimings, STAGES, type Stage } from './types.js';

export class Stopwatch {
  readonly #start = performance.now();
  readonly #stages = new Map<Stage, number>();
  #firstPreview: number | undefined;
  #firstDenoised: number | undefined;

  add(stage: Stage, ms: number): void {
    this.#stages.set(stage, (this.#stages.get(stage) ?? 0) + ms);
  }

  async time<T>(stage: Stage, work: () => T | Promise<T>): Promise<T> {
    const start = performance.now();
    const result = await work();
    this.add(stage, performance.now() - start);
    return result;
  }

  /** Notes that the preview of `step` is ready; only the first of each kind counts. */
  previewReady(step: number): void {
    const now = performance.now() - this.#start;
    if (step === 0) this.#firstPreview ??= now;
    else this.#firstDenoised ??= now;
  }

  timings(reusedEncoder: boolean): EditTimings {
    const totalMs = performance.now() - this.#start;
    const stages = Object.fromEntries(STAGES.map((stage) => [stage, tenths(this.#stages.get(stage) ?? 0)]));
    return {
      totalMs: tenths(totalMs),
      firstPreviewMs: tenths(this.#firstPreview ?? totalMs),
      firstDenoisedMs: tenths(this.#firstDenoised ?? totalMs),
      stages: stages as EditTimings['stages'],
      reusedEncoder,
    };
  }
}

const tenths = (ms: number): number => Math.round(ms * 10) / 10;
