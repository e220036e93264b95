/** Canvases, links and pages of lists, for people with different rights. */

import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { type Client, type TestCanvas, TestServer } from './fixture.js';

const RENAME =
  'mutation ($id: ID!, $title: String!) { renameCanvas(input: { canvasId: $id, title: $title }) { canvas { title } } }';
const DELETE = 'mutation ($id: ID!) { deleteCanvas(input: { canvasId: $id }) { canvasId } }';
const SHARE = 'mutation ($id: ID!) { createShareLink(input: { canvasId: $id, role: EDITOR }) { token } }';
const CANVAS = 'query ($id: ID!) { canvas(id: $id) { role title shareLinks { id url role } } }';

let tug: TestServer;
let ann: Client;
let editor: Client;
let viewer: Client;
let stranger: Client;
let canvas: TestCanvas;

beforeAll(async () => {
  tug = await TestServer.start({ modelsDir: '/nowhere' });
  [ann, editor, viewer, stranger] = [
    await tug.client('Ann'),
    await tug.client('Ed'),
    await tug.client('Vi'),
    await tug.client('Stu'),
  ];
  canvas = await ann.canvas();
  await editor.redeem((await ann.share(canvas.id, 'EDITOR')).token);
  await viewer.redeem((await ann.share(canvas.id, 'VIEWER')).token);
});
afterAll(() => tug[Symbol.asyncDispose]());

test('what each role may do', async () => {
  expect(await editor.gql(RENAME, { id: canvas.id, title: '  A house  ' })).toEqual({
    renameCanvas: { canvas: { title: 'A house' } },
  });
  expect(await viewer.code(RENAME, { id: canvas.id, title: 'x' })).toBe('FORBIDDEN');
  expect(await stranger.code(RENAME, { id: canvas.id, title: 'x' })).toBe('NOT_FOUND');
  expect(await ann.code(RENAME, { id: canvas.id, title: ' ' })).toBe('BAD_USER_INPUT');
  expect(await ann.code(RENAME, { id: canvas.id, title: 'x'.repeat(121) })).toBe('BAD_USER_INPUT');
  for (const mutation of [DELETE, SHARE]) {
    expect(await editor.code(mutation, { id: canvas.id })).toBe('FORBIDDEN');
    expect(await stranger.code(mutation, { id: canvas.id })).toBe('NOT_FOUND');
  }
});

test('links are shown to the owner alone, and always with their address', async () => {
  type Answer = { canvas: { role: string; shareLinks: { url: string; role: string }[] } };
  const owners = (await ann.gql<Answer>(CANVAS, { id: canvas.id })).canvas;
  expect(owners.role).toBe('OWNER');
  expect(owners.shareLinks.map((link) => link.role)).toEqual(['EDITOR', 'VIEWER']);
  const newcomer = await tug.client('Newcomer');
  const [, token = ''] = owners.shareLinks[0]?.url.split('/s/') ?? [];
  expect(await newcomer.redeem(token)).toEqual({ id: canvas.id, role: 'EDITOR' });
  expect(await ann.redeem(token)).toEqual({ id: canvas.id, role: 'OWNER' });
  expect((await editor.gql<Answer>(CANVAS, { id: canvas.id })).canvas).toMatchObject({
    role: 'EDITOR',
    shareLinks: [],
  });
  expect(await stranger.gql(CANVAS, { id: canvas.id })).toEqual({ canvas: null });
  const forged = `${token.slice(0, -1)}${token.endsWith('A') ? 'B' : 'A'}`;
  await expect(newcomer.redeem(forged)).rejects.toMatchObject({ code: 'NOT_FOUND' });
});

test('a node is there for whom it may be, and is null for everybody else', async () => {
  const query = 'query ($id: ID!) { node(id: $id) { __typename id } }';
  const asked = async (client: Client, id: string) =>
    (await client.gql<{ node: { __typename: string } | null }>(query, { id })).node?.__typename ?? null;
  expect(await asked(viewer, canvas.id)).toBe('Canvas');
  expect(await asked(viewer, canvas.head.id)).toBe('Revision');
  expect(await asked(viewer, ann.userId)).toBe('User');
  expect(await asked(viewer, viewer.userId)).toBe('User');
  for (const id of [canvas.id, canvas.head.id, ann.userId, 'made-up']) expect(await asked(stranger, id)).toBeNull();
});

test('pages of canvases, newest first, own and shared', async () => {
  const many = await tug.client('Many');
  const made: string[] = [];
  for (let index = 0; index < 5; index += 1) made.unshift((await many.canvas()).id);
  await many.redeem((await ann.share(canvas.id, 'VIEWER')).token);
  const query =
    'query ($first: Int!, $after: String) { canvases(first: $first, after: $after) { edges { node { id role } } pageInfo { hasNextPage endCursor } } }';
  type Page = {
    canvases: {
      edges: { node: { id: string; role: string } }[];
      pageInfo: { hasNextPage: boolean; endCursor: string | null };
    };
  };
  const found: string[] = [];
  let after: string | null = null;
  for (let pages = 0; pages < 3; pages += 1) {
    const { canvases }: Page = await many.gql<Page>(query, { first: 2, after });
    found.push(...canvases.edges.map(({ node }) => node.id));
    expect(canvases.pageInfo.hasNextPage).toBe(pages < 2);
    after = canvases.pageInfo.endCursor;
  }
  expect(found).toEqual([...made, canvas.id]);
  expect(await many.code(query, { first: 101 })).toBe('BAD_USER_INPUT');
  expect(await many.code(query, { first: 2, after: 'nonsense' })).toBe('BAD_USER_INPUT');
});

test('a long list costs a handful of queries, not one for each entry', async () => {
  const owner = await tug.client('Owner');
  for (let index = 0; index < 4; index += 1) await owner.canvas();
  const findMany = vi.spyOn(tug.server.services.db.revision, 'findMany');
  await owner.gql('{ canvases { edges { node { id role head { id url createdBy { name } parent { id } } } } } }');
  expect(findMany).toHaveBeenCalledTimes(1);
  findMany.mockRestore();
});

test('a deleted canvas is gone for everybody, with its document and its connections', async () => {
  const other = await ann.canvas();
  await editor.redeem((await ann.share(other.id, 'EDITOR')).token);
  const room = await editor.room(other.id);
  const events = editor.watch(other.id);
  await events.until('CanvasSnapshot');
  await ann.gql(DELETE, { id: other.id });
  expect(await room.closed).toBe('NOT_FOUND');
  expect(await events.next()).toBeNull();
  expect((await fetch(other.head.url)).status).toBe(404);
  expect(await ann.code(DELETE, { id: other.id })).toBe('NOT_FOUND');
  expect(await tug.server.services.db.document.count({ where: { canvasId: other.id } })).toBe(0);
});
