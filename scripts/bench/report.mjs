// What the benchmark's parts share: medians, tables, pictures, the report's sections, and how to give up.
import { existsSync, readFileSync } from 'node:fs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { cpus, loadavg } from 'node:os';
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

/** What the matrix kernels look for, by the flag that Linux gives it. */
const INSTRUCTIONS = {
  avx2: 'AVX2',
  avx512f: 'AVX-512',
  avx_vnni: 'AVX-VNNI',
  avx512_vnni: 'AVX-512 VNNI',
  amx_int8: 'AMX int8',
  amx_bf16: 'AMX bf16',
  asimddp: 'dot product',
};

/** The machine in a line, as it is before anything is measured. */
export function describeMachine(threads) {
  const flags = existsSync('/proc/cpuinfo')
    ? new Set(/^(?:flags|Features)\s*:(.*)$/m.exec(readFileSync('/proc/cpuinfo', 'utf8'))?.[1].split(' '))
    : new Set();
  const has = Object.entries(INSTRUCTIONS).flatMap(([flag, name]) => (flags.has(flag) ? [name] : []));
  const cpu = [cpus()[0].model.trim(), ...(has.length > 0 ? [`(${has.join(', ')})`] : [])].join(' ');
  return `${cpu}, ${threads} threads, Node ${process.version}, load average ${loadavg()[0].toFixed(1)} before the start.`;
}

const HEAD = `# Speed

Made by \`npm run bench\`, each section by itself: what is compared ran in turns, figures are medians over the rounds.
`;

/** A section's text with the machine under its heading. */
export function underHeading(section, machine) {
  const [heading, ...rest] = section.split('\n\n');
  return [heading, machine, ...rest].join('\n\n');
}

/** Puts sections, each under a heading of its own, into the report: in the place of those of the same name, or at the end. */
export async function writeSections(file, sections) {
  const old = existsSync(file) ? (await readFile(file, 'utf8')).split(/^(?=## )/m).slice(1) : [];
  const nameOf = (section) => section.split('\n', 1)[0];
  const kept = new Map([...old, ...sections].map((section) => [nameOf(section), section.trim()]));
  await mkdir(path.dirname(file), { recursive: true });
  await writeFile(file, `${[HEAD.trim(), ...kept.values()].join('\n\n')}\n`);
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

/** A mask that lets all of the picture change. */
export function wholeMask() {
  const background = '#fff';
  return sharp({ create: { width: SIDE, height: SIDE, channels: 3, background } })
    .png()
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
