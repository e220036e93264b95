/**
 * Knows: in which order pictures come onto the stage. One is decoded at a time; what a run makes meanwhile waits its turn,
 * so that a fast run on a slow screen is still seen forming. What a person asks for comes at once. Pure.
 */

import type { Picture } from './view';

export interface Layer extends Picture {
  /** decoded: it can be shown without a flash */
  readonly ready: boolean;
}

export interface Turns {
  /** lowest first; the last is the newest, the one below it is what it covers */
  readonly layers: readonly Layer[];
  /** what comes after the newest, in order */
  readonly waiting: readonly Picture[];
}

/** More than this and the oldest are skipped: a page that was asleep must not replay a whole run. */
const MOST_WAITING = 4;

export function firstTurn(picture: Picture): Turns {
  return { layers: [{ ...picture, ready: false }], waiting: [] };
}

/** The stage is to show this picture: now, or once the previews before it were seen. */
export function want(turns: Turns, picture: Picture): Turns {
  const top = turns.layers[turns.layers.length - 1];
  const last = turns.waiting[turns.waiting.length - 1] ?? top;
  if (last?.id === picture.id) return turns;
  const ofRun = picture.kind === 'preview' || picture.kind === 'candidate';
  if (ofRun && top && top.kind === 'preview' && !top.ready)
    return { ...turns, waiting: [...turns.waiting, picture].slice(-MOST_WAITING) };
  return { layers: begin(turns.layers, picture), waiting: [] };
}

/** A picture was decoded, or cannot be: the next one has its turn. */
export function decoded(turns: Turns, id: string): Turns {
  const layers = turns.layers.map((layer) => (layer.id === id ? { ...layer, ready: true } : layer));
  const [next, ...waiting] = turns.waiting;
  return next && layers[layers.length - 1]?.ready ? { layers: begin(layers, next), waiting } : { ...turns, layers };
}

/** The newest picture has another address: signed addresses expire. */
export function readdress(turns: Turns, picture: Picture): Turns {
  return { ...turns, layers: [...turns.layers.slice(0, -1), { ...picture, ready: false }] };
}

/** The newest picture has faded in: nothing under it is seen any more. */
export function settle(turns: Turns): Turns {
  return { ...turns, layers: turns.layers.slice(-1) };
}

function begin(layers: readonly Layer[], picture: Picture): Layer[] {
  const shown = layers.filter((layer) => layer.ready);
  const again = shown.find((layer) => layer.id === picture.id);
  const others = shown.filter((layer) => layer.id !== picture.id);
  return [...others.slice(-1), again ?? { ...picture, ready: false }];
}
