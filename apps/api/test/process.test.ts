/** The server as a process: what it prints, how it ends, and what a crash leaves behind. */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { Client, drag, newDataDir } from './fixture.js';

const MAIN = fileURLToPath(new URL('../dist/main.js', import.meta.url));

/** A server in a process of its own. */
class Program implements AsyncDisposable {
  stdout = '';
  stderr = '';
  readonly exit: Promise<{ code: number | null; signal: string | null }>;

  private constructor(readonly child: ChildProcess) {
    child.stdout?.on('data', (chunk: Buffer) => {
      this.stdout += chunk.toString();
    });
    child.stderr?.on('data', (chunk: Buffer) => {
      this.stderr += chunk.toString();
    });
    this.exit = once(child, 'close').then(([code, signal]) => ({ code, signal }));
  }

  static start(env: Record<string, string>): Program {
    return new Program(
      spawn(process.execPath, [MAIN], {
        env: { ...process.env, PORT: '0', DATABASE_URL: '', LOG_LEVEL: '', ...env },
        stdio: ['ignore', 'pipe', 'pipe'],
      }),
    );
  }

  /** The address, once it is printed. */
  async ready(): Promise<string> {
    for (;;) {
      const [, url] = this.stdout.match(/^Tug is ready: (http:\/\/localhost:\d+)\n$/) ?? [];
      if (url !== undefined) return url;
      await Promise.race([
        once(this.child.stdout ?? this.child, 'data'),
        this.exit.then(() => Promise.reject(new Error(this.stderr))),
      ]);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.child.kill('SIGKILL');
    await this.exit;
  }
}

/** A data folder that goes away after the test. */
async function dataFolder(): Promise<AsyncDisposable & { path: string }> {
  const path = await newDataDir();
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
}

test('one line when ready; a second process on the same folder is refused; SIGTERM ends all of it', async () => {
  await using data = await dataFolder();
  await using first = Program.start({ TUG_DATA: data.path, TUG_MODELS: '/nowhere' });
  const url = await first.ready();
  expect(await (await fetch(`${url}/health`)).json()).toEqual({ status: 'ok' });

  await using second = Program.start({ TUG_DATA: data.path, TUG_MODELS: '/nowhere' });
  expect(await second.exit).toEqual({ code: 1, signal: null });
  expect(second.stdout).toBe('');
  expect(second.stderr).toMatch(/^tug: The data folder .* is in use by process \d+ on .*\n$/);

  const since = Date.now();
  first.child.kill('SIGTERM');
  expect(await first.exit).toEqual({ code: 0, signal: null });
  expect(Date.now() - since).toBeLessThan(5_000);
  expect(first.stdout.split('\n')).toHaveLength(2);

  await using third = Program.start({ TUG_DATA: data.path, TUG_MODELS: '/nowhere' });
  await third.ready();
  third.child.kill('SIGKILL');
  await third.exit;
  await using fourth = Program.start({ TUG_DATA: data.path, TUG_MODELS: '/nowhere' });
  await expect(fourth.ready()).resolves.toMatch(/^http/);
});

test('a port that is taken and a mistake in the environment are told in one line', async () => {
  await using data = await dataFolder();
  const taken = createServer().listen(0, '127.0.0.1');
  await once(taken, 'listening');
  const address = taken.address();
  const port = typeof address === 'object' && address !== null ? String(address.port) : '';
  await using refused = Program.start({ TUG_DATA: data.path, TUG_MODELS: '/nowhere', PORT: port });
  expect(await refused.exit).toEqual({ code: 1, signal: null });
  expect(refused.stderr).toMatch(new RegExp(`^tug: Port ${port} .* is in use.*\n$`));
  taken.close();
  await using mistaken = Program.start({ TUG_DATA: data.path, TUG_MODELS: '/nowhere', PORT: 'http' });
  expect(await mistaken.exit).toEqual({ code: 1, signal: null });
  expect(mistaken.stderr).toMatch(/^tug: PORT=http .*\n$/);
});

test.each(['SIGKILL', 'SIGTERM'] as const)('edits that %s interrupts are run by the next process', async (signal) => {
  await using data = await dataFolder();
  let ids: string[] = [];
  let canvasId = '';
  let token: string | null = null;
  {
    await using first = Program.start({ TUG_DATA: data.path });
    const ann = await Client.signIn(await first.ready(), 'Ann');
    const canvas = await ann.canvas();
    [canvasId, token] = [canvas.id, ann.token];
    const events = ann.watch(canvas.id);
    await events.until('CanvasSnapshot');
    const input = { canvasId, drags: [drag(160, 90, 150, 70)], seed: 3 };
    ids = [(await ann.startEdit({ ...input, candidates: 4 })).id, (await ann.startEdit(input)).id];
    await events.until('EditStarted');
    first.child.kill(signal);
    await first.exit;
    ann.close();
  }
  await using second = Program.start({ TUG_DATA: data.path });
  const ann = new Client(await second.ready(), token, '');
  const events = ann.watch(canvasId);
  const { activeEdits } = await events.until('CanvasSnapshot');
  for (const id of ids.filter((id) => activeEdits.some((edit) => edit.id === id))) {
    await events.until('EditFinished', ({ edit }) => edit.id === id);
  }
  for (const id of ids) expect(await ann.edit(id)).toMatchObject({ status: 'SUCCEEDED', error: null });
  ann.close();
});

test('an engine whose server dies while it starts goes too', async () => {
  const child = fileURLToPath(new URL('../dist/engine-child.js', import.meta.url));
  const options = JSON.stringify({ modelsDir: '/nowhere', device: 'cpu' });
  const parent = `const { fork } = require('node:child_process');
    fork(${JSON.stringify(child)}, [${JSON.stringify(options)}], { serialization: 'advanced', stdio: ['ignore', 'inherit', 'ignore', 'ipc'] });
    setTimeout(() => process.kill(process.pid, 'SIGKILL'), 20);`;
  const program = spawn(process.execPath, ['-e', parent], { stdio: ['ignore', 'pipe', 'ignore'] });
  // the engine holds the same pipe: it closes when both are gone
  program.stdout.resume();
  await once(program, 'close');
  expect(program.signalCode).toBe('SIGKILL');
});
