// npm run bench: one 512×512 edit with the shipped bundle on the CPU, beside what the machine can do.
//
// Every round runs a cold edit (nothing cached), a second edit of the same picture, and a plain convolution, interleaved, because a
// shared machine's speed swings; all figures are medians over the rounds. GFLOP are counted from the ONNX files, see
// packages/engine/src/flops.ts.
//
//   node scripts/bench.mjs [--bundle models/tug-small] [--rounds 7] [--threads N] [--operators] [--write] [--soak N]
//     --soak N      instead: N edits in a row, every tenth cancelled, and what memory does meanwhile
//     --operators   also time every convolution and matrix product of each graph by itself
//     --write       write the report to benchmarks/speed.md
import { existsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { availableParallelism, cpus, loadavg } from 'node:os';
import path from 'node:path';
import { performance } from 'node:perf_hooks';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const root = fileURLToPath(new URL('..', import.meta.url));
const dist = path.join(root, 'packages/engine/dist');
if (!existsSync(path.join(dist, 'engine.js'))) fail('not built yet: run "npm run build" first');

const { openObservedEngine } = await import(path.join(dist, 'engine.js'));
const { GRAPHS } = await import(path.join(dist, 'bundle.js'));
const { countGraph } = await import(path.join(dist, 'flops.js'));
const { oneOperator } = await import(path.join(dist, 'onnx.js'));
const { encodePng } = await import(path.join(dist, 'raster.js'));
const { createSession, runSession } = await import(path.join(dist, 'runtime.js'));

const args = readArguments();
const rounds = Number(args.rounds);
const threads = Number(args.threads);
if (!(rounds > 0 && threads > 0)) fail('--rounds and --threads take whole numbers above 0');

const SIDE = 512;
const DRAGS = [
  { handle: { x: 200, y: 256 }, target: { x: 250, y: 240 } },
  { handle: { x: 330, y: 300 }, target: { x: 330, y: 300 } },
];

/** The machine's yardstick: a 3×3 convolution of 128 channels at 64×64, as the networks use it. */
const YARDSTICK = {
  op: 'Conv',
  inputs: [
    [1, 128, 64, 64],
    [128, 128, 3, 3],
  ],
  output: [1, 128, 64, 64],
  flop: 2 * 64 * 64 * 128 * 128 * 9,
};

/** Every graph at every size it ran at: the inputs of its latest run there, and the milliseconds of all of them. */
const seen = new Map();
const engine = await openObservedEngine(args.bundle, { device: 'cpu', threads }, (name, inputs, ms) => {
  const first = [...inputs.values()].find((tensor) => tensor.dims.length === 4);
  const key = `${name} ${first?.dims.join('×')}`;
  const entry = seen.get(key) ?? { name, pixels: first?.data.length ?? 0, runs: [] };
  seen.set(key, entry);
  entry.inputs = inputs;
  entry.runs.push(ms);
});
if (args.soak !== undefined) {
  await soak(Number(args.soak));
  await engine.close();
  process.exit(0);
}
const yardstick = await timer(YARDSTICK);

await edit(picture(0)); // warm up
const oneEditMb = peakMb();
for (const entry of seen.values()) entry.runs.length = 0;
const cold = [];
const warm = [];
const rate = [];
for (let round = 1; round <= rounds; round++) {
  const image = await picture(round); // another picture each round, so that nothing is cached
  rate.push(await yardstick(10));
  cold.push(await edit(image));
  rate.push(await yardstick(10));
  warm.push(await edit(image));
  process.stderr.write(`\rround ${round} of ${rounds}`);
}
process.stderr.write('\r\x1b[K');
const allEditsMb = peakMb();
const machineRate = YARDSTICK.flop / 1e6 / median(rate);

const graphs = [];
for (const name of GRAPHS) {
  const sizes = [...seen.values()].filter((entry) => entry.name === name).sort((x, y) => y.pixels - x.pixels);
  for (const [i, { inputs, runs }] of sizes.entries()) {
    const { gflop, operators } = await countGraph(path.join(args.bundle, `${name}.onnx`), inputs);
    const ms = median(runs);
    const alone = args.operators ? await operatorsAlone(operators) : undefined;
    // the encoders run in the first edit of a picture only
    const perEdit = runs.length / (['encoder', 'appearance'].includes(name) ? rounds : 2 * rounds);
    graphs.push({ name: i === 0 ? name : `${name}, previews`, gflop, ms, rate: gflop / (ms / 1000), alone, perEdit });
  }
}
await engine.close();

const report = render();
process.stdout.write(report);
if (args.write) {
  const file = path.join(root, 'benchmarks/speed.md');
  await mkdir(path.dirname(file), { recursive: true });
  await writeFile(file, report);
  process.stderr.write(`written to ${path.relative(process.cwd(), file)}\n`);
}

/** One edit; returns its timings. */
async function edit(image) {
  let timings;
  for await (const event of engine.edit({ image: await image, drags: DRAGS, seed: 1 })) {
    if (event.type === 'done') timings = event.timings;
  }
  return timings;
}

/** Edits in a row; every tenth is cancelled in its middle. Prints the resident memory as it goes. */
async function soak(count) {
  const images = await Promise.all([0, 1, 2].map(picture));
  let at20 = 0;
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
    const mb = process.memoryUsage().rss / 2 ** 20;
    if (i === 20) at20 = mb;
    const handles = process.getActiveResourcesInfo().length;
    process.stdout.write(
      `${i} edits: ${Math.round(mb)} MB (${Math.round((100 * mb) / at20)} % of that after 20), ${handles} active handles\n`,
    );
  }
}

