/** The whole path as a program without a browser walks it: through the public contract, with the real engine. */

import { putDrag, readDocument } from '@tug/schema';
import sharp from 'sharp';
import { expect, test } from 'vitest';
import { sharedDrag, TestServer } from './fixture.js';

test('two people drag, run, watch and accept', async () => {
  await using tug = await TestServer.start();
  const ann = await tug.client('Ann');
  const ben = await tug.client('Ben');
  const canvas = await ann.canvas();

  expect(await ben.gql('query ($id: ID!) { canvas(id: $id) { id } }', { id: canvas.id })).toEqual({ canvas: null });
  const link = await ann.share(canvas.id, 'EDITOR');
  expect(link.url).toBe(`${tug.url}/s/${link.token}`);
  expect(await ben.redeem(link.token)).toEqual({ id: canvas.id, role: 'EDITOR' });

  const [annsRoom, bensRoom] = [await ann.room(canvas.id), await ben.room(canvas.id)];
  putDrag(annsRoom.doc, sharedDrag('a', ann.userId, canvas.head.id, [160, 90], [150, 70]));
  putDrag(bensRoom.doc, sharedDrag('b', ben.userId, canvas.head.id, [200, 150], [220, 150]));
  await Promise.all([annsRoom, bensRoom].map((room) => room.until((doc) => readDocument(doc).drags.length === 2)));

  const [annsEvents, bensEvents] = [ann.watch(canvas.id), ben.watch(canvas.id)];
  for (const events of [annsEvents, bensEvents]) {
    expect(await events.next()).toMatchObject({ __typename: 'CanvasSnapshot', seq: 0, activeEdits: [] });
  }
  const started = await ben.startEdit({ canvasId: canvas.id, seed: 7 });
  expect(started).toMatchObject({ status: 'QUEUED', seed: 7, base: { id: canvas.head.id } });
  expect(started.drags).toHaveLength(2);

  for (const events of [annsEvents, bensEvents]) {
    const { edit } = await events.until('EditFinished');
    expect(edit).toMatchObject({ id: started.id, status: 'SUCCEEDED', error: null, step: edit.totalSteps });
    expect(edit.timings?.firstPreviewMs).toBeGreaterThanOrEqual(0);
    const previews = events.of('EditPreview');
    expect(new Set(previews.map((preview) => preview.image)).size).toBeGreaterThanOrEqual(3);
    expect(previews[0]?.step).toBe(0);
    const numbered = events.seen.flatMap((event) => ('seq' in event ? [event.seq] : []));
    expect(numbered).toEqual(numbered.map((_, index) => index));
  }
  const preview = Buffer.from(annsEvents.of('EditPreview').at(-1)?.image.split(',')[1] ?? '', 'base64');
  expect(await sharp(preview).metadata()).toMatchObject({ format: 'webp', width: 320, height: 240 });

  const [candidate] = annsEvents.of('EditCandidate');
  const result = await (await fetch(candidate?.candidate.url ?? '')).arrayBuffer();
  expect(await sharp(result).metadata()).toMatchObject({ format: 'png', width: 320, height: 240 });
  const mask = await (await fetch((await ann.edit(started.id))?.maskUrl ?? '')).arrayBuffer();
  expect(await sharp(mask).metadata()).toMatchObject({ width: 320, height: 240 });

  const accept =
    'mutation ($editId: ID!, $head: ID) { acceptCandidate(input: { editId: $editId, index: 0, expectedHeadId: $head }) { canvas { head { id parent { id } edit { id } } } } }';
  const accepted = await ann.gql<{ acceptCandidate: { canvas: { head: { id: string } } } }>(accept, {
    editId: started.id,
    head: canvas.head.id,
  });
  const { head } = accepted.acceptCandidate.canvas;
  expect(head).toMatchObject({ parent: { id: canvas.head.id }, edit: { id: started.id } });
  for (const events of [annsEvents, bensEvents]) {
    const changed = await events.until('HeadChanged');
    expect(changed.head.id).toBe(head.id);
    expect(Buffer.from(await (await fetch(changed.head.url)).arrayBuffer()).equals(Buffer.from(result))).toBe(true);
  }
  for (const room of [annsRoom, bensRoom]) {
    await room.until((doc) => readDocument(doc).head === head.id);
    expect(readDocument(room.doc).drags).toEqual([]);
  }
  expect(await ben.code(accept, { editId: started.id, head: canvas.head.id })).toBe('CONFLICT');
});
