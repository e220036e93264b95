/** Edits: what is refused before it starts, and what becomes of those that start, also when the engine breaks down. */

import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Client, drag, photo, type TestCanvas, TestServer } from './fixture.js';

const START = 'mutation ($input: StartEditInput!) { startEdit(input: $input) { edit { id } } }';
const CANCEL = 'mutation ($editId: ID!) { cancelEdit(input: { editId: $editId }) { edit { id status } } }';
const ACCEPT =
  'mutation ($editId: ID!, $index: Int!) { acceptCandidate(input: { editId: $editId, index: $index }) { canvas { id } } }';

let tug: TestServer;
let ann: Client;
let canvas: TestCanvas;

beforeAll(async () => {
  tug = await TestServer.start({ limits: { editsPerMinute: 1000 } });
  ann = await tug.client('Ann');
  canvas = await ann.canvas();
});
afterAll(() => tug[Symbol.asyncDispose]());

/** A request that is right, but for what a test changes. */
const request = (change: Record<string, unknown> = {}) => ({
  canvasId: canvas.id,
  drags: [drag(160, 90, 150, 70)],
  seed: 1,
  ...change,
});

describe('what is refused, with nothing stored', () => {
  async function refused(change: Record<string, unknown>): Promise<string> {
    const error = await ann.startEdit(request(change)).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: 'BAD_USER_INPUT' });
    return (error as Error).message;
  }

  afterAll(async () => expect(await tug.server.services.db.edit.count({ where: { canvasId: canvas.id } })).toBe(0));

  test('a drag outside the picture', async () => {
    expect(await refused({ drags: [drag(160, 90, 321, 70)] })).toMatch(/target of drag 1 .*321.*320 × 240/);
    expect(await refused({ drags: [drag(1, 1, 2, 2), drag(10, -0.5, 20, 20)] })).toMatch(/handle of drag 2/);
  });

  test('no drags', async () => {
    expect(await refused({ drags: [] })).toMatch(/at least one/);
    expect(await refused({ drags: undefined })).toMatch(/at least one/);
  });

  test('500 drags', async () => {
    const literal = '{ handle: { x: 1, y: 1 }, target: { x: 2, y: 2 } } '.repeat(500);
    const written = `mutation { startEdit(input: { canvasId: "${canvas.id}", drags: [${literal}] }) { edit { id } } }`;
    expect(await ann.code(written)).toBe('BAD_USER_INPUT');
    expect(await refused({ drags: Array.from({ length: 500 }, (_, x) => drag(x / 2, 10, x / 2, 20)) })).toMatch(
      /500 drags are too many/,
    );
  });

  test('a number that is none', async () => {
    await refused({ drags: [drag(Number.NaN, 90, 150, 70)] });
    await refused({ drags: [{ handle: { x: 'NaN', y: 1 }, target: { x: 1, y: 1 } }] });
    const literal = `mutation { startEdit(input: { canvasId: "${canvas.id}", drags: [{ handle: { x: NaN, y: 1 }, target: { x: 1, y: 1 } }] }) { edit { id } } }`;
    expect(await ann.code(literal)).toBe('BAD_USER_INPUT');
    const infinite = `mutation { startEdit(input: { canvasId: "${canvas.id}", drags: [{ handle: { x: 1e999, y: 1 }, target: { x: 1, y: 1 } }] }) { edit { id } } }`;
    expect(await ann.code(infinite)).toBe('BAD_USER_INPUT');
  });

  test('a mask of another size, or without drags', async () => {
    const { fileId } = await ann.upload(
      await sharp({ create: { width: 100, height: 100, channels: 3, background: '#fff' } })
        .png()
        .toBuffer(),
    );
    expect(await refused({ maskFileId: fileId })).toMatch(/100 × 100 .* 320 × 240/);
    expect(await refused({ maskFileId: fileId, drags: undefined })).toMatch(/without drags/);
    expect(await ann.code(START, { input: request({ maskFileId: 'made-up' }) })).toBe('NOT_FOUND');
  });

  test.each([
    [{ candidates: 0 }],
    [{ candidates: 5 }],
    [{ seed: -1 }],
    [{ seed: 2147483648 }],
    [{ bundle: 'no-such-bundle' }],
    [{ options: { steps: 3 } }],
    [{ options: { scheduler: 'BRIDGE' } }],
    [{ options: { noisePrior: 'PURE' } }],
    [{ options: { guidanceSteps: -1 } }],
    [{ idempotencyKey: '' }],
  ])('%j', async (change) => {
    expect(await refused(change)).not.toMatch(/went wrong/);
  });

  test('a stranger, a viewer, an unknown canvas', async () => {
    const ben = await tug.client('Ben');
    expect(await ben.code(START, { input: request() })).toBe('NOT_FOUND');
    expect(await ann.code(START, { input: request({ canvasId: 'made-up' }) })).toBe('NOT_FOUND');
    await ben.redeem((await ann.share(canvas.id, 'VIEWER')).token);
    expect(await ben.code(START, { input: request() })).toBe('FORBIDDEN');
  });
});

