// A bundle of the published layout at Stable Diffusion 1.5's size. Twenty-five guided steps would take minutes on a CPU, and each takes as
// long as the others: one guided step is timed (the U-Net with the points and without), what is paid once a picture apart from it.
//
// Memory decides the order: a network's weights are 3.5 GB for the engine and again for PyTorch, so the engine is closed before PyTorch
// starts, and then each side has one network open at a time.
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { performance } from 'node:perf_hooks';
import { CONVOLUTION, kindsOf, memoryBandwidth, openOperator, PRODUCT } from './operators.mjs';
import { DRAGS, dist, median, ms, percent, picture, progress, SIDE, sum, table, timings } from './report.mjs';
import { renderRoofline, roofline } from './roofline.mjs';
import { LEFT_OUT, startTorch } from './torch.mjs';

const { openObservedEngine } = await import(path.join(dist, 'engine.js'));
const { countGraph } = await import(path.join(dist, 'flops.js'));
const { createSession, runSession } = await import(path.join(dist, 'sessions.js'));

const GUIDANCE = 4;
/** Steps of the edits that show what fewer guided ones change, and how many of them are guided; all of them come first. */
const STEPS = 8;
const GUIDED = [8, 4, 2, 0];
const YARDSTICK_RUNS = 5;
const NO_CHECKPOINT =
  'The comparison with PyTorch was left out: `--sd15-checkpoints DIR`, the checkpoint that the bundle was imported from, was not given.';

export async function measureSd15({ bundle, rounds, threads, python, checkpoints }) {
  const { graphs, name } = JSON.parse(await readFile(path.join(bundle, 'bundle.json'), 'utf8'));
  const file = (graph) => path.join(bundle, graphs[graph].file);
  const edits = await measureEdits(bundle, threads);
  const memory = process.resourceUsage().maxRSS / 2 ** 20;
  const inputs = { unet: edits.unet, appearance: edits.appearance };
  progress('PyTorch reads the checkpoint');
  const compared = python !== undefined && checkpoints !== undefined;
  const torch = compared
    ? startTorch(python, ['sd15', '--checkpoints', path.resolve(checkpoints), '--threads', threads])
    : undefined;
  const loaded = await torch?.load(edits.store);

  progress('counting the operators');
  const { operators, gflop } = await countGraph(file('unet'), inputs.unet);
  const kinds = kindsOf(operators);
  const yardsticks = [await openOperator(CONVOLUTION, threads), await openOperator(PRODUCT, threads)];
  const steps = { engine: [], batch: [], branches: [] };
  const unet = await openGraph(file('unet'), threads);
  for (let round = 0; round <= rounds; round++) {
    progress(`${name}, guided step, round ${round} of ${rounds}`);
    const both = [1, 0].map((scale) => withScale(inputs.unet, scale));
    const found = {
      engine: (await unet.run(both[0])) + (await unet.run(both[1])),
      batch: (await torch?.run())?.ms,
      branches: (await torch?.run('branches'))?.ms,
    };
    if (round === 0) continue; // warm-up
    for (const [key, value] of Object.entries(found)) if (value !== undefined) steps[key].push(value);
    for (const yardstick of yardsticks) await yardstick.run(YARDSTICK_RUNS);
    // each in one of the rounds, and opened for it alone: all of them at once would not fit into memory
    for (const kind of kinds.filter((_, i) => i % rounds === round - 1)) {
      const operator = await openOperator(kind.operator, threads);
      await operator.run(3);
      kind.ms = median(await operator.times());
    }
  }
  await unet.close();
  const [convolution, product] = await Promise.all(
    yardsticks.map(async (yardstick, i) => [CONVOLUTION, PRODUCT][i].flop / 1e6 / median(await yardstick.times())),
  );
  const machine = { convolution, product, bandwidth: await memoryBandwidth(threads) };
  progress('where the time goes');
  const where = await roofline(file('unet'), inputs.unet, threads, operators, machine);

  const once = { engine: [], torch: [] };
  const appearance = await openGraph(file('appearance'), threads);
  for (let round = 0; round <= rounds; round++) {
    progress(`${name}, appearance encoder, round ${round} of ${rounds}`);
    const engine = await appearance.run(inputs.appearance);
    const theirs = await torch?.run('appearance');
    if (round === 0) continue;
    once.engine.push(engine);
    if (theirs !== undefined) once.torch.push(theirs.ms);
  }
  await appearance.close();
  await torch?.close();
  progress('');
  const alone = 2 * sum(kinds.map((kind) => kind.count * kind.ms));
  return {
    name,
    rounds,
    steps,
    once,
    alone,
    gflop: 2 * gflop,
    machine,
    where,
    loaded,
    compared,
    python,
    memory,
    ...edits,
  };
}

