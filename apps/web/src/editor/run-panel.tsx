'use client';
/** Knows: the panel beside the picture: drags, area, settings, and the run itself with its progress and its failures. */

import { Play, RotateCcw, Square, TriangleAlert } from 'lucide-react';
import { isActive, progressOf, type Run } from '@/session/feed';
import { Button, Spinner, Tip } from '@/ui/button';
import { AreaSetting, DragList, RunSettings } from './run-settings';
import { useCanEdit, useFeed, usePending, useRoom, useSession, useUi } from './session';
import { useAsideRun, useStageView } from './use-view';

export function RunPanel() {
  return (
    <aside
      aria-label="Run"
      className="flex max-h-full w-[272px] flex-col overflow-hidden rounded-panel bg-surface shadow-panel"
      data-testid="run-panel"
    >
      <div className="min-h-0 flex-1 overflow-y-auto">
        <DragList />
        <AreaSetting />
        <RunSettings />
      </div>
      <div className="border-t border-line p-3">
        <RunControl />
      </div>
    </aside>
  );
}

/** The button that runs, or what is running. */
export function RunControl() {
  const session = useSession();
  const view = useStageView();
  const canEdit = useCanEdit();
  const pending = usePending();
  const drags = useRoom((state) => state.shared.drags.length);
  if (view.kind === 'running') return <RunProgress run={view.run} />;
  if (!canEdit) return <p className="text-[13px] text-ink-2">Editors run; you will see the result form here.</p>;
  return (
    <div className="flex flex-col gap-2">
      <RunOutcome />
      <Tip label={drags === 0 ? 'Place a drag first' : 'Let the picture follow the drags'} shortcut="Mod ⏎" side="left">
        <span>
          <Button
            look={view.kind === 'review' ? 'solid' : 'accent'}
            size="large"
            wide
            disabled={pending !== null || drags === 0}
            onClick={() => void session.run()}
            testId="run"
          >
            {pending === 'run' ? <Spinner /> : <Play size={17} fill="currentColor" />} Run
          </Button>
        </span>
      </Tip>
      <EngineLine />
    </div>
  );
}

/** What is left of the newest run: why it failed, or the way back to results that were put aside. */
export function RunOutcome() {
  const session = useSession();
  const aside = useAsideRun();
  const failed = useFailedRun();
  if (failed) return <FailedRun run={failed} />;
  if (!aside) return null;
  return (
    <Button size="small" wide onClick={() => session.recall(aside)} testId="recall">
      <RotateCcw size={15} /> Show the last results again
    </Button>
  );
}

function EngineLine() {
  const { engine } = useSession();
  const bundle = engine.bundles[0];
  if (!bundle) return <p className="text-center text-[12px] text-ink-3">No model is installed on this server.</p>;
  return (
    <Tip label={`${bundle.title}. ${engine.deviceReason}`} side="left">
      <p className="cursor-default text-center text-[12px] text-ink-3">
        {bundle.name} on {engine.device.toUpperCase()}, {engine.precision}
      </p>
    </Tip>
  );
}

/** Who runs, how far it is, and the way to stop it. */
export function RunProgress({ run, slim = false }: { run: Run; slim?: boolean }) {
  const session = useSession();
  const pending = usePending();
  const canEdit = useCanEdit();
  const candidates = useRoom((state) => state.shared.settings.candidates);
  const mine = run.edit.requestedBy.id === session.me.id;
  const queued = run.edit.status === 'QUEUED';
  const wanted = Math.max(candidates, run.edit.candidates.length);
  const part = progressOf(run, wanted);
  return (
    <div data-testid="progress" data-status={run.edit.status} className={slim ? 'min-w-0 flex-1' : ''}>
      <div className="mb-1.5 flex items-baseline justify-between gap-3">
        <p className="truncate font-semibold">{mine ? 'Running' : `${run.edit.requestedBy.name} is running`}</p>
        <p className="shrink-0 text-[13px] text-ink-2" data-testid="progress-text">
          {stepText(run)}
        </p>
      </div>
      <div className="flex items-center gap-2.5">
        <div
          role="progressbar"
          aria-label="Run"
          aria-valuemin={0}
          aria-valuemax={100}
          aria-valuenow={Math.round(part * 100)}
          className="h-1.5 flex-1 overflow-hidden rounded-full bg-raised"
        >
          <div
            className={`h-full rounded-full bg-accent transition-[width] duration-300 ease-out ${queued ? 'animate-pulse' : ''}`}
            style={{ width: `${Math.max(part * 100, 5)}%` }}
          />
        </div>
        {canEdit && (
          <Button size="small" disabled={pending === 'cancel'} onClick={() => void session.cancel(run)} testId="cancel">
            {pending === 'cancel' ? <Spinner size={13} /> : <Square size={12} fill="currentColor" />} Cancel
          </Button>
        )}
      </div>
    </div>
  );
}

export function stepText(run: Run): string {
  if (run.edit.status === 'QUEUED') return run.position ? `${run.position} before it` : 'Starting';
  const preview = Object.values(run.previews).sort((a, b) => b.candidate - a.candidate)[0];
  if (!preview) return 'Reading the picture';
  const several = run.edit.candidates.length > 0 || preview.candidate > 0;
  const now = preview.step === 0 ? 'warp' : `step ${preview.step} of ${preview.totalSteps}`;
  return several ? `Result ${preview.candidate + 1}, ${now}` : now.charAt(0).toUpperCase() + now.slice(1);
}

function FailedRun({ run }: { run: Run }) {
  const session = useSession();
  return (
    <div
      role="alert"
      data-testid="run-error"
      data-code={run.edit.error?.code}
      className="pop w-full max-w-md rounded-control bg-warn-soft p-3 max-md:shadow-panel"
    >
      <p className="mb-1 flex items-center gap-1.5 font-semibold text-warn">
        <TriangleAlert size={15} /> The run failed
      </p>
      <p className="text-[13px] text-pretty">{run.edit.error?.message ?? 'The engine gave no reason. Run it again.'}</p>
      <button
        type="button"
        className="mt-1.5 text-[13px] font-medium text-ink-2 hover:text-ink"
        onClick={() => session.dismiss(run)}
      >
        Dismiss
      </button>
    </div>
  );
}

/** The newest run, if it failed on the present head and was not put aside. */
function useFailedRun(): Run | null {
  const dismissed = useUi((state) => state.dismissed);
  return useFeed((feed) => {
    const newest = feed.runs[0];
    if (!newest || isActive(newest.edit) || newest.edit.status !== 'FAILED') return null;
    return newest.edit.base.id === feed.head?.id && !dismissed.has(newest.edit.id) ? newest : null;
  });
}
