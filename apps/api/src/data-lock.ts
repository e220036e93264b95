/**
 * Knows: how to keep a data folder to one process. Two of them on one embedded database lose data silently.
 *
 * The lock is a file that names its holder. It is stale when the holder is gone: the same machine has no such process
 * (start times tell apart processes that share a number), or another machine has not touched the file for half a minute.
 */

import { randomUUID } from 'node:crypto';
import { linkSync, mkdirSync, readFileSync, renameSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';

const BEAT_MS = 5_000;
const ABANDONED_MS = 30_000;

const holderSchema = z.object({ pid: z.number(), host: z.string(), started: z.string().nullable(), key: z.string() });

/** The data folder belongs to another process. */
export class DataLockedError extends Error {
  override readonly name = 'DataLockedError';
}

/** Takes the folder or throws {@link DataLockedError}. */
export function lockDataDir(dataDir: string): Disposable {
  mkdirSync(dataDir, { recursive: true });
  const path = join(dataDir, 'lock');
  const key = randomUUID();
  const mine = JSON.stringify({ pid: process.pid, host: hostname(), started: startTime(process.pid), key });
  for (let attempt = 0; attempt < 5; attempt += 1) {
    try {
      writeFileSync(path, mine, { flag: 'wx' });
      return hold(path, mine);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    }
    const found = read(path);
    if (found === null) continue;
    if (isHeld(path, found)) throw new DataLockedError(describe(dataDir, found));
    removeStale(path, found);
  }
  throw new DataLockedError(`The data folder ${dataDir} is being taken by another process.`);
}

function hold(path: string, mine: string): Disposable {
  const beat = setInterval(() => {
    const now = new Date();
    try {
      utimesSync(path, now, now);
    } catch {
      // the folder was removed under us; the database will complain
    }
  }, BEAT_MS);
  beat.unref();
  return {
    [Symbol.dispose]() {
      clearInterval(beat);
      if (read(path) === mine) rmSync(path, { force: true });
    },
  };
}

function read(path: string): string | null {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return null;
  }
}

function isHeld(path: string, content: string): boolean {
  const holder = parse(content);
  if (holder === null || holder.host !== hostname()) return Date.now() - modified(path) < ABANDONED_MS;
  try {
    process.kill(holder.pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false;
  }
  const started = startTime(holder.pid);
  return started === null || holder.started === null || started === holder.started;
}

/** Moves the stale file away; if another process was faster and this is its fresh lock, puts it back. */
function removeStale(path: string, stale: string): void {
  const aside = `${path}.${randomUUID()}`;
  try {
    renameSync(path, aside);
    if (read(aside) !== stale) linkSync(aside, path);
  } catch {
    // gone already, or taken again: the next attempt sees which
  }
  rmSync(aside, { force: true });
}

function describe(dataDir: string, content: string): string {
  const holder = parse(content);
  const who = holder === null ? 'another process' : `process ${holder.pid} on ${holder.host}`;
  return `The data folder ${dataDir} is in use by ${who}. Stop it, or set TUG_DATA to another folder.`;
}

function parse(content: string): z.infer<typeof holderSchema> | null {
  try {
    const parsed = holderSchema.safeParse(JSON.parse(content));
    return parsed.success ? parsed.data : null;
  } catch {
    return null;
  }
}

function modified(path: string): number {
  try {
    return statSync(path).mtimeMs;
  } catch {
    return 0;
  }
}

/** When a process started, in the kernel's own count; null where the system does not say. */
function startTime(pid: number): string | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? null;
  } catch {
    return null;
  }
}
