/**
 * Exemplar filling: what an edit uncovers is completed with patches of the photo itself, coarse to fine.
 *
 * No network and no pixels: the result is a backward field that says for hidden places too where the photo shows something fitting, so
 * that whatever follows sees a warp without holes. patchmatch.ts searches on lattices of cells of 8, 4 and 2 work pixels; here the
 * lattices are laid and the result becomes a field. Training's `fill.py` does the same, step for step.
 */
import type { Grid } from './field.js';
import { Ground } from './ground.js';
import { CHANNELS, clamp, coarser, colours, KNOWN, type Lattice, RADIUS } from './lattice.js';
import { Search } from './patchmatch.js';

/** Visibility below which a place is filled. */
const HOLE = 0.5;
/** What moves less, in work pixels, is background that stays. */
const STILL = 2;
/** Finest cells that a hole grows into still background, to swallow what the object leaves at its edge. */
const HALO = 1;
const COARSEST = 8;
/** Source patches without which there is nothing to fill with. */
const LEAST = 32;

/** At the work size: field [2, H, W] in work pixels, visibility [1, H, W]. */
export interface Filled {
  readonly field: Grid;
  readonly visibility: Grid;
}

/**
 * image [3, H, W] in [−1, 1], mask [H, W] (1 = may change), field [2, H/4, W/4] in work pixels, visibility [1, H/4, W/4]. Undefined
 * where nothing is hidden, or nothing is there to fill it with.
 */
export function fill(
  image: Float32Array,
  mask: Float32Array,
  field: Grid,
  visibility: Grid,
  seed = 0,
): Filled | undefined {
  const { height, width } = field;
  const inside = insideMask(mask, height, width);
  const seen = withoutSpecks(visibility, inside);
  if (!seen.some((v) => v < HOLE)) return undefined;
  const finest = finestLattice(image, inside, field, seen);
  const levels = [finest];
  for (let level = finest; level.cell < COARSEST; levels.push(level)) level = coarser(level);
  let search: Search | undefined;
  let reached = 0;
  for (const level of levels.reverse()) {
    const ground = new Ground(level);
    if (ground.places.length === 0 || ground.sources.length < LEAST) continue;
    const finer = new Search(ground, seed);
    finer.run(search);
    search = finer;
    reached = level.cell;
  }
  if (search === undefined || reached !== 2) return undefined;
  search.cohere();
  return rendered(search, finest, field, seen);
}

/** 1 for field cells that are mostly inside the mask. */
function insideMask(mask: Float32Array, height: number, width: number): Uint8Array {
  const out = new Uint8Array(height * width);
  for (let y = 0, o = 0; y < height; y++) {
    for (let x = 0; x < width; x++, o++) {
      let sum = 0;
      for (let i = 0; i < 16; i++) sum += mask[(4 * y + (i >> 2)) * 4 * width + 4 * x + (i & 3)] as number;
      out[o] = sum >= 8 ? 1 : 0;
    }
  }
  return out;
}

/** Visibility [h, w], 1 outside the mask, with single hidden or visible cells brought in line with those around. */
function withoutSpecks(visibility: Grid, inside: Uint8Array): Float64Array {
  const { data, height, width } = visibility;
  const count = around(
    inside.map((within, i) => (within === 1 && (data[i] as number) < HOLE ? 1 : 0)),
    height,
    width,
  );
  return Float64Array.from(data, (v, i) => {
    if (inside[i] === 0) return 1;
    const hidden = count[i] as number;
    return hidden < 4 ? Math.max(v, 0.75) : hidden > 6 ? Math.min(v, 0.25) : v;
  });
}

/** How many of the 3×3 cells around each are set. */
function around(cells: Uint8Array, height: number, width: number): Uint8Array {
  const rows = new Uint8Array(cells.length);
  const out = new Uint8Array(cells.length);
  for (let y = 0, i = 0; y < height; y++) {
    for (let x = 0; x < width; x++, i++) {
      rows[i] =
        (cells[i] as number) + (x > 0 ? (cells[i - 1] as number) : 0) + (x < width - 1 ? (cells[i + 1] as number) : 0);
    }
  }
  for (let y = 0, i = 0; y < height; y++) {
    for (let x = 0; x < width; x++, i++) {
      out[i] =
        (rows[i] as number) +
        (y > 0 ? (rows[i - width] as number) : 0) +
        (y < height - 1 ? (rows[i + width] as number) : 0);
    }
  }
  return out;
}

/** [planes, h, w] → [planes, 2h, 2w], bilinear, the border repeated. */
function enlarged(cells: Float64Array, height: number, width: number): Float64Array {
  const out = new Float64Array(4 * cells.length);
  const row = new Float64Array(width);
  for (let y = 0, o = 0; y < (2 * cells.length) / width; y++) {
    const own = (y >> 1) % height;
    const start = (y >> 1) * width;
    const other = (y & 1) === 0 ? (own > 0 ? start - width : start) : own < height - 1 ? start + width : start;
    for (let x = 0; x < width; x++) row[x] = 0.75 * (cells[start + x] as number) + 0.25 * (cells[other + x] as number);
    for (let x = 0; x < width; x++) {
      const near = 0.75 * (row[x] as number);
      out[o++] = near + 0.25 * (row[x > 0 ? x - 1 : 0] as number);
      out[o++] = near + 0.25 * (row[x < width - 1 ? x + 1 : x] as number);
    }
  }
  return out;
}

