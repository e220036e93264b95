/**
 * The dense backward field: out(x) = source(x + field(x)). Planar float32 grids; pixel centres lie at half-integers, so this matches
 * torch's grid_sample(align_corners=False, padding_mode='border') and interpolate(mode='bilinear', align_corners=False).
 */

/** [channels, height, width], planar */
export interface Grid {
  readonly data: Float32Array;
  readonly channels: number;
  readonly height: number;
  readonly width: number;
}

/** Where the sample positions of one axis fall on a grid: lower index, upper index, and the weight of the upper. */
export interface Axis {
  readonly low: Int32Array;
  readonly high: Int32Array;
  readonly weight: Float32Array;
}

/**
 * Positions start, start + step, … (`count` of them, continuous coordinates of the grid, corner origin), prepared for bilinear
 * sampling with the border repeated.
 */
export function axis(count: number, start: number, step: number, length: number): Axis {
  const low = new Int32Array(count);
  const high = new Int32Array(count);
  const weight = new Float32Array(count);
  for (let i = 0; i < count; i++) {
    const at = Math.min(Math.max(start + i * step - 0.5, 0), length - 1);
    const floor = Math.floor(at);
    low[i] = floor;
    high[i] = Math.min(floor + 1, length - 1);
    weight[i] = at - floor;
  }
  return { low, high, weight };
}

/** Resizes every plane bilinearly (no antialiasing: halving averages 2×2) and multiplies the values by `gain`. */
export function resizeGrid(grid: Grid, height: number, width: number, gain = 1): Grid {
  const xs = axis(width, (0.5 * grid.width) / width, grid.width / width, grid.width);
  const ys = axis(height, (0.5 * grid.height) / height, grid.height / height, grid.height);
  const out = new Float32Array(grid.channels * height * width);
  const row = new Float32Array(grid.width);
  for (let c = 0, o = 0; c < grid.channels; c++) {
    for (let y = 0; y < height; y++) {
      gridRow(grid, c, ys, y, row);
      for (let x = 0; x < width; x++, o++) {
        out[o] =
          gain * lerp(row[xs.low[x] as number] as number, row[xs.high[x] as number] as number, xs.weight[x] as number);
      }
    }
  }
  return { data: out, channels: grid.channels, height, width };
}

/** One row of a channel, interpolated between the two grid rows around position `y` of the axis. */
export function gridRow(grid: Grid, channel: number, ys: Axis, y: number, out: Float32Array): void {
  const plane = channel * grid.height * grid.width;
  const upper = plane + (ys.low[y] as number) * grid.width;
  const lower = plane + (ys.high[y] as number) * grid.width;
  const t = ys.weight[y] as number;
  for (let x = 0; x < grid.width; x++) out[x] = lerp(grid.data[upper + x] as number, grid.data[lower + x] as number, t);
}

export const lerp = (a: number, b: number, t: number): number => a + (b - a) * t;

/** Every plane of […, h, w] at half its size, averaged 2×2 and multiplied by `gain`. h and w must be even. */
export function halve(data: Float32Array, width: number, gain = 1): Float32Array {
  const out = new Float32Array(data.length / 4);
  for (let o = 0, row = 0; o < out.length; row += 2 * width) {
    for (let x = row; x < row + width; x += 2) {
      const upper = (data[x] as number) + (data[x + 1] as number);
      out[o++] = (gain / 4) * (upper + (data[x + width] as number) + (data[x + width + 1] as number));
    }
  }
  return out;
}

/** Warps every plane of `source` by `field` [2, h, w] = (dx, dy) of the same size, in source pixels. Bilinear, border repeated. */
export function warpGrid(source: Grid, field: Grid): Grid {
  const { data, channels, height, width } = source;
  if (field.height !== height || field.width !== width) {
    throw new RangeError(`field is ${field.width}×${field.height}, source ${width}×${height}`);
  }
  const plane = height * width;
  const out = new Float32Array(data.length);
  for (let y = 0, i = 0; y < height; y++) {
    for (let x = 0; x < width; x++, i++) {
      const sx = Math.min(Math.max(x + (field.data[i] as number), 0), width - 1);
      const sy = Math.min(Math.max(y + (field.data[plane + i] as number), 0), height - 1);
      const x0 = Math.floor(sx);
      const y0 = Math.floor(sy);
      const x1 = Math.min(x0 + 1, width - 1);
      const y1 = Math.min(y0 + 1, height - 1);
      const wx = sx - x0;
      const wy = sy - y0;
      for (let p = 0; p < data.length; p += plane) {
        const a = data[p + y0 * width + x0] as number;
        const b = data[p + y0 * width + x1] as number;
        const c = data[p + y1 * width + x0] as number;
        const d = data[p + y1 * width + x1] as number;
        const upper = a + (b - a) * wx;
        out[p + i] = upper + (c + (d - c) * wx - upper) * wy;
      }
    }
  }
  return { data: out, channels, height, width };
}

/**
 * The source latent warped by the field: the field, in work pixels on its own grid, is brought to the latent's grid and unit.
 * `downscale` is work pixels per latent pixel.
 */
export function warpLatent(latent: Grid, field: Grid, downscale: number): Grid {
  return warpGrid(latent, resizeGrid(field, latent.height, latent.width, 1 / downscale));
}
