/**
 * Checks an edit's input against the bundle and fills in the defaults. Messages say what was expected, what came, and which drag.
 * Drags are numbered from 1.
 */
import { randomInt } from 'node:crypto';
import type { Bundle } from './bundle.js';
import { EngineError } from './errors.js';
import { type PhotoDrag, photoPoint, type Size } from './geometry.js';
import { timestepsOf } from './lightningdrag/schedule.js';
import {
  type EditInput,
  type EditOptions,
  GUIDANCE_DECAYS,
  type GuidanceDecay,
  NOISE_PRIORS,
  type NoisePrior,
  SCHEDULERS,
  type Scheduler,
} from './types.js';

export const MAX_CANDIDATES = 4;

/** An edit's settings with nothing left open. */
export interface Settings {
  readonly seed: number;
  readonly candidates: number;
  readonly steps: number;
  /** descending; the first is where sampling starts */
  readonly timesteps: readonly number[];
  readonly scheduler: Scheduler;
  readonly guidance: number;
  readonly guidanceDecay: GuidanceDecay;
  readonly guidanceSteps: number;
  readonly noisePrior: NoisePrior;
  readonly pointAugmentation: boolean;
  readonly sequential: boolean;
}

export function checkSettings(input: EditInput, bundle: Bundle): Settings {
  const { options: takes, defaults } = bundle;
  const given: EditOptions = input.options ?? {};
  const scheduler = oneOf('scheduler', given.scheduler ?? defaults.scheduler, SCHEDULERS);
  if (!takes.schedulers.some((s) => s === scheduler))
    throw unsupported(bundle, 'scheduler', scheduler, takes.schedulers);
  const usual = defaults.byScheduler?.[scheduler] ?? defaults;
  const steps = given.steps ?? usual.steps;
  if (!takes.steps.includes(steps)) throw unsupported(bundle, 'steps', steps, takes.steps);
  const noisePrior = oneOf('noisePrior', given.noisePrior ?? defaults.noisePrior, NOISE_PRIORS);
  if (!takes.noisePriors.includes(noisePrior)) throw unsupported(bundle, 'noisePrior', noisePrior, takes.noisePriors);
  for (const name of ['pointAugmentation', 'sequential'] as const) {
    if (given[name] === true && !takes[name]) throw unsupported(bundle, name, true, [false]);
  }
  return {
    seed: checkSeed(input.seed),
    candidates: whole('candidates', input.candidates ?? 1, 1, MAX_CANDIDATES),
    steps,
    timesteps: timestepsFor(bundle, scheduler, steps),
    scheduler,
    ...checkGuidance({ ...given, guidance: given.guidance ?? usual.guidance }, bundle, steps),
    noisePrior,
    pointAugmentation: given.pointAugmentation ?? false,
    sequential: given.sequential ?? false,
  };
}

function timestepsFor(bundle: Bundle, scheduler: Scheduler, steps: number): readonly number[] {
  const { schedule } = bundle;
  if ('timesteps' in schedule) return schedule.timesteps[String(steps)] as number[]; // the bundle's own check saw to it
  return timestepsOf(scheduler, steps, schedule.steps, schedule.offset);
}

function checkGuidance(
  given: EditOptions,
  bundle: Bundle,
  steps: number,
): Pick<Settings, 'guidance' | 'guidanceDecay' | 'guidanceSteps'> {
  const range = bundle.options.guidance;
  const guidance = given.guidance ?? bundle.defaults.guidance;
  const decay = oneOf(
    'guidanceDecay',
    given.guidanceDecay ?? bundle.defaults.guidanceDecay ?? 'INV_SQUARE',
    GUIDANCE_DECAYS,
  );
  if (!Number.isFinite(guidance)) throw bad(`guidance must be a number, not ${guidance}`);
  if (range === null) {
    // 1 is "off", which is what a bundle without guidance does
    if (guidance !== 1) throw unsupported(bundle, 'guidance', guidance, [1]);
    if (given.guidanceDecay !== undefined) throw unsupported(bundle, 'guidanceDecay', decay, []);
    if (given.guidanceSteps !== undefined) throw unsupported(bundle, 'guidanceSteps', given.guidanceSteps, []);
  } else if (guidance < range.min || guidance > range.max) {
    throw new EngineError(
      'UNSUPPORTED_OPTION',
      `bundle ${bundle.name} takes guidance from ${range.min} to ${range.max}, not ${guidance}`,
    );
  }
  const guidanceSteps = whole('guidanceSteps', given.guidanceSteps ?? steps, 0, steps);
  return { guidance, guidanceDecay: decay, guidanceSteps };
}

export function checkDrags(input: EditInput, bundle: Bundle, size: Size): PhotoDrag[] {
  const { drags } = input;
  if (!Array.isArray(drags)) throw bad('drags must be a list of {handle, target}');
  const limit = bundle.options.maxDrags;
  if (drags.length === 0) throw bad('no drags: an edit needs at least one');
  if (drags.length > limit) throw bad(`${drags.length} drags; bundle ${bundle.name} takes at most ${limit}`);
  return input.drags.map((drag, i) => {
    const point = (end: 'handle' | 'target') => {
      const { x, y } = drag?.[end] ?? {};
      if (!Number.isFinite(x) || !Number.isFinite(y)) {
        throw bad(`drag ${i + 1}: its ${end} is (${x}, ${y}); both coordinates must be finite numbers`);
      }
      const p = { x: x as number, y: y as number };
      if (p.x < 0 || p.y < 0 || p.x > size.width || p.y > size.height) {
        throw bad(
          `drag ${i + 1}: its ${end} (${x}, ${y}) lies outside the picture, which is ${size.width}×${size.height}`,
        );
      }
      return photoPoint(p);
    };
    return { handle: point('handle'), target: point('target') };
  });
}

function checkSeed(seed: number | undefined): number {
  if (seed === undefined) return randomInt(0, ONE_ANSWER);
  return whole('seed', seed, -(2 ** 31), 2 ** 31 - 1);
}

/** So many seeds in a row ask for the same of a family's answers; those below it for the best one. */
const ONE_ANSWER = 2 ** 29;

/** Which of a family's answers a seed asks for. */
export function answerOf(seed: number, answers: number): number {
  return seed < 0 ? 0 : Math.floor(seed / ONE_ANSWER) % answers;
}

/** Candidate i of an edit is candidate 0 of the same edit with this seed. */
export function candidateSeed(seed: number, index: number, answers: number): number {
  return answers === 1 || seed < 0 ? (seed + index) | 0 : (seed + index * ONE_ANSWER) % 2 ** 31;
}

function whole(name: string, value: number, min: number, max: number): number {
  if (!Number.isInteger(value) || value < min || value > max) {
    throw bad(`${name} must be a whole number from ${min} to ${max}, not ${value}`);
  }
  return value;
}

function oneOf<T extends string>(name: string, value: T, allowed: readonly T[]): T {
  if (!allowed.includes(value)) throw bad(`${name} must be one of ${allowed.join(', ')}, not ${value}`);
  return value;
}

const bad = (message: string): EngineError => new EngineError('BAD_INPUT', message);

function unsupported(bundle: Bundle, name: string, value: unknown, takes: readonly unknown[]): EngineError {
  const offer = takes.length > 0 ? `it takes ${takes.join(', ')}` : 'it has no such option';
  return new EngineError(
    'UNSUPPORTED_OPTION',
    `bundle ${bundle.name} does not take ${name} ${String(value)}; ${offer}`,
  );
}
