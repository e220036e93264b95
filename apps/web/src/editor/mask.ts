/**
 * Knows: how to keep the painted mask as pixels, so that a frame costs one copy however many strokes there are.
 * Does not know: where on the screen it is shown.
 */

import { type CanvasSize, type StrokeGeometry, strokePath } from '@tug/schema';

/** The mask's long side in pixels; it is only looked at, so it need not be sharper. */
const RESOLUTION = 1024;

export class MaskLayer {
  private readonly pixels: HTMLCanvasElement;
  private readonly scale: number;
  private drawn: readonly StrokeGeometry[] = [];

  constructor(readonly size: CanvasSize) {
    this.scale = Math.min(1, RESOLUTION / Math.max(size.width, size.height));
    this.pixels = document.createElement('canvas');
    this.pixels.width = Math.max(1, Math.round(size.width * this.scale));
    this.pixels.height = Math.max(1, Math.round(size.height * this.scale));
  }

  get empty(): boolean {
    return this.drawn.length === 0;
  }

  /** Brings the pixels up to these strokes; strokes that were only added are drawn on top. */
  update(strokes: readonly StrokeGeometry[]): void {
    const appended = this.drawn.every((stroke, index) => sameStroke(stroke, strokes[index]));
    const context = this.pixels.getContext('2d');
    if (!context) return;
    if (!appended) context.clearRect(0, 0, this.pixels.width, this.pixels.height);
    for (const stroke of appended ? strokes.slice(this.drawn.length) : strokes) this.paint(context, stroke);
    this.drawn = strokes;
  }

  /** Copies the mask, white, under the target's present transform (canvas pixels); then the strokes still being drawn. */
  draw(target: CanvasRenderingContext2D, unfinished: readonly StrokeGeometry[]): void {
    target.drawImage(this.pixels, 0, 0, this.size.width, this.size.height);
    for (const stroke of unfinished) trace(target, stroke);
    target.globalCompositeOperation = 'source-over';
  }

  private paint(context: CanvasRenderingContext2D, stroke: StrokeGeometry): void {
    context.setTransform(this.scale, 0, 0, this.scale, 0, 0);
    trace(context, stroke);
    context.globalCompositeOperation = 'source-over';
    context.setTransform(1, 0, 0, 1, 0, 0);
  }
}

function trace(context: CanvasRenderingContext2D, stroke: StrokeGeometry): void {
  context.globalCompositeOperation = stroke.mode === 'paint' ? 'source-over' : 'destination-out';
  context.strokeStyle = '#fff';
  context.lineWidth = stroke.radius * 2;
  context.lineCap = 'round';
  context.lineJoin = 'round';
  context.stroke(new Path2D(strokePath(stroke)));
}

function sameStroke(a: StrokeGeometry, b: StrokeGeometry | undefined): boolean {
  if (!b || a.mode !== b.mode || a.radius !== b.radius || a.points.length !== b.points.length) return false;
  const last = a.points.length - 1;
  return a.points[0] === b.points[0] && a.points[last] === b.points[last];
}
