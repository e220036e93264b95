/**
 * Knows: points, drags and brush strokes in the pixels of the canvas picture, and how a stroke is drawn.
 * Does not know: who drew them, Yjs, GraphQL, screens.
 */

declare const canvasSpace: unique symbol;

/** A point in pixels of the canvas picture: (x, y), origin at its top left corner. Made with {@link canvasPoint}. */
export interface CanvasPoint {
  readonly x: number;
  readonly y: number;
  readonly [canvasSpace]: true;
}

/** The size of the canvas picture in pixels. */
export interface CanvasSize {
  readonly width: number;
  readonly height: number;
}

/** Marks x and y, in canvas pixels, as a point of canvas space. */
export function canvasPoint(x: number, y: number): CanvasPoint {
  return { x, y } as CanvasPoint;
}

/** The nearest point inside the picture; the far edges belong to it. */
export function clampToCanvas(point: CanvasPoint, size: CanvasSize): CanvasPoint {
  return canvasPoint(Math.min(Math.max(point.x, 0), size.width), Math.min(Math.max(point.y, 0), size.height));
}

/** Whether the point is finite and inside the picture, edges included. */
export function isInsideCanvas(point: { x: number; y: number }, size: CanvasSize): boolean {
  return point.x >= 0 && point.y >= 0 && point.x <= size.width && point.y <= size.height;
}

/** Distance in canvas pixels. */
export function distance(a: CanvasPoint, b: CanvasPoint): number {
  return Math.hypot(a.x - b.x, a.y - b.y);
}

/** A brush stroke of the mask. `paint` lets the picture change there, `erase` protects it. Later strokes win. */
export interface StrokeGeometry {
  readonly mode: 'paint' | 'erase';
  /** half the brush's width, canvas pixels */
  readonly radius: number;
  /** x0, y0, x1, y1, … in canvas pixels; at least one point */
  readonly points: readonly number[];
}

/**
 * The stroke's centre line as SVG path data. Browser (`Path2D`) and server (SVG) both draw the mask from it, with round caps
 * and joins and a width of twice the radius, so that both see the same mask.
 */
export function strokePath(stroke: StrokeGeometry): string {
  const at = (index: number) => `${round(stroke.points[index] ?? 0)} ${round(stroke.points[index + 1] ?? 0)}`;
  if (stroke.points.length <= 2) return `M${at(0)}l0.01 0`;
  let path = `M${at(0)}`;
  for (let index = 2; index + 1 < stroke.points.length; index += 2) path += `L${at(index)}`;
  return path;
}

/** The painted mask as an SVG picture of the canvas' size: white may change, black is protected. */
export function maskSvg(strokes: readonly StrokeGeometry[], size: CanvasSize): string {
  const paths = strokes.map(
    (stroke) =>
      `<path d="${strokePath(stroke)}" stroke="${stroke.mode === 'paint' ? '#fff' : '#000'}" stroke-width="${round(stroke.radius * 2)}"/>`,
  );
  return (
    `<svg xmlns="http://www.w3.org/2000/svg" width="${size.width}" height="${size.height}" viewBox="0 0 ${size.width} ${size.height}">` +
    `<rect width="100%" height="100%" fill="#000"/><g fill="none" stroke-linecap="round" stroke-linejoin="round">${paths.join('')}</g></svg>`
  );
}

function round(value: number): number {
  return Math.round(value * 100) / 100;
}
