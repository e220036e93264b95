/**
 * Knows: what pointers and keys mean on the stage. A pure reducer: (gesture, event, context) → (gesture, effects).
 * Does not know: DOM events, Yjs, React; whoever runs it carries the effects out.
 *
 *     idle ── press ──▸ placing | movingHandle | movingTarget | movingDrag | painting | panning
 *     any of them ── second finger ──▸ pinching ── last finger up ──▸ idle
 *     idle ── Enter ──▸ aiming ── Enter ──▸ placing (by keys) ── Enter ──▸ idle
 */

import {
  type CanvasPoint,
  type CanvasSize,
  canvasPoint,
  clampToCanvas,
  isInsideCanvas,
  type SharedDrag,
} from '@tug/schema';
import { type End, type Hit, hitTest, isPin, type PointerKind } from './hit';
import { keyDown } from './machine-keys';
import { type ScreenPoint, toCanvas, type Viewport } from './viewport';

export type Tool = 'select' | 'drag' | 'pin' | 'brush' | 'eraser' | 'hand';

/** A pointer that moved less than this, CSS pixels, was a click. */
export const CLICK_SLOP = 4;
/** The most points of one stroke; what comes later is dropped. */
export const MAX_STROKE_POINTS = 6000;

interface MovingEnd {
  readonly pointerId: number;
  readonly id: string;
  /** from the pointer to the end, so that it does not jump when it is grabbed off centre */
  readonly grip: { readonly x: number; readonly y: number };
  readonly at: CanvasPoint;
}

export type Gesture =
  | { readonly name: 'idle' }
  | { readonly name: 'aiming'; readonly at: CanvasPoint }
  | {
      readonly name: 'placing';
      readonly by: 'pull' | 'click' | 'keys';
      readonly pointerId: number | null;
      readonly pressedAt: ScreenPoint | null;
      readonly id: string;
      readonly handle: CanvasPoint;
      readonly target: CanvasPoint;
    }
  | ({ readonly name: 'movingHandle' } & MovingEnd)
  | ({ readonly name: 'movingTarget' } & MovingEnd)
  | {
      readonly name: 'movingDrag';
      readonly pointerId: number;
      readonly id: string;
      readonly from: CanvasPoint;
      readonly handle: CanvasPoint;
      readonly target: CanvasPoint;
      readonly by: { readonly x: number; readonly y: number };
    }
  | {
      readonly name: 'painting';
      readonly pointerId: number;
      readonly mode: 'paint' | 'erase';
      readonly radius: number;
      readonly points: readonly number[];
    }
  | { readonly name: 'panning'; readonly pointerId: number; readonly last: ScreenPoint }
  | { readonly name: 'pinching' };

interface Touch {
  readonly pointerId: number;
  readonly at: ScreenPoint;
}

/** The whole state: the gesture, and the fingers on the glass. */
export interface Machine {
  readonly gesture: Gesture;
  readonly touches: readonly Touch[];
}

export const IDLE: Machine = { gesture: { name: 'idle' }, touches: [] };

export type StageEvent =
  | {
      readonly type: 'pointerDown';
      readonly pointerId: number;
      readonly kind: PointerKind;
      /** 0 main, 1 middle, 2 right, 5 the pen's eraser */
      readonly button: number;
      readonly at: ScreenPoint;
      readonly shift: boolean;
    }
  | { readonly type: 'pointerMove'; readonly pointerId: number; readonly path: readonly ScreenPoint[] }
  | { readonly type: 'pointerUp'; readonly pointerId: number; readonly at: ScreenPoint }
  | { readonly type: 'pointerCancel'; readonly pointerId: number }
  | { readonly type: 'key'; readonly key: string; readonly shift: boolean };

/** What the machine may look at. */
export interface Context {
  readonly tool: Tool;
  /** the hand, while space is held */
  readonly spaceHeld: boolean;
  readonly canEdit: boolean;
  readonly viewport: Viewport;
  readonly stage: CanvasSize;
  readonly picture: CanvasSize;
  /** canvas pixels */
  readonly brushRadius: number;
  readonly drags: readonly SharedDrag[];
  readonly selection: readonly string[];
  readonly activeEnd: End;
  readonly nextId: string;
}

