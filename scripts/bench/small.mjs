// The small bundle: whole edits by the engine and by PyTorch with the same weights, and every operator of every graph by itself, in turns.
// Each round edits another picture twice: the first edit finds nothing cached, the second finds what the encoders made.
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { CONVOLUTION, kindsOf, openOperator } from './operators.mjs';
import {
  DRAGS,
  dist,
  fail,
  median,
  ms,
  percent,
  picture,
  progress,
  SIDE,
  sum,
  table,
  timings,
  wholeMask,
} from './report.mjs';
import { LEFT_OUT, startTorch } from './torch.mjs';

const { openObservedEngine } = await import(path.join(dist, 'engine.js'));
const { countGraph } = await import(path.join(dist, 'flops.js'));
const { STAGES } = await import(path.join(dist, 'types.js'));

/** The stages that are graphs come first. */
const GRAPH_STAGES = STAGES.slice(0, 5);
const YARDSTICK_RUNS = 10;

/** One precision of the bundle: its engine, the timings of its edits, and what its graphs took. */
class Subject {
  edits = { first: [], second: [] };
  /** every graph at every size it ran at: the inputs of its latest run there, and all runs in milliseconds */
  seen = new Map();
  phase = 'warm-up';

  static async open(bundle, precision, threads) {
    const subject = new Subject();
    subject.precision = precision;
    subject.engine = await openObservedEngine(bundle, { device: 'cpu', threads, precision }, (name, inputs, took) => {
      const first = [...inputs.values()].find((tensor) => tensor.dims.length === 4);
      const key = `${name} ${first?.dims.join('×')}`;
      const entry = subject.seen.get(key) ?? { name, pixels: first?.data.length ?? 0, runs: [] };
      subject.seen.set(key, entry);
      entry.inputs = inputs;
      entry.runs.push({ ms: took, phase: subject.phase });
    });
    const found = subject.engine.info.precision;
    if (found !== precision) fail(`asked for ${precision}, but the engine opened ${found}`);
    return subject;
  }

  /** The mask that the drags alone give. Painted, it asks the field's network, which the table and PyTorch time. */
  async mask(image) {
    let mask;
    for await (const event of this.engine.edit({ image, drags: DRAGS, seed: 1 })) {
      if (event.type === 'started') mask = event.mask;
    }
    return mask;
  }

  async edit(image, phase, mask) {
    this.phase = phase;
    const taken = await timings(this.engine, { image, mask, drags: DRAGS, seed: 1 });
    this.edits[phase]?.push(taken);
  }

  /** The graphs at their sizes, in the order of an edit; the largest size of a graph first. */
  graphs(rounds) {
    const names = [...new Set([...this.seen.values()].map(({ name }) => name))];
    return names.flatMap((name) =>
      [...this.seen.values()]
        .filter((entry) => entry.name === name)
        .sort((x, y) => y.pixels - x.pixels)
        .map(({ inputs, runs }, i) => ({
          name,
          label: i === 0 ? name : `${name}, previews`,
          preview: i > 0,
          inputs,
          ms: median(runs.filter(({ phase }) => phase !== 'warm-up').map((run) => run.ms)),
          runs: runs.filter(({ phase }) => phase === 'first').length / rounds,
        })),
    );
  }

  /** All tensors of the last edit by name, as PyTorch wants them to check itself: those of the last step, none of the previews. */
  store() {
    const store = new Map();
    for (const { inputs } of [...this.seen.values()].sort((x, y) => x.pixels - y.pixels)) {
      for (const [name, tensor] of inputs) {
        const known = store.get(name);
        if (known === undefined || known.data.length <= tensor.data.length) store.set(name, tensor);
      }
    }
    return store;
  }
}

export async function measureSmall({ bundle, rounds, threads, python }) {
  const { graphs: described } = JSON.parse(await readFile(path.join(bundle, 'bundle.json'), 'utf8'));
  const hasInt8 = Object.values(described).some((graph) => graph.int8 !== undefined);
  const plain = await Subject.open(bundle, 'fp32', threads);
  const int8 = hasInt8 ? await Subject.open(bundle, 'int8', threads) : undefined;
  const torch = python && startTorch(python, ['small', '--bundle', path.resolve(bundle), '--threads', threads]);
  const subjects = int8 === undefined ? [plain] : [plain, int8];

  progress('warming up');
  // PyTorch decodes the whole picture, so the tensors that it checks itself with are of an edit that does so too
  await plain.edit(await picture(22), 'warm-up', await wholeMask());
  const store = plain.store();
  plain.seen.clear();
  const mask = await plain.mask(await picture(22)); // a picture that has been before the encoders
  plain.seen.clear();
  for (const subject of subjects) await subject.edit(await picture(0), 'warm-up', mask);
  const memory = Math.round(process.resourceUsage().maxRSS / 1024);
  const loaded = await torch?.load(store);
  await torch?.run();
  const yardstick = await openOperator(CONVOLUTION, threads);
  const alone = new Map();
  for (const graph of plain.graphs(1)) {
    const count = await countGraph(path.join(bundle, described[graph.name].file), graph.inputs);
    const kinds = kindsOf(count.operators);
    for (const kind of kinds) kind.open = await openOperator(kind.operator, threads);
    alone.set(graph.label, { gflop: count.gflop, kinds });
  }

  const torchRuns = [];
  for (let round = 1; round <= rounds; round++) {
    progress(`small bundle, round ${round} of ${rounds}`);
    const image = await picture(round); // another picture each round, so that nothing is cached
    for (const phase of ['first', 'second']) {
      await yardstick.run(YARDSTICK_RUNS);
      for (const subject of subjects) await subject.edit(image, phase, mask);
      if (torch !== undefined) torchRuns.push(await torch.run());
    }
    for (const { kinds } of alone.values()) for (const kind of kinds) await kind.open.run(3);
  }
  progress('');
  await torch?.close();
  for (const { kinds } of alone.values()) for (const kind of kinds) kind.ms = median(await kind.open.times());
  for (const subject of subjects) await subject.engine.close();

  const machineRate = CONVOLUTION.flop / 1e6 / median(await yardstick.times());
  const eight = new Map(int8?.graphs(rounds).map((graph) => [graph.label, graph.ms]));
  const graphs = plain.graphs(rounds).map((graph) => {
    const { gflop, kinds } = alone.get(graph.label);
    const byTorch = torchRuns.map(({ stages }) => stages[graph.name] / graph.runs);
    return {
      ...graph,
      gflop,
      rate: gflop / (graph.ms / 1000),
      alone: sum(kinds.map((kind) => kind.count * kind.ms)),
      torch: torch !== undefined && !graph.preview ? median(byTorch) : undefined,
      int8: eight.get(graph.label),
    };
  });
  return { info: plain.engine.info, rounds, machineRate, graphs, plain, int8, memory, loaded, torchRuns };
}