describe('what is run', () => {
  test('several candidates, an uploaded mask, and the same result for the same seed', async () => {
    const events = ann.watch(canvas.id);
    await events.until('CanvasSnapshot');
    const white = await sharp({ create: { width: 320, height: 240, channels: 3, background: '#fff' } })
      .png()
      .toBuffer();
    const { fileId } = await ann.upload(white);
    const first = await ann.startEdit(request({ candidates: 2, maskFileId: fileId }));
    const { edit } = await events.until('EditFinished', ({ edit: { id } }) => id === first.id);
    expect(edit.candidates).toHaveLength(2);
    expect(new Set(edit.candidates.map((candidate) => candidate.seed)).size).toBe(2);
    expect(await ann.code(START, { input: request({ maskFileId: fileId }) })).toBe('NOT_FOUND');

    const mask = await ann.upload(white);
    const again = await ann.startEdit(request({ maskFileId: mask.fileId }));
    const repeated = await events.until('EditFinished', ({ edit: { id } }) => id === again.id);
    const [one, two] = await Promise.all(
      [edit, repeated.edit].map(async ({ candidates }) =>
        Buffer.from(await (await fetch(candidates[0]?.url ?? '')).arrayBuffer()),
      ),
    );
    expect(one?.equals(two ?? Buffer.alloc(0))).toBe(true);
  });

  test('the same idempotency key starts one edit, also at the same moment', async () => {
    const input = request({ idempotencyKey: 'once' });
    const edits = await Promise.all([1, 2, 3].map(() => ann.startEdit(input)));
    expect(new Set(edits.map((edit) => edit.id)).size).toBe(1);
    expect((await ann.startEdit({ ...input, seed: 99 })).id).toBe(edits[0]?.id);
    await ann.gql(CANCEL, { editId: edits[0]?.id });
  });

  test('cancelling a waiting and a running edit', async () => {
    const events = ann.watch(canvas.id);
    await events.until('CanvasSnapshot');
    const running = await ann.startEdit(request({ candidates: 4 }));
    const waiting = await ann.startEdit(request());
    expect(events.seen).toHaveLength(1);
    expect((await events.until('EditQueued', ({ edit }) => edit.id === waiting.id)).position).toBe(1);
    await events.until('EditPreview', ({ editId }) => editId === running.id);
    for (const { id } of [waiting, running])
      expect(await ann.gql(CANCEL, { editId: id })).toMatchObject({
        cancelEdit: { edit: { id, status: 'CANCELLED' } },
      });
    const last = await ann.startEdit(request());
    expect((await events.until('EditFinished', ({ edit }) => edit.id === last.id)).edit.status).toBe('SUCCEEDED');
    const finished = events.of('EditFinished').map(({ edit }) => [edit.id, edit.status]);
    expect(finished).toEqual([
      [waiting.id, 'CANCELLED'],
      [running.id, 'CANCELLED'],
      [last.id, 'SUCCEEDED'],
    ]);
    expect(await ann.gql(CANCEL, { editId: last.id })).toMatchObject({ cancelEdit: { edit: { status: 'SUCCEEDED' } } });
    expect(await ann.code(ACCEPT, { editId: last.id, index: 3 })).toBe('NOT_FOUND');
    expect(await ann.code(CANCEL, { editId: 'made-up' })).toBe('NOT_FOUND');
  });

  test('whoever comes in the middle gets a snapshot with the running edit, and everything after it', async () => {
    const first = ann.watch(canvas.id);
    await first.until('CanvasSnapshot');
    const { id } = await ann.startEdit(request());
    await first.until('EditStarted', ({ edit }) => edit.id === id);
    const second = ann.watch(canvas.id);
    const snapshot = await second.until('CanvasSnapshot');
    expect(snapshot.activeEdits.map((edit) => edit.id)).toEqual([id]);
    await second.until('EditFinished', ({ edit }) => edit.id === id);
    const numbers = second.seen.flatMap((event) => ('seq' in event ? [event.seq] : []));
    expect(numbers).toEqual(numbers.map((_, index) => snapshot.seq + index));
  });

  test('branches, and going back', async () => {
    const events = ann.watch(canvas.id);
    const { canvas: before } = await events.until('CanvasSnapshot');
    const { id } = await ann.startEdit(request({ candidates: 2 }));
    await events.until('EditFinished', ({ edit }) => edit.id === id);
    for (const index of [0, 1, 0]) await ann.gql(ACCEPT, { editId: id, index });
    type Tree = { canvas: { head: { id: string }; revisions: { id: string; parent: { id: string } | null }[] } };
    const tree = (
      await ann.gql<Tree>('query ($id: ID!) { canvas(id: $id) { head { id } revisions { id parent { id } } } }', {
        id: canvas.id,
      })
    ).canvas;
    const made = tree.revisions.filter((revision) => revision.parent?.id === before.head.id);
    expect(made).toHaveLength(2);
    expect(tree.head.id).toBe(made[0]?.id);
    const restore =
      'mutation ($input: RestoreRevisionInput!) { restoreRevision(input: $input) { canvas { head { id } } } }';
    const input = { canvasId: canvas.id, revisionId: before.head.id };
    expect(await ann.code(restore, { input: { ...input, expectedHeadId: before.head.id } })).toBe('CONFLICT');
    expect(await ann.gql(restore, { input })).toMatchObject({
      restoreRevision: { canvas: { head: { id: before.head.id } } },
    });
    expect(await ann.code(restore, { input: { ...input, revisionId: 'made-up' } })).toBe('NOT_FOUND');
  });
});

