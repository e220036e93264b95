/**
 * Counts what a graph computes, from the ONNX file itself: it runs once, unoptimised and profiled, so that every node of the file is
 * seen with the shapes it has at the size of interest. Only what does the work counts: convolutions, matrix products and warps, a
 * multiplication and an addition being two operations. For measuring; no edit uses it.
 */
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createSession, runSession, type Tensor } from './sessions.js';

/**
 * One convolution, matrix product or warp as it ran, or an attention, which is two products. Shapes as in ONNX: convolution weights
 * [out, in / groups, kh, kw]; queries, keys and values [B, tokens, channels].
 */
export interface Operator {
  readonly op: 'Conv' | 'ConvTranspose' | 'MatMul' | 'Gemm' | 'MultiHeadAttention' | 'GridSample';
  readonly inputs: readonly (readonly number[])[];
  readonly output: readonly number[];
  readonly flop: number;
}

export interface Count {
  readonly gflop: number;
  readonly operators: readonly Operator[];
  /** nodes that ran, by type */
  readonly nodes: ReadonlyMap<string, number>;
}

/** The part of ONNX Runtime's profile that is used here. */
interface ProfileEvent {
  cat: string;
  name: string;
  args?: {
    op_name?: string;
    input_type_shape?: Record<string, number[]>[];
    output_type_shape?: Record<string, number[]>[];
  };
}

export async function countGraph(file: string, inputs: ReadonlyMap<string, Tensor>): Promise<Count> {
  const folder = await mkdtemp(path.join(tmpdir(), 'tug-profile-'));
  try {
    const session = await createSession(file, 'cpu', 1, {
      graphOptimizationLevel: 'disabled',
      enableProfiling: true,
      profileFilePrefix: path.join(folder, 'profile'),
      extra: { session: { disable_prepacking: '1' } }, // the profile leaves out the shapes of weights that were packed
    });
    await runSession(session, inputs);
    session.endProfiling();
    await session.release();
    const [name] = await readdir(folder);
    if (name === undefined) throw new Error('ONNX Runtime wrote no profile');
    return countProfile(JSON.parse(await readFile(path.join(folder, name), 'utf8')) as ProfileEvent[]);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

function countProfile(events: readonly ProfileEvent[]): Count {
  const operators: Operator[] = [];
  const nodes = new Map<string, number>();
  for (const { cat, name, args } of events) {
    if (cat !== 'Node' || args?.op_name === undefined || !name.endsWith('_kernel_time')) continue;
    nodes.set(args.op_name, (nodes.get(args.op_name) ?? 0) + 1);
    const inputs = (args.input_type_shape ?? []).map(shapeOf);
    const output = shapeOf(args.output_type_shape?.[0]);
    const flop = flopOf(args.op_name, inputs, output);
    if (flop > 0) operators.push({ op: args.op_name as Operator['op'], inputs, output, flop });
  }
  return { gflop: operators.reduce((sum, o) => sum + o.flop, 0) / 1e9, operators, nodes };
}

/** 0 for everything that is no convolution, matrix product or warp. */
export function flopOf(op: string, inputs: readonly (readonly number[])[], output: readonly number[]): number {
  const [a = [], b = []] = inputs;
  if (op.startsWith('Conv') && b.length !== output.length) throw new Error(`the profile lacks the weights of a ${op}`);
  switch (op) {
    case 'Conv': // every output value: one multiplication and addition for each weight of its filter
      return 2 * product(output) * product(b.slice(1));
    case 'ConvTranspose': // every input value: one for each weight that it is spread by
      return 2 * product(a) * product(b.slice(1));
    case 'MatMul':
      return 2 * product(output) * (a.at(-1) ?? 0);
    case 'Gemm': // [M, K] or [K, M]: whichever, K is what remains of A beside M
      return 2 * product(output) * (product(a) / (output[0] ?? 1));
    case 'MultiHeadAttention': // queries with keys, then their weights with values
      return 4 * product(output) * (b[1] ?? 0);
    case 'GridSample': // each value from four cells
      return 8 * product(output);
    default:
      return 0;
  }
}

const shapeOf = (typed: Record<string, number[]> | undefined): number[] => Object.values(typed ?? {})[0] ?? [];
const product = (shape: readonly number[]): number => shape.reduce((p, n) => p * n, 1);
