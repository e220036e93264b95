/** The drags as LightningDrag's networks get them: two maps on which pair i, counted from 1, writes its number on one pixel. */
import type { Size } from '../geometry.js';
import type { WorkDrag } from '../scene.js';

/** Handle and target map, each [H, W]. A point belongs to the pixel it lies in; where two meet, the later pair is seen. */
export function labelMaps(drags: readonly WorkDrag[], work: Size): { handles: Float32Array; targets: Float32Array } {
  const handles = new Float32Array(work.width * work.height);
  const targets = new Float32Array(work.width * work.height);
  const index = (p: { x: number; y: number }): number => pixel(p.y, work.height) * work.width + pixel(p.x, work.width);
  for (const [i, drag] of drags.entries()) {
    handles[index(drag.handle)] = i + 1;
    targets[index(drag.target)] = i + 1;
  }
  return { handles, targets };
}

/** Points on the far edge, or a little outside through augmentation, belong to the last pixel. */
const pixel = (at: number, length: number): number => Math.min(Math.max(Math.floor(at), 0), length - 1);
