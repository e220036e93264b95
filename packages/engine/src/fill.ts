/**
 * Holes filled with patches of the picture around them: PatchMatch (Barnes et al. 2009) from coarse to fine.
 *
 * What a motion uncovers is nowhere in the warp, and the denoiser's latent, an eighth of the picture, says too little of a texture. So
 * every patch that overlaps a hole is compared with patches that do not, and the hole becomes the mean of what fits best (Wexler et al.
 * 2007). What lies behind a thing that moved looks like what stayed: nothing is taken from what moved. What a drag pulls in from beyond
 * the picture's edge looks like what is at the edge. All of it in integers, each round from the one before, so that training's fill.py,
 * which measures what this does, makes the same bytes.
 */
import { performance } from 'node:perf_hooks';
import { height, type Rect, type Size, width } from './geometry.js';
import { maskBox } from './mask.js';
import { crop, type Rgb } from './picture.js';

/** Patches are squares of 2 RADIUS + 1 pixels. */
export const RADIUS = 3;
const SIDE = 2 * RADIUS + 1;
/** Every so many of them along both axes is filled. */
const STRIDE = 2;
/** How many sizes, each half the one before, and the rounds of searching and averaging at each, the finest first. */
const ROUNDS = [2, 2, 3, 4] as const;
/** A size with more patches to fill takes the coarser one's answers as they are: time for the largest holes. */
const SEARCHED = 10_000;
/** Pixels around the holes in which patches are looked for. */
const AROUND = 64;
/** Pixels of the shorter side of the smallest size. */
const SMALLEST = 48;
/** Of the first guess, over 3×3 pixels. */
const SMOOTHINGS = 40;
/** Neighbours whose patches are tried, as [x, y] steps to the patch itself, in STRIDEs. */
const NEIGHBOURS = [
  [1, 0],
  [0, 1],
  [-1, 0],
  [0, -1],
  [4, 0],
  [0, 4],
  [-4, 0],
  [0, -4],
] as const;

/** The part of a picture, sides multiples of 8, in which `fillHoles` looks and writes; undefined if nothing is a hole. */
export function fillWindow(hole: Uint8Array, size: Size): Rect | undefined {
  const box = maskBox(hole, size);
  if (box === undefined) return undefined;
  const low = (at: number): number => Math.max(0, (at - AROUND) & ~7);
  const high = (at: number, end: number): number => Math.min(end, (at + AROUND + 7) & ~7);
  return {
    left: low(box.left),
    top: low(box.top),
    right: high(box.right, size.width),
    bottom: high(box.bottom, size.height),
  };
}

/**
 * Fills the holes of `picture` [size, RGB]; `window`, as of `fillWindow`, is the part whose bytes are returned: as they were if there is
 * no room for a single patch beside the holes that stayed. `rest` is told how many milliseconds each round took, and awaited before the
 * next.
 */
export async function fillHoles(
  picture: Rgb,
  { hole, moved, told }: Maps,
  size: Size,
  window: Rect,
  rest: (ms: number) => Promise<void>,
): Promise<Rgb> {
  const inner = crop(hole, size, window, 1);
  const first: Picture = {
    image: crop(picture, size, window, 3),
    hole: inner,
    moved: crop(moved, size, window, 1),
    told: crop(told, size, window, 1).map((yes, i) => yes & at(inner, i)),
    size: { width: width(window), height: height(window) },
  };
  const pictures = [first];
  for (let last = first; pictures.length < ROUNDS.length && shorter(last) >= 2 * SMALLEST; pictures.push(last)) {
    last = halved(last);
  }
  let found: Level | undefined;
  for (let index = pictures.length - 1; index >= 0; index--) {
    const level = new Level(pictures[index] as Picture, index);
    if (!level.possible) continue;
    let start = performance.now();
    level.begin(found);
    const rounds = found === undefined || level.patches.length <= SEARCHED ? (ROUNDS[index] as number) : 0;
    for (let round = 0; round < rounds; round++) {
      level.search(round);
      level.vote();
      await rest(performance.now() - start);
      start = performance.now();
    }
    found = level;
  }
  return found?.size.width === first.size.width ? found.image : first.image;
}

