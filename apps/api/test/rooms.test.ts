/** The shared document: it converges, is kept, follows the database's head, and lets in only whom it should. */

import { once } from 'node:events';
import { rm } from 'node:fs/promises';
import { addStroke, changeSettings, mirrorHead, putDrag, readDocument, removeDrags } from '@tug/schema';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import WebSocket from 'ws';
import type * as Y from 'yjs';
import { type Client, newDataDir, type Room, sharedDrag, type TestCanvas, TestServer } from './fixture.js';

let tug: TestServer;
let ann: Client;
let ben: Client;
let canvas: TestCanvas;

beforeAll(async () => {
  tug = await TestServer.start({ modelsDir: '/nowhere' });
  [ann, ben] = [await tug.client('Ann'), await tug.client('Ben')];
  canvas = await ann.canvas();
  await ben.redeem((await ann.share(canvas.id, 'EDITOR')).token);
});
afterAll(() => tug[Symbol.asyncDispose]());

/** A seeded generator of numbers in [0, 1). */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state * 1664525 + 1013904223) % 4294967296;
    return state / 4294967296;
  };
}

function editAtRandom(doc: Y.Doc, random: () => number, author: string): void {
  const id = `d${Math.floor(random() * 6)}`;
  const point = (): [number, number] => [Math.floor(random() * 320), Math.floor(random() * 240)];
  const dice = random();
  if (dice < 0.4) putDrag(doc, sharedDrag(id, author, 'base', point(), point()));
  else if (dice < 0.6) removeDrags(doc, [id]);
  else if (dice < 0.8)
    addStroke(doc, {
      id,
      mode: random() < 0.5 ? 'paint' : 'erase',
      radius: 5,
      points: [...point(), ...point()],
      author,
    });
  else changeSettings(doc, { seed: Math.floor(random() * 1000), candidates: 1 + Math.floor(random() * 4) });
}

test.each([1, 2, 3])('three people writing at random end with the same document (seed %i)', async (seed) => {
  const other = await ann.canvas();
  await ben.redeem((await ann.share(other.id, 'EDITOR')).token);
  const rooms = [await ann.room(other.id), await ann.room(other.id), await ben.room(other.id)];
  const random = seeded(seed);
  for (let turn = 0; turn < 60; turn += 1) {
    const room = rooms[Math.floor(random() * rooms.length)];
    if (room !== undefined) editAtRandom(room.doc, random, `somebody ${turn % 3}`);
    if (turn % 10 === 0) await room?.flushed();
  }
  await Promise.all(rooms.map((room) => room.flushed()));
  const marker = `end of ${seed}`;
  rooms[0]?.doc.getMap('settings').set('marker', marker);
  await Promise.all(rooms.map((room) => room.until((doc) => doc.getMap('settings').get('marker') === marker)));
  const [first, ...others] = rooms.map((room) => JSON.stringify(readDocument(room.doc)));
  for (const state of others) expect(state).toBe(first);
});

