'use client';
/** Knows: how components follow what the stage shows. */

import { useMemo } from 'react';
import { useStore } from 'zustand';
import { useFeed, useSession, useUi } from './session';
import { type StageView, stageView } from './view';

export function useStageView(): StageView {
  const session = useSession();
  const feed = useStore(session.feed.store);
  const chosen = useUi((state) => state.chosen);
  const dismissed = useUi((state) => state.dismissed);
  const viewing = useUi((state) => state.viewing);
  return useMemo(() => stageView(feed, { chosen, dismissed, viewing }), [feed, chosen, dismissed, viewing]);
}

/** The newest finished run on the head that this person put aside, to be shown again. */
export function useAsideRun() {
  const dismissed = useUi((state) => state.dismissed);
  return useFeed((feed) => {
    const run = feed.runs.find((each) => each.edit.status !== 'CANCELLED');
    return run && dismissed.has(run.edit.id) && run.edit.base.id === feed.head?.id && run.edit.status === 'SUCCEEDED'
      ? run
      : null;
  });
}
