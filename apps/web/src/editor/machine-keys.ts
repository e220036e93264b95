/** Knows: what keys mean on the focused stage: aiming, placing and moving drags without a pointer. Part of the machine. */

import { type CanvasPoint, canvasPoint, clampToCanvas } from '@tug/schema';
import type { End } from './hit';
import { isPin } from './hit';
import type { Context, Gesture, Machine, StageEvent, Step } from './machine';
import { toCanvas } from './viewport';

const ARROWS: Record<string, readonly [number, number]> = {
  ArrowLeft: [-1, 0],
  ArrowRight: [1, 0],
  ArrowUp: [0, -1],
  ArrowDown: [0, 1],
};

export function keyDown(machine: Machine, event: Extract<StageEvent, { type: 'key' }>, context: Context): Step {
  const { gesture } = machine;
  const arrow = ARROWS[event.key];
  const reach = event.shift ? 10 : 1;
  const moved = (from: CanvasPoint, [dx, dy]: readonly [number, number]) =>
    clampToCanvas(canvasPoint(from.x + dx * reach, from.y + dy * reach), context.picture);
  const go = (next: Gesture, effects: Step['effects'] = []): Step => ({
    machine: { ...machine, gesture: next },
    effects,
    handled: true,
  });

  if (event.key === 'Escape' && gesture.name !== 'idle') {
    const wrote = 'id' in gesture;
    return go({ name: 'idle' }, [
      ...(wrote ? [{ type: 'abort' } as const] : []),
      { type: 'announce', text: 'Cancelled.' },
    ]);
  }
  if (gesture.name === 'aiming') {
    if (arrow) return go({ name: 'aiming', at: moved(gesture.at, arrow) });
    if (event.key === 'Enter') return place(gesture.at, context, go);
    return ignored(machine);
  }
  if (gesture.name === 'placing' && gesture.by !== 'pull') {
    if (arrow) {
      const target = moved(gesture.target, arrow);
      return go({ ...gesture, target }, [{ type: 'putDrag', id: gesture.id, handle: gesture.handle, target }]);
    }
    if (event.key === 'Enter') {
      return go({ name: 'idle' }, [
        { type: 'putDrag', id: gesture.id, handle: gesture.handle, target: gesture.target },
        { type: 'announce', text: 'Drag added.' },
      ]);
    }
    return ignored(machine);
  }
  if (gesture.name !== 'idle') return ignored(machine);

  if (event.key === 'Tab') return cycle(machine, event.shift, context);
  if (event.key === 'Escape' && context.selection.length > 0) {
    return go({ name: 'idle' }, [{ type: 'select', ids: [], end: 'target' }]);
  }
  if (!context.canEdit) return ignored(machine);
  if ((event.key === 'Delete' || event.key === 'Backspace') && context.selection.length > 0) {
    const count = context.selection.length;
    return go({ name: 'idle' }, [
      { type: 'begin' },
      { type: 'removeDrags', ids: context.selection },
      { type: 'select', ids: [], end: 'target' },
      { type: 'announce', text: count === 1 ? 'Drag removed.' : `${count} drags removed.` },
    ]);
  }
  if (arrow && context.selection.length > 0) {
    const effects: Step['effects'][number][] = [{ type: 'begin', nudge: true }];
    for (const drag of context.drags) {
      if (!context.selection.includes(drag.id)) continue;
      const ends: readonly End[] = isPin(drag) ? ['handle', 'target'] : [context.activeEnd];
      for (const end of ends)
        effects.push({ type: 'moveEnd', id: drag.id, end, to: moved(drag[end], arrow), final: true });
    }
    return go({ name: 'idle' }, effects);
  }
  if (event.key === 'Enter' && (context.tool === 'drag' || context.tool === 'pin')) {
    const centre = toCanvas(context.viewport, { x: context.stage.width / 2, y: context.stage.height / 2 });
    return go(
      { name: 'aiming', at: clampToCanvas(canvasPoint(Math.round(centre.x), Math.round(centre.y)), context.picture) },
      [{ type: 'announce', text: 'Crosshair: move it with the arrow keys, place with Enter, cancel with Escape.' }],
    );
  }
  return ignored(machine);
}

function place(at: CanvasPoint, context: Context, go: (next: Gesture, effects?: Step['effects']) => Step): Step {
  if (context.tool === 'pin') {
    return go({ name: 'idle' }, [
      { type: 'begin' },
      { type: 'putDrag', id: context.nextId, handle: at, target: at },
      { type: 'select', ids: [context.nextId], end: 'handle' },
      { type: 'announce', text: 'Pin added.' },
    ]);
  }
  return go(
    { name: 'placing', by: 'keys', pointerId: null, pressedAt: null, id: context.nextId, handle: at, target: at },
    [
      { type: 'begin' },
      { type: 'putDrag', id: context.nextId, handle: at, target: at },
      { type: 'select', ids: [context.nextId], end: 'target' },
      { type: 'announce', text: 'Handle placed. Move the target with the arrow keys, finish with Enter.' },
    ],
  );
}

/** Tab goes through every end of every drag and then leaves the stage, so that it never traps anyone. */
function cycle(machine: Machine, backwards: boolean, context: Context): Step {
  const stops = context.drags.flatMap((drag) =>
    isPin(drag)
      ? [{ id: drag.id, end: 'handle' as End }]
      : [
          { id: drag.id, end: 'handle' as End },
          { id: drag.id, end: 'target' as End },
        ],
  );
  const current = stops.findIndex(
    (stop) =>
      stop.id === context.selection[0] &&
      (stop.end === context.activeEnd || stops.filter((s) => s.id === stop.id).length === 1),
  );
  const next = current === -1 ? (backwards ? -1 : 0) : current + (backwards ? -1 : 1);
  const stop = stops[next];
  if (!stop) {
    return { machine, effects: current === -1 ? [] : [{ type: 'select', ids: [], end: 'target' }], handled: false };
  }
  const number = context.drags.findIndex((drag) => drag.id === stop.id) + 1;
  return {
    machine,
    effects: [
      { type: 'select', ids: [stop.id], end: stop.end },
      { type: 'announce', text: `Drag ${number} of ${context.drags.length}, ${stop.end}.` },
    ],
    handled: true,
  };
}

function ignored(machine: Machine): Step {
  return { machine, effects: [], handled: false };
}
