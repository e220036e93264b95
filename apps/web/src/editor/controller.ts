/**
 * Knows: the stage at work. Runs the machine on DOM events, carries its effects out, and draws a frame whenever something
 * that the frame shows has changed. Nothing here goes through React, so a moving pointer renders no component.
 */

import { type CanvasSize, isInsideCanvas, type SharedDrag, type StrokeGeometry } from '@tug/schema';
import { createStore } from 'zustand/vanilla';
import { newId } from '@/session/id';
import type { Room } from '@/session/room';
import { GlidingCursors } from './cursors';
import { liveDrags } from './drags';
import { hitTest, isPin, type PointerKind } from './hit';
import { abandon, type Context, type Effect, IDLE, type Machine, type StageEvent, step } from './machine';
import { MaskLayer } from './mask';
import { drawScene, type Scene } from './overlay';
import type { EditorStore } from './store';
import {
  fit,
  type Insets,
  keepInSight,
  PIXELATED_SCALE,
  panBy,
  pinch,
  type ScreenPoint,
  screenPoint,
  toCanvas,
  type Viewport,
  wheelFactor,
  zoomBy,
  zoomTo,
} from './viewport';
import { WarpHint } from './warp';

const PULLING: ReadonlySet<string> = new Set(['placing', 'movingHandle', 'movingTarget', 'movingDrag']);

interface StageElements {
  readonly stage: HTMLElement;
  readonly picture: HTMLElement;
  readonly overlay: HTMLCanvasElement;
  /** inside the picture */
  readonly warp: HTMLCanvasElement;
}

/** What the editor decides and the stage obeys. */
export interface StageMode {
  readonly canEdit: boolean;
  /** results are shown: the pointer only pans */
  readonly lookOnly: boolean;
  /** a pulled drag may show roughly what it will do */
  readonly hint: boolean;
  readonly dragStrength: number;
  readonly maskStrength: number;
  readonly head: string | null;
}

export class StageController {
  readonly viewport = createStore<Viewport>(() => ({ scale: 1, x: 0, y: 0 }));
  colorOf: (userId: string) => string = () => '#ff6b35';
  onDenied: () => void = () => {};
  private machine: Machine = IDLE;
  private mode: StageMode = {
    canEdit: false,
    lookOnly: false,
    hint: false,
    dragStrength: 1,
    maskStrength: 0,
    head: null,
  };
  private stage: CanvasSize = { width: 0, height: 0 };
  private insets: Insets = { top: 0, right: 0, bottom: 0, left: 0 };
  private fitted = true;
  private spaceHeld = false;
  private pointer: { at: ScreenPoint; kind: PointerKind } | null = null;
  private frame = 0;
  private gestureScale = 1;
  private elements: StageElements | null = null;
  private warp: WarpHint | null = null;
  private readonly scratch: HTMLCanvasElement;
  private readonly mask: MaskLayer;
  private readonly gliding = new GlidingCursors();

  constructor(
    readonly picture: CanvasSize,
    private readonly room: Room,
    private readonly ui: EditorStore,
  ) {
    this.scratch = document.createElement('canvas');
    this.mask = new MaskLayer(picture);
  }

  /** Starts working on these elements; the function that it returns ends it. */
  attach(elements: StageElements): () => void {
    this.elements = elements;
    this.warp = WarpHint.on(elements.warp, this.picture);
    const { stage } = elements;
    const abort = new AbortController();
    const options = { signal: abort.signal };
    stage.addEventListener('pointerdown', this.onPointerDown, options);
    stage.addEventListener('pointermove', this.onPointerMove, options);
    stage.addEventListener('pointerup', this.onPointerUp, options);
    stage.addEventListener('pointercancel', this.onPointerCancel, options);
    stage.addEventListener('pointerleave', this.onPointerLeave, options);
    stage.addEventListener('wheel', this.onWheel, { ...options, passive: false });
    // Safari tells of a trackpad's pinch in events of its own.
    stage.addEventListener('gesturestart', this.onGestureStart, options);
    stage.addEventListener('gesturechange', this.onGestureChange, options);
    stage.addEventListener('blur', () => stage.removeAttribute('data-pointed'), options);
    stage.addEventListener('contextmenu', (event) => event.preventDefault(), options);
    const resize = new ResizeObserver(
      ([entry]) => entry && this.resize(entry.contentRect.width, entry.contentRect.height),
    );
    resize.observe(stage);
    const stops = [
      this.room.store.subscribe(() => this.invalidate()),
      this.ui.subscribe((state, before) => {
        if (state.tool !== before.tool) this.dispatchStep(abandon(this.machine));
        if (state.selection !== before.selection) this.room.show({ selection: [...state.selection] });
        this.updateCursor();
        this.invalidate();
      }),
    ];
    this.room.onPeers = () => this.invalidate();
    this.resize(stage.clientWidth, stage.clientHeight);
    return () => {
      abort.abort();
      resize.disconnect();
      for (const stop of stops) stop();
      this.room.onPeers = () => {};
      cancelAnimationFrame(this.frame);
      this.frame = 0;
      this.elements = null;
    };
  }

