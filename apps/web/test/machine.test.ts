import { describe, expect, it } from 'vitest';
import { Script } from './script';

const at = (point: { x: number; y: number } | undefined) => point && [point.x, point.y];

describe('the drag tool', () => {
  it('pulls a new drag from where it was pressed to where it was let go', () => {
    const stage = new Script('drag').down(50, 60);
    expect(stage.state).toBe('placing');
    stage.move(70, 60).move(90, 65).up(90, 65);
    expect(stage.state).toBe('idle');
    expect(stage.drags).toHaveLength(1);
    expect(at(stage.drags[0]?.handle)).toEqual([50, 60]);
    expect(at(stage.drags[0]?.target)).toEqual([90, 65]);
    expect(stage.of('begin')).toHaveLength(1);
    expect(stage.selection).toEqual([stage.drags[0]?.id]);
  });

  it('shows others the drag while it is pulled', () => {
    const stage = new Script('drag').down(50, 60).move(70, 60);
    expect(at(stage.drags[0]?.target)).toEqual([70, 60]);
  });

  it('takes two clicks as handle and target', () => {
    const stage = new Script('drag').down(50, 60).up(50.5, 60);
    expect(stage.state).toBe('placing');
    stage.move(120, 100);
    expect(at(stage.drags[0]?.target)).toEqual([120, 100]);
    stage.down(130, 110);
    expect(stage.state).toBe('idle');
    stage.up(130, 110);
    expect(stage.drags).toHaveLength(1);
    expect(at(stage.drags[0]?.target)).toEqual([130, 110]);
  });

  it('keeps targets inside the picture', () => {
    const stage = new Script('drag').down(50, 60).move(900, -40).up(900, -40);
    expect(at(stage.drags[0]?.target)).toEqual([300, 0]);
  });

  it('pans when pressed beside the picture', () => {
    expect(new Script('drag').down(-5, 60).state).toBe('panning');
  });

  it('moves an end that is pressed, without a jump', () => {
    const stage = new Script('drag').with('a', [50, 50], [100, 50]).down(102, 51);
    expect(stage.state).toBe('movingTarget');
    stage.move(112, 61).up(112, 61);
    expect(at(stage.drag('a')?.target)).toEqual([110, 60]);
    expect(at(stage.drag('a')?.handle)).toEqual([50, 50]);
    expect(stage.of('moveEnd').at(-1)?.final).toBe(true);
  });

  it('pulls the target out of a pin', () => {
    const stage = new Script('drag').with('a', [50, 50], [50, 50]).down(50, 50);
    expect(stage.state).toBe('movingTarget');
    stage.move(80, 50).up(80, 50);
    expect(at(stage.drag('a')?.handle)).toEqual([50, 50]);
    expect(at(stage.drag('a')?.target)).toEqual([80, 50]);
  });

  it('takes everything back on Escape, on a lost pointer and on another tool', () => {
    for (const end of [(s: Script) => s.key('Escape'), (s: Script) => s.cancel(), (s: Script) => s.abandon()]) {
      const stage = new Script('drag').down(50, 60).move(90, 60);
      end(stage);
      expect(stage.state).toBe('idle');
      expect(stage.of('abort')).toHaveLength(1);
    }
  });

  it('ignores the right button', () => {
    const stage = new Script('drag').down(50, 60, { button: 2 });
    expect(stage.state).toBe('idle');
    expect(stage.handled).toBe(false);
  });
});

describe('the move tool', () => {
  it('moves a whole drag by its shaft and keeps its shape at the border', () => {
    const stage = new Script('select').with('a', [50, 50], [150, 50]).down(100, 50);
    expect(stage.state).toBe('movingDrag');
    stage.move(100, -30).up(100, -30);
    expect(at(stage.drag('a')?.handle)).toEqual([50, 0]);
    expect(at(stage.drag('a')?.target)).toEqual([150, 0]);
  });

  it('writes nothing when a drag was only clicked', () => {
    const stage = new Script('select').with('a', [50, 50], [150, 50]).down(100, 50).up(100, 50);
    expect(stage.of('moveEnd').filter((effect) => effect.final)).toHaveLength(0);
    expect(stage.selection).toEqual(['a']);
  });

  it('adds to the selection with shift, and drops it beside every drag', () => {
    const stage = new Script('select').with('a', [50, 50], [90, 50]).with('b', [50, 150], [90, 150]);
    stage.down(50, 50).up(50, 50).down(50, 150, { shift: true }).up(50, 150);
    expect(stage.selection).toEqual(['a', 'b']);
    stage.down(200, 100).up(200, 100);
    expect(stage.selection).toEqual([]);
  });

  it('reaches an end with a finger from 20 px away, with a mouse from 12', () => {
    const near = (kind: 'mouse' | 'touch', pixels: number) =>
      new Script('select').with('a', [50, 50], [90, 50]).down(50, 50 + pixels / 2, { kind }).state;
    expect(near('mouse', 11.5)).toBe('movingHandle');
    expect(near('mouse', 14)).toBe('panning');
    expect(near('touch', 20)).toBe('movingHandle');
  });
});

