/** The memory that the engine's process may hold: replaced between edits past it, ended in mid-edit far past it, typed errors when it runs out. */

import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { ConfigError, readConfig } from '../src/config.js';
import { type Client, drag, photo, TestServer } from './fixture.js';

const PLENTY = 1_000_000;

/** Starts an edit and waits for its end. */
async function edit(ann: Client, canvasId: string, change: Record<string, unknown> = {}) {
  const events = ann.watch(canvasId);
  await events.until('CanvasSnapshot');
  const { id } = await ann.startEdit({ canvasId, drags: [drag(160, 90, 150, 70)], seed: 1, ...change });
  const { edit } = await events.until('EditFinished', (event) => event.edit.id === id);
  return { ...edit, starts: events.of('EditStarted').length };
}

test('the bound is a share of the machine, or what the environment says', () => {
  const { replaceMb, killMb } = readConfig({}).engineMemory;
  expect(replaceMb).toBeGreaterThan(256);
  expect(killMb).toBeGreaterThan(replaceMb);
  expect(readConfig({ TUG_ENGINE_MEMORY: '4000' }).engineMemory).toEqual({ replaceMb: 4000, killMb: 6000 });
  expect(() => readConfig({ TUG_ENGINE_MEMORY: '10' })).toThrow(ConfigError);
  expect(() => readConfig({ TUG_ENGINE_MEMORY: 'much' })).toThrow(/TUG_ENGINE_MEMORY=much must be a number/);
});

test('past its bound it is replaced between edits, and every edit succeeds once', async () => {
  await using tug = await TestServer.start({ engineMemory: { replaceMb: 1, killMb: PLENTY } });
  const ann = await tug.client('Ann');
  const { id } = await ann.canvas();
  const { engine } = tug.server.services;
  const pids = new Set<number | undefined>();
  for (const _ of [1, 2, 3]) {
    await engine.info();
    pids.add(engine.pid);
    expect(await edit(ann, id)).toMatchObject({ status: 'SUCCEEDED', error: null, starts: 1 });
  }
  expect(pids.size).toBe(3);
  expect(pids).not.toContain(undefined);
});

test('within its bound it stays', async () => {
  await using tug = await TestServer.start({ engineMemory: { replaceMb: PLENTY, killMb: PLENTY } });
  const ann = await tug.client('Ann');
  const { id } = await ann.canvas();
  const { engine } = tug.server.services;
  await engine.info();
  const before = engine.pid;
  await edit(ann, id);
  await edit(ann, id);
  expect(engine.pid).toBe(before);
});

// only Linux tells what another process holds while it is busy
test.skipIf(process.platform !== 'linux')('far past it in mid-edit: that edit fails, and says what to do', async () => {
  await using tug = await TestServer.start({ engineMemory: { replaceMb: PLENTY, killMb: 1 } });
  const ann = await tug.client('Ann');
  const { id } = await ann.canvas(await photo(640, 480));
  const failed = await edit(ann, id, { candidates: 4 });
  expect(failed).toMatchObject({ status: 'FAILED', error: { code: 'OUT_OF_MEMORY' } });
  expect(failed.error?.message).toMatch(/held \d+ MB and may hold 1 MB\): use a smaller picture .*TUG_ENGINE_MEMORY/);
  expect(failed.starts).toBeLessThan(2);
});

/** Lets a process allocate only so much more than it has. */
function starve(pid: number, roomMb: number): void {
  const [, kilobytes] = readFileSync(`/proc/${pid}/status`, 'utf8').match(/VmSize:\s+(\d+)/) ?? [];
  execFileSync('prlimit', ['--pid', String(pid), `--as=${1024 * Number(kilobytes) + roomMb * 2 ** 20}`]);
}

// without prlimit (util-linux) nothing can be taken from a running process
test.skipIf(!hasPrlimit())('an engine that gets no more memory: OUT_OF_MEMORY, and the next one works', async () => {
  await using tug = await TestServer.start();
  const ann = await tug.client('Ann');
  const { id } = await ann.canvas(await photo(1024, 1024));
  const { engine } = tug.server.services;
  await engine.info();
  starve(engine.pid ?? 0, 16);
  const failed = await edit(ann, id, { drags: [drag(400, 400, 500, 420)] });
  expect(failed).toMatchObject({ status: 'FAILED', error: { code: 'OUT_OF_MEMORY' } });
  expect(failed.error?.message).toMatch(/use a smaller picture or mask/);
  if (engine.pid !== undefined) process.kill(engine.pid, 'SIGKILL'); // the limit stays with the process
  expect(await edit(ann, id)).toMatchObject({ status: 'SUCCEEDED' });
});

function hasPrlimit(): boolean {
  try {
    execFileSync('prlimit', ['--version']);
    return true;
  } catch {
    return false;
  }
}