/** What `fillHoles` is told of each pixel: [size] each, 1 = yes. */
export interface Maps {
  readonly hole: Uint8Array;
  /** shows what moved; of no account in a hole */
  readonly moved: Uint8Array;
  /** its colour is a first guess at what belongs there; of no account but in a hole */
  readonly told: Uint8Array;
}

interface Picture extends Maps {
  /** [size, RGB] */
  readonly image: Uint8Array;
  readonly size: Size;
}

const shorter = ({ size }: Picture): number => Math.min(size.width, size.height);

/** At half the size; a hole is where any of four pixels is one, moved and told what is so in any of four. */
function halved({ image, hole, moved, told, size }: Picture): Picture {
  const half = { width: size.width / 2, height: size.height / 2 };
  const small: Picture = {
    image: new Uint8Array(3 * half.width * half.height),
    hole: new Uint8Array(half.width * half.height),
    moved: new Uint8Array(half.width * half.height),
    told: new Uint8Array(half.width * half.height),
    size: half,
  };
  for (let y = 0, o = 0; y < half.height; y++) {
    for (let x = 0, i = 2 * y * size.width; x < half.width; x++, i += 2, o++) {
      const below = i + size.width;
      small.hole[o] = at(hole, i) | at(hole, i + 1) | at(hole, below) | at(hole, below + 1);
      small.moved[o] = at(moved, i) | at(moved, i + 1) | at(moved, below) | at(moved, below + 1);
      small.told[o] = at(told, i) | at(told, i + 1) | at(told, below) | at(told, below + 1);
      for (let c = 0; c < 3; c++) {
        const sum =
          at(image, 3 * i + c) + at(image, 3 * i + 3 + c) + at(image, 3 * below + c) + at(image, 3 * below + 3 + c);
        small.image[3 * o + c] = (sum + 2) >> 2;
      }
    }
  }
  return small;
}

type Numbers = Uint8Array | Int32Array | Float64Array;
const at = (data: Numbers, index: number): number => data[index] as number;

/** One size of the picture: which patches to fill, by their middles, and by the middles of which patches. Places are y · width + x. */
class Level {
  readonly size: Size;
  readonly image: Uint8Array;
  readonly possible: boolean;
  /** what patches are taken from: the picture as it was given */
  private readonly own: Uint8Array;
  private readonly hole: Uint8Array;
  private readonly told: Uint8Array;
  /** by place: 1 = neither a hole nor moved */
  private readonly stayed: Uint8Array;
  /** by place: whether a patch there may be taken: nothing of it is a hole or moved, and it lies inside the picture */
  private readonly whole: Uint8Array;
  readonly patches: Int32Array;
  /** by place: which of the patches it is, −1 = none */
  private readonly index: Int32Array;
  private readonly like: Int32Array;
  private readonly distance: Int32Array;

  constructor(
    { image, hole, moved, told, size }: Picture,
    private readonly scale: number,
  ) {
    this.size = size;
    this.own = image;
    this.image = image.slice();
    this.hole = hole;
    this.told = told;
    this.stayed = hole.map((yes, i) => (yes | at(moved, i)) ^ 1);
    const near = dilate(hole, size, RADIUS);
    const gone = dilate(
      this.stayed.map((yes) => yes ^ 1),
      size,
      RADIUS,
    );
    this.whole = new Uint8Array(hole.length);
    this.index = new Int32Array(hole.length).fill(-1);
    const patches: number[] = [];
    let some = false;
    for (let y = RADIUS; y < size.height - RADIUS; y++) {
      for (let x = RADIUS; x < size.width - RADIUS; x++) {
        const place = y * size.width + x;
        if (gone[place] === 0) {
          this.whole[place] = 1;
          some = true;
        }
        if (near[place] === 0 || y % STRIDE !== 0 || x % STRIDE !== 0) continue;
        this.index[place] = patches.length;
        patches.push(place);
      }
    }
    this.patches = Int32Array.from(patches);
    this.like = new Int32Array(patches.length);
    this.distance = new Int32Array(patches.length);
    this.possible = some && patches.length > 0;
  }

