/**
 * PatchMatch on one lattice: every hidden cell gets the place of the photo whose surroundings look most like its own.
 *
 * All in integers (8-bit colours, hashed random numbers), and all cells of a step are looked at from the same state: training's
 * `patchmatch.py` is this step for step, and finds the same places to the last one.
 */
import { AROUND, type Ground } from './ground.js';
import { CHANNELS, RADIUS } from './lattice.js';

/** Squared distance of a cell of a source patch that may not be copied. */
const MISS = 10000;
/** Price of a tear between neighbours of different offsets. */
const SEAM = 24;
const SWEEPS = 2;
/**
 * By cell size: rounds of search and vote; how far away the neighbours are that are asked; the random search's first radius as a share
 * of the lattice, one in so many.
 */
const EFFORT: Readonly<Record<number, Effort>> = {
  8: { rounds: 20, steps: [4, 2, 1], share: 2 },
  4: { rounds: 5, steps: [2, 1], share: 2 },
  2: { rounds: 1, steps: [2, 1], share: 32 },
};
type Effort = { readonly rounds: number; readonly steps: readonly number[]; readonly share: number };
/** One more key of a hash of uint32. */
export function hash(state: number, key: number): number {
  let x = (state ^ Math.imul(key, 0x9e3779b1)) >>> 0;
  x = Math.imul(x ^ (x >>> 16), 0x7feb352d);
  x = Math.imul(x ^ (x >>> 15), 0x846ca68b);
  return (x ^ (x >>> 16)) >>> 0;
}

/** `found` is the source place of every hole cell of the ground. */
export class Search {
  readonly ground: Ground;
  readonly found: Int32Array;
  readonly #seed: number;
  readonly #effort: Effort;
  readonly #best: Float64Array;
  /** `found` as it was before the step that is under way */
  readonly #before: Int32Array;

  constructor(ground: Ground, seed: number) {
    const { cell } = ground.level;
    this.ground = ground;
    this.#seed = hash(hash(0, seed), cell);
    this.#effort = EFFORT[cell] as Effort;
    this.found = ground.places.slice();
    this.#before = ground.places.slice();
    this.#best = new Float64Array(ground.places.length);
  }

  /** `found` from the coarser lattice's, and the picture with it. */
  run(coarser: Search | undefined): void {
    this.#start(coarser);
    for (let round = 0; round < this.#effort.rounds; round++) {
      this.#improve(round);
      this.#vote();
    }
  }

