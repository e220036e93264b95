import { describe, expect, test } from 'vitest';
import * as Y from 'yjs';
import {
  addStroke,
  canvasPoint,
  changeSettings,
  clearMask,
  DOCUMENT_LIMITS,
  mirrorHead,
  moveDragEnd,
  putDrag,
  readDocument,
  readPresence,
  removeDrags,
  type SharedDrag,
} from '../src/index.js';

function drag(id: string, createdAt = 0): SharedDrag {
  return { id, handle: canvasPoint(1, 2), target: canvasPoint(3, 4), author: 'ana', base: 'r1', createdAt };
}

function exchange(a: Y.Doc, b: Y.Doc): void {
  Y.applyUpdate(b, Y.encodeStateAsUpdate(a, Y.encodeStateVector(b)));
  Y.applyUpdate(a, Y.encodeStateAsUpdate(b, Y.encodeStateVector(a)));
}

describe('the shared document', () => {
  test('an empty one has the settings that a run starts from', () => {
    expect(readDocument(new Y.Doc())).toEqual({
      drags: [],
      strokes: [],
      settings: { seed: null, steps: null, candidates: 1 },
      head: null,
      rejected: 0,
    });
  });

  test('two people who move the two ends of one drag at once both keep their move', () => {
    const [a, b] = [new Y.Doc(), new Y.Doc()];
    putDrag(a, drag('d'));
    exchange(a, b);
    moveDragEnd(a, 'd', 'handle', canvasPoint(10, 11));
    moveDragEnd(b, 'd', 'target', canvasPoint(20, 21));
    exchange(a, b);
    expect(readDocument(a).drags).toMatchObject([{ handle: { x: 10, y: 11 }, target: { x: 20, y: 21 } }]);
    expect(readDocument(b)).toEqual(readDocument(a));
  });

  test('a drag that somebody removed is not brought back by a move', () => {
    const [a, b] = [new Y.Doc(), new Y.Doc()];
    putDrag(a, drag('d'));
    exchange(a, b);
    removeDrags(a, ['d']);
    moveDragEnd(b, 'd', 'target', canvasPoint(20, 21));
    exchange(a, b);
    expect(readDocument(a).drags).toEqual([]);
    expect(readDocument(b).drags).toEqual([]);
  });

  test('a new head takes the drags it used and the mask with it, and leaves the other drags', () => {
    const doc = new Y.Doc();
    putDrag(doc, drag('used'));
    putDrag(doc, drag('kept', 1));
    addStroke(doc, { id: 's', mode: 'paint', radius: 8, points: [1, 1], author: 'ana' });
    const seen: number[] = [];
    doc.on('update', () => seen.push(readDocument(doc).drags.length));
    mirrorHead(doc, 'r2', ['used']);
    const state = readDocument(doc);
    expect(state.head).toBe('r2');
    expect(state.drags.map(({ id }) => id)).toEqual(['kept']);
    expect(state.strokes).toEqual([]);
    expect(seen).toEqual([1]);
  });

  test('what a foreign client may have written is left out and counted', () => {
    const doc = new Y.Doc();
    putDrag(doc, drag('good'));
    putDrag(doc, { ...drag('nan'), handle: canvasPoint(Number.NaN, 0) });
    doc.getMap('drags').set('text', 'not a drag');
    doc.getArray('strokes').push([{ id: 's', mode: 'burn', radius: 1, points: [0, 0], author: 'x' }]);
    changeSettings(doc, { candidates: 900, seed: -4, steps: 8 });
    const state = readDocument(doc);
    expect(state.drags.map(({ id }) => id)).toEqual(['good']);
    expect(state.rejected).toBe(3);
    expect(state.settings).toEqual({ seed: null, steps: 8, candidates: 1 });
  });

  test('a document never yields more drags than its limit', () => {
    const doc = new Y.Doc();
    for (let index = 0; index < DOCUMENT_LIMITS.drags + 5; index += 1) putDrag(doc, drag(`d${index}`, index));
    expect(readDocument(doc).drags).toHaveLength(DOCUMENT_LIMITS.drags);
    expect(readDocument(doc).rejected).toBe(5);
  });

  test('replicas that change at random and sync at random converge', () => {
    for (let seed = 1; seed <= 20; seed += 1) {
      const random = mulberry(seed);
      const pick = (count: number) => Math.floor(random() * count);
      const replicas = [new Y.Doc(), new Y.Doc(), new Y.Doc()];
      for (let turn = 0; turn < 120; turn += 1) {
        const doc = replicas[pick(3)] as Y.Doc;
        const id = `d${pick(8)}`;
        const point = canvasPoint(pick(640), pick(480));
        const actions = [
          () => putDrag(doc, drag(id, pick(100))),
          () => moveDragEnd(doc, id, 'handle', point),
          () => moveDragEnd(doc, id, 'target', point),
          () => removeDrags(doc, [id]),
          () =>
            addStroke(doc, {
              id: `s${turn}`,
              mode: 'paint',
              radius: 1 + pick(9),
              points: [point.x, point.y],
              author: 'a',
            }),
          () => changeSettings(doc, { seed: pick(1000) }),
          () => pick(6) === 0 && clearMask(doc),
          () => pick(6) === 0 && mirrorHead(doc, `r${turn}`, [id]),
          () => exchange(replicas[pick(3)] as Y.Doc, replicas[pick(3)] as Y.Doc),
        ];
        actions[pick(actions.length)]?.();
      }
      for (let round = 0; round < 2; round += 1)
        for (const a of replicas) for (const b of replicas) if (a !== b) exchange(a, b);
      const [first, ...others] = replicas.map(readDocument);
      for (const other of others) expect(other, `seed ${seed}`).toEqual(first);
    }
  });
});

describe('presence', () => {
  test('a well-formed state is read, a foreign one is null, a foreign detail is dropped', () => {
    const user = { id: 'u', name: 'Ana', color: '#aa33cc' };
    expect(readPresence({ user, cursor: { x: 1, y: 2 }, stroke: null, selection: [] })).toMatchObject({ user });
    expect(readPresence({ user, cursor: 'here' })).toEqual({ user, cursor: null, stroke: null, selection: [] });
    expect(readPresence({ user: { id: 'u', name: 'Ana', color: 'url(x)' } })).toBeNull();
    expect(readPresence(null)).toBeNull();
  });
});

function mulberry(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}