describe('limits', () => {
  test('of the queue, and of edits in a minute', async () => {
    await using small = await TestServer.start({ limits: { queuedPerUser: 2, queued: 3, editsPerMinute: 3 } });
    const [ben, eve] = [await small.client('Ben'), await small.client('Eve')];
    const [bens, eves] = [await ben.canvas(await photo(640, 480)), await eve.canvas()];
    const input = { canvasId: bens.id, drags: [drag(160, 90, 150, 70)], candidates: 4 };
    await ben.startEdit(input);
    await ben.startEdit(input);
    expect(await ben.code(START, { input })).toBe('QUEUE_FULL');
    expect(await ben.code(START, { input })).toBe('RATE_LIMITED');
    await eve.startEdit({ ...input, canvasId: eves.id });
    expect(await eve.code(START, { input: { ...input, canvasId: eves.id } })).toBe('QUEUE_FULL');
  });

  test('of time', async () => {
    await using hasty = await TestServer.start({ editDeadlineMs: 50 });
    const ben = await hasty.client('Ben');
    await hasty.server.services.engine.info();
    const { id } = await ben.canvas();
    const events = ben.watch(id);
    await events.until('CanvasSnapshot');
    await ben.startEdit({ canvasId: id, drags: [drag(160, 90, 150, 70)], candidates: 4 });
    expect((await events.until('EditFinished')).edit).toMatchObject({ status: 'FAILED', error: { code: 'TIMED_OUT' } });
  });
});

describe('the engine killed in the middle', () => {
  function kill(server: TestServer): void {
    const { pid } = server.server.services.engine;
    if (pid === undefined) throw new Error('There is no engine to kill.');
    process.kill(pid, 'SIGKILL');
  }

  test('once: the edit runs again; twice: it fails and says so; the next one works', async () => {
    const events = ann.watch(canvas.id);
    await events.until('CanvasSnapshot');
    const survivor = await ann.startEdit(request({ candidates: 2 }));
    await events.until('EditStarted');
    kill(tug);
    await events.until(
      'EditQueued',
      ({ edit, position }) => edit.id === survivor.id && position === 0 && events.of('EditStarted').length === 1,
    );
    expect((await events.until('EditFinished')).edit).toMatchObject({ id: survivor.id, status: 'SUCCEEDED' });
    expect(events.of('EditStarted')).toHaveLength(2);

    const victim = await ann.startEdit(request({ candidates: 4 }));
    for (const times of [3, 4]) {
      await events.until('EditStarted', ({ edit }) => edit.id === victim.id);
      expect(events.of('EditStarted')).toHaveLength(times);
      kill(tug);
    }
    const { edit } = await events.until('EditFinished');
    expect(edit).toMatchObject({
      id: victim.id,
      status: 'FAILED',
      error: { code: 'ENGINE_FAILED', message: expect.stringMatching(/SIGKILL/) },
    });

    const next = await ann.startEdit(request());
    expect((await events.until('EditFinished')).edit).toMatchObject({ id: next.id, status: 'SUCCEEDED' });
    expect(await ann.gql('{ viewer { id } }')).toEqual({ viewer: { id: ann.userId } });
  });
});

test('what the engine is, also after it died with nothing to do', async () => {
  const { pid } = tug.server.services.engine;
  if (pid !== undefined) process.kill(pid, 'SIGKILL');
  const { engine } = await ann.gql<{ engine: { device: string; bundles: { name: string; steps: number[] }[] } }>(
    '{ engine { device deviceReason precision maxDrags maxPixels maxCandidates bundles { name title license defaultSteps steps guidance schedulers noisePriors } } }',
  );
  expect(engine.device).toMatch(/cpu|cuda|webgpu/);
  expect(engine.bundles[0]?.steps.length).toBeGreaterThan(0);
});

test('a canvas deleted under a running edit takes it along', async () => {
  const other = await ann.canvas();
  const events = ann.watch(other.id);
  await events.until('CanvasSnapshot');
  await ann.startEdit(request({ canvasId: other.id, candidates: 4 }));
  await events.until('EditStarted');
  await ann.gql('mutation ($id: ID!) { deleteCanvas(input: { canvasId: $id }) { canvasId } }', { id: other.id });
  while ((await events.next()) !== null);
  expect(await ann.gql('query ($id: ID!) { canvas(id: $id) { id } }', { id: other.id })).toEqual({ canvas: null });
  const watching = ann.watch(canvas.id);
  await watching.until('CanvasSnapshot');
  const next = await ann.startEdit(request());
  expect((await watching.until('EditFinished')).edit).toMatchObject({ id: next.id, status: 'SUCCEEDED' });
});
