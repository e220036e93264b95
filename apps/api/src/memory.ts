/** Knows: how much memory a process holds, and how much an engine may take on this machine. */

import { readFileSync } from 'node:fs';
import { totalmem } from 'node:os';

const MB = 2 ** 20;

/** How much the engine's process may hold, in megabytes. */
export interface MemoryBound {
  /** past this it is replaced, between two edits */
  readonly replaceMb: number;
  /** past this it is ended at once, and the edit fails */
  readonly killMb: number;
}

/** How far an edit in progress may go beyond the bound, for what it gives back at its end. */
const HEADROOM = 1.5;
/** Without a setting: this share of the machine's memory. */
const SHARE = 0.6;

export function memoryBound(megabytes: number | undefined): MemoryBound {
  const replaceMb = megabytes ?? Math.floor((SHARE * machineMemory()) / MB);
  return { replaceMb, killMb: Math.floor(HEADROOM * replaceMb) };
}

/** Bytes that this process may have: the machine's, or the container's if that is less. */
function machineMemory(): number {
  const constrained = process.constrainedMemory();
  return constrained > 0 ? Math.min(constrained, totalmem()) : totalmem();
}

/** Megabytes that only this process holds; mapped files don't count, the system drops them when it needs room. */
export function ownMemoryMb(): number {
  return anonymousMb('self') ?? Math.round(process.memoryUsage.rss() / MB);
}

/** The same of another process; undefined where the system does not tell (all but Linux), or once it is gone. */
export function memoryMbOf(pid: number): number | undefined {
  return anonymousMb(String(pid));
}

function anonymousMb(process: string): number | undefined {
  let status: string;
  try {
    status = readFileSync(`/proc/${process}/status`, 'utf8');
  } catch {
    return undefined;
  }
  const kilobytes = ['RssAnon', 'RssShmem'].map((name) => Number(status.match(`${name}:\\s+(\\d+)`)?.[1] ?? 0));
  const sum = kilobytes.reduce((a, b) => a + b, 0);
  return sum > 0 ? Math.round(sum / 1024) : undefined;
}
