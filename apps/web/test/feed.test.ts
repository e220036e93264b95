import { describe, expect, it } from 'vitest';
import { stageView } from '@/editor/view';
import {
  activeRun,
  adoptEdit,
  adoptRecent,
  type CanvasEvent,
  type Edit,
  EMPTY_FEED,
  type Feed,
  progressOf,
  type Revision,
  reduceFeed,
  runInReview,
} from '@/session/feed';

const person = { id: 'u1', name: 'Ana', color: '#aa0000' };
const NOTHING = new Set<string>();

function revision(id: string, edit: string | null = null, parent: string | null = null): Revision {
  return {
    id,
    url: `/files/${id}`,
    thumbnailUrl: `/files/${id}/small`,
    createdAt: '2026-01-01T00:00:00Z',
    createdBy: person,
    parent: parent ? { id: parent } : null,
    edit: edit ? { id: edit, seed: 1 } : null,
  };
}

function edit(id: string, status: Edit['status'], more: Partial<Edit> = {}): Edit {
  return {
    id,
    status,
    step: 0,
    totalSteps: 4,
    seed: 1,
    bundle: 'b',
    device: null,
    createdAt: `2026-01-01T00:00:0${id.slice(-1)}Z`,
    warnings: [],
    maskUrl: '/mask',
    base: { id: 'r1' },
    drags: [],
    candidates: [],
    error: null,
    requestedBy: person,
    timings: null,
    ...more,
  };
}

function snapshot(
  seq: number,
  activeEdits: Edit[] = [],
  head = revision('r1'),
  revisions = [revision('r1')],
): CanvasEvent {
  const canvas = { id: 'c', title: 'T', width: 10, height: 10, role: 'OWNER' as const, createdAt: '', head, revisions };
  return { __typename: 'CanvasSnapshot', seq, canvas, activeEdits };
}

const preview = (
  editId: string,
  candidate: number,
  step: number,
  image = `data:${candidate}/${step}`,
): CanvasEvent => ({
  __typename: 'EditPreview',
  editId,
  candidate,
  step,
  totalSteps: 4,
  image,
});

/** Plays events; fails the test on a gap unless it is the last one's. */
function play(events: readonly CanvasEvent[], from: Feed = EMPTY_FEED) {
  let result = { feed: from, gap: false };
  for (const event of events) {
    expect(result.gap).toBe(false);
    result = reduceFeed(result.feed, event);
  }
  return result;
}

