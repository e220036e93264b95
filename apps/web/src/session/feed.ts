/**
 * Knows: how a canvas' event stream becomes what everybody sees: the head, the revisions, the runs and their previews. Pure.
 * Does not know: sockets, React; `connect.ts` feeds it and asks for a new snapshot when it reports a gap.
 */

import type {
  CanvasEventsSubscription,
  CanvasPartsFragment,
  EditPartsFragment,
  RevisionPartsFragment,
} from '@/generated/graphql';

export type CanvasEvent = CanvasEventsSubscription['canvasEvents'];
export type Edit = EditPartsFragment;
export type Revision = RevisionPartsFragment;
export type Candidate = Edit['candidates'][number];

export interface Preview {
  readonly candidate: number;
  readonly step: number;
  readonly totalSteps: number;
  /** a data URI */
  readonly image: string;
}

/** One run of the engine as the page shows it. */
export interface Run {
  readonly edit: Edit;
  /** how many runs go before it, while it waits */
  readonly position: number | null;
  /** the newest preview of each candidate, by its index */
  readonly previews: Readonly<Record<number, Preview>>;
}

export interface Feed {
  /** the last event's number; null before the first snapshot */
  readonly seq: number | null;
  readonly canvas: Omit<CanvasPartsFragment, 'revisions' | 'head'> | null;
  readonly head: Revision | null;
  /** oldest first */
  readonly revisions: readonly Revision[];
  /** newest first */
  readonly runs: readonly Run[];
}

export const EMPTY_FEED: Feed = { seq: null, canvas: null, head: null, revisions: [], runs: [] };

export interface Reduction {
  readonly feed: Feed;
  /** events were lost: subscribe again for a new snapshot */
  readonly gap: boolean;
}

/** Takes one event in. Events that came twice or late change nothing; a hole in the numbers is reported and not bridged. */
export function reduceFeed(feed: Feed, event: CanvasEvent): Reduction {
  if (event.__typename === 'CanvasSnapshot') {
    const { revisions, head, ...canvas } = event.canvas;
    return settle({ seq: event.seq, canvas, head, revisions, runs: merge(feed.runs, event.activeEdits) });
  }
  if (feed.seq === null) return { feed, gap: true };
  if (event.__typename === 'EditPreview') {
    return settle(updateRun(feed, event.editId, (run) => withPreview(run, event)));
  }
  if (event.seq <= feed.seq) return settle(feed);
  if (event.seq > feed.seq + 1) return { feed, gap: true };
  const next = { ...feed, seq: event.seq };
  switch (event.__typename) {
    case 'EditQueued':
      return settle(upsert(next, event.edit, event.position));
    case 'EditStarted':
    case 'EditFinished':
      return settle(upsert(next, event.edit, null));
    case 'EditCandidate':
      return settle(updateRun(next, event.editId, (run) => withCandidate(run, event.result)));
    case 'HeadChanged':
      return settle({ ...next, head: event.head, revisions: withRevision(next.revisions, event.head) });
  }
}

/** What a mutation answered: the page need not wait for the event to show its own run. */
export function adoptEdit(feed: Feed, edit: Edit): Feed {
  return feed.runs.some((run) => run.edit.id === edit.id) && edit.status === 'QUEUED' ? feed : upsert(feed, edit, null);
}

/** The newest edits as the api knows them: those that ended while nobody listened among them. */
export function adoptRecent(feed: Feed, edits: readonly Edit[]): Feed {
  return { ...feed, runs: merge(feed.runs, edits) };
}

/** What a mutation answered about the head. */
export function adoptHead(feed: Feed, head: Revision): Feed {
  return { ...feed, head, revisions: withRevision(feed.revisions, head) };
}

export function isActive(edit: Edit): boolean {
  return edit.status === 'QUEUED' || edit.status === 'RUNNING';
}

/** The run that the stage shows while it works: the one that is running, else the one that waits longest. */
export function activeRun(feed: Feed): Run | null {
  const active = feed.runs.filter((run) => isActive(run.edit));
  return active.find((run) => run.edit.status === 'RUNNING') ?? active[active.length - 1] ?? null;
}

