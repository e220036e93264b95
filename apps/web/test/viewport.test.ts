import { describe, expect, it } from 'vitest';
import {
  fit,
  keepInSight,
  MAX_SCALE,
  MIN_SCALE,
  pinch,
  screenPoint,
  toCanvas,
  toScreen,
  wheelFactor,
  zoomBy,
  zoomTo,
} from '@/editor/viewport';

const NONE = { top: 0, right: 0, bottom: 0, left: 0 };

describe('viewport', () => {
  it('goes to the screen and back', () => {
    const viewport = { scale: 1.7, x: -31, y: 12 };
    const point = toCanvas(viewport, toScreen(viewport, { x: 123.4, y: 56.7 }));
    expect(point.x).toBeCloseTo(123.4);
    expect(point.y).toBeCloseTo(56.7);
  });

  it('fits the picture into what the panels leave free', () => {
    const insets = { top: 50, right: 200, bottom: 50, left: 0 };
    const viewport = fit({ width: 1000, height: 500 }, { width: 1200, height: 800 }, insets);
    expect(viewport.scale).toBe(1);
    expect([viewport.x, viewport.y]).toEqual([0, 150]);
  });

  it('does not blow small pictures up beyond 200 %', () => {
    expect(fit({ width: 40, height: 40 }, { width: 1200, height: 800 }, NONE).scale).toBe(2);
  });

  it('stays usable on a stage smaller than its panels', () => {
    const viewport = fit(
      { width: 100, height: 100 },
      { width: 50, height: 50 },
      { top: 40, right: 40, bottom: 40, left: 40 },
    );
    expect(viewport.scale).toBeGreaterThan(0);
  });

  it('zooms about the pointer and within bounds', () => {
    const viewport = { scale: 1, x: 10, y: 20 };
    const pointer = { x: 300, y: 200 };
    const before = toCanvas(viewport, pointer);
    const after = toCanvas(zoomBy(viewport, pointer, 2.5), pointer);
    expect(after.x).toBeCloseTo(before.x);
    expect(after.y).toBeCloseTo(before.y);
    expect(zoomTo(viewport, pointer, 1e9).scale).toBe(MAX_SCALE);
    expect(zoomTo(viewport, pointer, 0).scale).toBe(MIN_SCALE);
  });

  it('keeps what lies under two fingers under them', () => {
    const viewport = { scale: 1, x: 0, y: 0 };
    const before = [screenPoint(100, 100), screenPoint(200, 100)] as const;
    const after = [screenPoint(80, 150), screenPoint(280, 150)] as const;
    const next = pinch(viewport, before, after);
    expect(next.scale).toBeCloseTo(2);
    for (const index of [0, 1] as const) {
      const under = toCanvas(next, after[index]);
      expect(under.x).toBeCloseTo(toCanvas(viewport, before[index]).x);
      expect(under.y).toBeCloseTo(toCanvas(viewport, before[index]).y);
    }
  });

  it('never loses the picture', () => {
    const lost = keepInSight({ scale: 1, x: -5000, y: 9000 }, { width: 400, height: 300 }, { width: 800, height: 600 });
    expect(lost.x + 400).toBeGreaterThan(0);
    expect(lost.y).toBeLessThan(600);
  });

  it('bounds one turn of the wheel, whatever its unit', () => {
    expect(wheelFactor(-100000, 0)).toBeLessThan(2);
    expect(wheelFactor(3, 1)).toBeLessThan(1);
    expect(wheelFactor(-3, 1) * wheelFactor(3, 1)).toBeCloseTo(1);
  });
});
