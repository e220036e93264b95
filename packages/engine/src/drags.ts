/** What becomes of the drawn drags before the networks see them: where they reach, more pairs around them, shorter stages. */
import { dragLength, type PhotoDrag, photoPoint, type Rect } from './geometry.js';
import type { Settings } from './request.js';

/** Sequential dragging splits a drag into stages no longer than this share of the work region's diagonal. */
const STAGE_LENGTH = 0.15;
/** Point augmentation adds pairs this far from a drawn one, as a share of the diagonal. */
const AUGMENT_RADIUS = 0.01;

/** A long drag as several shorter ones, each starting where the last one ended; one stage unless asked for. */
export function splitStages(
  drags: readonly PhotoDrag[],
  settings: Settings,
  diagonal: number,
  trainedPairs = Number.POSITIVE_INFINITY,
): PhotoDrag[][] {
  const each = settings.pointAugmentation ? Math.max(1, Math.floor(trainedPairs / drags.length)) : 1;
  const all = drags.flatMap((d) => augment(d, diagonal).slice(0, each));
  const longest = Math.max(...all.map(dragLength));
  const stages = settings.sequential ? Math.max(1, Math.ceil(longest / (STAGE_LENGTH * diagonal))) : 1;
  const along = (d: PhotoDrag, u: number) =>
    photoPoint({ x: d.handle.x + u * (d.target.x - d.handle.x), y: d.handle.y + u * (d.target.y - d.handle.y) });
  return Array.from({ length: stages }, (_, k) =>
    all.map((d) => ({ handle: along(d, k / stages), target: along(d, (k + 1) / stages) })),
  );
}

/** Point augmentation: the drawn pair, then four more around it, moving with it. */
function augment(drag: PhotoDrag, diagonal: number): PhotoDrag[] {
  const r = AUGMENT_RADIUS * diagonal;
  const around = [
    [0, 0],
    [r, 0],
    [-r, 0],
    [0, r],
    [0, -r],
  ] as const;
  return around.map(([dx, dy]) => ({
    handle: photoPoint({ x: drag.handle.x + dx, y: drag.handle.y + dy }),
    target: photoPoint({ x: drag.target.x + dx, y: drag.target.y + dy }),
  }));
}

/** The mask's box, enlarged to hold the ends of every moving drag. */
export function reachOf(box: Rect, drags: readonly PhotoDrag[]): Rect {
  const ends = drags.filter((d) => dragLength(d) > 0).flatMap((d) => [d.handle, d.target]);
  return {
    left: Math.floor(Math.min(box.left, ...ends.map((p) => p.x))),
    top: Math.floor(Math.min(box.top, ...ends.map((p) => p.y))),
    right: Math.ceil(Math.max(box.right, ...ends.map((p) => p.x))),
    bottom: Math.ceil(Math.max(box.bottom, ...ends.map((p) => p.y))),
  };
}

export function within(drag: PhotoDrag, r: Rect): boolean {
  return [drag.handle, drag.target].every((p) => p.x >= r.left && p.x <= r.right && p.y >= r.top && p.y <= r.bottom);
}
