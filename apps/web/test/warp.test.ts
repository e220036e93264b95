import { canvasPoint } from '@tug/schema';
import { describe, expect, it } from 'vitest';
import { liveDrags } from '@/editor/drags';
import { shiftAt } from '@/editor/warp';
import { Script } from './script';

const size = { width: 600, height: 400 };
const ends = (hx: number, hy: number, tx: number, ty: number) => ({
  handle: canvasPoint(hx, hy),
  target: canvasPoint(tx, ty),
});

describe('the hint of a warp', () => {
  it('brings what lies under the handle to the target', () => {
    const [dx, dy] = shiftAt(200, 200, [ends(200, 200, 260, 180), ends(400, 300, 410, 330)], size);
    expect(dx).toBeCloseTo(60, 1);
    expect(dy).toBeCloseTo(-20, 1);
  });

  it('holds what is pinned and what is far away', () => {
    const drags = [ends(200, 200, 240, 200), ends(230, 220, 230, 220)];
    expect(Math.hypot(...shiftAt(230, 220, drags, size).slice(0, 2))).toBeLessThan(0.1);
    expect(shiftAt(580, 390, drags, size)).toEqual([0, 0, 0]);
    expect(shiftAt(10, 10, [], size)).toEqual([0, 0, 0]);
  });
});

describe('drags in hand', () => {
  it('lie where the pointer has them before the document follows', () => {
    const stage = new Script('drag').with('a', [50, 50], [100, 50]).down(100, 50);
    const before = [...stage.drags];
    stage.move(120, 70);
    const [live] = liveDrags(before, stage.machine.gesture, 'me', 'r1');
    expect(live?.target).toEqual({ x: 120, y: 70 });
  });

  it('are shown while they are placed, and stay gone when somebody removed them', () => {
    const placing = new Script('drag').down(50, 60).move(80, 60);
    expect(liveDrags([], placing.machine.gesture, 'me', 'r1')).toHaveLength(1);
    const moving = new Script('drag').with('a', [50, 50], [100, 50]).down(100, 50).move(120, 50);
    expect(liveDrags([], moving.machine.gesture, 'me', 'r1')).toHaveLength(0);
  });
});
