// Where a graph's time goes: its nodes by kind, from ONNX Runtime's profile of a warm run, against what the machine could do at best.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { readProfile } from './operators.mjs';
import { dist, ms, percent, sum, table } from './report.mjs';

const { createSession, runSession } = await import(path.join(dist, 'sessions.js'));

const CONVOLUTIONS = 'convolutions';
const LAYERS = 'linear layers';
const ATTENTION = 'attention';

/** Which kind a node is, by its operator and the shapes it took. What is not listed moves or shapes data. */
function kindOf({ op, inputs }) {
  if (/Conv/.test(op)) return CONVOLUTIONS;
  // packed weights are missing from the profile, so a product that shows two inputs multiplies activations
  if (/MatMul|Gemm/.test(op)) return inputs.filter((shape) => shape.length > 2).length > 1 ? ATTENTION : LAYERS;
  if (/Attention/.test(op)) return ATTENTION;
  if (op === 'Softmax') return 'softmax';
  if (/Norm/.test(op)) return 'normalisation';
  if (/^(Add|Mul|Sub|Div|Sigmoid|Gelu|QuickGelu|BiasGelu|FastGelu|Erf|Where|Sqrt|Pow)$/.test(op)) return 'elementwise';
  return 'reorder, transpose, slice, join';
}

const RUNS = 3;

/** Every kind with its GFLOP, megabytes, and milliseconds of one run. `operators` are those of the file, unoptimised: what is computed. */
export async function roofline(file, inputs, threads, operators, machine) {
  const folder = await mkdtemp(path.join(tmpdir(), 'tug-roofline-'));
  try {
    const session = await createSession(file, 'cpu', threads, {
      enableProfiling: true,
      profileFilePrefix: path.join(folder, 'profile'),
    });
    for (let run = 0; run < RUNS; run++) await runSession(session, inputs); // the first ones still fetch memory
    session.endProfiling();
    await session.release();
    const nodes = await readProfile(folder);
    return describe(nodes.slice(-nodes.length / RUNS), operators, machine);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

function describe(nodes, operators, machine) {
  const kinds = new Map();
  const at = (kind) => {
    const entry = kinds.get(kind) ?? { kind, nodes: 0, gflop: 0, mb: 0, ms: 0 };
    kinds.set(kind, entry);
    return entry;
  };
  for (const node of nodes) {
    const entry = at(kindOf(node));
    entry.nodes++;
    entry.mb += node.bytes / 1e6;
    entry.ms += node.ms;
  }
  for (const { op, inputs, flop } of operators) {
    const weights = inputs[1] ?? [];
    const stored = op.startsWith('Conv') || weights.length === 2;
    const entry = at(op.startsWith('Conv') ? CONVOLUTIONS : stored ? LAYERS : ATTENTION);
    entry.gflop += flop / 1e9;
    if (stored) entry.mb += (4 * weights.reduce((p, n) => p * n, 1)) / 1e6;
  }
  return [...kinds.values()]
    .map((entry) => {
      const peak = entry.kind === CONVOLUTIONS ? machine.convolution : machine.product;
      const compute = (1000 * entry.gflop) / peak;
      const memory = entry.mb / machine.bandwidth;
      return { ...entry, least: Math.max(compute, memory), bound: compute > memory ? 'compute' : 'memory' };
    })
    .sort((x, y) => y.ms - x.ms);
}

export function renderRoofline(kinds, machine) {
  const total = sum(kinds.map((kind) => kind.ms));
  const rows = kinds.map((kind) => [
    kind.kind,
    kind.nodes,
    kind.gflop.toFixed(1),
    Math.round(kind.mb),
    `${ms(kind.ms)} (${percent(kind.ms / total)})`,
    kind.gflop > 0 ? Math.round(kind.gflop / (kind.ms / 1000)) : '',
    (kind.mb / kind.ms).toFixed(1),
    ms(kind.least),
    kind.bound,
    percent(kind.least / kind.ms),
  ]);
  const least = sum(kinds.map((kind) => kind.least));
  const all = ['all', sum(kinds.map((k) => k.nodes)), sum(kinds.map((k) => k.gflop)).toFixed(1)];
  all.push(Math.round(sum(kinds.map((k) => k.mb))), ms(total), '', '', ms(least), '', percent(least / total));
  const head = [
    'one run of the U-Net',
    'nodes',
    'GFLOP',
    'MB',
    'ms',
    'GFLOP/s',
    'GB/s',
    'least ms',
    'bound by',
    'of that',
  ];
  const { convolution, product, bandwidth } = machine;
  return `Where the time of one run goes. "Least" is what the kind would take at this machine's own rates, measured in the same run: ${Math.round(convolution)} GFLOP/s for a 3×3 convolution of 128 channels at 64×64, ${Math.round(product)} GFLOP/s for a linear layer of 1280 channels on 1024 tokens, ${bandwidth.toFixed(1)} GB/s for copying memory; MB is what the nodes read and wrote. More than 100 % means that it came from the cache.

${table([head, ...rows, all])}`;
}