  /** First answers: at random beside a guess, or those of the coarser level, whose mean is then the first guess. */
  begin(coarser: Level | undefined): void {
    const { patches, like, whole, size } = this;
    const known: number[] = [];
    for (let place = 0; place < whole.length; place++) if (whole[place] === 1) known.push(place);
    for (let i = 0; i < patches.length; i++) {
      const place = at(patches, i);
      like[i] = known[hash(place, 4096 * this.scale) % known.length] as number;
      if (coarser === undefined) continue;
      const [x, y] = [place % size.width, Math.trunc(place / size.width)];
      const [overX, overY] = [x % (2 * STRIDE), y % (2 * STRIDE)];
      const k = at(coarser.index, ((y - overY) / 2) * coarser.size.width + (x - overX) / 2);
      if (k < 0) continue;
      const from = at(coarser.like, k);
      const sx = 2 * (from % coarser.size.width) + overX;
      const sy = 2 * Math.trunc(from / coarser.size.width) + overY;
      if (this.isWhole(sx, sy)) like[i] = sy * size.width + sx;
    }
    if (coarser === undefined) this.guess();
    this.compare();
    if (coarser !== undefined) this.vote();
  }

  /** What stayed, and what is told of a hole, grown into the holes ring by ring, then smoothed there. */
  private guess(): void {
    const { hole, image, size, told } = this;
    const seen = this.stayed.map((yes, i) => yes | at(told, i));
    const grown = image.slice();
    for (let left = seen.reduce((sum, yes) => sum + (yes ^ 1), 0); left > 0; ) {
      const [before, colours] = [seen.slice(), grown.slice()];
      for (let place = 0; place < hole.length; place++) {
        if (before[place] === 1 || !meanAround(colours, before, size, place, grown)) continue;
        seen[place] = 1;
        left--;
      }
    }
    for (let round = 0; round < SMOOTHINGS; round++) {
      const colours = grown.slice();
      for (let place = 0; place < hole.length; place++) {
        if (hole[place] === 1) meanAround(colours, seen, size, place, grown);
      }
    }
    for (let place = 0; place < hole.length; place++) {
      if (hole[place] === 1) image.set(grown.subarray(3 * place, 3 * place + 3), 3 * place);
    }
  }

  /** Tries, for every patch, what its neighbours are like, and patches ever closer to the best so far. */
  search(round: number): void {
    const { patches, like, index, size } = this;
    this.compare();
    for (const [stepX, stepY] of NEIGHBOURS) {
      const [dx, dy] = [STRIDE * stepX, STRIDE * stepY];
      const before = like.slice();
      for (let i = 0; i < patches.length; i++) {
        const place = at(patches, i);
        const x = (place % size.width) - dx;
        const y = Math.trunc(place / size.width) - dy;
        if (x < 0 || y < 0 || x >= size.width || y >= size.height) continue;
        const k = at(index, y * size.width + x);
        if (k < 0) continue;
        const from = at(before, k);
        this.offer(i, (from % size.width) + dx, Math.trunc(from / size.width) + dy);
      }
    }
    let turn = 4096 * this.scale + 64 * round + 1;
    let reach = Math.max(size.width, size.height) >> 1;
    for (; reach >= 1; reach >>= 2, turn += 2) {
      const span = 2 * reach + 1;
      for (let i = 0; i < patches.length; i++) {
        const place = at(patches, i);
        const from = at(like, i);
        const x = (from % size.width) + (hash(place, turn + 1) % span) - reach;
        const y = Math.trunc(from / size.width) + (hash(place, turn) % span) - reach;
        this.offer(i, x, y);
      }
    }
  }

  /** Every pixel of the hole becomes the mean of what the patches over it have there, the closest most. */
  vote(): void {
    const { patches, like, distance, hole, own, image, size } = this;
    const sums = new Float64Array(4 * hole.length);
    for (let i = 0; i < patches.length; i++) {
      const off = Math.floor(at(distance, i) / SIDE ** 2) + 32;
      const weight = Math.max(1, Math.floor(2 ** 36 / off ** 3));
      const corner = RADIUS * size.width + RADIUS;
      let [p, s] = [at(patches, i) - corner, at(like, i) - corner];
      for (let row = 0; row < SIDE; row++, p += size.width, s += size.width) {
        for (let column = 0; column < SIDE; column++) {
          const place = p + column;
          if (hole[place] === 0) continue;
          const from = 3 * (s + column);
          const o = 4 * place;
          sums[o] = at(sums, o) + weight * at(own, from);
          sums[o + 1] = at(sums, o + 1) + weight * at(own, from + 1);
          sums[o + 2] = at(sums, o + 2) + weight * at(own, from + 2);
          sums[o + 3] = at(sums, o + 3) + weight;
        }
      }
    }
    for (let place = 0, o = 0; place < hole.length; place++, o += 4) {
      const total = at(sums, o + 3);
      if (total === 0) continue;
      const half = Math.floor(total / 2);
      for (let c = 0; c < 3; c++) image[3 * place + c] = Math.floor((at(sums, o + c) + half) / total);
    }
  }

