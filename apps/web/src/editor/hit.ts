/** Knows: which drag, and which part of it, lies under a pointer. Distances are CSS pixels, so zoom doesn't change the feel. */

import type { SharedDrag } from '@tug/schema';
import { type ScreenPoint, toScreen, type Viewport } from './viewport';

export type End = 'handle' | 'target';
export type PointerKind = 'mouse' | 'pen' | 'touch';
export type Hit =
  | { readonly kind: 'end'; readonly id: string; readonly end: End }
  | { readonly kind: 'shaft'; readonly id: string };

/** Half of the hit area: 24 px across for a mouse or pen, 44 px for a finger. */
const END_RADIUS: Record<PointerKind, number> = { mouse: 12, pen: 14, touch: 22 };
const SHAFT_RADIUS: Record<PointerKind, number> = { mouse: 6, pen: 8, touch: 14 };
/** Two ends nearer than this on the screen are one pin. */
const PIN_LENGTH = 1;

/** Whether the drag holds its place instead of moving anything. */
export function isPin(drag: Pick<SharedDrag, 'handle' | 'target'>): boolean {
  return Math.hypot(drag.handle.x - drag.target.x, drag.handle.y - drag.target.y) < PIN_LENGTH;
}

/** The nearest end under the pointer, later drags first; else the nearest shaft; else null. */
export function hitTest(
  drags: readonly SharedDrag[],
  viewport: Viewport,
  at: ScreenPoint,
  kind: PointerKind,
  selection: readonly string[] = [],
): Hit | null {
  let best: Hit | null = null;
  let bestDistance = END_RADIUS[kind] + 0.001;
  for (const drag of drags) {
    const bonus = selection.includes(drag.id) ? 3 : 0;
    for (const end of ['handle', 'target'] as const) {
      const point = toScreen(viewport, drag[end]);
      const distance = Math.hypot(point.x - at.x, point.y - at.y);
      if (distance <= END_RADIUS[kind] && distance - bonus <= bestDistance) {
        best = { kind: 'end', id: drag.id, end };
        bestDistance = distance - bonus;
      }
    }
  }
  if (best) return best;
  bestDistance = SHAFT_RADIUS[kind];
  for (const drag of drags) {
    const distance = distanceToSegment(at, toScreen(viewport, drag.handle), toScreen(viewport, drag.target));
    if (distance <= bestDistance) {
      best = { kind: 'shaft', id: drag.id };
      bestDistance = distance;
    }
  }
  return best;
}

function distanceToSegment(point: ScreenPoint, a: ScreenPoint, b: ScreenPoint): number {
  const dx = b.x - a.x;
  const dy = b.y - a.y;
  const lengthSquared = dx * dx + dy * dy;
  const along = lengthSquared === 0 ? 0 : ((point.x - a.x) * dx + (point.y - a.y) * dy) / lengthSquared;
  const t = Math.min(Math.max(along, 0), 1);
  return Math.hypot(point.x - a.x - t * dx, point.y - a.y - t * dy);
}
