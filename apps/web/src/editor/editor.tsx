'use client';
/** Knows: how the stage and what floats over it are laid out, on a laptop and on a phone. */

import { Minus, Plus } from 'lucide-react';
import { useEffect } from 'react';
import { useStore } from 'zustand';
import { IconButton, Tip } from '@/ui/button';
import { Dialog } from '@/ui/dialog';
import { HelpDialog } from './help-dialog';
import { HistoryPanel } from './history-panel';
import { ReviewBar, RevisionBar, Strip } from './review-bar';
import { RunOutcome, RunPanel, RunProgress, stepText } from './run-panel';
import { AreaSetting, DragList, RunSettings } from './run-settings';
import { useCanEdit, useFeed, useRoom, useSession, useUi } from './session';
import { ShareDialog } from './share-dialog';
import { useShortcuts } from './shortcuts';
import { Stage } from './stage';
import { BrushSize, Toolbar, UndoButtons } from './toolbar';
import { TopBar } from './top-bar';
import { useWide } from './use-insets';
import { useStageView } from './use-view';

export function Editor() {
  const session = useSession();
  const wide = useWide();
  const panel = useUi((state) => state.panel);
  const close = () => session.ui.setState({ panel: null });
  useShortcuts();
  useUnloadGuard();
  useNoPageZoom();
  return (
    <main className="fixed inset-0 overflow-hidden overscroll-none">
      <Stage />
      <header className="pointer-events-none absolute inset-x-0 top-0 z-20 flex items-start gap-2 p-3 pt-[max(12px,env(safe-area-inset-top))] max-sm:p-2 max-sm:pt-[max(8px,env(safe-area-inset-top))]">
        <TopBar />
      </header>
      {wide && (
        <div className="absolute top-[72px] right-3 bottom-3 z-10 flex items-start" style={{ pointerEvents: 'none' }}>
          <div className="pointer-events-auto flex max-h-full">
            <RunPanel />
          </div>
        </div>
      )}
      {panel === 'history' && (
        <div className="absolute z-20 max-md:inset-x-0 max-md:bottom-0 max-md:max-h-[60dvh] max-md:sheet max-md:[&>*]:max-h-[60dvh] md:pop md:top-[72px] md:bottom-16 md:left-3">
          <HistoryPanel />
        </div>
      )}
      <BottomBar wide={wide} />
      {wide && <ZoomControl />}
      {panel === 'share' && <ShareDialog onClose={close} />}
      {panel === 'help' && <HelpDialog onClose={close} />}
      {panel === 'settings' && (
        <Dialog open onClose={close} title="This run" testId="settings">
          <div className="-mx-4 -mb-3">
            <DragList />
            <AreaSetting />
            <RunSettings />
          </div>
        </Dialog>
      )}
      <LiveRegion />
    </main>
  );
}

/** Tools while people drag; the results, or an earlier version, while they look. */
function BottomBar({ wide }: { wide: boolean }) {
  const view = useStageView();
  const canEdit = useCanEdit();
  const history = useUi((state) => state.panel === 'history');
  if (!wide && history && view.kind !== 'revision') return null;
  return (
    <div
      className={`pointer-events-none absolute inset-x-0 bottom-0 z-10 flex justify-center p-3 pb-[max(12px,env(safe-area-inset-bottom))] max-sm:p-2 md:right-[296px] ${history ? 'md:left-[256px]' : ''} ${!wide && history ? 'z-30' : ''}`}
    >
      <div className="pointer-events-auto flex w-full flex-col items-center gap-2">
        {view.kind === 'review' ? (
          <ReviewBar run={view.run} candidate={view.candidate} />
        ) : view.kind === 'revision' ? (
          <RevisionBar revision={view.revision} />
        ) : (
          <>
            {view.kind === 'running' && (!wide || view.run.edit.candidates.length > 0) && (
              <div className="pop flex w-full max-w-md flex-col gap-2.5 rounded-panel bg-surface p-2.5 shadow-panel md:w-auto">
                {view.run.edit.candidates.length > 0 && (
                  <Strip run={view.run} index={view.candidate?.index ?? view.preview?.candidate ?? 0} />
                )}
                {!wide && <RunProgress run={view.run} slim />}
              </div>
            )}
            {!wide && view.kind === 'head' && <RunOutcome />}
            {!wide && view.kind === 'head' && <FirstHint />}
            <div className="flex w-full items-center justify-center gap-2">
              {!wide && view.kind === 'head' && <PhoneUndo />}
              <BrushSize />
            </div>
            {canEdit && <Toolbar />}
          </>
        )}
      </div>
    </div>
  );
}

