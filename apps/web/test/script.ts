/** A stage without a screen: plays scripts of pointer and key events into the machine and keeps what came of them. */

import { type CanvasPoint, canvasPoint, type SharedDrag } from '@tug/schema';
import type { End, PointerKind } from '@/editor/hit';
import {
  abandon,
  type Context,
  type Effect,
  IDLE,
  type Machine,
  type StageEvent,
  step,
  type Tool,
} from '@/editor/machine';
import { screenPoint, type Viewport } from '@/editor/viewport';

export class Script {
  machine: Machine = IDLE;
  effects: Effect[] = [];
  drags: SharedDrag[] = [];
  selection: readonly string[] = [];
  activeEnd: End = 'target';
  viewport: Viewport = { scale: 2, x: 10, y: 20 };
  spaceHeld = false;
  canEdit = true;
  handled = true;
  private count = 0;

  constructor(public tool: Tool) {}

  get state(): string {
    return this.machine.gesture.name;
  }

  /** Adds a drag to the document, in canvas pixels. */
  with(id: string, handle: [number, number], target: [number, number]): this {
    this.drags.push({
      id,
      handle: canvasPoint(...handle),
      target: canvasPoint(...target),
      author: 'me',
      base: 'r1',
      createdAt: this.drags.length,
    });
    return this;
  }

  /** Presses at a canvas point. */
  down(
    x: number,
    y: number,
    more: { pointer?: number; kind?: PointerKind; button?: number; shift?: boolean } = {},
  ): this {
    const { pointer = 1, kind = 'mouse', button = 0, shift = false } = more;
    return this.send({ type: 'pointerDown', pointerId: pointer, kind, button, at: this.screen(x, y), shift });
  }

  move(x: number, y: number, pointer = 1): this {
    return this.send({ type: 'pointerMove', pointerId: pointer, path: [this.screen(x, y)] });
  }

  up(x: number, y: number, pointer = 1): this {
    return this.send({ type: 'pointerUp', pointerId: pointer, at: this.screen(x, y) });
  }

  cancel(pointer = 1): this {
    return this.send({ type: 'pointerCancel', pointerId: pointer });
  }

  key(key: string, shift = false): this {
    return this.send({ type: 'key', key, shift });
  }

  abandon(): this {
    return this.take(abandon(this.machine));
  }

  /** The effects of one kind so far. */
  of<T extends Effect['type']>(type: T): Extract<Effect, { type: T }>[] {
    return this.effects.filter((effect): effect is Extract<Effect, { type: T }> => effect.type === type);
  }

  drag(id: string): SharedDrag | undefined {
    return this.drags.find((drag) => drag.id === id);
  }

  private send(event: StageEvent): this {
    return this.take(step(this.machine, event, this.context()));
  }

  private take(result: ReturnType<typeof step>): this {
    this.machine = result.machine;
    this.handled = result.handled;
    for (const effect of result.effects) this.perform(effect);
    return this;
  }

  private perform(effect: Effect): void {
    this.effects.push(effect);
    if (effect.type === 'select') {
      this.selection = effect.ids;
      this.activeEnd = effect.end;
    }
    if (effect.type === 'putDrag') {
      this.drags = this.drags.filter((drag) => drag.id !== effect.id);
      this.with(effect.id, pair(effect.handle), pair(effect.target));
    }
    if (effect.type === 'moveEnd') {
      this.drags = this.drags.map((drag) => (drag.id === effect.id ? { ...drag, [effect.end]: effect.to } : drag));
    }
    if (effect.type === 'removeDrags') this.drags = this.drags.filter((drag) => !effect.ids.includes(drag.id));
  }

  private context(): Context {
    this.count += 1;
    return {
      tool: this.tool,
      spaceHeld: this.spaceHeld,
      canEdit: this.canEdit,
      viewport: this.viewport,
      stage: { width: 800, height: 600 },
      picture: { width: 300, height: 200 },
      brushRadius: 12,
      drags: this.drags,
      selection: this.selection,
      activeEnd: this.activeEnd,
      nextId: `new-${this.count}`,
    };
  }

  private screen(x: number, y: number) {
    return screenPoint(x * this.viewport.scale + this.viewport.x, y * this.viewport.scale + this.viewport.y);
  }
}

function pair(point: CanvasPoint): [number, number] {
  return [point.x, point.y];
}
