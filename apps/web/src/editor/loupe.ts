/** Knows: the magnifier above a finger, which covers exactly what it points at. */

import type { CanvasPoint, CanvasSize } from '@tug/schema';
import { type ScreenPoint, toScreen, type Viewport } from './viewport';

const RADIUS = 52;
const DISTANCE = 104;
const MAGNIFY = 2;

export interface Loupe {
  readonly image: HTMLImageElement;
  /** what the finger holds */
  readonly at: CanvasPoint;
  readonly color: string;
}

/** Draws the loupe above the finger, or beside it where there is no room above. */
export function drawLoupe(
  context: CanvasRenderingContext2D,
  { image, at, color }: Loupe,
  viewport: Viewport,
  picture: CanvasSize,
  stage: CanvasSize,
): void {
  if (!image.complete || image.naturalWidth === 0) return;
  const centre = place(toScreen(viewport, at), stage);
  const scale = Math.max(viewport.scale * MAGNIFY, 0.5);
  context.save();
  context.beginPath();
  context.arc(centre.x, centre.y, RADIUS, 0, Math.PI * 2);
  context.shadowColor = 'rgba(0, 0, 0, 0.45)';
  context.shadowBlur = 14;
  context.fillStyle = '#3a3a3a';
  context.fill();
  context.shadowBlur = 0;
  context.clip();
  const left = centre.x - at.x * scale;
  const top = centre.y - at.y * scale;
  context.drawImage(image, left, top, picture.width * scale, picture.height * scale);
  context.restore();
  for (const [radius, width, stroke] of [
    [RADIUS, 3, '#fff'],
    [RADIUS + 2, 1, 'rgba(12, 12, 12, 0.6)'],
    [5, 4, 'rgba(12, 12, 12, 0.6)'],
    [5, 2, color],
  ] as const) {
    context.beginPath();
    context.arc(centre.x, centre.y, radius, 0, Math.PI * 2);
    context.lineWidth = width;
    context.strokeStyle = stroke;
    context.stroke();
  }
}

function place(finger: ScreenPoint, stage: CanvasSize): { x: number; y: number } {
  const inside = (value: number, size: number) => Math.min(Math.max(value, RADIUS + 6), size - RADIUS - 6);
  if (finger.y - DISTANCE > RADIUS + 64) return { x: inside(finger.x, stage.width), y: finger.y - DISTANCE };
  const side = finger.x > stage.width / 2 ? -DISTANCE : DISTANCE;
  return { x: inside(finger.x + side, stage.width), y: Math.max(finger.y, RADIUS + 64) };
}
