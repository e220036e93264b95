/** Knows: how a run of the engine can end, and what the end of its process means for it. */

import type { EngineErrorCode } from '@tug/engine';
import type { ChildEnd } from './engine-fork.js';

/** How a run ended. Only `died` is worth another try. */
export type RunOutcome =
  | { kind: 'done' }
  | { kind: 'cancelled' }
  | { kind: 'timedOut' }
  | { kind: 'died'; reason: string }
  | { kind: 'failed'; code: EngineErrorCode; message: string };

/** How a run ends whose process died of itself. What was short of memory would be so again. */
export function outcomeOf({ reason, starved }: ChildEnd): RunOutcome {
  return starved ? outOfMemory(reason) : { kind: 'died', reason };
}

/** An edit that needs more than there is would do so again: it is not tried once more. */
export function outOfMemory(why: string): RunOutcome {
  const advice = 'use a smaller picture or mask, or give it more (TUG_ENGINE_MEMORY)';
  return { kind: 'failed', code: 'OUT_OF_MEMORY', message: `The engine ran out of memory (${why}): ${advice}.` };
}
