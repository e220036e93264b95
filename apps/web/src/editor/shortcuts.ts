'use client';
/** Knows: what the keys mean on the whole page. The stage gets its own first; whatever it leaves is looked up here. */

import { useEffect } from 'react';
import { type EditorSession, useSession } from './session';
import { nextBrush, TOOLS } from './store';
import { stageView } from './view';

export function useShortcuts(): void {
  const session = useSession();
  useEffect(() => {
    // A button that was clicked keeps the focus. Keys are the page's unless the keyboard brought the focus there.
    let byKeyboard = false;
    const point = () => {
      byKeyboard = false;
    };
    const down = (event: KeyboardEvent) => {
      if (event.key === 'Tab') byKeyboard = true;
      if (event.defaultPrevented || event.isComposing || inField(event.target)) return;
      if (document.querySelector('[role="dialog"],[role="alertdialog"]')) return;
      if (onKeyDown(session, event, byKeyboard)) event.preventDefault();
    };
    const up = (event: KeyboardEvent) => {
      if (event.key === ' ') {
        session.stage.setSpace(false);
        if (!byKeyboard && !inField(event.target)) event.preventDefault();
      }
      if (event.key.toLowerCase() === 'c') session.ui.setState({ comparing: false });
    };
    const blur = () => {
      session.stage.setSpace(false);
      session.ui.setState({ comparing: false });
    };
    window.addEventListener('pointerdown', point, true);
    window.addEventListener('keydown', down);
    window.addEventListener('keyup', up);
    window.addEventListener('blur', blur);
    return () => {
      window.removeEventListener('pointerdown', point, true);
      window.removeEventListener('keydown', down);
      window.removeEventListener('keyup', up);
      window.removeEventListener('blur', blur);
    };
  }, [session]);
}

/** True when the key was used. */
function onKeyDown(session: EditorSession, event: KeyboardEvent, byKeyboard: boolean): boolean {
  const { ui, room, stage } = session;
  const command = event.ctrlKey || event.metaKey;
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  const onStage = event.target instanceof HTMLElement && event.target.dataset['testid'] === 'stage';
  const onControl = byKeyboard && event.target instanceof HTMLElement && event.target !== document.body && !onStage;

  if (command) {
    if (key === 'z' && session.canEdit) {
      if (event.shiftKey) room.redo();
      else room.undo();
      return true;
    }
    if (key === 'y' && session.canEdit) {
      room.redo();
      return true;
    }
    if (event.key === 'Enter') {
      void session.run();
      return true;
    }
    return false;
  }
  if (event.altKey) return false;
  const state = ui.getState();
  const view = stageView(session.feed.store.getState(), state);
  if (view.kind === 'review') {
    const candidates = view.run.edit.candidates;
    const picked = candidates[Number(key) - 1];
    if (picked && candidates.length > 1) {
      ui.setState({ chosen: { editId: view.run.edit.id, index: picked.index } });
      return true;
    }
    if (key === 'Enter' && !onControl && !event.repeat) {
      void session.accept(view.run, view.candidate.index);
      return true;
    }
    if (key === 'Escape') {
      session.dismiss(view.run);
      return true;
    }
  }
  if (view.kind === 'revision' && key === 'Escape') {
    ui.setState({ viewing: null });
    return true;
  }
  if ((onStage || (!onControl && key !== 'Tab')) && stage.key(event.key, event.shiftKey)) return true;
  if (view.kind === 'running' && key === 'Escape' && session.canEdit) {
    void session.cancel(view.run);
    return true;
  }
  return !(onControl && (key === ' ' || key === 'Enter')) && pageKey(session, key, event);
}

function pageKey(session: EditorSession, key: string, event: KeyboardEvent): boolean {
  const { ui, stage } = session;
  const state = ui.getState();
  const tool = TOOLS.find((each) => each.key.toLowerCase() === key);
  if (tool) {
    if (session.canEdit || tool.tool === 'hand') ui.setState({ tool: tool.tool });
    return true;
  }
  switch (key) {
    case ' ':
      stage.setSpace(true);
      return true;
    case 'c':
      ui.setState({ comparing: true });
      return true;
    case 'r':
      if (!event.repeat) {
        const view = stageView(session.feed.store.getState(), state);
        void session.run(view.kind === 'review' ? view.run : undefined);
      }
      return true;
    case '+':
    case '=':
      stage.zoomStep(1);
      return true;
    case '-':
      stage.zoomStep(-1);
      return true;
    case '0':
      stage.zoomToFit();
      return true;
    case '1':
      stage.zoomToScale(1);
      return true;
    case '[':
    case ']':
      ui.setState({ brushRadius: nextBrush(state.brushRadius, key === ']' ? 1 : -1) });
      return true;
    case 'y':
      ui.setState({ panel: state.panel === 'history' ? null : 'history', viewing: null });
      return true;
    case '?':
      ui.setState({ panel: 'help' });
      return true;
  }
  return false;
}

function inField(target: EventTarget | null): boolean {
  return (
    target instanceof HTMLInputElement || target instanceof HTMLTextAreaElement || target instanceof HTMLSelectElement
  );
}