export type Effect =
  /** what follows is one step of undo; `nudge` joins the nudge before it */
  | { readonly type: 'begin'; readonly nudge?: true }
  /** takes back what was written since `begin` */
  | { readonly type: 'abort' }
  | { readonly type: 'putDrag'; readonly id: string; readonly handle: CanvasPoint; readonly target: CanvasPoint }
  | {
      readonly type: 'moveEnd';
      readonly id: string;
      readonly end: End;
      readonly to: CanvasPoint;
      readonly final: boolean;
    }
  | { readonly type: 'removeDrags'; readonly ids: readonly string[] }
  | { readonly type: 'select'; readonly ids: readonly string[]; readonly end: End }
  | {
      readonly type: 'addStroke';
      readonly mode: 'paint' | 'erase';
      readonly radius: number;
      readonly points: readonly number[];
    }
  | { readonly type: 'pan'; readonly dx: number; readonly dy: number }
  | {
      readonly type: 'pinch';
      readonly before: readonly [ScreenPoint, ScreenPoint];
      readonly after: readonly [ScreenPoint, ScreenPoint];
    }
  /** a viewer tried to change something */
  | { readonly type: 'denied' }
  | { readonly type: 'announce'; readonly text: string };

export interface Step {
  readonly machine: Machine;
  readonly effects: readonly Effect[];
  /** whether the event was used; a key that was not belongs to the page */
  readonly handled: boolean;
}

export function step(machine: Machine, event: StageEvent, context: Context): Step {
  switch (event.type) {
    case 'pointerDown':
      return pointerDown(machine, event, context);
    case 'pointerMove':
      return pointerMove(machine, event, context);
    case 'pointerUp':
      return pointerUp(machine, event, context);
    case 'pointerCancel':
      return pointerCancel(machine, event.pointerId);
    case 'key':
      return keyDown(machine, event, context);
  }
}

/** Ends the gesture and takes back what it wrote. */
export function abandon(machine: Machine): Step {
  return done({ ...machine, gesture: { name: 'idle' } }, writes(machine.gesture) ? [{ type: 'abort' }] : []);
}

export function done(machine: Machine, effects: readonly Effect[] = [], handled = true): Step {
  return { machine, effects, handled };
}

export function inGesture(machine: Machine, gesture: Gesture, effects: readonly Effect[] = []): Step {
  return done({ ...machine, gesture }, effects);
}

type PointerDown = Extract<StageEvent, { type: 'pointerDown' }>;

function pointerDown(machine: Machine, event: PointerDown, context: Context): Step {
  const touches =
    event.kind === 'touch'
      ? [
          ...machine.touches.filter((touch) => touch.pointerId !== event.pointerId),
          { pointerId: event.pointerId, at: event.at },
        ]
      : machine.touches;
  const next = { ...machine, touches };
  if (event.kind === 'touch' && touches.length === 2) {
    return inGesture(next, { name: 'pinching' }, writes(machine.gesture) ? [{ type: 'abort' }] : []);
  }
  if (machine.gesture.name === 'placing' && machine.gesture.by !== 'pull')
    return finishPlacing(next, machine.gesture, event, context);
  if (machine.gesture.name !== 'idle' && machine.gesture.name !== 'aiming') return done(next);
  if (event.button === 2) return done(next, [], false);
  const pan: Gesture = { name: 'panning', pointerId: event.pointerId, last: event.at };
  if (event.button === 1 || context.spaceHeld || context.tool === 'hand') return inGesture(next, pan);
  if (!context.canEdit) return inGesture(next, pan, context.tool === 'select' ? [] : [{ type: 'denied' }]);

  const at = toCanvas(context.viewport, event.at);
  if (context.tool === 'brush' || context.tool === 'eraser' || event.button === 5) {
    const mode = context.tool === 'eraser' || event.button === 5 ? 'erase' : 'paint';
    return inGesture(next, {
      name: 'painting',
      pointerId: event.pointerId,
      mode,
      radius: context.brushRadius,
      points: [at.x, at.y],
    });
  }
  const hit = hitTest(context.drags, context.viewport, event.at, event.kind, context.selection);
  if (hit && (hit.kind === 'end' || context.tool === 'select')) return grab(next, event, context, hit);
  if (context.tool === 'select') {
    return inGesture(next, pan, event.shift ? [] : [{ type: 'select', ids: [], end: 'target' }]);
  }
  if (!isInsideCanvas(at, context.picture)) return inGesture(next, pan);
  if (context.tool === 'pin') {
    return inGesture(next, { name: 'idle' }, [
      { type: 'begin' },
      { type: 'putDrag', id: context.nextId, handle: at, target: at },
      { type: 'select', ids: [context.nextId], end: 'handle' },
    ]);
  }
  return inGesture(
    next,
    {
      name: 'placing',
      by: 'pull',
      pointerId: event.pointerId,
      pressedAt: event.at,
      id: context.nextId,
      handle: at,
      target: at,
    },
    [{ type: 'begin' }, { type: 'select', ids: [context.nextId], end: 'target' }],
  );
}