/** Says how to begin, where no panel does. */
function FirstHint() {
  const none = useRoom((state) => state.loaded && state.shared.drags.length === 0 && state.shared.strokes.length === 0);
  const drags = useUi((state) => state.tool === 'drag');
  if (!useCanEdit() || !none || !drags) return null;
  return (
    <p className="pop pointer-events-none rounded-full bg-ink/85 px-3.5 py-1.5 text-[13px] font-medium text-page">
      Press on a part and pull it where it belongs
    </p>
  );
}

function PhoneUndo() {
  const used = useRoom((state) => state.canUndo || state.canRedo);
  if (!useCanEdit() || !used) return null;
  return (
    <div className="mr-auto rounded-panel bg-surface p-0.5 shadow-panel">
      <UndoButtons />
    </div>
  );
}

function ZoomControl() {
  const session = useSession();
  const scale = useStore(session.stage.viewport, (viewport) => Math.round(viewport.scale * 100));
  // The bar under a result needs the width on a small screen.
  const yields = useStageView().kind === 'review';
  return (
    <div
      className={`absolute bottom-3 left-3 z-10 flex ${yields ? 'max-[1336px]:hidden' : ''} items-center rounded-panel bg-surface p-0.5 shadow-panel`}
    >
      <IconButton label="Zoom out" shortcut="−" side="top" onClick={() => session.stage.zoomStep(-1)} testId="zoom-out">
        <Minus size={16} />
      </IconButton>
      <Tip label="Fit the picture" shortcut="0" side="top">
        <button
          type="button"
          data-testid="zoom-fit"
          onClick={() => session.stage.zoomToFit()}
          className="h-9 w-14 rounded-control text-center text-[13px] font-medium text-ink-2 hover:bg-raised hover:text-ink"
        >
          {scale} %
        </button>
      </Tip>
      <IconButton label="Zoom in" shortcut="+" side="top" onClick={() => session.stage.zoomStep(1)} testId="zoom-in">
        <Plus size={16} />
      </IconButton>
    </div>
  );
}

/** Tells a screen reader what the eye sees: who runs, how far it is, what a key did. */
function LiveRegion() {
  const session = useSession();
  const announcement = useUi((state) => state.announcement);
  const view = useStageView();
  const failed = useFeed((feed) => (feed.runs[0]?.edit.status === 'FAILED' ? feed.runs[0].edit.error?.message : null));
  const who =
    view.kind === 'running' && view.run.edit.requestedBy.id !== session.me.id
      ? `${view.run.edit.requestedBy.name}: `
      : '';
  return (
    <div className="sr-only">
      <p aria-live="polite">{announcement}</p>
      <p aria-live="polite" data-testid="live-region">
        {view.kind === 'running'
          ? who + stepText(view.run)
          : view.kind === 'review'
            ? 'The results are here.'
            : (failed ?? '')}
      </p>
    </div>
  );
}

/** Ctrl and the wheel zoom the picture; over a panel they would zoom the page, and nobody wants that here. */
function useNoPageZoom(): void {
  useEffect(() => {
    const hold = (event: WheelEvent) => event.ctrlKey && event.preventDefault();
    window.addEventListener('wheel', hold, { passive: false });
    return () => window.removeEventListener('wheel', hold);
  }, []);
}

/** Asks before a page is closed whose changes have not reached the server. */
function useUnloadGuard(): void {
  const session = useSession();
  useEffect(() => {
    const guard = (event: BeforeUnloadEvent) => {
      if (session.room.hasUnsentChanges && session.room.store.getState().connection === 'offline')
        event.preventDefault();
    };
    window.addEventListener('beforeunload', guard);
    return () => window.removeEventListener('beforeunload', guard);
  }, [session]);
}
