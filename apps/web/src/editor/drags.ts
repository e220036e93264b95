/** Knows: what the drags look like while a gesture has hold of one: the document follows a moment later. Pure. */

import { type CanvasPoint, canvasPoint, type SharedDrag } from '@tug/schema';
import type { Gesture } from './machine';

/** The shared drags, with the one that the gesture holds where the pointer has it now. */
export function liveDrags(
  drags: readonly SharedDrag[],
  gesture: Gesture,
  author: string,
  base: string,
): readonly SharedDrag[] {
  if (!('id' in gesture)) return drags;
  const shared = drags.find((drag) => drag.id === gesture.id);
  if (!shared) {
    if (gesture.name !== 'placing') return drags;
    const { id, handle, target } = gesture;
    return [...drags, { id, handle, target, author, base, createdAt: Date.now() }];
  }
  const live = { ...shared, ...heldEnds(gesture) };
  return drags.map((drag) => (drag.id === live.id ? live : drag));
}

function heldEnds(gesture: Extract<Gesture, { id: string }>): { handle?: CanvasPoint; target?: CanvasPoint } {
  switch (gesture.name) {
    case 'placing':
      return { handle: gesture.handle, target: gesture.target };
    case 'movingHandle':
      return { handle: gesture.at };
    case 'movingTarget':
      return { target: gesture.at };
    case 'movingDrag': {
      const { handle, target, by } = gesture;
      return {
        handle: canvasPoint(handle.x + by.x, handle.y + by.y),
        target: canvasPoint(target.x + by.x, target.y + by.y),
      };
    }
  }
}
