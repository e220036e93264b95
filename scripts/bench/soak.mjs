// Edits in a row, every tenth cancelled in its middle: what memory, handles, open files and child processes do meanwhile.
import { readdirSync, readFileSync } from 'node:fs';
import { DRAGS, percent, progress, table } from './report.mjs';

/** What was held after every twentieth of `count` edits, at least twenty. */
export async function soak(engine, images, count) {
  const held = [];
  for (let i = 1; i <= count; i++) {
    const abort = new AbortController();
    const input = { image: images[i % images.length], drags: DRAGS, seed: i, options: { steps: engine.info.steps[0] } };
    try {
      for await (const event of engine.edit(input, { signal: abort.signal })) {
        if (i % 10 === 0 && event.type === 'preview') abort.abort();
      }
    } catch (error) {
      if (error.code !== 'CANCELLED') throw error;
    }
    if (i % 20 !== 0) continue;
    globalThis.gc?.();
    held.push({ edits: i, ...look() });
    progress(`${i} of ${count} edits: ${Math.round(held.at(-1).mb)} MB`);
  }
  progress('');
  return held;
}

export function renderSoak(held) {
  const [first, last] = [held[0], held.at(-1)];
  const rows = held.map(({ edits, mb, handles, files, children }) => [
    edits,
    `${Math.round(mb)} (${percent(mb / first.mb)})`,
    handles,
    files,
    children,
  ]);
  return `## ${last.edits} edits in a row

Every tenth was cancelled in its middle.

${table([['edits', 'memory, MB (of that after 20)', 'active handles', 'open files', 'child processes'], ...rows])}`;
}

function look() {
  return {
    mb: process.memoryUsage().rss / 2 ** 20,
    handles: process.getActiveResourcesInfo().length,
    files: count(() => readdirSync('/proc/self/fd').length),
    children: count(
      () => readdirSync('/proc').filter((pid) => /^\d+$/.test(pid) && parentOf(pid) === process.pid).length,
    ),
  };
}

/** 0 for a process that has just ended. */
function parentOf(pid) {
  try {
    // "pid (name) state parent …", and the name may hold anything
    return Number(readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1).split(' ')[1]);
  } catch {
    return 0;
  }
}

/** What only Linux tells is a question mark elsewhere. */
function count(ask) {
  try {
    return ask();
  } catch {
    return '?';
  }
}