  setMode(mode: StageMode): void {
    if (mode.lookOnly && !this.mode.lookOnly) this.dispatchStep(abandon(this.machine));
    this.mode = mode;
    this.updateCursor();
    this.invalidate();
  }

  setInsets(insets: Insets): void {
    this.insets = insets;
    if (this.fitted) this.zoomToFit();
  }

  zoomToFit(): void {
    if (this.stage.width === 0) return;
    this.setViewport(fit(this.picture, this.stage, this.insets));
    this.fitted = true;
  }

  /** To this scale, about the stage's centre. */
  zoomToScale(scale: number): void {
    this.setViewport(zoomTo(this.viewport.getState(), this.centre(), scale));
  }

  zoomStep(direction: 1 | -1): void {
    this.setViewport(zoomBy(this.viewport.getState(), this.centre(), direction === 1 ? 1.25 : 0.8));
  }

  setSpace(held: boolean): void {
    this.spaceHeld = held;
    this.updateCursor();
  }

  /** Gives a key to the machine; true when it was used. */
  key(key: string, shift: boolean): boolean {
    if (this.mode.lookOnly) return false;
    return this.dispatch({ type: 'key', key, shift });
  }

  get busy(): boolean {
    return this.machine.gesture.name !== 'idle';
  }

  invalidate(): void {
    if (this.frame || !this.elements) return;
    this.frame = requestAnimationFrame(() => {
      this.frame = 0;
      this.draw();
    });
  }

  private readonly onPointerDown = (event: PointerEvent): void => {
    const { stage } = this.elements ?? {};
    if (!stage) return;
    stage.setPointerCapture(event.pointerId);
    // The focus ring is for those who came by keyboard.
    stage.toggleAttribute('data-pointed', true);
    if (document.activeElement !== stage) stage.focus({ preventScroll: true });
    const at = this.pointOf(event);
    this.pointer = { at, kind: kindOf(event) };
    if (event.button === 1) event.preventDefault();
    const { pointerId, button, shiftKey: shift } = event;
    this.dispatch({ type: 'pointerDown', pointerId, kind: kindOf(event), button, at, shift });
  };

  private readonly onPointerMove = (event: PointerEvent): void => {
    this.pointer = { at: this.pointOf(event), kind: kindOf(event) };
    const coalesced = event.getCoalescedEvents?.() ?? [];
    const path = (coalesced.length > 0 ? coalesced : [event]).map((each) => this.pointOf(each));
    this.dispatch({ type: 'pointerMove', pointerId: event.pointerId, path });
    const at = toCanvas(this.viewport.getState(), this.pointer.at);
    this.room.show({ cursor: { x: Math.round(at.x * 10) / 10, y: Math.round(at.y * 10) / 10 } });
    this.updateCursor();
    this.invalidate();
  };

  private readonly onPointerUp = (event: PointerEvent): void => {
    this.dispatch({ type: 'pointerUp', pointerId: event.pointerId, at: this.pointOf(event) });
    if (event.pointerType === 'touch') this.onPointerLeave();
  };

  private readonly onPointerCancel = (event: PointerEvent): void => {
    this.dispatch({ type: 'pointerCancel', pointerId: event.pointerId });
  };

  private readonly onPointerLeave = (): void => {
    this.pointer = null;
    this.room.show({ cursor: null });
    this.invalidate();
  };

  private readonly onWheel = (event: WheelEvent): void => {
    event.preventDefault();
    const at = this.pointOf(event);
    const viewport = this.viewport.getState();
    // A mouse wheel zooms; a trackpad pans with two fingers and zooms with a pinch, which arrives as ctrl + wheel.
    const trackpadPan =
      !event.ctrlKey && !event.metaKey && event.deltaMode === 0 && (event.deltaX !== 0 || Math.abs(event.deltaY) < 40);
    if (trackpadPan || event.shiftKey) {
      const sideways = event.shiftKey && event.deltaX === 0;
      this.setViewport(panBy(viewport, sideways ? -event.deltaY : -event.deltaX, sideways ? 0 : -event.deltaY));
    } else {
      const factor = wheelFactor(event.deltaY, event.deltaMode);
      this.setViewport(zoomBy(viewport, at, event.ctrlKey && Math.abs(event.deltaY) < 40 ? factor ** 3 : factor));
    }
  };

