// What the benchmark's parts share: medians, tables, pictures, and how to give up.
import { createRequire } from 'node:module';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = fileURLToPath(new URL('../..', import.meta.url));
export const dist = path.join(root, 'packages/engine/dist');
const sharp = createRequire(path.join(dist, 'index.js'))('sharp'); // the engine's own

export function median(list) {
  const sorted = [...list].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

export const sum = (list) => list.reduce((total, x) => total + x, 0);

export function ms(value) {
  if (value >= 10) return String(Math.round(value));
  return value >= 0.05 || value === 0 ? value.toFixed(1) : value.toFixed(2);
}

export const percent = (share) => `${Math.round(100 * share)} %`;

/** A Markdown table as the formatter wants it: the first column to the left, the others to the right. */
export function table([head, ...rows]) {
  const cells = [head, ...rows].map((line) => line.map(String));
  const widths = head.map((_, i) => Math.max(3, ...cells.map((line) => line[i].length)));
  const lines = cells.map((line) => line.map((c, i) => (i === 0 ? c.padEnd(widths[i]) : c.padStart(widths[i]))));
  const rule = widths.map((w, i) => (i === 0 ? '-'.repeat(w) : `${'-'.repeat(w - 1)}:`));
  return [lines[0], rule, ...lines.slice(1)].map((line) => `| ${line.join(' | ')} |`).join('\n');
}

/** The picture that is edited is so many pixels wide and high. */
export const SIDE = 512;
export const DRAGS = [
  { handle: { x: 200, y: 256 }, target: { x: 250, y: 240 } },
  { handle: { x: 330, y: 300 }, target: { x: 330, y: 300 } },
];

/** A PNG of waves and grain; `n` makes it another picture. */
export function picture(n) {
  const data = new Uint8Array(SIDE * SIDE * 3);
  for (let y = 0, i = 0; y < SIDE; y++) {
    for (let x = 0; x < SIDE; x++) {
      const grain = ((x * 31 + y * 17 + n) % 23) - 11;
      data[i++] = 120 + 80 * Math.sin(x / 40) + grain;
      data[i++] = 120 + 60 * Math.sin((x + y) / 55) + grain;
      data[i++] = 110 + 70 * Math.cos(y / 33) - grain;
    }
  }
  return sharp(data, { raw: { width: SIDE, height: SIDE, channels: 3 } })
    .png({ compressionLevel: 1 })
    .toBuffer();
}

/** Runs an edit to its end; returns its timings. */
export async function timings(engine, input) {
  let found;
  for await (const event of engine.edit(input)) if (event.type === 'done') found = event.timings;
  return found;
}

/** The same text over and over on one line of the terminal. */
export function progress(text) {
  process.stderr.write(`\r\x1b[K${text}`);
}

export function fail(message) {
  process.stderr.write(`bench: ${message}\n`);
  process.exit(1);
}
