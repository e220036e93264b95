/**
 * Knows: how drags, pins, the mask, the crosshair and other people's cursors look. Draws one frame on a 2D canvas.
 * Does not know: where any of it comes from; everything is in {@link Scene}.
 */

import { type CanvasPoint, type CanvasSize, isInsideCanvas, type SharedDrag, type StrokeGeometry } from '@tug/schema';
import { readableOn } from '@/ui/color';
import { type End, isPin } from './hit';
import { drawLoupe, type Loupe } from './loupe';
import type { MaskLayer } from './mask';
import { type ScreenPoint, toScreen, type Viewport } from './viewport';

export interface SceneDrag {
  readonly drag: SharedDrag;
  readonly color: string;
  readonly selected: boolean;
  readonly activeEnd: End | null;
  readonly hovered: boolean;
  /** another person's colour, while they have it selected */
  readonly heldBy: string | null;
}

export interface SceneCursor {
  readonly name: string;
  readonly color: string;
  readonly at: CanvasPoint;
}

export interface Scene {
  readonly viewport: Viewport;
  readonly stage: CanvasSize;
  readonly picture: CanvasSize;
  readonly pixelRatio: number;
  readonly drags: readonly SceneDrag[];
  readonly mask: MaskLayer | null;
  readonly strokes: readonly StrokeGeometry[];
  /** 0 hides the mask */
  readonly maskStrength: number;
  /** 0 hides the drags */
  readonly dragStrength: number;
  readonly brush: { readonly at: ScreenPoint; readonly radius: number; readonly erase: boolean } | null;
  readonly crosshair: CanvasPoint | null;
  readonly cursors: readonly SceneCursor[];
  readonly loupe: Loupe | null;
  /** scratch canvas of the overlay's size, for tinting the mask */
  readonly scratch: HTMLCanvasElement;
}

const MASK_TINT = '#2f7df6';
const CASING = 'rgba(12, 12, 12, 0.62)';
const FONT = '600 11px "Instrument Sans Variable", system-ui, sans-serif';

export function drawScene(context: CanvasRenderingContext2D, scene: Scene): void {
  context.setTransform(scene.pixelRatio, 0, 0, scene.pixelRatio, 0, 0);
  context.clearRect(0, 0, scene.stage.width, scene.stage.height);
  if (scene.mask && scene.maskStrength > 0 && (!scene.mask.empty || scene.strokes.length > 0)) drawMask(context, scene);
  context.globalAlpha = scene.dragStrength;
  if (scene.dragStrength > 0) {
    for (const drag of scene.drags) if (!drag.selected) drawDrag(context, scene, drag);
    for (const drag of scene.drags) if (drag.selected) drawDrag(context, scene, drag);
  }
  context.globalAlpha = 1;
  if (scene.crosshair) drawCrosshair(context, toScreen(scene.viewport, scene.crosshair));
  if (scene.brush) drawBrush(context, scene.brush, scene.viewport.scale);
  for (const cursor of scene.cursors) drawCursor(context, scene, cursor);
  if (scene.loupe) drawLoupe(context, scene.loupe, scene.viewport, scene.picture, scene.stage);
}

function drawMask(context: CanvasRenderingContext2D, scene: Scene): void {
  const { scratch, viewport, pixelRatio } = scene;
  const layer = scratch.getContext('2d');
  if (!layer || !scene.mask) return;
  layer.setTransform(1, 0, 0, 1, 0, 0);
  layer.clearRect(0, 0, scratch.width, scratch.height);
  const scale = viewport.scale * pixelRatio;
  layer.save();
  layer.setTransform(scale, 0, 0, scale, viewport.x * pixelRatio, viewport.y * pixelRatio);
  layer.beginPath();
  layer.rect(0, 0, scene.picture.width, scene.picture.height);
  layer.clip();
  scene.mask.draw(layer, scene.strokes);
  layer.restore();
  layer.globalCompositeOperation = 'source-in';
  layer.fillStyle = MASK_TINT;
  layer.fillRect(0, 0, scratch.width, scratch.height);
  // Fine diagonal lines tell the mask from blue parts of the picture.
  layer.globalCompositeOperation = 'source-atop';
  layer.strokeStyle = 'rgba(255, 255, 255, 0.55)';
  layer.lineWidth = pixelRatio;
  layer.beginPath();
  const gap = 9 * pixelRatio;
  for (let x = -scratch.height; x < scratch.width; x += gap) {
    layer.moveTo(x, scratch.height);
    layer.lineTo(x + scratch.height, 0);
  }
  layer.stroke();
  layer.globalCompositeOperation = 'source-over';
  context.save();
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.globalAlpha = scene.maskStrength;
  context.drawImage(scratch, 0, 0);
  context.restore();
}

function drawDrag(context: CanvasRenderingContext2D, scene: Scene, item: SceneDrag): void {
  const handle = toScreen(scene.viewport, item.drag.handle);
  const target = toScreen(scene.viewport, item.drag.target);
  const strong = item.selected || item.hovered;
  context.save();
  context.lineCap = 'round';
  context.lineJoin = 'round';
  if (item.heldBy) halo(context, isPin(item.drag) ? [handle] : [handle, target], item.heldBy);
  if (isPin(item.drag)) drawPin(context, handle, item, strong);
  else {
    drawShaft(context, handle, target, item, strong);
    ring(context, handle, 6.5, item.color, strong);
    dot(context, target, 5, item.color);
    const active = item.selected ? (item.activeEnd === 'handle' ? handle : target) : null;
    if (active) focusRing(context, active, 11);
  }
  context.restore();
}

