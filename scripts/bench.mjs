// npm run bench: how fast the engine is on this machine's CPU, beside PyTorch with the same weights and beside what the machine can do.
//
// Everything that is compared runs in turns, round by round, because a shared machine's speed swings; figures are medians over the
// rounds. GFLOP are counted from the ONNX files, see packages/engine/src/flops.ts.
//
// The engine runs here as in the product's own process, with the same settings of V8's collector (apps/api/src/engine-fork.ts).
//
//   npm run bench -- [--bundle models/tug-small] [--rounds 7] [--threads N] [--python PATH] [--write]
//   npm run bench -- --sd15 BUNDLE --sd15-checkpoints DIR [--sd15-rounds 3] [--only-sd15] …
//   npm run bench -- --soak N
//     --python            a Python with what training/ needs; default training/.venv/bin/python if it is there
//     --sd15              also measure this bundle of the published layout (fp32); takes minutes and 20 GB of memory
//     --sd15-checkpoints  the checkpoint it was imported from, for PyTorch
//     --only-sd15         leave out the small bundle
//     --soak N            instead: N edits in a row, every tenth cancelled, and what memory and handles do meanwhile
//     --write             put what was measured into benchmarks/speed.md, in the place of its older sections
import { existsSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { describeMachine, dist, fail, picture, root, underHeading, writeSections } from './bench/report.mjs';

const OPTIONS = {
  bundle: { type: 'string', default: path.join(root, 'models/tug-small') },
  rounds: { type: 'string', default: '7' },
  threads: { type: 'string', default: String(availableParallelism()) },
  python: { type: 'string' },
  write: { type: 'boolean', default: false },
  soak: { type: 'string' },
  sd15: { type: 'string' },
  'sd15-checkpoints': { type: 'string' },
  'sd15-rounds': { type: 'string', default: '3' },
  'only-sd15': { type: 'boolean', default: false },
};
const args = readArguments();
const whole = (name) => (Number(args[name]) > 0 ? Number(args[name]) : fail(`--${name} takes a whole number above 0`));
const rounds = whole('rounds');
const threads = whole('threads');
if (!existsSync(path.join(dist, 'engine.js'))) fail('not built yet: run "npm run build" first');

const machine = describeMachine(threads);
const sections = [];
if (args.soak !== undefined) {
  if (whole('soak') < 20) fail('--soak takes at least 20 edits');
  const { openEngine } = await import(path.join(dist, 'index.js'));
  const { renderSoak, soak } = await import('./bench/soak.mjs');
  const engine = await openEngine(args.bundle, { device: 'cpu', threads });
  sections.push(renderSoak(await soak(engine, await Promise.all([0, 1, 2].map(picture)), whole('soak'))));
  await engine.close();
} else {
  const { findPython } = await import('./bench/torch.mjs');
  const python = findPython(args.python);
  if (!args['only-sd15']) {
    const { measureSmall, renderSmall } = await import('./bench/small.mjs');
    sections.push(renderSmall(await measureSmall({ bundle: args.bundle, rounds, threads, python })));
  }
  if (args.sd15 !== undefined) {
    const { measureSd15, renderSd15 } = await import('./bench/sd15.mjs');
    const checkpoints = args['sd15-checkpoints'];
    const found = await measureSd15({ bundle: args.sd15, rounds: whole('sd15-rounds'), threads, python, checkpoints });
    sections.push(renderSd15(found));
  }
}
const report = sections.map((section) => underHeading(section, machine));
process.stdout.write(`${report.join('\n\n')}\n`);
if (args.write) {
  const file = path.join(root, 'benchmarks/speed.md');
  await writeSections(file, report);
  process.stderr.write(`written to ${path.relative(process.cwd(), file)}\n`);
}

function readArguments() {
  try {
    return parseArgs({ options: OPTIONS }).values;
  } catch (error) {
    const names = Object.entries(OPTIONS).map(([name, { type }]) => `--${name}${type === 'string' ? ' …' : ''}`);
    return fail(`${error.message}; the options are ${names.join(', ')}`);
  }
}
