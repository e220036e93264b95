/** What is served keeps the public contract, and refuses what costs too much. */

import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { BreakingChangeType, buildSchema, findBreakingChanges, getIntrospectionQuery, printSchema } from 'graphql';
import { createClient } from 'graphql-ws';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import WebSocket from 'ws';
import { createSchema } from '../src/graphql.js';
import { Client, TestServer } from './fixture.js';

const require = createRequire(import.meta.url);
const contract = buildSchema(readFileSync(require.resolve('@tug/schema/contract.graphql'), 'utf8'));
const served = buildSchema(printSchema(createSchema()));

test('a client written against the contract can use what is served', () => {
  expect(findBreakingChanges(contract, served)).toEqual([]);
});

test('whatever the served schema adds can be left out', () => {
  const additions = findBreakingChanges(served, contract);
  const removals = [
    BreakingChangeType.TYPE_REMOVED,
    BreakingChangeType.FIELD_REMOVED,
    BreakingChangeType.ARG_REMOVED,
    BreakingChangeType.VALUE_REMOVED_FROM_ENUM,
  ];
  expect(additions.filter((change) => !removals.some((type) => type === change.type))).toEqual([]);
});

describe('over HTTP', () => {
  let tug: TestServer;
  let anybody: Client;

  beforeAll(async () => {
    tug = await TestServer.start({ modelsDir: '/nowhere' });
    anybody = new Client(tug.url, null, '');
  });
  afterAll(() => tug[Symbol.asyncDispose]());

  test('introspection is on', async () => {
    await expect(anybody.gql(getIntrospectionQuery())).resolves.toHaveProperty('__schema');
  });

  test.each([
    ['depth', `{ canvases { edges { node { head { ${'parent { '.repeat(20)} id ${'} '.repeat(20)} } } } } }`],
    ['aliases', `{ ${Array.from({ length: 60 }, (_, index) => `a${index}: viewer { id }`).join(' ')} }`],
    ['tokens', `{ viewer { ${'id '.repeat(25_000)} } }`],
    [
      'lists in lists',
      '{ canvases(first: 100) { edges { node { edits(first: 100) { edges { node { canvas { edits(first: 100) { edges { node { id } } } } } } } } } } }',
    ],
  ])('too much of %s is QUERY_TOO_COMPLEX', async (_what, query) => {
    expect(await anybody.code(query)).toBe('QUERY_TOO_COMPLEX');
  });

  test('the same limits and codes hold over WebSocket', async () => {
    const client = createClient({
      url: `${tug.url.replace('http', 'ws')}/graphql`,
      webSocketImpl: WebSocket,
      retryAttempts: 0,
    });
    const code = async (query: string) => {
      const answer = await client.iterate({ query }).next();
      return answer.value?.errors?.[0]?.extensions?.code;
    };
    const error = await code(
      `{ ${Array.from({ length: 60 }, (_, index) => `a${index}: viewer { id }`).join(' ')} }`,
    ).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject([{ extensions: { code: 'QUERY_TOO_COMPLEX' } }]);
    expect(await code('subscription { canvasEvents(canvasId: "x") { __typename } }')).toBe('UNAUTHENTICATED');
    expect(await code('{ engine { device } }')).toBe('ENGINE_UNAVAILABLE');
    await client.dispose();
  });

  test('a mistake in the query is BAD_USER_INPUT and says where', async () => {
    const error = await anybody.gql('{ viewer { nmae } }').catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({
      errors: [{ extensions: { code: 'BAD_USER_INPUT' }, message: expect.stringContaining('nmae') }],
    });
    expect(await anybody.code('{ viewer {')).toBe('BAD_USER_INPUT');
  });

  test('without a token: null from queries, UNAUTHENTICATED from mutations', async () => {
    expect(
      await anybody.gql('{ viewer { id } canvas(id: "x") { id } node(id: "x") { id } canvases { edges { cursor } } }'),
    ).toEqual({
      viewer: null,
      canvas: null,
      node: null,
      canvases: { edges: [] },
    });
    expect(
      await anybody.code('mutation { renameCanvas(input: { canvasId: "x", title: "y" }) { canvas { id } } }'),
    ).toBe('UNAUTHENTICATED');
    expect(
      await new Client(tug.url, 'made-up', '').code('mutation { deleteCanvas(input: { canvasId: "x" }) { canvasId } }'),
    ).toBe('UNAUTHENTICATED');
  });

  test('without a bundle the engine is ENGINE_UNAVAILABLE and everything else works', async () => {
    expect(await anybody.code('{ engine { device } }')).toBe('ENGINE_UNAVAILABLE');
    await expect(tug.client()).resolves.toBeDefined();
  });

  test('a request that a foreign page could send without asking is refused', async () => {
    const body = JSON.stringify({ query: '{ viewer { id } }' });
    const response = await fetch(`${tug.url}/graphql`, {
      method: 'POST',
      headers: { 'content-type': 'text/plain' },
      body,
    });
    expect(response.status).toBe(400);
  });

  test.each(['/graphql', '/collab'])('a WebSocket to %s from a page of another site is refused', async (path) => {
    const status = (origin: string | undefined) =>
      new Promise((resolve) => {
        const options = origin === undefined ? {} : { origin };
        const socket = new WebSocket(
          tug.url.replace('http', 'ws') + path,
          path === '/graphql' ? ['graphql-transport-ws'] : [],
          options,
        );
        socket.on('open', () => resolve(101));
        socket.on('unexpected-response', (_request, response) => resolve(response.statusCode));
        socket.on('open', () => socket.close());
      });
    expect(await status('https://elsewhere.example')).toBe(403);
    expect(await status(tug.url)).toBe(101);
    expect(await status(undefined)).toBe(101);
  });

  test.each([
    ['', 'BAD_USER_INPUT'],
    ['x'.repeat(41), 'BAD_USER_INPUT'],
  ])('a name of %j is refused', async (name, code) => {
    expect(
      await anybody.code('mutation ($name: String!) { signInAsGuest(input: { name: $name }) { token } }', { name }),
    ).toBe(code);
  });
});

test('sign-ins are limited', async () => {
  await using tug = await TestServer.start({ modelsDir: '/nowhere', limits: { signInsPerMinute: 2 } });
  await tug.client();
  await tug.client();
  await expect(tug.client()).rejects.toMatchObject({ code: 'RATE_LIMITED' });
});
