/** Knows: what one person sees and has chosen in the editor, as far as it is nobody else's business. */

import { createStore, type StoreApi } from 'zustand/vanilla';
import type { End } from './hit';
import type { Tool } from './machine';

export type Panel = 'history' | 'share' | 'help' | 'settings' | null;

export interface EditorState {
  readonly tool: Tool;
  /** half the brush's width, canvas pixels */
  readonly brushRadius: number;
  readonly selection: readonly string[];
  readonly activeEnd: End;
  readonly panel: Panel;
  /** the original is shown while this is held */
  readonly comparing: boolean;
  /** the candidate that this person looks at; null = the newest */
  readonly chosen: { readonly editId: string; readonly index: number } | null;
  /** runs that this person put aside */
  readonly dismissed: ReadonlySet<string>;
  /** the earlier revision that this person looks at */
  readonly viewing: string | null;
  /** what a screen reader is told */
  readonly announcement: string;
}

export type EditorStore = StoreApi<EditorState>;

export function createEditorStore(): EditorStore {
  return createStore<EditorState>(() => ({
    tool: 'drag',
    brushRadius: 24,
    selection: [],
    activeEnd: 'target',
    panel: null,
    comparing: false,
    chosen: null,
    dismissed: new Set<string>(),
    viewing: null,
    announcement: '',
  }));
}

export const TOOLS: readonly {
  readonly tool: Tool;
  readonly name: string;
  readonly key: string;
  readonly hint: string;
}[] = [
  { tool: 'select', name: 'Move', key: 'V', hint: 'Select and move drags' },
  { tool: 'drag', name: 'Drag', key: 'D', hint: 'Press on a part and pull it to where it belongs' },
  { tool: 'pin', name: 'Pin', key: 'P', hint: 'Click to hold a spot in place' },
  { tool: 'brush', name: 'Paint area', key: 'B', hint: 'Paint where the picture may change' },
  { tool: 'eraser', name: 'Protect area', key: 'E', hint: 'Take away from the painted area' },
  { tool: 'hand', name: 'Hand', key: 'H', hint: 'Pan; hold Space with any tool' },
];

export const BRUSH_LIMITS = { min: 2, max: 400 } as const;

/** The next brush width up or down: finer steps for finer brushes. */
export function nextBrush(radius: number, direction: 1 | -1): number {
  const next = radius * (direction === 1 ? 1.25 : 0.8);
  return Math.min(Math.max(Math.round(next), BRUSH_LIMITS.min, direction === 1 ? radius + 1 : 0), BRUSH_LIMITS.max);
}