/** What whole edits show: the stages with and without a cache, fewer guided steps, and the tensors that all else is measured on. */
async function measureEdits(bundle, threads) {
  progress('opening the bundle');
  let runs = [];
  const engine = await openObservedEngine(bundle, { device: 'cpu', threads, precision: 'fp32' }, (graph, inputs) => {
    runs.push({ graph, inputs });
  });
  const image = await picture(0);
  const edit = async (options) => {
    runs = [];
    const taken = await timings(engine, { image, drags: DRAGS, seed: 1, options: { guidance: GUIDANCE, ...options } });
    const decoded = runs.findLast(({ inputs }) => inputs.has('latent_out'));
    return { timings: taken, latent: decoded.inputs.get('latent_out').data };
  };
  try {
    progress('first edit of a picture');
    const first = await edit({ steps: 2, guidanceSteps: 1 });
    const [conditional, , following] = runs.filter(({ graph }) => graph === 'unet');
    const { inputs: appearance } = runs.find(({ graph }) => graph === 'appearance');
    progress('second edit of it');
    const second = await edit({ steps: 2, guidanceSteps: 1 });
    const guided = [];
    for (const guidanceSteps of GUIDED) {
      progress(`${STEPS} steps, ${guidanceSteps} of them guided`);
      guided.push({ guidanceSteps, ...(await edit({ steps: STEPS, guidanceSteps })) });
    }
    const store = new Map([
      ...conditional.inputs,
      ...appearance,
      ['next_sample', following.inputs.get('sample')],
      ['guidance', { data: Float32Array.of(GUIDANCE), dims: [1] }],
      ['steps', { data: Float32Array.of(2), dims: [1] }],
    ]);
    const { threads: used, title, deviceReason } = engine.info;
    return { first, second, guided, store, unet: conditional.inputs, appearance, info: { used, title, deviceReason } };
  } finally {
    await engine.close();
  }
}

/** A graph as the engine opens it; `run` gives the milliseconds. */
async function openGraph(file, threads) {
  const session = await createSession(file, 'cpu', threads);
  return {
    async run(inputs) {
      const start = performance.now();
      await runSession(session, inputs);
      return performance.now() - start;
    },
    close: () => session.release(),
  };
}

function withScale(inputs, scale) {
  return new Map([...inputs, ['point_scale', { data: Float32Array.of(scale), dims: [1] }]]);
}

export function renderSd15(found) {
  const { name, info, rounds, steps, once, alone, gflop, loaded, compared, python, first, second, memory } = found;
  const ours = median(steps.engine);
  const row = (label, value) => [
    label,
    ms(value),
    (gflop / (value / 1000)).toFixed(0),
    `${(value / ours).toFixed(2)}×`,
  ];
  const step = [
    ['one guided step', 'ms', 'GFLOP/s', 'of our time'],
    row('our engine: two runs of the U-Net', ours),
    row('its convolutions, products and attentions, each alone', alone),
  ];
  if (compared) {
    step.push(row('PyTorch, both branches as one batch (as the reference does)', median(steps.batch)));
    step.push(row('PyTorch, one branch after the other', median(steps.branches)));
  }
  const stages = ['encoder', 'appearance', 'field', 'denoiser', 'decoder'];
  const edits = [
    ['2 steps, the first guided', 'first edit of a picture', 'second edit of it'],
    ['whole edit, ms', ms(first.timings.totalMs), ms(second.timings.totalMs)],
    ...stages.map((stage) => [`${stage}, ms`, ms(first.timings.stages[stage]), ms(second.timings.stages[stage])]),
  ];
  const lines = [
    `## ${info.title}`,
    `The bundle \`${name}\` (fp32) at ${SIDE}×${SIDE}, made of random weights of the published layout; what it takes does not depend on the weights. Rounds: ${rounds}.`,
    table(step),
    `A guided step computes ${gflop.toFixed(0)} GFLOP.`,
  ];
  if (compared) {
    const errors = Object.entries(loaded.errors).map(([what, error]) => `${what} ${error.toExponential(1)}`);
    lines.push(
      `PyTorch ${loaded.torch} runs the same weights in fp32 on the same threads, text keys and values folded as in the bundle, which the reference does not do. Given the same tensors, the engine's outputs differ from PyTorch's (relative L2): ${errors.join(', ')}.`,
    );
  } else {
    lines.push(python === undefined ? LEFT_OUT : NO_CHECKPOINT);
  }
  const theirs = compared ? `; PyTorch takes ${ms(median(once.torch))} ms` : '';
  lines.push(
    `Paid once a picture, for all steps and candidates: the appearance encoder, ${ms(median(once.engine))} ms${theirs}. Whole edits show what the cache saves:`,
    table(edits),
    `The engine's process, all networks open, held at most ${memory.toFixed(1)} GB during these edits.`,
    renderRoofline(found.where, found.machine),
    renderGuided(found.guided),
  );
  return lines.join('\n\n');
}

/** Fewer guided steps as an option: what they save, and how far the final latent moves. */
function renderGuided(guided) {
  const [all] = guided;
  const change = (latent) =>
    Math.sqrt(sum(latent.map((v, i) => (v - all.latent[i]) ** 2)) / sum(all.latent.map((v) => v * v)));
  const rows = guided.map(({ guidanceSteps, timings: { stages }, latent }) => [
    `${guidanceSteps} of ${STEPS}`,
    ms(stages.denoiser),
    percent(1 - stages.denoiser / all.timings.stages.denoiser),
    latent === all.latent ? '' : change(latent).toFixed(3),
  ]);
  return `Fewer guided steps (the option \`guidanceSteps\`) cost less and change the result: ${STEPS} DDIM steps at guidance ${GUIDANCE}, the relative L2 change of the final latent. The weights are random: with trained ones, guidance changes another amount.

${table([['guided steps', 'denoiser, ms', 'saved', 'change of the latent'], ...rows])}`;
}