describe('who may come in', () => {
  test.each([
    ['a stranger', async () => (await tug.client('Eve')).knock(canvas.id)],
    ['somebody without a token', async () => new (await import('./fixture.js')).Room(tug.url, canvas.id, 'made-up')],
    ['somebody to a room that is not there', async () => ann.knock('nowhere')],
  ])('not %s', async (_who, knock) => {
    const room: Room = await knock();
    await expect(room.synced).rejects.toThrow('NOT_FOUND');
    room.close();
  });

  test('a viewer sees, and writes nothing', async () => {
    const eve = await tug.client('Eve');
    await eve.redeem((await ann.share(canvas.id, 'VIEWER')).token);
    const [annsRoom, evesRoom] = [await ann.room(canvas.id), await eve.room(canvas.id)];
    putDrag(evesRoom.doc, sharedDrag('eve', eve.userId, canvas.head.id, [1, 1], [2, 2]));
    putDrag(annsRoom.doc, sharedDrag('ann', ann.userId, canvas.head.id, [1, 1], [2, 2]));
    await evesRoom.until((doc) => readDocument(doc).drags.some(({ id }) => id === 'ann'));
    const fresh = await ben.room(canvas.id);
    expect(readDocument(fresh.doc).drags.map(({ id }) => id)).toEqual(['ann']);
    removeDrags(annsRoom.doc, ['ann']);
  });

  test('nobody passes for somebody else', async () => {
    const [annsRoom, bensRoom] = [await ann.room(canvas.id), await ben.room(canvas.id)];
    const seen = (clientId: number) =>
      new Promise<unknown>((resolve) => {
        const look = () => {
          const state = annsRoom.provider.awareness?.getStates().get(clientId);
          if (state !== undefined) resolve(state);
        };
        annsRoom.provider.awareness?.on('change', look);
        look();
      });
    const user = (id: string) => ({ id, name: 'Ann', color: '#ffffff' });
    bensRoom.provider.setAwarenessField('user', user(ann.userId));
    bensRoom.provider.setAwarenessField('user', user(ben.userId));
    expect(await seen(bensRoom.doc.clientID)).toEqual({ user: user(ben.userId) });
  });

  test('a revoked link closes what came in through it, and a second link keeps it open', async () => {
    const eve = await tug.client('Eve');
    const other = await ann.canvas();
    const [one, two] = [await ann.share(other.id, 'EDITOR'), await ann.share(other.id, 'VIEWER')];
    await eve.redeem(one.token);
    await eve.redeem(two.token);
    const room = await eve.room(other.id);
    const events = eve.watch(other.id);
    await events.until('CanvasSnapshot');
    const revoke = 'mutation ($id: ID!) { revokeShareLink(input: { shareLinkId: $id }) { canvas { id role } } }';
    expect(await eve.code(revoke, { id: two.id })).toBe('NOT_FOUND');
    await ann.gql(revoke, { id: one.id });
    expect(await eve.gql('query ($id: ID!) { canvas(id: $id) { role } }', { id: other.id })).toEqual({
      canvas: { role: 'VIEWER' },
    });
    await ann.gql(revoke, { id: two.id });
    expect(await room.closed).toBe('NOT_FOUND');
    expect(await events.next()).toBeNull();
    expect(
      await eve.code('mutation ($token: String!) { redeemShareLink(input: { token: $token }) { canvas { id } } }', {
        token: one.token,
      }),
    ).toBe('NOT_FOUND');
    await expect(eve.knock(other.id).synced).rejects.toThrow('NOT_FOUND');
  });

  test('a link ends when it says so', async () => {
    const eve = await tug.client('Eve');
    const other = await ann.canvas();
    const link = await ann.share(other.id, 'EDITOR', new Date(Date.now() + 3_000).toISOString());
    await eve.redeem(link.token);
    const room = await eve.room(other.id);
    const events = eve.watch(other.id);
    await events.until('CanvasSnapshot');
    expect(await room.closed).toBe('NOT_FOUND');
    expect(await events.next()).toBeNull();
    expect(await eve.gql('{ canvases { edges { node { id } } } }')).toEqual({ canvases: { edges: [] } });
    const past = 'mutation ($input: CreateShareLinkInput!) { createShareLink(input: $input) { token } }';
    expect(
      await ann.code(past, { input: { canvasId: other.id, role: 'EDITOR', expiresAt: '2020-01-01T00:00:00Z' } }),
    ).toBe('BAD_USER_INPUT');
    expect(await ann.code(past, { input: { canvasId: other.id, role: 'OWNER' } })).toBe('BAD_USER_INPUT');
  });
});

test('garbage closes its own connection and nothing else', async () => {
  const complaints = vi.spyOn(console, 'error').mockImplementation(() => undefined); // Hocuspocus tells of every frame
  const random = seeded(4);
  const annsRoom = await ann.room(canvas.id);
  for (const authenticated of [false, true]) {
    const room = authenticated ? await ben.room(canvas.id) : undefined;
    const socket = room === undefined ? new WebSocket(`${tug.url.replace('http', 'ws')}/collab`) : undefined;
    if (socket !== undefined) await once(socket, 'open');
    const name = Buffer.from(canvas.id);
    for (let count = 0; count < 200; count += 1) {
      const noise = Buffer.from(Array.from({ length: Math.floor(random() * 60) }, () => Math.floor(random() * 256)));
      const frame = count % 2 === 0 ? noise : Buffer.concat([Buffer.from([name.length]), name, noise]);
      if (socket?.readyState === WebSocket.OPEN) socket.send(frame);
      room?.provider.configuration.websocketProvider.webSocket?.send(frame);
    }
    socket?.terminate();
    room?.close();
  }
  expect((await fetch(`${tug.url}/health`)).status).toBe(200);
  putDrag(annsRoom.doc, sharedDrag('after', ann.userId, canvas.head.id, [1, 1], [2, 2]));
  await annsRoom.flushed();
  expect(readDocument((await ben.room(canvas.id)).doc).drags.map(({ id }) => id)).toEqual(['after']);
  complaints.mockRestore();
});

test('a document outlives the server, and follows the head that it missed', async () => {
  const dataDir = await newDataDir();
  let canvasId = '';
  let headId = '';
  let token = '';
  {
    await using first = await TestServer.start({ dataDir, modelsDir: '/nowhere' });
    const owner = await first.client('Owner');
    const made = await owner.canvas();
    [canvasId, headId, token] = [made.id, made.head.id, owner.token ?? ''];
    const room = await owner.room(canvasId);
    expect(readDocument(room.doc).head).toBe(headId);
    putDrag(room.doc, sharedDrag('kept', owner.userId, headId, [10, 10], [20, 20]));
    await room.flushed();
    mirrorHead(room.doc, 'a head that a client made up', []);
    await room.until((doc) => readDocument(doc).head === headId);
  }
  await using second = await TestServer.start({ dataDir, modelsDir: '/nowhere' });
  const { Client: Person } = await import('./fixture.js');
  const owner = new Person(second.url, token, '');
  const room = await owner.room(canvasId);
  expect(readDocument(room.doc)).toMatchObject({ head: headId, drags: [{ id: 'kept', handle: { x: 10, y: 10 } }] });
  owner.close();
  await second[Symbol.asyncDispose]();
  await rm(dataDir, { recursive: true, force: true });
});