  #start(coarser: Search | undefined): void {
    if (coarser === undefined) this.#spread();
    for (let i = 0; i < this.ground.places.length; i++) {
      const place = this.ground.places[i] as number;
      let at = coarser === undefined ? -1 : this.#inherited(coarser, place);
      if (at < 0) at = this.ground.sources[hash(this.#seed, i) % this.ground.sources.length] as number;
      this.found[i] = at;
    }
    if (coarser !== undefined) this.#vote();
  }

  /** Where a cell comes from if it moves as its parent does, or a neighbour of the parent that was filled; or −1. */
  #inherited(coarser: Search, place: number): number {
    const { height, width } = coarser.ground.level;
    const y = Math.floor(place / this.ground.width) - RADIUS;
    const x = (place % this.ground.width) - RADIUS;
    for (const [sy, sx] of AROUND) {
      const py = Math.min(Math.max((y >> 1) + sy, 0), height - 1) + RADIUS;
      const px = Math.min(Math.max((x >> 1) + sx, 0), width - 1) + RADIUS;
      const slot = coarser.ground.slot[py * coarser.ground.width + px] as number;
      if (slot < 0) continue;
      const at = coarser.found[slot] as number;
      return this.#moved(
        place,
        2 * ((at % coarser.ground.width) - px),
        2 * (Math.floor(at / coarser.ground.width) - py),
      );
    }
    return -1;
  }

  /** The hole's first colours: what is known, spread inwards ring by ring. */
  #spread(): void {
    const now = this.ground.now;
    const have = this.ground.known.map((known) => (known > 0 ? 1 : 0));
    for (const place of this.ground.places) now.fill(128, place * CHANNELS, (place + 1) * CHANNELS);
    for (let left = this.ground.places; left.length > 0; ) {
      const ready = left.filter((place) => this.ground.count(have, place) > 0);
      if (ready.length === 0) return;
      for (const place of ready) {
        const count = this.ground.count(have, place);
        for (let c = 0; c < CHANNELS; c++) {
          let total = count >> 1;
          for (let k = 0; k < 8; k++) {
            const beside = place + (this.ground.beside[k] as number);
            if (have[beside] === 1) total += now[beside * CHANNELS + c] as number;
          }
          now[place * CHANNELS + c] = Math.floor(total / count);
        }
      }
      for (const place of ready) have[place] = 1;
      left = left.filter((place) => have[place] === 0);
    }
  }

  /** The place (dx, dy) cells from `own`, if a source patch lies there, else −1. */
  #moved(own: number, dx: number, dy: number): number {
    const row = this.ground.row[own] as number;
    const y = row - RADIUS + dy;
    const x = own - row * this.ground.width - RADIUS + dx;
    if (y < 0 || y >= this.ground.level.height || x < 0 || x >= this.ground.level.width) return -1;
    const at = (y + RADIUS) * this.ground.width + x + RADIUS;
    return this.ground.good[at] === 1 ? at : -1;
  }

  /** Where a place would come from if it moved as its neighbour does, or −1 if no source patch lies there. */
  #asNeighbour(place: number, shift: number, found: Int32Array): number {
    const { slot, good } = this.ground;
    const beside = place + shift;
    const neighbour = beside < 0 || beside >= slot.length ? -1 : (slot[beside] as number);
    if (neighbour < 0) return -1;
    const at = (found[neighbour] as number) - shift;
    return good[at] === 1 ? at : -1;
  }

  /**
   * What hole cell `i` pays for the source patch at `at`: weighted squared differences, and the way. Something not below `limit` as
   * soon as that is certain.
   */
  #distance(i: number, at: number, limit: number): number {
    const { places, source, now, weight: weights, allowed, shifts, row, width, price } = this.ground;
    const place = places[i] as number;
    const dy = (row[at] as number) - (row[place] as number);
    const dx = at - place - dy * width;
    let cost = Math.floor(((dx * dx + dy * dy) * (price[i] as number)) / 65536);
    for (let k = 0; k < 25 && cost < limit; k++) {
      const shift = shifts[k] as number;
      const weight = weights[place + shift] as number;
      if (weight === 0) continue;
      if (allowed[at + shift] === 0) {
        cost += weight * MISS;
        continue;
      }
      const p = (place + shift) * CHANNELS;
      const q = (at + shift) * CHANNELS;
      const r = (now[p] as number) - (source[q] as number);
      const g = (now[p + 1] as number) - (source[q + 1] as number);
      const b = (now[p + 2] as number) - (source[q + 2] as number);
      const across = (now[p + 3] as number) - (source[q + 3] as number);
      const down = (now[p + 4] as number) - (source[q + 4] as number);
      cost += weight * (r * r + g * g + b * b + across * across + down * down);
    }
    return cost;
  }

  /** One round: propagation from neighbours, far ones first, then random search around the best. */
  #improve(round: number): void {
    const { places, sources } = this.ground;
    for (let i = 0; i < places.length; i++) {
      this.#best[i] = this.#distance(i, this.found[i] as number, Number.POSITIVE_INFINITY);
    }
    for (const step of this.#effort.steps) {
      for (const shift of [-step, step, -step * this.ground.width, step * this.ground.width]) {
        this.#before.set(this.found);
        for (let i = 0; i < places.length; i++) {
          this.#attempt(i, this.#asNeighbour(places[i] as number, shift, this.#before));
        }
      }
    }
    const seed = hash(this.#seed, round);
    const anywhere = hash(seed, 0);
    for (let i = 0; i < places.length; i++) {
      this.#attempt(i, sources[hash(anywhere, i) % sources.length] as number);
    }
    const reach = Math.max(this.ground.level.height, this.ground.level.width);
    for (let radius = Math.floor(reach / this.#effort.share); radius >= 1; radius >>= 1) {
      const around = hash(seed, radius);
      const span = 2 * radius + 1;
      for (let i = 0; i < places.length; i++) {
        const dice = hash(around, i);
        const at = this.#moved(
          this.found[i] as number,
          ((dice & 0xffff) % span) - radius,
          ((dice >>> 16) % span) - radius,
        );
        this.#attempt(i, at);
      }
    }
  }

  #attempt(i: number, at: number): void {
    if (at < 0 || at === this.found[i]) return;
    const cost = this.#distance(i, at, this.#best[i] as number);
    if (cost >= (this.#best[i] as number)) return;
    this.#best[i] = cost;
    this.found[i] = at;
  }

  /** Every hole cell becomes the weighted mean of what the patches over it show there. */
  #vote(): void {
    const total = new Int32Array(CHANNELS);
    const source = this.ground.source;
    for (let i = 0; i < this.ground.places.length; i++) {
      const place = this.ground.places[i] as number;
      let sum = 0;
      total.fill(0);
      for (let k = 0; k < 25; k++) {
        const shift = this.ground.shifts[k] as number;
        const slot = this.ground.slot[place + shift] as number;
        if (slot < 0) continue;
        const shown = (this.found[slot] as number) - shift;
        if (this.ground.allowed[shown] === 0) continue;
        const weight = this.ground.weight[place + shift] as number;
        sum += weight;
        for (let c = 0; c < CHANNELS; c++) {
          total[c] = (total[c] as number) + weight * (source[shown * CHANNELS + c] as number);
        }
      }
      // the middle patch always has its say, so the sum is not zero; a cell's colour is not read again by this vote
      for (let c = 0; c < CHANNELS; c++) {
        this.ground.now[place * CHANNELS + c] = Math.floor(((total[c] as number) + (sum >> 1)) / sum);
      }
    }
  }

  /**
   * What tears at the four sides of a place if it came from `at`: squared differences of both offsets at both cells of a side; towards
   * known cells, of what is shown against what is there.
   */
  #seam(place: number, at: number): number {
    const source = this.ground.source;
    let cost = 0;
    for (let k = 0; k < 4; k++) {
      const shift = k < 2 ? 2 * k - 1 : (2 * k - 5) * this.ground.width;
      const beside = place + shift;
      const slot = this.ground.slot[beside] as number;
      if (slot < 0) {
        if ((this.ground.known[beside] as number) > 0) cost += difference(source, at + shift, this.ground.now, beside);
        continue;
      }
      const offset = (this.found[slot] as number) - beside;
      cost += difference(source, at + shift, source, beside + offset);
      cost += difference(source, at, source, place + offset);
    }
    return cost;
  }

  /** Few large regions of one offset: cells take over a neighbour's offset where patch and seams cost less. */
  cohere(): void {
    for (let half = 0; half < 2 * SWEEPS; half++) {
      for (let i = 0; i < this.ground.places.length; i++) {
        const place = this.ground.places[i] as number;
        const row = this.ground.row[place] as number;
        if (((row + place - row * this.ground.width) & 1) !== (half & 1)) continue;
        let choice = this.found[i] as number;
        let best = -1; // most cells move as all around them do, and need no price
        // neighbours an odd number of cells away stay as they are in this half of the sweep
        for (const step of [1, 3]) {
          for (let k = 0; k < 4; k++) {
            const at = this.#asNeighbour(
              place,
              step * (k < 2 ? 2 * k - 1 : (2 * k - 5) * this.ground.width),
              this.found,
            );
            if (at < 0 || at === choice) continue;
            if (best < 0) {
              best = this.#distance(i, choice, Number.POSITIVE_INFINITY) + SEAM * this.#seam(place, choice);
            }
            const patch = this.#distance(i, at, best);
            if (patch >= best) continue;
            const cost = patch + SEAM * this.#seam(place, at);
            if (cost < best) [choice, best] = [at, cost];
          }
        }
        this.found[i] = choice;
      }
    }
  }
}

function difference(a: Uint8Array, i: number, b: Uint8Array, j: number): number {
  let sum = 0;
  for (let c = 0, p = i * CHANNELS, q = j * CHANNELS; c < CHANNELS; c++, p++, q++) {
    const d = (a[p] as number) - (b[q] as number);
    sum += d * d;
  }
  return sum;
}
