import { expect, test } from 'vitest';
import { decoded, firstTurn, settle, type Turns, want } from '@/editor/turns';
import type { Picture } from '@/editor/view';

const head: Picture = { id: 'head', src: '/head', kind: 'head' };
const revision: Picture = { id: 'older', src: '/older', kind: 'revision' };
const candidate: Picture = { id: 'result', src: '/result', kind: 'candidate' };
const preview = (step: number): Picture => ({ id: `preview ${step}`, src: `data:${step}`, kind: 'preview', step });
const top = (turns: Turns) => turns.layers[turns.layers.length - 1]?.id;

/** The order in which pictures were decoded on a screen that decodes nothing until all of them have arrived. */
function seen(pictures: readonly Picture[]): string[] {
  let turns = pictures.reduce(want, decoded(firstTurn(head), head.id));
  const order: string[] = [];
  for (let id = top(turns); id !== undefined && order[order.length - 1] !== id; id = top(turns)) {
    order.push(id);
    turns = decoded(turns, id);
  }
  return order;
}

test('every preview of a fast run is shown, in order, and the result last', () => {
  expect(seen([preview(0), preview(1), preview(2), candidate])).toEqual([
    'preview 0',
    'preview 1',
    'preview 2',
    'result',
  ]);
});

test('a page that was asleep skips the oldest of a long run', () => {
  const previews = Array.from({ length: 20 }, (_, step) => preview(step));
  expect(seen([...previews, candidate])).toEqual(['preview 0', 'preview 17', 'preview 18', 'preview 19', 'result']);
});

test('what a person asks for does not wait for previews', () => {
  expect(seen([preview(0), preview(1), revision])).toEqual(['older']);
  expect(seen([preview(0), preview(1), head])).toEqual(['head']);
});

test('the same picture asked for again changes nothing, on the stage and in the queue', () => {
  const turns = [preview(0), preview(1)].reduce(want, firstTurn(head));
  expect(want(turns, preview(1))).toBe(turns);
});

test('one decoded picture lies under the one that fades in, and goes when it has', () => {
  const shown = decoded(firstTurn(head), head.id);
  const fading = decoded(want(shown, preview(0)), 'preview 0');
  expect(fading.layers.map(({ id }) => id)).toEqual(['head', 'preview 0']);
  expect(settle(fading).layers.map(({ id }) => id)).toEqual(['preview 0']);
});
