'use client';
/** Knows: how much of the stage the floating panels cover, on a phone and on a laptop. */

import { useSyncExternalStore } from 'react';
import { useUi } from './session';
import type { Insets } from './viewport';

const PHONE: Insets = { top: 64, right: 12, bottom: 152, left: 12 };
const LAPTOP: Insets = { top: 76, right: 312, bottom: 112, left: 24 };
const LAPTOP_WITH_HISTORY: Insets = { ...LAPTOP, left: 272 };
const WIDE = '(min-width: 768px)';

/** Whether there is room for panels beside the picture. */
export function useWide(): boolean {
  return useSyncExternalStore(
    (changed) => {
      const query = matchMedia(WIDE);
      query.addEventListener('change', changed);
      return () => query.removeEventListener('change', changed);
    },
    () => matchMedia(WIDE).matches,
    () => true,
  );
}

export function useInsets(): Insets {
  const wide = useWide();
  const history = useUi((state) => state.panel === 'history');
  return wide ? (history ? LAPTOP_WITH_HISTORY : LAPTOP) : PHONE;
}
