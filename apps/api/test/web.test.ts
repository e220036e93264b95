/** The exported web app is served as it must be, and its pages run no scripts but their own. */

import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { TestServer } from './fixture.js';

const INLINE = 'self.__next_f.push([1,"hello"])';

let tug: TestServer;
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tug-web-'));
  await mkdir(join(folder, '_next', 'static'), { recursive: true });
  await mkdir(join(folder, 'c'));
  for (const name of ['index', 'c', 's', '404']) {
    await writeFile(
      join(folder, `${name}.html`),
      `<html><script src="/_next/static/a.js"></script><script>${INLINE}</script>${name}</html>`,
    );
  }
  await writeFile(join(folder, '_next', 'static', 'a.js'), '1');
  await writeFile(join(folder, 'c', 'tree.txt'), 'a file');
  tug = await TestServer.start({ modelsDir: '/nowhere', webDir: folder });
});
afterAll(async () => {
  await tug[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
});

test.each([
  ['/', 200, 'index'],
  ['/c/abc123', 200, 'c'],
  ['/s/token-abc_1', 200, 's'],
  ['/nothing/here', 404, '404'],
])('%s is answered with %i and its page', async (path, status, name) => {
  const response = await fetch(tug.url + path);
  expect(response.status).toBe(status);
  expect(await response.text()).toContain(`${name}</html>`);
  const policy = response.headers.get('content-security-policy') ?? '';
  expect(policy).toContain(`script-src 'self' 'sha256-${createHash('sha256').update(INLINE).digest('base64')}';`);
  expect(policy).not.toContain("script-src 'self' 'unsafe-inline'");
  expect(policy).toContain(tug.url.replace('http', 'ws'));
});

test('assets are kept for good, files beside pages are found, and nothing outside is', async () => {
  const asset = await fetch(`${tug.url}/_next/static/a.js`);
  expect(asset.headers.get('cache-control')).toBe('public, max-age=31536000, immutable');
  expect(await (await fetch(`${tug.url}/c/tree.txt`)).text()).toBe('a file');
  expect((await fetch(`${tug.url}/..%2f..%2fetc%2fpasswd`)).status).toBe(404);
  expect((await fetch(`${tug.url}/c.html`)).headers.get('content-security-policy')).toBe("default-src 'none'");
  expect((await fetch(tug.url)).headers.get('x-content-type-options')).toBe('nosniff');
});