/** A 512×512 picture of waves and grain; `n` makes it another one. */
function picture(n) {
  const data = new Uint8Array(SIDE * SIDE * 3);
  for (let y = 0, i = 0; y < SIDE; y++) {
    for (let x = 0; x < SIDE; x++) {
      const grain = ((x * 31 + y * 17 + n) % 23) - 11;
      data[i++] = 120 + 80 * Math.sin(x / 40) + grain;
      data[i++] = 120 + 60 * Math.sin((x + y) / 55) + grain;
      data[i++] = 110 + 70 * Math.cos(y / 33) - grain;
    }
  }
  return encodePng(data, { width: SIDE, height: SIDE }, 3);
}

/** Opens one operator by itself; the returned function runs it `n` times and gives the median milliseconds. */
async function timer(operator) {
  const { model, inputs } = oneOperator(operator);
  const session = await createSession(model, 'cpu', threads);
  const tensors = new Map(
    inputs.map(([name, dims]) => {
      const data = new Float32Array(dims.reduce((p, d) => p * d, 1)).map((_, i) => ((i * 7919) % 1000) / 1000 - 0.5);
      return [name, { data, dims }];
    }),
  );
  const once = async () => {
    const start = performance.now();
    await runSession(session, tensors);
    return performance.now() - start;
  };
  await once();
  const time = async (n) => {
    const all = [];
    for (let i = 0; i < n; i++) all.push(await once());
    return median(all);
  };
  time.close = () => session.release();
  return time;
}

/** The sum of the milliseconds that a graph's convolutions and products take, each by itself; equal ones are timed once. */
async function operatorsAlone(operators) {
  const kinds = new Map();
  for (const o of operators.filter((op) => op.flop > 1e6)) {
    const key = JSON.stringify([o.op, o.inputs, o.output]);
    kinds.set(key, { operator: o, count: (kinds.get(key)?.count ?? 0) + 1 });
  }
  let sum = 0;
  for (const { operator, count } of kinds.values()) {
    const time = await timer(operator);
    sum += count * (await time(9));
    await time.close();
  }
  return sum;
}

