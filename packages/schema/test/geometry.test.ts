import { describe, expect, test } from 'vitest';
import { canvasPoint, clampToCanvas, distance, isInsideCanvas, maskSvg, strokePath } from '../src/index.js';

const size = { width: 640, height: 480 };

describe('points', () => {
  test('a point outside is brought to the nearest edge', () => {
    expect(clampToCanvas(canvasPoint(-3, 500), size)).toEqual({ x: 0, y: 480 });
    expect(clampToCanvas(canvasPoint(12.5, 7), size)).toEqual({ x: 12.5, y: 7 });
  });

  test('edges belong to the picture, NaN and infinity do not', () => {
    expect(isInsideCanvas({ x: 640, y: 480 }, size)).toBe(true);
    expect(isInsideCanvas({ x: 640.01, y: 0 }, size)).toBe(false);
    expect(isInsideCanvas({ x: Number.NaN, y: 0 }, size)).toBe(false);
    expect(isInsideCanvas({ x: Number.POSITIVE_INFINITY, y: 0 }, size)).toBe(false);
  });

  test('distance is in pixels', () => {
    expect(distance(canvasPoint(1, 2), canvasPoint(4, 6))).toBe(5);
  });
});

describe('strokes', () => {
  test('a dab still has a length, so that its round cap is drawn', () => {
    expect(strokePath({ mode: 'paint', radius: 4, points: [10, 20] })).toBe('M10 20l0.01 0');
  });

  test('a stroke is a line through its points', () => {
    expect(strokePath({ mode: 'paint', radius: 4, points: [1, 2, 3.333, 4, 5, 6] })).toBe('M1 2L3.33 4L5 6');
  });

  test('the mask is drawn in order, white for paint and black for erase', () => {
    const svg = maskSvg(
      [
        { mode: 'paint', radius: 10, points: [5, 5, 50, 50] },
        { mode: 'erase', radius: 3, points: [5, 5] },
      ],
      size,
    );
    expect(svg).toContain('width="640" height="480"');
    expect(svg.indexOf('stroke="#fff" stroke-width="20"')).toBeGreaterThan(0);
    expect(svg.indexOf('stroke="#000" stroke-width="6"')).toBeGreaterThan(svg.indexOf('stroke="#fff"'));
  });
});
