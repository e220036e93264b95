/** Knows: how others' cursors glide to where they are instead of jumping, though they come 30 times a second at most. */

import { type CanvasPoint, canvasPoint } from '@tug/schema';
import type { Peer } from '@/session/room';
import type { SceneCursor } from './overlay';

/** The part of the remaining way that a cursor goes in one frame. */
const PACE = 0.4;

export class GlidingCursors {
  private readonly shown = new Map<number, CanvasPoint>();

  /** Where the cursors are in this frame, and whether another frame is needed for them to arrive. */
  next(peers: readonly Peer[], scale: number): { cursors: SceneCursor[]; moving: boolean } {
    const still = matchMedia('(prefers-reduced-motion: reduce)').matches;
    const cursors: SceneCursor[] = [];
    let moving = false;
    for (const { clientId, cursor, user } of peers) {
      if (!cursor) {
        this.shown.delete(clientId);
        continue;
      }
      const shown = this.shown.get(clientId) ?? canvasPoint(cursor.x, cursor.y);
      const dx = cursor.x - shown.x;
      const dy = cursor.y - shown.y;
      const there = still || Math.hypot(dx, dy) * scale < 0.5;
      const at = there ? canvasPoint(cursor.x, cursor.y) : canvasPoint(shown.x + dx * PACE, shown.y + dy * PACE);
      moving ||= !there;
      this.shown.set(clientId, at);
      cursors.push({ name: user.name, color: user.color, at });
    }
    return { cursors, moving };
  }
}