export function renderSmall(found) {
  const { info, graphs, plain, int8, memory, machineRate, loaded, torchRuns } = found;
  const perEdit = (pick, previews) => sum(graphs.filter((g) => previews || !g.preview).map((g) => pick(g) * g.runs));
  const lines = [
    `## ${info.title}`,
    `One ${SIDE}×${SIDE} edit with the bundle \`${info.bundle}\`, ${info.defaultSteps} steps, in a painted mask, previews and files included. Stages that are no graphs run beside the graphs where they can; outside the graphs is the time in which none ran. These drags uncover nothing that is filled with patches.`,
    editsTable(plain, int8),
    `Peak memory of the process after one edit${int8 ? ' in each precision, both open' : ''}: ${memory} MB.`,
    graphsTable(found),
    `The machine's own rate, a 3×3 convolution of 128 channels at 64×64 in the same rounds: ${Math.round(machineRate)} GFLOP/s. A whole edit computes ${perEdit((g) => g.gflop, true).toFixed(1)} GFLOP, ${perEdit((g) => g.gflop, false).toFixed(1)} without the previews between the warp and the result. "Operators alone" is the sum over the graph's convolutions, matrix products and warps, each a model of its own in the same rounds, the kernel's time alone; in brackets, how fast the whole graph is measured by it.`,
  ];
  if (loaded === undefined) return [...lines, LEFT_OUT].join('\n\n');
  const ours = perEdit((g) => g.ms, false);
  const theirs = median(torchRuns.map((run) => run.ms));
  const worst = Math.max(...Object.values(loaded.errors));
  lines.push(
    `The same edit in PyTorch ${loaded.torch} (\`training/tug/pipeline.py\`, fp32, same weights, same threads; no previews, no files, the whole picture decoded where the engine decodes what is shown): ${ms(theirs)} ms, ${ms(median(torchRuns.map((run) => sum(Object.values(run.stages)))))} of them in the networks. The engine's graphs without previews take ${ms(ours)} ms. Given the same tensors, the two differ by at most ${worst.toExponential(1)} (relative L2 of a graph's outputs).`,
  );
  return lines.join('\n\n');
}

function editsTable(plain, int8) {
  const columns = [plain, int8]
    .filter((subject) => subject !== undefined)
    .flatMap((s) => [s.edits.first, s.edits.second]);
  const labels = int8
    ? ['fp32, first edit', 'second edit', 'int8, first edit', 'second edit']
    : ['first edit of a picture', 'second edit of it'];
  const inGraphs = (t) => sum(GRAPH_STAGES.map((stage) => t.stages[stage]));
  const of = (list, pick) => median(list.map(pick));
  const row = (label, pick, withShare) => [
    label,
    ...columns.map((list) => {
      const value = of(list, pick);
      return withShare ? `${ms(value)} (${percent(value / of(list, (t) => t.totalMs))})` : ms(value);
    }),
  ];
  return table([
    ['', ...labels],
    row('whole edit, ms', (t) => t.totalMs),
    row('first preview (the warp), ms', (t) => t.firstPreviewMs, true),
    row('first denoised preview, ms', (t) => t.firstDenoisedMs, true),
    row('outside the graphs, ms', (t) => t.totalMs - inGraphs(t), true),
    ...STAGES.map((stage) => row(`${stage}, ms`, (t) => t.stages[stage])),
  ]);
}

function graphsTable({ graphs, machineRate, loaded, int8 }) {
  const columns = [
    ['graph', (g) => g.label],
    ['GFLOP', (g) => g.gflop.toFixed(2)],
    ['runs an edit', (g) => g.runs],
    ['ms a run', (g) => ms(g.ms)],
    ['GFLOP/s', (g) => Math.round(g.rate)],
    ["of the machine's rate", (g) => percent(g.rate / machineRate)],
    ['operators alone, ms', (g) => `${ms(g.alone)} (${percent(g.alone / g.ms)})`],
  ];
  if (loaded !== undefined) columns.push(['PyTorch, ms', (g) => (g.torch === undefined ? '' : ms(g.torch))]);
  if (int8 !== undefined) columns.push(['int8, ms', (g) => `${ms(g.int8)} (${(g.ms / g.int8).toFixed(2)}×)`]);
  return table([columns.map(([head]) => head), ...graphs.map((g) => columns.map(([, cell]) => cell(g)))]);
}