describe('pins, brushes and hands', () => {
  it('pins with one click', () => {
    const stage = new Script('pin').down(40, 40).up(40, 40);
    expect(at(stage.drags[0]?.handle)).toEqual([40, 40]);
    expect(at(stage.drags[0]?.target)).toEqual([40, 40]);
    expect(stage.of('begin')).toHaveLength(1);
  });

  it('paints one stroke from press to release, and erases with the pen’s other end', () => {
    const stage = new Script('brush').down(10, 10).move(20, 10).move(30, 20).up(30, 20);
    expect(stage.of('addStroke')).toEqual([
      { type: 'addStroke', mode: 'paint', radius: 12, points: [10, 10, 20, 10, 30, 20] },
    ]);
    stage.down(10, 10, { kind: 'pen', button: 5 }).up(10, 10);
    expect(stage.of('addStroke')[1]?.mode).toBe('erase');
  });

  it('drops a stroke that was given up', () => {
    const stage = new Script('brush').down(10, 10).move(20, 10).key('Escape').up(20, 10);
    expect(stage.of('addStroke')).toHaveLength(0);
  });

  it('pans with the hand, with space held and with the middle button', () => {
    const hand = new Script('hand').down(10, 10).move(15, 12);
    expect(hand.of('pan')).toEqual([{ type: 'pan', dx: 10, dy: 4 }]);
    const space = new Script('drag');
    space.spaceHeld = true;
    expect(space.down(10, 10).state).toBe('panning');
    expect(new Script('drag').down(10, 10, { button: 1 }).state).toBe('panning');
  });

  it('lets viewers pan and tells them why they cannot drag', () => {
    const stage = new Script('drag');
    stage.canEdit = false;
    stage.down(50, 60).move(60, 60).up(60, 60);
    expect(stage.drags).toHaveLength(0);
    expect(stage.of('denied')).toHaveLength(1);
    expect(stage.of('pan')).not.toHaveLength(0);
  });
});

describe('two fingers', () => {
  it('pinch, and take back what the first one began', () => {
    const stage = new Script('drag').down(50, 60, { kind: 'touch' }).move(80, 60);
    stage.down(100, 100, { kind: 'touch', pointer: 2 });
    expect(stage.state).toBe('pinching');
    expect(stage.of('abort')).toHaveLength(1);
    stage.move(110, 110, 2);
    expect(stage.of('pinch')).toHaveLength(1);
    stage.up(110, 110, 2);
    expect(stage.state).toBe('pinching');
    stage.move(10, 10).up(80, 60);
    expect(stage.state).toBe('idle');
    expect(stage.drags.filter((drag) => drag.target.x === 10)).toHaveLength(0);
  });

  it('lets a mouse and a finger alone', () => {
    const stage = new Script('drag').down(50, 60).down(100, 100, { kind: 'touch', pointer: 2 });
    expect(stage.state).toBe('placing');
  });
});

describe('the keyboard', () => {
  it('places a drag at a crosshair', () => {
    const stage = new Script('drag').key('Enter');
    expect(stage.state).toBe('aiming');
    stage.key('ArrowLeft', true).key('ArrowUp').key('Enter');
    expect(stage.state).toBe('placing');
    stage.key('ArrowRight', true).key('ArrowRight').key('Enter');
    expect(stage.state).toBe('idle');
    const [drag] = stage.drags;
    expect(at(drag?.handle)).toEqual([185, 139]);
    expect(at(drag?.target)).toEqual([196, 139]);
  });

  it('moves the selected end, shift ten pixels, as one run of nudges', () => {
    const stage = new Script('drag').with('a', [50, 50], [90, 50]);
    stage.selection = ['a'];
    stage.key('ArrowDown').key('ArrowDown', true);
    expect(at(stage.drag('a')?.target)).toEqual([90, 61]);
    expect(stage.of('begin').every((effect) => effect.nudge)).toBe(true);
    stage.activeEnd = 'handle';
    stage.key('ArrowLeft');
    expect(at(stage.drag('a')?.handle)).toEqual([49, 50]);
  });

  it('walks through all ends with Tab, then leaves the stage', () => {
    const stage = new Script('drag').with('a', [50, 50], [90, 50]).with('pin', [10, 10], [10, 10]);
    const seen: string[] = [];
    for (let index = 0; index < 4; index += 1) {
      stage.key('Tab');
      seen.push(stage.handled ? `${stage.selection[0]} ${stage.activeEnd}` : 'left');
    }
    expect(seen).toEqual(['a handle', 'a target', 'pin handle', 'left']);
    expect(stage.selection).toEqual([]);
  });

  it('removes the selection', () => {
    const stage = new Script('select').with('a', [50, 50], [90, 50]);
    stage.selection = ['a'];
    stage.key('Delete');
    expect(stage.drags).toHaveLength(0);
    expect(stage.of('begin')).toHaveLength(1);
  });

  it('leaves keys that mean nothing here to the page', () => {
    expect(new Script('select').key('Enter').handled).toBe(false);
    expect(new Script('drag').key('Escape').handled).toBe(false);
    expect(new Script('drag').key('ArrowUp').handled).toBe(false);
  });
});