/** The newest finished run on the present head that nobody accepted and this person did not put aside. */
export function runInReview(feed: Feed, dismissed: ReadonlySet<string>): Run | null {
  const accepted = new Set(feed.revisions.map((revision) => revision.edit?.id));
  const newest = feed.runs.find((run) => run.edit.status !== 'CANCELLED');
  if (newest?.edit.status !== 'SUCCEEDED' || newest.edit.candidates.length === 0) return null;
  if (newest.edit.base.id !== feed.head?.id || accepted.has(newest.edit.id) || dismissed.has(newest.edit.id))
    return null;
  return newest;
}

/** 0 to 1 over all steps of all candidates asked for. */
export function progressOf(run: Run, candidates: number): number {
  const preview = Object.values(run.previews).reduce<Preview | null>(
    (best, each) => (!best || each.candidate > best.candidate ? each : best),
    null,
  );
  const current = preview && preview.totalSteps > 0 ? preview.candidate + preview.step / preview.totalSteps : 0;
  return Math.min(Math.max(current, run.edit.candidates.length) / Math.max(candidates, 1), 1);
}

function settle(feed: Feed): Reduction {
  return { feed, gap: false };
}

/** The runs with these edits brought up to date; previews of them that were seen stay. */
function merge(runs: readonly Run[], edits: readonly Edit[]): Run[] {
  const known = new Map(runs.map((run) => [run.edit.id, run]));
  for (const edit of edits) {
    const run = known.get(edit.id);
    known.set(edit.id, { edit, position: run?.position ?? null, previews: run?.previews ?? {} });
  }
  return [...known.values()].sort(newestFirst);
}

function upsert(feed: Feed, edit: Edit, position: number | null): Feed {
  const old = feed.runs.find((run) => run.edit.id === edit.id);
  // A restarted edit begins again: what was seen of it before is superseded.
  const restarted = edit.status === 'RUNNING' && old?.edit.status !== 'RUNNING';
  const candidates =
    edit.candidates.length > 0 || restarted ? edit.candidates : (old?.edit.candidates ?? edit.candidates);
  const run: Run = { edit: { ...edit, candidates }, position, previews: old && !restarted ? old.previews : {} };
  const others = feed.runs.filter((each) => each.edit.id !== edit.id);
  return { ...feed, runs: [run, ...others].sort(newestFirst) };
}

function updateRun(feed: Feed, editId: string, change: (run: Run) => Run): Feed {
  let changed = false;
  const runs = feed.runs.map((run) => {
    if (run.edit.id !== editId) return run;
    const next = change(run);
    changed ||= next !== run;
    return next;
  });
  return changed ? { ...feed, runs } : feed;
}

/** Previews carry no number of their own: one of an older step than what is shown is dropped. The warp comes twice, better the second time. */
function withPreview(run: Run, { candidate, step, totalSteps, image }: Preview): Run {
  const shown = run.previews[candidate];
  if (!isActive(run.edit) || (shown && shown.step > step)) return run;
  const edit: Edit = { ...run.edit, status: 'RUNNING', step: Math.max(step, 0), totalSteps };
  return { edit, position: null, previews: { ...run.previews, [candidate]: { candidate, step, totalSteps, image } } };
}

function withCandidate(run: Run, candidate: Candidate): Run {
  const others = run.edit.candidates.filter((each) => each.index !== candidate.index);
  const candidates = [...others, candidate].sort((a, b) => a.index - b.index);
  return { ...run, edit: { ...run.edit, candidates } };
}

function withRevision(revisions: readonly Revision[], revision: Revision): Revision[] {
  return revisions.some((each) => each.id === revision.id)
    ? revisions.map((each) => (each.id === revision.id ? revision : each))
    : [...revisions, revision];
}

function newestFirst(a: Run, b: Run): number {
  return a.edit.createdAt < b.edit.createdAt ? 1 : a.edit.createdAt > b.edit.createdAt ? -1 : 0;
}
