'use client';
/** Knows: what the command key is called on this machine. */

import { useSyncExternalStore } from 'react';

const never = () => () => {};

export function useModKey(): string {
  return useSyncExternalStore(
    never,
    () => (/mac|iphone|ipad/i.test(navigator.platform) ? '⌘' : 'Ctrl'),
    () => 'Ctrl',
  );
}