function grab(machine: Machine, event: PointerDown, context: Context, hit: Hit): Step {
  const drag = context.drags.find((candidate) => candidate.id === hit.id);
  if (!drag) return done(machine);
  const end = hit.kind === 'end' ? hit.end : 'target';
  if (event.shift) {
    const ids = context.selection.includes(drag.id)
      ? context.selection.filter((id) => id !== drag.id)
      : [...context.selection, drag.id];
    return done(machine, [{ type: 'select', ids, end }]);
  }
  const effects: Effect[] = [{ type: 'select', ids: [drag.id], end }, { type: 'begin' }];
  const at = toCanvas(context.viewport, event.at);
  if (hit.kind === 'shaft' || (isPin(drag) && context.tool !== 'drag')) {
    return inGesture(
      machine,
      {
        name: 'movingDrag',
        pointerId: event.pointerId,
        id: drag.id,
        from: at,
        handle: drag.handle,
        target: drag.target,
        by: { x: 0, y: 0 },
      },
      effects,
    );
  }
  // The drag tool pulls a target out of a pin.
  const moved: End = isPin(drag) ? 'target' : end;
  return inGesture(
    machine,
    {
      name: moved === 'handle' ? 'movingHandle' : 'movingTarget',
      pointerId: event.pointerId,
      id: drag.id,
      grip: { x: drag[moved].x - at.x, y: drag[moved].y - at.y },
      at: drag[moved],
    },
    effects,
  );
}

function finishPlacing(
  machine: Machine,
  gesture: Extract<Gesture, { name: 'placing' }>,
  event: PointerDown,
  context: Context,
): Step {
  const target = clampToCanvas(toCanvas(context.viewport, event.at), context.picture);
  return inGesture(machine, { name: 'idle' }, [{ type: 'putDrag', id: gesture.id, handle: gesture.handle, target }]);
}

function pointerMove(machine: Machine, event: Extract<StageEvent, { type: 'pointerMove' }>, context: Context): Step {
  const last = event.path[event.path.length - 1];
  if (!last) return done(machine);
  const touches = machine.touches.map((touch) =>
    touch.pointerId === event.pointerId ? { ...touch, at: last } : touch,
  );
  const next = { ...machine, touches };
  const { gesture } = machine;
  const at = toCanvas(context.viewport, last);
  switch (gesture.name) {
    case 'pinching': {
      const [a, b] = machine.touches;
      const [c, d] = touches;
      if (!a || !b || !c || !d) return done(next);
      return done(next, [{ type: 'pinch', before: [a.at, b.at], after: [c.at, d.at] }]);
    }
    case 'panning':
      if (gesture.pointerId !== event.pointerId) return done(next);
      return inGesture(next, { ...gesture, last }, [
        { type: 'pan', dx: last.x - gesture.last.x, dy: last.y - gesture.last.y },
      ]);
    case 'placing': {
      if (gesture.by === 'keys' || (gesture.by === 'pull' && gesture.pointerId !== event.pointerId)) return done(next);
      if (
        gesture.by === 'pull' &&
        gesture.pressedAt &&
        near(gesture.pressedAt, last) &&
        gesture.target === gesture.handle
      )
        return done(next);
      const target = clampToCanvas(at, context.picture);
      return inGesture(next, { ...gesture, target }, [
        { type: 'putDrag', id: gesture.id, handle: gesture.handle, target },
      ]);
    }
    case 'movingHandle':
    case 'movingTarget': {
      if (gesture.pointerId !== event.pointerId) return done(next);
      const to = clampToCanvas(canvasPoint(at.x + gesture.grip.x, at.y + gesture.grip.y), context.picture);
      const end = gesture.name === 'movingHandle' ? 'handle' : 'target';
      return inGesture(next, { ...gesture, at: to }, [{ type: 'moveEnd', id: gesture.id, end, to, final: false }]);
    }
    case 'movingDrag': {
      if (gesture.pointerId !== event.pointerId) return done(next);
      const by = boundedShift(gesture, { x: at.x - gesture.from.x, y: at.y - gesture.from.y }, context.picture);
      return inGesture(next, { ...gesture, by }, shiftEffects({ ...gesture, by }, false));
    }
    case 'painting': {
      if (gesture.pointerId !== event.pointerId) return done(next);
      const points = [...gesture.points];
      for (const point of event.path) {
        const { x, y } = toCanvas(context.viewport, point);
        const gap = Math.hypot(x - (points[points.length - 2] ?? x), y - (points[points.length - 1] ?? y));
        if (gap * context.viewport.scale >= 1.5 && points.length < MAX_STROKE_POINTS * 2) points.push(x, y);
      }
      return inGesture(next, { ...gesture, points });
    }
    default:
      return done(next, [], false);
  }
}