/** The nearest whole number of cells. */
const cells = (pixels: number, size: number): number => Math.floor(pixels / size + 0.5);

/** Cells of 2 work pixels: hole, background, what may be copied, and the picture where background shows. */
function finestLattice(image: Float32Array, inside: Uint8Array, field: Grid, seen: Float64Array): Lattice {
  const { data, height: h, width: w } = field;
  const [height, width] = [2 * h, 2 * w];
  const still = new Uint8Array(h * w);
  const fetched = new Uint8Array(h * w);
  for (let i = 0; i < h * w; i++) {
    const [dx, dy] = [data[i] as number, data[h * w + i] as number];
    if (inside[i] === 0 || !(Math.abs(dx) > STILL || Math.abs(dy) > STILL)) still[i] = 1;
    // what moved, wherever it is fetched from, would come back as a ghost
    else if ((seen[i] as number) >= HOLE) {
      fetched[clamp(Math.floor(i / w) + cells(dy, 4), h - 1) * w + clamp((i % w) + cells(dx, 4), w - 1)] = 1;
    }
  }
  const half = enlarged(seen, h, w);
  const hole = new Uint8Array(half.length);
  for (let i = 0; i < hole.length; i++) hole[i] = (half[i] as number) < HOLE ? 1 : 0;
  const wide = around(fetched, h, w);
  for (let ring = 0; ring < HALO; ring++) {
    const near = around(hole, height, width);
    for (let i = 0; i < hole.length; i++) {
      const own = ((i >> 1) % w) | 0;
      const parent = (Math.floor(i / width) >> 1) * w + own;
      if ((near[i] as number) > 0 && inside[parent] === 1 && still[parent] === 1) hole[i] = 1;
    }
  }
  const source = colours(image, height, width);
  const now = new Uint8Array(source.length);
  const known = new Uint8Array(hole.length);
  const allowed = new Uint8Array(hole.length);
  for (let y = 0, i = 0; y < height; y++) {
    for (let x = 0; x < width; x++, i++) {
      const parent = (y >> 1) * w + (x >> 1);
      const stays = still[parent] === 1 && hole[i] === 0;
      known[i] = stays ? KNOWN : 0;
      allowed[i] = wide[parent] === 0 && hole[i] === 0 ? 1 : 0;
      const from = stays
        ? clamp(y + cells(data[h * w + parent] as number, 2), height - 1) * width +
          clamp(x + cells(data[parent] as number, 2), width - 1)
        : i;
      for (let c = 0; c < CHANNELS; c++) now[i * CHANNELS + c] = source[from * CHANNELS + c] as number;
    }
  }
  return { cell: 2, height, width, source, now, hole, known, allowed };
}

/** At the work size, so that regions meet within a pixel: interpolated in between, a field would smear. */
function rendered(
  { ground, found }: Search,
  { hole, height, width }: Lattice,
  field: Grid,
  seen: Float64Array,
): Filled {
  const [h, w] = [field.height, field.width];
  const half = enlarged(seen, h, w);
  const shown = seen.map((v) => (v >= HOLE ? 1 : 0));
  const share = enlarged(shown, h, w);
  const kept = new Float64Array(field.data);
  for (let i = 0; i < kept.length; i++) kept[i] = (kept[i] as number) * (shown[i % shown.length] as number);
  const own = enlarged(kept, h, w);
  for (let i = 0; i < own.length; i++) own[i] = (own[i] as number) / Math.max(share[i % share.length] as number, 1e-6);
  const moves = new Float32Array(2 * hole.length);
  for (let i = 0; i < ground.places.length; i++) {
    const [place, at] = [ground.places[i] as number, found[i] as number];
    const [y, x] = [Math.floor(place / ground.width), place % ground.width];
    const cell = (y - RADIUS) * width + x - RADIUS;
    moves[cell] = 2 * ((at % ground.width) - x);
    moves[hole.length + cell] = 2 * (Math.floor(at / ground.width) - y);
  }
  // towards what moved, the contour of visibility and not its steps; what the halo touches stays whole
  const whole = around(
    hole.map((v, i) => (v === 1 && (half[i] as number) >= HOLE ? 1 : 0)),
    height,
    width,
  );
  const clear = new Float32Array(enlarged(half, height, width));
  const data = new Float32Array(enlarged(own, height, width));
  for (let y = 0, i = 0; y < 2 * height; y++) {
    for (let x = 0; x < 2 * width; x++, i++) {
      const cell = (y >> 1) * width + (x >> 1);
      if (hole[cell] === 0 || ((clear[i] as number) >= HOLE && whole[cell] === 0)) continue;
      clear[i] = 1;
      data[i] = moves[cell] as number;
      data[4 * hole.length + i] = moves[hole.length + cell] as number;
    }
  }
  const size = { height: 2 * height, width: 2 * width };
  return { field: { data, channels: 2, ...size }, visibility: { data: clear, channels: 1, ...size } };
}
