/** Knows: what a run's seed is. The engine has its own word on the same, since the two packages never meet. */

export const MAX_SEED = 2 ** 31 - 1;

/**
 * Seeds come in ranges of this length, one for each answer that the engine has to what belongs to a drag, the best one first; the
 * candidates of a run take one after the other.
 */
export const SEEDS_AN_ANSWER = 2 ** 29;

/** The seed of the candidate that would come after a run's last one, with fresh noise. */
export function followingSeed(seed: number, candidates: number): number {
  return (seed + candidates * SEEDS_AN_ANSWER + 1) % (MAX_SEED + 1);
}