function pointerUp(machine: Machine, event: Extract<StageEvent, { type: 'pointerUp' }>, context: Context): Step {
  const moved = pointerMove(machine, { type: 'pointerMove', pointerId: event.pointerId, path: [event.at] }, context);
  const next = {
    ...moved.machine,
    touches: moved.machine.touches.filter((touch) => touch.pointerId !== event.pointerId),
  };
  const { gesture } = moved.machine;
  if (gesture.name === 'pinching') {
    return done(next.touches.length > 0 ? next : { ...next, gesture: { name: 'idle' } }, moved.effects);
  }
  if (!('pointerId' in gesture) || gesture.pointerId !== event.pointerId) return done(next, moved.effects);
  switch (gesture.name) {
    case 'placing':
      if (gesture.by !== 'pull') return done(next, moved.effects);
      // A click leaves the handle there; the next click says where it goes.
      if (gesture.target === gesture.handle) {
        return inGesture(next, { ...gesture, by: 'click', pointerId: null }, [
          { type: 'putDrag', id: gesture.id, handle: gesture.handle, target: gesture.target },
          { type: 'announce', text: 'Handle placed. Click where it should go.' },
        ]);
      }
      return inGesture(next, { name: 'idle' }, [
        { type: 'putDrag', id: gesture.id, handle: gesture.handle, target: gesture.target },
      ]);
    case 'movingHandle':
    case 'movingTarget': {
      const end = gesture.name === 'movingHandle' ? 'handle' : 'target';
      return inGesture(next, { name: 'idle' }, [{ type: 'moveEnd', id: gesture.id, end, to: gesture.at, final: true }]);
    }
    case 'movingDrag':
      return inGesture(next, { name: 'idle' }, shiftEffects(gesture, true));
    case 'painting':
      return inGesture(next, { name: 'idle' }, [
        { type: 'begin' },
        { type: 'addStroke', mode: gesture.mode, radius: gesture.radius, points: gesture.points },
      ]);
    default:
      return inGesture(next, { name: 'idle' }, moved.effects);
  }
}

function pointerCancel(machine: Machine, pointerId: number): Step {
  const next = { ...machine, touches: machine.touches.filter((touch) => touch.pointerId !== pointerId) };
  const { gesture } = machine;
  if (gesture.name === 'pinching') return next.touches.length > 0 ? done(next) : inGesture(next, { name: 'idle' });
  if ('pointerId' in gesture && gesture.pointerId === pointerId) return abandon(next);
  return done(next);
}

/** Whether the gesture writes into the document before it ends. */
function writes(gesture: Gesture): boolean {
  return (
    gesture.name === 'placing' ||
    gesture.name === 'movingHandle' ||
    gesture.name === 'movingTarget' ||
    gesture.name === 'movingDrag'
  );
}

function near(a: ScreenPoint, b: ScreenPoint): boolean {
  return Math.hypot(a.x - b.x, a.y - b.y) < CLICK_SLOP;
}

type MovingDrag = Extract<Gesture, { name: 'movingDrag' }>;

/** The part of the shift that keeps both ends inside the picture, so that the drag keeps its shape. */
function boundedShift(
  gesture: MovingDrag,
  by: { x: number; y: number },
  picture: CanvasSize,
): { x: number; y: number } {
  const bound = (value: number, low: number, high: number) => Math.min(Math.max(value, low), high);
  const { handle, target } = gesture;
  return {
    x: bound(by.x, -Math.min(handle.x, target.x), picture.width - Math.max(handle.x, target.x)),
    y: bound(by.y, -Math.min(handle.y, target.y), picture.height - Math.max(handle.y, target.y)),
  };
}

function shiftEffects({ id, handle, target, by }: MovingDrag, final: boolean): Effect[] {
  if (final && by.x === 0 && by.y === 0) return [];
  return [
    { type: 'moveEnd', id, end: 'handle', to: canvasPoint(handle.x + by.x, handle.y + by.y), final },
    { type: 'moveEnd', id, end: 'target', to: canvasPoint(target.x + by.x, target.y + by.y), final },
  ];
}
