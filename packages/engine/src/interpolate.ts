/**
 * A dense backward field from sparse drags alone: for every first preview, and for what LightningDrag itself has none (the warped prior,
 * moving the opacity of a transparent photo). Inverse-distance interpolation, exact at the targets, falling to nothing at the mask's edge.
 */
import type { Grid } from './field.js';
import type { Size } from './geometry.js';
import type { WorkDrag } from './scene.js';

/** [2, H/downscale, W/downscale] in work pixels. `mask` [H, W], 1 = may change. */
export function interpolatedField(drags: readonly WorkDrag[], mask: Float32Array, work: Size, downscale: number): Grid {
  const size = { width: work.width / downscale, height: work.height / downscale };
  const inside = Uint8Array.from({ length: size.width * size.height }, (_, i) => {
    const y = Math.floor(i / size.width) * downscale + (downscale >> 1);
    const x = (i % size.width) * downscale + (downscale >> 1);
    return mask[y * work.width + x] as number;
  });
  const depth = edgeDistance(inside, size);
  const plane = size.width * size.height;
  const data = new Float32Array(2 * plane);
  for (let y = 0, i = 0; y < size.height; y++) {
    for (let x = 0; x < size.width; x++, i++) {
      if (inside[i] === 0) continue;
      const [px, py] = [(x + 0.5) * downscale, (y + 0.5) * downscale];
      const still = (depth[i] as number) * downscale;
      let total = 1 / (still * still + 1); // the edge is one more point, and it stays where it is
      let [dx, dy] = [0, 0];
      for (const { handle, target } of drags) {
        const weight = 1 / ((px - target.x) ** 2 + (py - target.y) ** 2 + 1);
        total += weight;
        dx += weight * (handle.x - target.x);
        dy += weight * (handle.y - target.y);
      }
      data[i] = dx / total;
      data[plane + i] = dy / total;
    }
  }
  return { data, channels: 2, ...size };
}

/** Distance of every cell from the nearest one outside, in cells (3-4 chamfer). The picture's own border is no edge. */
function edgeDistance(inside: Uint8Array, { width, height }: Size): Float32Array {
  const out = Float32Array.from(inside, (v) => (v === 0 ? 0 : width + height));
  const relax = (x: number, y: number, dx: number, dy: number, cost: number): void => {
    const [nx, ny] = [x + dx, y + dy];
    if (nx < 0 || ny < 0 || nx >= width || ny >= height) return;
    const i = y * width + x;
    out[i] = Math.min(out[i] as number, (out[ny * width + nx] as number) + cost);
  };
  for (const way of [-1, 1]) {
    for (let i = 0; i < inside.length; i++) {
      const at = way < 0 ? i : inside.length - 1 - i;
      const [x, y] = [at % width, Math.floor(at / width)];
      relax(x, y, way, 0, 1);
      for (const side of [-1, 0, 1]) relax(x, y, side, way, side === 0 ? 1 : 4 / 3);
    }
  }
  return out;
}
