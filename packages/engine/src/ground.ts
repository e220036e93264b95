/** A lattice made ready for patchmatch.ts: with a border, so that every patch lies within it, and with all that stays the same in a search. */
import { CHANNELS, indices, type Lattice, padded, RADIUS } from './lattice.js';

/** Of the 25 cells of a source patch, that must be allowed. */
const ENOUGH = 15;
/** Weight of a hole cell by its distance from what is known; deeper ones weigh 1. */
const DEPTH = [4, 2];
/** Price of distance: squared pixels / 65536 of it. */
const NEAR = 4000;
/** A cell and the eight around it, (y, x). */
export const AROUND = [
  [0, 0],
  [0, 1],
  [0, -1],
  [1, 0],
  [-1, 0],
  [1, 1],
  [-1, -1],
  [1, -1],
  [-1, 1],
] as const;

/** Places are indices into the lattice with its border. */
export class Ground {
  /** hole cells */
  readonly places: Int32Array;
  /** where a source patch's middle may lie */
  readonly sources: Int32Array;
  /** cells of a row, border included */
  readonly width: number;
  readonly level: Lattice;
  readonly source: Uint8Array;
  /** the picture as it stands; what a search changes */
  readonly now: Uint8Array;
  readonly known: Uint8Array;
  readonly allowed: Uint8Array;
  /** 1 at `sources` */
  readonly good: Uint8Array;
  /** index of a place in `places`, or −1 */
  readonly slot: Int32Array;
  /** of a cell in a patch */
  readonly weight: Uint8Array;
  readonly row: Int32Array;
  /** of the way to a source, by hole cell */
  readonly price: Float64Array;
  /** from a patch's middle to its cells */
  readonly shifts: Int32Array;
  /** from a cell to the eight around it */
  readonly beside: Int32Array;

  constructor(level: Lattice) {
    this.level = level;
    const width = level.width + 2 * RADIUS;
    this.width = width;
    this.source = padded(level, level.source, CHANNELS);
    this.now = padded(level, level.now, CHANNELS);
    this.known = padded(level, level.known, 1);
    this.allowed = padded(level, level.allowed, 1);
    const hole = padded(level, level.hole, 1);
    const size = hole.length;
    this.shifts = new Int32Array((2 * RADIUS + 1) ** 2);
    for (let dy = -RADIUS, k = 0; dy <= RADIUS; dy++) {
      for (let dx = -RADIUS; dx <= RADIUS; dx++) this.shifts[k++] = dy * width + dx;
    }
    this.beside = Int32Array.from(AROUND.slice(1), ([y, x]) => y * width + x);
    this.row = new Int32Array(size);
    for (let i = 0; i < size; i++) this.row[i] = Math.floor(i / width);
    this.places = indices(hole);
    this.slot = new Int32Array(size).fill(-1);
    for (let i = 0; i < this.places.length; i++) this.slot[this.places[i] as number] = i;
    this.good = new Uint8Array(size);
    const enough = this.#boxes(this.allowed);
    for (let at = 0; at < size; at++) if (this.allowed[at] === 1 && (enough[at] as number) >= ENOUGH) this.good[at] = 1;
    this.sources = indices(this.good);
    this.weight = this.#weights();
    this.price = Float64Array.from(this.places, (place) => NEAR * level.cell ** 2 * this.#sum(this.weight, place));
  }

  /** How many of the eight cells around a place are set. */
  count(cells: Uint8Array, place: number): number {
    let count = 0;
    for (let k = 0; k < 8; k++) count += cells[place + (this.beside[k] as number)] as number;
    return count;
  }

  #sum(values: Uint8Array, at: number): number {
    let sum = 0;
    for (let k = 0; k < this.shifts.length; k++) sum += values[at + (this.shifts[k] as number)] as number;
    return sum;
  }

  /** The sum over the patch around every place within the lattice. */
  #boxes(values: Uint8Array): Uint8Array {
    const rows = new Uint8Array(values.length);
    const out = new Uint8Array(values.length);
    for (let i = RADIUS; i < values.length - RADIUS; i++) {
      let sum = 0;
      for (let k = -RADIUS; k <= RADIUS; k++) sum += values[i + k] as number;
      rows[i] = sum;
    }
    const edge = RADIUS * this.width;
    for (let i = edge; i < values.length - edge; i++) {
      let sum = 0;
      for (let k = -edge; k <= edge; k += this.width) sum += rows[i + k] as number;
      out[i] = sum;
    }
    return out;
  }

  #weights(): Uint8Array {
    const weight = this.known.slice();
    for (const place of this.places) weight[place] = 1;
    const near = this.known.map((known) => (known > 0 ? 1 : 0));
    for (const value of DEPTH) {
      const reached = this.places.filter((place) => near[place] === 0 && this.count(near, place) > 0);
      for (const place of reached) {
        weight[place] = value;
        near[place] = 1;
      }
    }
    return weight;
  }
}
