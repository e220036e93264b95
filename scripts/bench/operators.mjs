// One operator at a time: the machine's yardsticks, and what a graph's operators take when each runs by itself.
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Worker } from 'node:worker_threads';
import { dist, median } from './report.mjs';

const { oneOperator } = await import(path.join(dist, 'onnx.js'));
const { createSession, runSession } = await import(path.join(dist, 'sessions.js'));

/** A 3×3 convolution of 128 channels at 64×64, as the small networks use it. */
export const CONVOLUTION = {
  op: 'Conv',
  inputs: [
    [1, 128, 64, 64],
    [128, 128, 3, 3],
  ],
  output: [1, 128, 64, 64],
  flop: 2 * 64 * 64 * 128 * 128 * 9,
};

/** A linear layer of 1280 channels on 1024 tokens, as Stable Diffusion's U-Net uses it. */
export const PRODUCT = {
  op: 'MatMul',
  inputs: [
    [1, 1024, 1280],
    [1280, 1280],
  ],
  output: [1, 1024, 1280],
  flop: 2 * 1024 * 1280 * 1280,
};

/** Operations below which an operator is part of the noise. */
const WORTH_TIMING = 5e5;

/**
 * Opens one operator as a model of its own. `run(n)` runs it; `times()` closes it and gives the milliseconds of each run but the first,
 * as ONNX Runtime's own profile has them: the kernel alone, without what it costs to hand tensors over from JavaScript.
 */
export async function openOperator(operator, threads) {
  const folder = await mkdtemp(path.join(tmpdir(), 'tug-operator-'));
  const { model, inputs } = oneOperator(operator);
  const profile = { enableProfiling: true, profileFilePrefix: path.join(folder, 'profile') };
  const session = await createSession(model, 'cpu', threads, profile);
  const tensors = new Map(
    inputs.map(([name, dims]) => {
      const data = new Float32Array(dims.reduce((p, d) => p * d, 1));
      for (let i = 0; i < data.length; i++) data[i] = ((i * 7919) % 1000) / 1000 - 0.5;
      return [name, { data, dims }];
    }),
  );
  const run = async (n) => {
    for (let i = 0; i < n; i++) await runSession(session, tensors);
  };
  await run(1);
  return {
    run,
    async times() {
      session.endProfiling();
      await session.release();
      const kernels = (await readProfile(folder)).filter(({ op }) => !op.startsWith('Reorder'));
      await rm(folder, { recursive: true, force: true });
      return kernels.slice(1).map((kernel) => kernel.ms);
    },
  };
}

/** Every node's run in the profile that ONNX Runtime wrote into `folder`, in order. Bytes: what it read and wrote beside weights. */
export async function readProfile(folder) {
  const [name] = await readdir(folder);
  const events = JSON.parse(await readFile(path.join(folder, name), 'utf8'));
  return events
    .filter(({ cat, name, args }) => cat === 'Node' && args?.op_name !== undefined && name.endsWith('_kernel_time'))
    .map(({ dur, args }) => ({
      op: args.op_name,
      ms: dur / 1000,
      inputs: (args.input_type_shape ?? []).map((typed) => Object.values(typed)[0] ?? []),
      bytes: Number(args.activation_size) + Number(args.output_size),
    }));
}

/** Equal operators only once, with how often they occur. */
export function kindsOf(operators) {
  const kinds = new Map();
  for (const operator of operators.filter(({ flop }) => flop > WORTH_TIMING)) {
    const key = JSON.stringify([operator.op, operator.inputs, operator.output]);
    const kind = kinds.get(key) ?? { operator, count: 0 };
    kind.count++;
    kinds.set(key, kind);
  }
  return [...kinds.values()];
}

/** GB/s of copying memory, reads and writes counted, all threads at once. */
export async function memoryBandwidth(threads, rounds = 5) {
  const BYTES = 1 << 28;
  const share = new SharedArrayBuffer(BYTES * 2);
  const code = `
    const { parentPort, workerData: { share, from, length, half } } = require('node:worker_threads');
    const source = new Uint8Array(share, from, length), target = new Uint8Array(share, half + from, length);
    parentPort.on('message', () => { target.set(source); parentPort.postMessage('done'); });`;
  const length = Math.floor(BYTES / threads);
  const workers = Array.from(
    { length: threads },
    (_, i) => new Worker(code, { eval: true, workerData: { share, from: i * length, length, half: BYTES } }),
  );
  const times = [];
  try {
    for (let round = 0; round <= rounds; round++) {
      const start = performance.now();
      await Promise.all(
        workers.map((worker) => {
          const done = new Promise((resolve) => worker.once('message', resolve));
          worker.postMessage('copy');
          return done;
        }),
      );
      if (round > 0) times.push(performance.now() - start); // the first one makes the pages
    }
  } finally {
    await Promise.all(workers.map((worker) => worker.terminate()));
  }
  return (2 * length * threads) / 1e6 / median(times);
}