  private readonly onGestureStart = (event: Event): void => {
    event.preventDefault();
    this.gestureScale = 1;
  };

  private readonly onGestureChange = (event: Event): void => {
    event.preventDefault();
    if (!('scale' in event) || typeof event.scale !== 'number') return;
    if (this.machine.gesture.name === 'pinching') return;
    const at = this.pointer?.at ?? this.centre();
    this.setViewport(zoomBy(this.viewport.getState(), at, event.scale / this.gestureScale));
    this.gestureScale = event.scale;
  };

  private dispatch(event: StageEvent): boolean {
    return this.dispatchStep(step(this.machine, event, this.context()));
  }

  private dispatchStep(result: ReturnType<typeof step>): boolean {
    const before = this.machine.gesture;
    this.machine = result.machine;
    for (const effect of result.effects) this.perform(effect);
    const { gesture } = this.machine;
    if (gesture.name === 'idle' && before.name !== 'idle') this.room.flushMoves();
    if (gesture.name === 'painting') {
      this.room.show({ stroke: { mode: gesture.mode, radius: gesture.radius, points: [...gesture.points] } });
    } else if (before.name === 'painting') this.room.show({ stroke: null });
    this.updateCursor();
    this.invalidate();
    return result.handled;
  }

  private perform(effect: Effect): void {
    switch (effect.type) {
      case 'begin':
        this.room.begin(effect.nudge);
        return;
      case 'abort':
        this.room.abort();
        return;
      case 'putDrag':
        this.room.putDrag(effect.id, effect.handle, effect.target, this.mode.head ?? '');
        return;
      case 'moveEnd':
        this.room.moveEnd(effect.id, effect.end, effect.to, effect.final);
        return;
      case 'removeDrags':
        this.room.removeDrags(effect.ids);
        return;
      case 'select':
        this.ui.setState({ selection: effect.ids, activeEnd: effect.end });
        return;
      case 'addStroke':
        this.room.addStroke(effect);
        return;
      case 'pan':
        this.setViewport(panBy(this.viewport.getState(), effect.dx, effect.dy));
        return;
      case 'pinch':
        this.setViewport(pinch(this.viewport.getState(), effect.before, effect.after));
        return;
      case 'denied':
        this.onDenied();
        return;
      case 'announce':
        this.ui.setState({ announcement: effect.text });
    }
  }

  private context(): Context {
    const { tool, brushRadius, selection, activeEnd } = this.ui.getState();
    return {
      tool: this.mode.lookOnly ? 'hand' : tool,
      spaceHeld: this.spaceHeld,
      canEdit: this.mode.canEdit,
      viewport: this.viewport.getState(),
      stage: this.stage,
      picture: this.picture,
      brushRadius,
      drags: this.drags(),
      selection,
      activeEnd,
      nextId: newId(),
    };
  }

  private drags(): readonly SharedDrag[] {
    const { drags } = this.room.store.getState().shared;
    return liveDrags(drags, this.machine.gesture, this.room.me.id, this.mode.head ?? '');
  }

  private setViewport(viewport: Viewport): void {
    this.fitted = false;
    this.viewport.setState(keepInSight(viewport, this.picture, this.stage), true);
    this.invalidate();
  }

  private resize(width: number, height: number): void {
    if (!this.elements || (width === this.stage.width && height === this.stage.height)) return;
    const ratio = pixelRatio();
    this.stage = { width, height };
    for (const canvas of [this.elements.overlay, this.scratch]) {
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
    }
    if (this.fitted) this.zoomToFit();
    else this.setViewport(this.viewport.getState());
    this.draw();
  }

  private centre(): ScreenPoint {
    const { left, right, top, bottom } = this.insets;
    return screenPoint((left + this.stage.width - right) / 2, (top + this.stage.height - bottom) / 2);
  }

  private draw(): void {
    const { elements } = this;
    const context = elements?.overlay.getContext('2d');
    if (!elements || !context) return;
    const viewport = this.viewport.getState();
    elements.picture.style.transform = `translate(${viewport.x}px, ${viewport.y}px) scale(${viewport.scale})`;
    elements.picture.toggleAttribute('data-pixelated', viewport.scale > PIXELATED_SCALE);
    const { shared } = this.room.store.getState();
    this.mask.update(shared.strokes);
    drawScene(context, this.scene(viewport));
    elements.warp.toggleAttribute('data-shown', this.drawHint(elements));
  }