function render() {
  const of = (list, pick) => median(list.map(pick));
  const total = of(cold, (t) => t.totalMs);
  const inGraphs = (t) => GRAPHS.reduce((sum, name) => sum + t.stages[name], 0);
  const gflop = graphs.reduce((sum, g) => sum + g.gflop * g.perEdit, 0);
  const previews = graphs.filter((g) => g.name.endsWith('previews')).reduce((sum, g) => sum + g.gflop * g.perEdit, 0);
  const row = (label, pick, withShare = false) => {
    const [first, second] = [of(cold, pick), of(warm, pick)];
    return [label, withShare ? `${ms(first)} (${Math.round((100 * first) / total)} %)` : ms(first), ms(second)];
  };
  const edits = [
    ['', 'first edit of a picture', 'second edit of it'],
    row('whole edit, ms', (t) => t.totalMs),
    row('first preview (the warp), ms', (t) => t.firstPreviewMs, true),
    row('first denoised preview, ms', (t) => t.firstDenoisedMs, true),
    row('outside the graphs, ms', (t) => t.totalMs - inGraphs(t), true),
    ...Object.keys(cold[0].stages).map((stage) => row(`${stage}, ms`, (t) => t.stages[stage])),
  ];
  const columns = ['graph', 'GFLOP', 'runs an edit', 'ms a run', 'GFLOP/s', "of the machine's rate"];
  if (args.operators) columns.push('operators alone, ms');
  const perGraph = graphs.map((g) => {
    const cells = [g.name, g.gflop.toFixed(2), g.perEdit, ms(g.ms), Math.round(g.rate), percent(g.rate / machineRate)];
    return args.operators ? [...cells, `${ms(g.alone)} (${percent(g.alone / g.ms)})`] : cells;
  });
  return `# Speed

One ${SIDE}×${SIDE} edit with the bundle \`${engine.info.bundle}\` (${engine.info.precision}, ${engine.info.defaultSteps} steps) on the CPU:
${cpus()[0].model.trim()}, ${threads} threads, Node ${process.version}. Medians over ${rounds} rounds, interleaved with the
convolution that gives the machine's own rate, at a load average of ${loadavg()[0].toFixed(1)}. Made by \`npm run bench\`.

${table(edits)}

Peak memory of the process: ${oneEditMb} MB after one edit, ${allEditsMb} MB after ${2 * rounds + 1} edits of ${rounds + 1} pictures.

${table([columns, ...perGraph])}

The machine's own rate, a 3×3 convolution of 128 channels at 64×64 in the same rounds: ${Math.round(machineRate)} GFLOP/s.
A whole edit computes ${gflop.toFixed(1)} GFLOP, ${(gflop - previews).toFixed(1)} without the previews between the warp and the result.
`;
}

/** A Markdown table as the formatter wants it: the first column to the left, the others to the right. */
function table([head, ...rows]) {
  const cells = [head, ...rows].map((line) => line.map(String));
  const widths = head.map((_, i) => Math.max(3, ...cells.map((line) => line[i].length)));
  const lines = cells.map((line) => line.map((c, i) => (i === 0 ? c.padEnd(widths[i]) : c.padStart(widths[i]))));
  lines.splice(
    1,
    0,
    widths.map((w, i) => (i === 0 ? '-'.repeat(w) : `${'-'.repeat(w - 1)}:`)),
  );
  return lines.map((line) => `| ${line.join(' | ')} |`).join('\n');
}

function percent(share) {
  return `${Math.round(100 * share)} %`;
}

function median(list) {
  const sorted = [...list].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

function ms(value) {
  return value < 10 ? value.toFixed(1) : String(Math.round(value));
}

function peakMb() {
  return Math.round(process.resourceUsage().maxRSS / 1024);
}

function fail(message) {
  process.stderr.write(`bench: ${message}\n`);
  process.exit(1);
}

function readArguments() {
  try {
    return parseArgs({
      options: {
        bundle: { type: 'string', default: path.join(root, 'models/tug-small') },
        rounds: { type: 'string', default: '7' },
        threads: { type: 'string', default: String(availableParallelism()) },
        operators: { type: 'boolean', default: false },
        write: { type: 'boolean', default: false },
        soak: { type: 'string' },
      },
    }).values;
  } catch (error) {
    return fail(
      `${error.message}; the options are --bundle DIR, --rounds N, --threads N, --operators, --write and --soak N`,
    );
  }
}
