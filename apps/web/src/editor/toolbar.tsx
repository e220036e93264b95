'use client';
/** Knows: the floating bar of tools. Only those who may change the picture see it. */

import {
  Brush,
  Eraser,
  Hand,
  MousePointer2,
  MoveUpRight,
  Pin,
  Play,
  Redo2,
  SlidersHorizontal,
  Undo2,
} from 'lucide-react';
import { Slider, ToggleGroup } from 'radix-ui';
import type { ReactNode } from 'react';
import { IconButton, Spinner, Tip } from '@/ui/button';
import type { Tool } from './machine';
import { useCanEdit, usePending, useRoom, useSession, useUi } from './session';
import { BRUSH_LIMITS, TOOLS } from './store';
import { useWide } from './use-insets';
import { useStageView } from './use-view';

const ICONS: Record<Tool, ReactNode> = {
  select: <MousePointer2 size={18} />,
  drag: <MoveUpRight size={19} strokeWidth={2.4} />,
  pin: <Pin size={18} />,
  brush: <Brush size={18} />,
  eraser: <Eraser size={18} />,
  hand: <Hand size={18} />,
};

export function Toolbar() {
  const session = useSession();
  const tool = useUi((state) => state.tool);
  const wide = useWide();
  return (
    <div
      className="flex items-center gap-1 rounded-panel bg-surface p-1 shadow-panel max-md:w-full max-md:max-w-md max-md:justify-between"
      data-testid="toolbar"
    >
      <ToggleGroup.Root
        type="single"
        aria-label="Tools"
        value={tool}
        onValueChange={(value) => {
          if (value) session.ui.setState({ tool: value as Tool });
        }}
        className="flex items-center gap-0.5"
      >
        {TOOLS.map(({ tool: each, name, key, hint }) =>
          !wide && each === 'hand' ? null : (
            <Tip key={each} label={`${name}: ${hint}`} shortcut={key} side="top">
              <ToggleGroup.Item
                value={each}
                aria-label={name}
                data-testid={`tool-${each}`}
                className="grid size-10 place-items-center rounded-control text-ink-2 transition-colors duration-100 hover:bg-raised hover:text-ink aria-checked:bg-accent aria-checked:text-accent-ink"
              >
                {ICONS[each]}
              </ToggleGroup.Item>
            </Tip>
          ),
        )}
      </ToggleGroup.Root>
      {wide ? (
        <>
          <span className="mx-1 h-6 w-px bg-line" />
          <UndoButtons />
        </>
      ) : (
        <PhoneRun />
      )}
    </div>
  );
}

/** Undo and redo of one's own changes. */
export function UndoButtons() {
  const session = useSession();
  const canUndo = useRoom((state) => state.canUndo);
  const canRedo = useRoom((state) => state.canRedo);
  return (
    <div className="flex items-center">
      <IconButton
        label="Undo your last change"
        shortcut="Mod Z"
        side="top"
        disabled={!canUndo}
        onClick={() => session.room.undo()}
        testId="undo"
      >
        <Undo2 size={18} />
      </IconButton>
      <IconButton
        label="Redo"
        shortcut="Mod ⇧ Z"
        side="top"
        disabled={!canRedo}
        onClick={() => session.room.redo()}
        testId="redo"
      >
        <Redo2 size={18} />
      </IconButton>
    </div>
  );
}

function PhoneRun() {
  const session = useSession();
  const pending = usePending();
  const view = useStageView();
  return (
    <div className="flex items-center gap-1">
      <IconButton
        label="Settings"
        side="top"
        onClick={() => session.ui.setState({ panel: 'settings' })}
        testId="settings-open"
      >
        <SlidersHorizontal size={18} />
      </IconButton>
      <button
        type="button"
        data-testid="run"
        disabled={pending !== null || view.kind === 'running'}
        onClick={() => void session.run()}
        className="flex h-10 items-center gap-1.5 rounded-control bg-accent px-4 font-semibold text-accent-ink disabled:opacity-50"
      >
        {pending === 'run' ? <Spinner /> : <Play size={16} fill="currentColor" />} Run
      </button>
    </div>
  );
}

/** How wide the brush is, while one is in hand. */
export function BrushSize() {
  const session = useSession();
  const tool = useUi((state) => state.tool);
  const canEdit = useCanEdit();
  const radius = useUi((state) => state.brushRadius);
  // The slider is logarithmic: small brushes need the finer steps.
  const log = Math.log(BRUSH_LIMITS.max / BRUSH_LIMITS.min);
  const value = Math.log(radius / BRUSH_LIMITS.min) / log;
  if (!canEdit || (tool !== 'brush' && tool !== 'eraser')) return null;
  return (
    <div className="pop flex h-10 items-center gap-3 rounded-panel bg-surface px-3.5 shadow-panel">
      <span className="size-1.5 rounded-full bg-ink-2" aria-hidden="true" />
      <Slider.Root
        value={[value]}
        min={0}
        max={1}
        step={0.01}
        onValueChange={([next]) =>
          session.ui.setState({ brushRadius: Math.round(BRUSH_LIMITS.min * Math.exp((next ?? 0) * log)) })
        }
        className="relative flex h-6 w-44 touch-none max-md:w-28 items-center"
      >
        <Slider.Track className="relative h-1 grow rounded-full bg-pressed">
          <Slider.Range className="absolute h-full rounded-full bg-ink-2" />
        </Slider.Track>
        <Slider.Thumb
          aria-label="Brush size"
          aria-valuetext={`${radius * 2} pixels`}
          data-testid="brush-size"
          className="block size-4 rounded-full bg-ink shadow-small"
        />
      </Slider.Root>
      <span className="w-14 text-right text-[13px] text-ink-2">{radius * 2} px</span>
    </div>
  );
}