describe('the event stream', () => {
  it('begins with a snapshot and asks for one if it does not', () => {
    expect(reduceFeed(EMPTY_FEED, preview('e1', 0, 0)).gap).toBe(true);
    const { feed } = play([snapshot(7, [edit('e1', 'RUNNING')])]);
    expect(feed.seq).toBe(7);
    expect(activeRun(feed)?.edit.id).toBe('e1');
  });

  it('reports a hole in the numbers and bridges nothing', () => {
    const { feed, gap } = play([snapshot(7), { __typename: 'EditStarted', seq: 9, edit: edit('e1', 'RUNNING') }]);
    expect(gap).toBe(true);
    expect(feed.seq).toBe(7);
    expect(feed.runs).toHaveLength(0);
  });

  it('ignores what came twice', () => {
    const started: CanvasEvent = { __typename: 'EditStarted', seq: 8, edit: edit('e1', 'RUNNING') };
    const late: CanvasEvent = { __typename: 'EditQueued', seq: 8, position: 3, edit: edit('e1', 'QUEUED') };
    const { feed } = play([snapshot(7), started, late]);
    expect(feed.runs[0]?.edit.status).toBe('RUNNING');
  });

  it('follows a run from the queue to its result', () => {
    const { feed } = play([
      snapshot(0),
      { __typename: 'EditQueued', seq: 1, position: 2, edit: edit('e1', 'QUEUED') },
      { __typename: 'EditStarted', seq: 2, edit: edit('e1', 'RUNNING') },
      preview('e1', 0, 0),
      preview('e1', 0, 2),
      { __typename: 'EditCandidate', seq: 3, editId: 'e1', result: { index: 0, url: '/x', seed: 1 } },
      {
        __typename: 'EditFinished',
        seq: 4,
        edit: edit('e1', 'SUCCEEDED', { candidates: [{ index: 0, url: '/x', seed: 1 }] }),
      },
    ]);
    expect(activeRun(feed)).toBeNull();
    expect(runInReview(feed, NOTHING)?.edit.candidates).toHaveLength(1);
    expect(runInReview(feed, new Set(['e1']))).toBeNull();
  });

  it('drops previews that are older than what is shown, each candidate for itself', () => {
    const { feed } = play([
      snapshot(0, [edit('e1', 'RUNNING')]),
      preview('e1', 0, 3),
      preview('e1', 0, 1),
      preview('e1', 1, 0),
    ]);
    expect(feed.runs[0]?.previews[0]?.step).toBe(3);
    expect(feed.runs[0]?.previews[1]?.step).toBe(0);
    const view = stageView(feed, { chosen: null, dismissed: NOTHING, viewing: null });
    expect(view.kind === 'running' && view.preview?.candidate).toBe(1);
  });

  it('shows the second warp in the place of the first', () => {
    const { feed } = play([
      snapshot(0, [edit('e1', 'RUNNING')]),
      preview('e1', 0, 0),
      preview('e1', 0, 0, 'data:second'),
    ]);
    expect(feed.runs[0]?.previews[0]).toMatchObject({ step: 0, image: 'data:second' });
  });

  it('drops previews of runs that ended or are unknown', () => {
    const { feed } = play([snapshot(0, [edit('e1', 'CANCELLED')]), preview('e1', 0, 1), preview('zz', 0, 1)]);
    expect(feed.runs[0]?.previews).toEqual({});
  });

  it('begins again when the engine died and the run was restarted', () => {
    const { feed } = play([
      snapshot(0, [edit('e1', 'RUNNING')]),
      preview('e1', 0, 3),
      { __typename: 'EditQueued', seq: 1, position: 0, edit: edit('e1', 'QUEUED') },
      { __typename: 'EditStarted', seq: 2, edit: edit('e1', 'RUNNING') },
      preview('e1', 0, 1),
    ]);
    expect(feed.runs[0]?.previews[0]?.step).toBe(1);
  });

  it('ends the review when the head moves on', () => {
    const done = edit('e1', 'SUCCEEDED', { candidates: [{ index: 0, url: '/x', seed: 1 }] });
    const { feed } = play([
      snapshot(0),
      { __typename: 'EditFinished', seq: 1, edit: done },
      { __typename: 'HeadChanged', seq: 2, canvasId: 'c', head: revision('r2', 'e1', 'r1') },
    ]);
    expect(runInReview(feed, NOTHING)).toBeNull();
    expect(feed.revisions.map((each) => each.id)).toEqual(['r1', 'r2']);
  });

  it('does not offer an accepted run again after its base was restored', () => {
    const done = edit('e1', 'SUCCEEDED', { candidates: [{ index: 0, url: '/x', seed: 1 }] });
    const { feed } = play([snapshot(0, [], revision('r1'), [revision('r1'), revision('r2', 'e1', 'r1')])]);
    expect(runInReview(adoptRecent(feed, [done]), NOTHING)).toBeNull();
  });

  it('keeps previews and learns of ended runs over a reconnection', () => {
    const before = play([snapshot(0, [edit('e1', 'RUNNING')]), preview('e1', 0, 2)]).feed;
    const after = play([snapshot(9, [edit('e1', 'RUNNING')])], before).feed;
    expect(after.runs[0]?.previews[0]?.step).toBe(2);
    const ended = adoptRecent(after, [edit('e1', 'FAILED', { error: { code: 'TIMED_OUT', message: 'm' } })]);
    expect(activeRun(ended)).toBeNull();
  });

  it('lets no answer of a mutation overtake the stream', () => {
    const { feed } = play([snapshot(0), { __typename: 'EditStarted', seq: 1, edit: edit('e1', 'RUNNING') }]);
    expect(adoptEdit(feed, edit('e1', 'QUEUED')).runs[0]?.edit.status).toBe('RUNNING');
  });

  it('counts progress over all candidates', () => {
    const { feed } = play([snapshot(0, [edit('e1', 'RUNNING')]), preview('e1', 0, 4), preview('e1', 1, 2)]);
    const [run] = feed.runs;
    expect(run && progressOf(run, 2)).toBeCloseTo(0.75);
  });
});
