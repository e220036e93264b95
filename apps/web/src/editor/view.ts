/** Knows: which picture the stage shows, from the runs, the head and what this person chose. Pure. */

import {
  activeRun,
  type Candidate,
  type Feed,
  type Preview,
  type Revision,
  type Run,
  runInReview,
} from '@/session/feed';
import type { EditorState } from './store';

export type StageView =
  | { readonly kind: 'head' }
  | { readonly kind: 'revision'; readonly revision: Revision }
  | {
      readonly kind: 'running';
      readonly run: Run;
      readonly preview: Preview | null;
      readonly candidate: Candidate | null;
    }
  | { readonly kind: 'review'; readonly run: Run; readonly candidate: Candidate };

/** One picture to show; the id changes exactly when another picture is meant, whatever its address. */
export interface Picture {
  readonly id: string;
  readonly src: string;
  readonly kind: 'head' | 'revision' | 'preview' | 'candidate';
  readonly step?: number;
}

type Choice = Pick<EditorState, 'chosen' | 'dismissed' | 'viewing'>;

export function stageView(feed: Feed, { chosen, dismissed, viewing }: Choice): StageView {
  const running = activeRun(feed);
  if (running) {
    const picked = chosen?.editId === running.edit.id ? chosen.index : null;
    const newest = Math.max(
      -1,
      ...Object.keys(running.previews).map(Number),
      ...running.edit.candidates.map((c) => c.index),
    );
    const index = picked ?? newest;
    const candidate = running.edit.candidates.find((each) => each.index === index) ?? null;
    return { kind: 'running', run: running, preview: running.previews[index] ?? null, candidate };
  }
  const revision = feed.revisions.find((each) => each.id === viewing);
  if (revision && revision.id !== feed.head?.id) return { kind: 'revision', revision };
  const run = runInReview(feed, dismissed);
  const candidate = run && pickCandidate(run, chosen);
  if (run && candidate) return { kind: 'review', run, candidate };
  return { kind: 'head' };
}

export function pictureOf(view: StageView, feed: Feed): Picture | null {
  const head = feed.head;
  switch (view.kind) {
    case 'running':
      if (view.candidate) return candidatePicture(view.run, view.candidate);
      if (view.preview) {
        const { candidate, step, image } = view.preview;
        return { id: `preview ${view.run.edit.id} ${candidate} ${step}`, src: image, kind: 'preview', step };
      }
      break;
    case 'review':
      return candidatePicture(view.run, view.candidate);
    case 'revision':
      return { id: `revision ${view.revision.id}`, src: view.revision.url, kind: 'revision' };
  }
  return head && { id: `revision ${head.id}`, src: head.url, kind: 'head' };
}

function candidatePicture(run: Run, candidate: Candidate): Picture {
  return { id: `candidate ${run.edit.id} ${candidate.index}`, src: candidate.url, kind: 'candidate' };
}

function pickCandidate(run: Run, chosen: Choice['chosen']): Candidate | null {
  const index = chosen?.editId === run.edit.id ? chosen.index : 0;
  return run.edit.candidates.find((each) => each.index === index) ?? run.edit.candidates[0] ?? null;
}