  /** The rough warp, while a drag is pulled; false when there is nothing to show. */
  private drawHint({ picture }: StageElements): boolean {
    if (!this.warp || !this.mode.hint || !PULLING.has(this.machine.gesture.name)) return false;
    const head = picture.querySelector('img');
    const drags = this.drags();
    return head !== null && drags.some((drag) => !isPin(drag)) && this.warp.draw(head, drags);
  }

  private scene(viewport: Viewport): Scene {
    const { tool, brushRadius, selection, activeEnd } = this.ui.getState();
    const { gesture } = this.machine;
    const drags = this.drags();
    const peers = this.room.peers;
    const { cursors, moving } = this.gliding.next(peers, viewport.scale);
    if (moving) queueMicrotask(() => this.invalidate());
    const hovered = gesture.name === 'idle' ? this.hover(drags) : null;
    const painting: StrokeGeometry[] = gesture.name === 'painting' ? [gesture] : [];
    const strokes = [
      ...painting,
      ...peers.flatMap((peer) => (peer.stroke && peer.stroke.points.length > 1 ? [peer.stroke] : [])),
    ];
    const paints = (tool === 'brush' || tool === 'eraser') && this.mode.canEdit && !this.mode.lookOnly;
    const brushAt = paints && this.pointer && this.pointer.kind !== 'touch' && !this.spaceHeld ? this.pointer.at : null;
    return {
      viewport,
      stage: this.stage,
      picture: this.picture,
      pixelRatio: pixelRatio(),
      drags: drags.map((drag) => ({
        drag,
        color: this.colorOf(drag.author),
        selected: selection.includes(drag.id),
        activeEnd: selection.includes(drag.id) ? activeEnd : null,
        hovered: hovered === drag.id,
        heldBy: peers.find((peer) => peer.selection.includes(drag.id))?.user.color ?? null,
      })),
      mask: this.mask,
      strokes,
      maskStrength: paints ? Math.max(this.mode.maskStrength, 0.5) : this.mode.maskStrength,
      dragStrength: this.mode.dragStrength,
      brush: brushAt && { at: brushAt, radius: brushRadius, erase: tool === 'eraser' },
      crosshair: gesture.name === 'aiming' ? gesture.at : null,
      cursors,
      loupe: this.loupe(),
      scratch: this.scratch,
    };
  }

  /** What a finger holds, magnified; a mouse covers nothing. */
  private loupe(): Scene['loupe'] {
    const { gesture } = this.machine;
    const image = this.elements?.picture.querySelector('img');
    if (this.pointer?.kind !== 'touch' || !image) return null;
    const color = this.colorOf(this.room.me.id);
    if (gesture.name === 'placing') return { image, at: gesture.target, color };
    return gesture.name === 'movingHandle' || gesture.name === 'movingTarget' ? { image, at: gesture.at, color } : null;
  }

  private hover(drags: readonly SharedDrag[]): string | null {
    if (!this.pointer || this.pointer.kind === 'touch' || this.mode.lookOnly) return null;
    const { tool, selection } = this.ui.getState();
    if (tool === 'brush' || tool === 'eraser' || tool === 'hand') return null;
    const hit = hitTest(drags, this.viewport.getState(), this.pointer.at, this.pointer.kind, selection);
    return hit && (hit.kind === 'end' || tool === 'select') ? hit.id : null;
  }

  private updateCursor(): void {
    const { stage } = this.elements ?? {};
    if (!stage) return;
    const cursor = this.cursorName();
    if (stage.style.cursor !== cursor) stage.style.cursor = cursor;
  }

  private cursorName(): string {
    const { gesture } = this.machine;
    const { tool } = this.ui.getState();
    if (gesture.name === 'panning') return 'grabbing';
    if (this.spaceHeld || this.mode.lookOnly || tool === 'hand' || !this.mode.canEdit) return 'grab';
    if (gesture.name.startsWith('moving') || gesture.name === 'placing') return 'grabbing';
    if (this.hover(this.drags())) return 'grab';
    if (tool === 'brush' || tool === 'eraser') return 'none';
    if (tool === 'select') return 'default';
    const inside = this.pointer && isInsideCanvas(toCanvas(this.viewport.getState(), this.pointer.at), this.picture);
    return inside ? 'crosshair' : 'grab';
  }

  private pointOf(event: MouseEvent): ScreenPoint {
    const box = this.elements?.stage.getBoundingClientRect();
    return screenPoint(event.clientX - (box?.left ?? 0), event.clientY - (box?.top ?? 0));
  }
}

function kindOf(event: PointerEvent): PointerKind {
  return event.pointerType === 'touch' || event.pointerType === 'pen' ? event.pointerType : 'mouse';
}

function pixelRatio(): number {
  return Math.min(Math.max(window.devicePixelRatio || 1, 1), 3);
}
