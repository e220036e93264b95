import { canvasPoint, changeSettings, moveDragEnd, putDrag, readDocument } from '@tug/schema';
import { expect, it } from 'vitest';
import * as Y from 'yjs';
import { shareUnchanged } from '@/session/room';

const drag = (id: string, at: number) => ({
  id,
  handle: canvasPoint(at, at),
  target: canvasPoint(at + 10, at),
  author: 'me',
  base: 'r1',
  createdAt: at,
});

it('keeps the objects of what did not change, so that nothing else is rendered', () => {
  const doc = new Y.Doc();
  putDrag(doc, drag('a', 10));
  putDrag(doc, drag('b', 50));
  const first = readDocument(doc);
  const same = shareUnchanged(first, readDocument(doc));
  expect(same.drags).toBe(first.drags);
  expect(same.settings).toBe(first.settings);

  moveDragEnd(doc, 'b', 'target', canvasPoint(80, 80));
  const moved = shareUnchanged(first, readDocument(doc));
  expect(moved.drags[0]).toBe(first.drags[0]);
  expect(moved.drags[1]).not.toBe(first.drags[1]);
  expect(moved.strokes).toBe(first.strokes);

  changeSettings(doc, { candidates: 3 });
  expect(shareUnchanged(moved, readDocument(doc)).settings.candidates).toBe(3);
});