/** The arrow from the ring's edge to the dot, its head just before the dot. */
function drawShaft(
  context: CanvasRenderingContext2D,
  from: ScreenPoint,
  to: ScreenPoint,
  item: SceneDrag,
  strong: boolean,
): void {
  const length = Math.hypot(to.x - from.x, to.y - from.y);
  if (length < 12) return;
  const ux = (to.x - from.x) / length;
  const uy = (to.y - from.y) / length;
  const at = (along: number, across = 0) =>
    [from.x + ux * along - uy * across, from.y + uy * along + ux * across] as const;
  const pointed = length > 34;
  const shaft = new Path2D();
  shaft.moveTo(...at(7.5));
  shaft.lineTo(...at(pointed ? length - 15 : length - 7));
  const head = new Path2D();
  if (pointed) {
    head.moveTo(...at(length - 7.5));
    head.lineTo(...at(length - 18, 5.5));
    head.lineTo(...at(length - 18, -5.5));
    head.closePath();
  }
  const width = strong ? 3.4 : 2.6;
  context.strokeStyle = CASING;
  context.lineWidth = width + 3.6;
  context.stroke(shaft);
  context.stroke(head);
  context.strokeStyle = '#fff';
  context.lineWidth = width + 1.8;
  context.stroke(shaft);
  context.lineWidth = 2.6;
  context.stroke(head);
  context.strokeStyle = item.color;
  context.fillStyle = item.color;
  context.lineWidth = width;
  context.stroke(shaft);
  context.fill(head);
}

function ring(
  context: CanvasRenderingContext2D,
  at: ScreenPoint,
  radius: number,
  color: string,
  strong: boolean,
): void {
  circle(context, at, radius, null, CASING, 6);
  circle(context, at, radius, null, '#fff', 4);
  circle(context, at, radius, null, color, strong ? 2.6 : 2.2);
}

function dot(context: CanvasRenderingContext2D, at: ScreenPoint, radius: number, color: string): void {
  circle(context, at, radius + 1.6, CASING, CASING, 2);
  circle(context, at, radius + 0.9, '#fff', null, 0);
  circle(context, at, radius - 0.9, color, null, 0);
}

function drawPin(context: CanvasRenderingContext2D, at: ScreenPoint, item: SceneDrag, strong: boolean): void {
  ring(context, at, 7, item.color, strong);
  dot(context, at, 3, item.color);
  if (item.selected) focusRing(context, at, 12);
}

function halo(context: CanvasRenderingContext2D, points: readonly ScreenPoint[], color: string): void {
  context.save();
  context.globalAlpha *= 0.45;
  for (const point of points) circle(context, point, 12, null, color, 4);
  context.restore();
}

function focusRing(context: CanvasRenderingContext2D, at: ScreenPoint, radius: number): void {
  circle(context, at, radius, null, CASING, 3.4);
  circle(context, at, radius, null, '#fff', 1.6);
}

function circle(
  context: CanvasRenderingContext2D,
  at: { x: number; y: number },
  radius: number,
  fill: string | null,
  stroke: string | null,
  width: number,
): void {
  context.beginPath();
  context.arc(at.x, at.y, radius, 0, Math.PI * 2);
  if (fill) {
    context.fillStyle = fill;
    context.fill();
  }
  if (stroke) {
    context.strokeStyle = stroke;
    context.lineWidth = width;
    context.stroke();
  }
}

function drawCrosshair(context: CanvasRenderingContext2D, at: ScreenPoint): void {
  const path = new Path2D();
  for (const [dx, dy] of [
    [1, 0],
    [-1, 0],
    [0, 1],
    [0, -1],
  ] as const) {
    path.moveTo(at.x + dx * 4, at.y + dy * 4);
    path.lineTo(at.x + dx * 18, at.y + dy * 18);
  }
  context.lineCap = 'round';
  context.strokeStyle = CASING;
  context.lineWidth = 4.5;
  context.stroke(path);
  context.strokeStyle = '#fff';
  context.lineWidth = 2;
  context.stroke(path);
}

function drawBrush(context: CanvasRenderingContext2D, brush: NonNullable<Scene['brush']>, scale: number): void {
  const radius = Math.max(brush.radius * scale, 1);
  if (brush.erase) context.setLineDash([5, 4]);
  circle(context, brush.at, radius, null, CASING, 3);
  circle(context, brush.at, radius, null, '#fff', 1.4);
  context.setLineDash([]);
}

function drawCursor(context: CanvasRenderingContext2D, scene: Scene, cursor: SceneCursor): void {
  const at = toScreen(scene.viewport, cursor.at);
  if (
    !isInsideCanvas({ x: at.x + 40, y: at.y + 40 }, { width: scene.stage.width + 80, height: scene.stage.height + 80 })
  )
    return;
  context.save();
  context.translate(Math.round(at.x * 2) / 2, Math.round(at.y * 2) / 2);
  const arrow = new Path2D('M0 0 L4.6 15.2 L7.6 9 L14 6.4 Z');
  context.lineJoin = 'round';
  context.strokeStyle = '#fff';
  context.lineWidth = 3;
  context.shadowColor = 'rgba(0,0,0,.35)';
  context.shadowBlur = 4;
  context.stroke(arrow);
  context.shadowBlur = 0;
  context.fillStyle = cursor.color;
  context.fill(arrow);
  context.font = FONT;
  const width = Math.min(context.measureText(cursor.name).width, 160) + 12;
  context.beginPath();
  context.roundRect(11, 14, width, 19, 6);
  context.fill();
  context.fillStyle = readableOn(cursor.color);
  context.fillText(cursor.name, 17, 27.5, 160);
  context.restore();
}
