'use client';
/** Knows: the bar under a result: which candidate, compare, take it or leave it. Also the bar under an earlier version. */

import { Check, Columns2, Download, RefreshCw, TriangleAlert, Undo2, X } from 'lucide-react';
import type { Candidate, Revision, Run } from '@/session/feed';
import { Button, IconButton, Spinner } from '@/ui/button';
import { ago } from '@/ui/time';
import { download, useCanEdit, useFeed, usePending, useSession, useUi } from './session';

export function ReviewBar({ run, candidate }: { run: Run; candidate: Candidate }) {
  const session = useSession();
  const canEdit = useCanEdit();
  const pending = usePending();
  const title = useFeed((feed) => feed.canvas?.title ?? 'picture');
  return (
    <section
      aria-label="Results"
      data-testid="review"
      className="pop flex w-full max-w-[720px] flex-col gap-2 rounded-panel bg-surface p-2.5 shadow-panel"
    >
      {run.edit.warnings.length > 0 && (
        <p className="flex items-start gap-2 px-1 text-[13px] text-warn" data-testid="warnings">
          <TriangleAlert size={15} className="mt-0.5 shrink-0" />{' '}
          <span className="text-pretty">{run.edit.warnings.join(' ')}</span>
        </p>
      )}
      <div className="flex items-center gap-2.5 max-sm:flex-wrap">
        <Strip run={run} index={candidate.index} />
        <div className="ml-auto flex items-center gap-1.5 max-sm:w-full">
          <CompareButton />
          <IconButton
            label="Download this result"
            side="top"
            onClick={() => download(candidate.url, `${title} result ${candidate.index + 1}`)}
            testId="download-candidate"
          >
            <Download size={18} />
          </IconButton>
          {canEdit && (
            <IconButton
              label="Try again: another result"
              shortcut="R"
              side="top"
              disabled={pending !== null}
              onClick={() => void session.run(run)}
              testId="run-again"
            >
              {pending === 'run' ? <Spinner /> : <RefreshCw size={17} />}
            </IconButton>
          )}
          <span className="max-sm:flex-1" />
          <Button onClick={() => session.dismiss(run)} testId="discard" title="Put aside, for you alone (Esc)">
            {canEdit ? 'Discard' : 'Close'}
          </Button>
          {canEdit && (
            <Button
              look="accent"
              disabled={pending !== null}
              onClick={() => void session.accept(run, candidate.index)}
              testId="accept"
            >
              {pending === 'accept' ? <Spinner /> : <Check size={17} strokeWidth={2.6} />} Accept
            </Button>
          )}
        </div>
      </div>
    </section>
  );
}

/** The candidates of a run as small pictures; those that are still being made show their last preview. */
export function Strip({ run, index }: { run: Run; index: number }) {
  const session = useSession();
  const indices = [
    ...new Set([...run.edit.candidates.map((each) => each.index), ...Object.keys(run.previews).map(Number)]),
  ].sort((a, b) => a - b);
  return (
    <fieldset className={`flex gap-1.5 ${indices.length === 1 ? 'max-sm:sr-only' : ''}`} aria-label="Candidates">
      {indices.map((each) => {
        const candidate = run.edit.candidates.find((one) => one.index === each);
        const src = run.previews[each]?.image ?? candidate?.url;
        return (
          <button
            key={each}
            type="button"
            aria-pressed={each === index}
            aria-label={`Result ${each + 1}${candidate ? '' : ', in the making'}`}
            data-testid={`candidate-${each}`}
            data-done={candidate ? '' : undefined}
            onClick={() => session.ui.setState({ chosen: { editId: run.edit.id, index: each } })}
            className={`relative size-14 overflow-hidden rounded-control bg-raised ${each === index ? 'ring-2 ring-accent ring-offset-2 ring-offset-surface' : 'opacity-80 hover:opacity-100'}`}
          >
            {src && <img src={src} alt="" className="size-full object-cover" />}
            {!candidate && (
              <span className="absolute inset-0 grid place-items-center bg-black/30 text-white">
                <Spinner size={18} />
              </span>
            )}
          </button>
        );
      })}
    </fieldset>
  );
}

/** Shows the picture as it was while it is held. */
function CompareButton() {
  const session = useSession();
  const comparing = useUi((state) => state.comparing);
  const hold = (held: boolean) => session.ui.setState({ comparing: held });
  return (
    <button
      type="button"
      data-testid="compare"
      aria-pressed={comparing}
      title="Hold to see the picture as it was (C)"
      onPointerDown={(event) => {
        event.currentTarget.setPointerCapture(event.pointerId);
        hold(true);
      }}
      onPointerUp={() => hold(false)}
      onPointerCancel={() => hold(false)}
      onKeyDown={(event) => {
        if (event.key !== 'Enter' && event.key !== ' ') return;
        event.preventDefault();
        hold(true);
      }}
      onKeyUp={() => hold(false)}
      onBlur={() => hold(false)}
      onContextMenu={(event) => event.preventDefault()}
      className={`flex h-9 touch-none items-center gap-2 rounded-control px-2.5 font-medium select-none ${comparing ? 'bg-pressed text-ink' : 'text-ink-2 hover:bg-raised hover:text-ink'}`}
    >
      <Columns2 size={17} /> <span className="max-sm:sr-only">{comparing ? 'Before' : 'Compare'}</span>
    </button>
  );
}

export function RevisionBar({ revision }: { revision: Revision }) {
  const session = useSession();
  const canEdit = useCanEdit();
  const pending = usePending();
  const number = useFeed((feed) => feed.revisions.findIndex((each) => each.id === revision.id) + 1);
  const title = useFeed((feed) => feed.canvas?.title ?? 'picture');
  return (
    <section
      aria-label="Earlier version"
      data-testid="revision-bar"
      className="pop flex flex-wrap items-center gap-2 rounded-panel bg-surface p-2.5 pl-4 shadow-panel"
    >
      <p className="mr-2 min-w-0">
        <span className="font-semibold">{number === 1 ? 'Original' : `Version ${number}`}</span>
        <span className="text-ink-2">
          , {revision.createdBy.name}, {ago(revision.createdAt)}
        </span>
      </p>
      <IconButton
        label="Download this version"
        side="top"
        onClick={() => download(revision.url, `${title} version ${number}`)}
        testId="download-revision"
      >
        <Download size={18} />
      </IconButton>
      <Button onClick={() => session.ui.setState({ viewing: null })} testId="revision-close">
        <X size={16} /> Back
      </Button>
      {canEdit && (
        <Button
          look="accent"
          disabled={pending !== null}
          onClick={() => void session.restore(revision.id)}
          testId="restore"
        >
          {pending === 'restore' ? <Spinner /> : <Undo2 size={16} />} Restore
        </Button>
      )}
    </section>
  );
}
