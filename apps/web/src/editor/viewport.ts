/**
 * Knows: where the picture lies on the screen, and the arithmetic of panning and zooming.
 * Does not know: DOM, pointers, what is drawn.
 */

import { type CanvasPoint, type CanvasSize, canvasPoint } from '@tug/schema';

declare const screenSpace: unique symbol;

/** A point in CSS pixels, origin at the stage's top left corner. Made with {@link screenPoint}. */
export interface ScreenPoint {
  readonly x: number;
  readonly y: number;
  readonly [screenSpace]: true;
}

/** Marks x and y, in CSS pixels of the stage, as a point of screen space. */
export function screenPoint(x: number, y: number): ScreenPoint {
  return { x, y } as ScreenPoint;
}

/** screen = canvas × scale + (x, y) */
export interface Viewport {
  readonly scale: number;
  readonly x: number;
  readonly y: number;
}

/** Space at the stage's edges that floating panels cover, CSS pixels. */
export interface Insets {
  readonly top: number;
  readonly right: number;
  readonly bottom: number;
  readonly left: number;
}

export const MIN_SCALE = 0.02;
export const MAX_SCALE = 32;
/** Above this scale single pixels are shown as squares. */
export const PIXELATED_SCALE = 4;

export function toScreen(viewport: Viewport, point: { x: number; y: number }): ScreenPoint {
  return screenPoint(point.x * viewport.scale + viewport.x, point.y * viewport.scale + viewport.y);
}

export function toCanvas(viewport: Viewport, point: { x: number; y: number }): CanvasPoint {
  return canvasPoint((point.x - viewport.x) / viewport.scale, (point.y - viewport.y) / viewport.scale);
}

/** The whole picture, centred in what the panels leave free; small pictures grow to at most 200 %. */
export function fit(picture: CanvasSize, stage: CanvasSize, insets: Insets): Viewport {
  const width = Math.max(stage.width - insets.left - insets.right, 40);
  const height = Math.max(stage.height - insets.top - insets.bottom, 40);
  const scale = clampScale(Math.min(width / picture.width, height / picture.height, 2));
  return {
    scale,
    x: insets.left + (width - picture.width * scale) / 2,
    y: insets.top + (height - picture.height * scale) / 2,
  };
}

/** Another scale, with the canvas point under `at` staying where it is on the screen. */
export function zoomTo(viewport: Viewport, at: { x: number; y: number }, scale: number): Viewport {
  const next = clampScale(scale);
  const ratio = next / viewport.scale;
  return { scale: next, x: at.x - (at.x - viewport.x) * ratio, y: at.y - (at.y - viewport.y) * ratio };
}

export function zoomBy(viewport: Viewport, at: { x: number; y: number }, factor: number): Viewport {
  return zoomTo(viewport, at, viewport.scale * factor);
}

export function panBy(viewport: Viewport, dx: number, dy: number): Viewport {
  return { scale: viewport.scale, x: viewport.x + dx, y: viewport.y + dy };
}

/** What two fingers do: the canvas points under them stay under them, as far as a scale and a shift can. */
export function pinch(
  viewport: Viewport,
  before: readonly [ScreenPoint, ScreenPoint],
  after: readonly [ScreenPoint, ScreenPoint],
): Viewport {
  const from = middle(before);
  const to = middle(after);
  const spreadBefore = Math.max(Math.hypot(before[0].x - before[1].x, before[0].y - before[1].y), 1);
  const spreadAfter = Math.max(Math.hypot(after[0].x - after[1].x, after[0].y - after[1].y), 1);
  return zoomBy(panBy(viewport, to.x - from.x, to.y - from.y), to, spreadAfter / spreadBefore);
}

/** Keeps at least `margin` CSS pixels of the picture on the stage, so that nobody loses it. */
export function keepInSight(viewport: Viewport, picture: CanvasSize, stage: CanvasSize, margin = 48): Viewport {
  const clamp = (value: number, low: number, high: number) => Math.min(Math.max(value, Math.min(low, high)), high);
  return {
    scale: viewport.scale,
    x: clamp(viewport.x, margin - picture.width * viewport.scale, stage.width - margin),
    y: clamp(viewport.y, margin - picture.height * viewport.scale, stage.height - margin),
  };
}

/** The factor of one wheel event: pixels, lines and pages feel alike, and one event never jumps. */
export function wheelFactor(deltaY: number, deltaMode: number): number {
  const pixels = deltaY * (deltaMode === 1 ? 16 : deltaMode === 2 ? 400 : 1);
  return Math.exp(-Math.max(-120, Math.min(120, pixels)) / 240);
}

function clampScale(scale: number): number {
  return Math.min(Math.max(scale, MIN_SCALE), MAX_SCALE);
}

function middle(points: readonly [ScreenPoint, ScreenPoint]): ScreenPoint {
  return screenPoint((points[0].x + points[1].x) / 2, (points[0].y + points[1].y) / 2);
}