  private isWhole(x: number, y: number): boolean {
    const { width, height } = this.size;
    return x >= 0 && y >= 0 && x < width && y < height && this.whole[y * width + x] === 1;
  }

  /** Squared differences of every patch as it is now to what it is said to be like. */
  private compare(): void {
    for (let i = 0; i < this.patches.length; i++) {
      this.distance[i] = this.between(i, at(this.like, i), Number.POSITIVE_INFINITY);
    }
  }

  private offer(i: number, x: number, y: number): void {
    if (!this.isWhole(x, y)) return;
    const place = y * this.size.width + x;
    const worst = at(this.distance, i);
    const distance = this.between(i, place, worst);
    if (distance >= worst) return;
    this.distance[i] = distance;
    this.like[i] = place;
  }

  /** Sum of squared differences of patch `i` as it is now to the one at `other` as it was given; at least `enough` if it is more. */
  private between(i: number, other: number, enough: number): number {
    const { image, own } = this;
    const pitch = 3 * this.size.width;
    const corner = RADIUS * pitch + 3 * RADIUS;
    let p = 3 * at(this.patches, i) - corner;
    let q = 3 * other - corner;
    let sum = 0;
    for (let row = 0; row < SIDE && sum < enough; row++, p += pitch, q += pitch) {
      for (let k = 0; k < 3 * SIDE; k++) {
        const d = (image[p + k] as number) - (own[q + k] as number);
        sum += d * d;
      }
    }
    return sum;
  }
}

/** Writes the mean of the pixels of 3×3 around `place` where `of` is 1 into `out` [size, RGB]; false if there is none. */
function meanAround(image: Uint8Array, of: Uint8Array, size: Size, place: number, out: Uint8Array): boolean {
  const [x, y] = [place % size.width, Math.trunc(place / size.width)];
  let [total, r, g, b] = [0, 0, 0, 0];
  for (let v = Math.max(0, y - 1); v <= Math.min(size.height - 1, y + 1); v++) {
    for (let u = Math.max(0, x - 1); u <= Math.min(size.width - 1, x + 1); u++) {
      const i = v * size.width + u;
      if (of[i] === 0) continue;
      total++;
      r += at(image, 3 * i);
      g += at(image, 3 * i + 1);
      b += at(image, 3 * i + 2);
    }
  }
  if (total === 0) return false;
  const half = total >> 1;
  out[3 * place] = Math.floor((r + half) / total);
  out[3 * place + 1] = Math.floor((g + half) / total);
  out[3 * place + 2] = Math.floor((b + half) / total);
  return true;
}

/** 1 where anything within `radius` pixels, in a square, is not 0. */
export function dilate(mask: Uint8Array, { width, height }: Size, radius: number): Uint8Array {
  const along = new Uint8Array(mask.length);
  const out = new Uint8Array(mask.length);
  for (let y = 0, i = 0; y < height; y++) {
    for (let x = 0, last = -1 - radius; x < width + radius; x++) {
      if (x < width && mask[i + x] !== 0) last = x;
      const o = x - radius;
      if (o >= 0 && last >= o - radius) along[i + o] = 1;
    }
    i += width;
  }
  for (let x = 0; x < width; x++) {
    for (let y = 0, last = -1 - radius; y < height + radius; y++) {
      if (y < height && along[y * width + x] !== 0) last = y;
      const o = y - radius;
      if (o >= 0 && last >= o - radius) out[o * width + x] = 1;
    }
  }
  return out;
}

/** 32 bits of each place and a number: the same everywhere, in no order. */
function hash(place: number, turn: number): number {
  let x = Math.imul(place, 0x9e3779b1) ^ Math.imul(turn, 0x85ebca77);
  x = Math.imul(x ^ (x >>> 16), 0x7feb352d);
  x = Math.imul(x ^ (x >>> 15), 0x846ca68b);
  return (x ^ (x >>> 16)) >>> 0;
}
