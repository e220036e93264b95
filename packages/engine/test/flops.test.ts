import { writeFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { countGraph, flopOf, type Operator } from '../src/flops.js';
import { oneOperator } from '../src/onnx.js';
import type { Tensor } from '../src/runtime.js';
import { scratch } from './helpers.js';

const zeros = (dims: readonly number[]): Tensor => ({ data: new Float32Array(dims.reduce((p, n) => p * n, 1)), dims });

describe('operations of one operator', () => {
  it.each([
    [
      'Conv',
      [
        [1, 8, 16, 16],
        [12, 8, 3, 3],
      ],
      [1, 12, 16, 16],
      2 * 16 * 16 * 12 * 8 * 9,
    ],
    [
      'Conv',
      [
        [1, 8, 16, 16],
        [8, 1, 3, 3],
      ],
      [1, 8, 16, 16],
      2 * 16 * 16 * 8 * 9,
    ], // depthwise
    [
      'ConvTranspose',
      [
        [1, 8, 16, 16],
        [8, 4, 2, 2],
      ],
      [1, 4, 32, 32],
      2 * 16 * 16 * 8 * 4 * 4,
    ],
    [
      'MatMul',
      [
        [2, 10, 20],
        [20, 30],
      ],
      [2, 10, 30],
      2 * 2 * 10 * 20 * 30,
    ],
    [
      'Gemm',
      [
        [20, 10],
        [20, 30],
      ],
      [10, 30],
      2 * 10 * 20 * 30,
    ], // transA
    [
      'GridSample',
      [
        [2, 3, 16, 16],
        [2, 8, 8, 2],
      ],
      [2, 3, 8, 8],
      8 * 2 * 3 * 8 * 8,
    ],
    ['Relu', [[1, 8, 16, 16]], [1, 8, 16, 16], 0],
  ] as const)('%s %j', (op, inputs, output, flop) => {
    expect(flopOf(op, inputs, output)).toBe(flop);
  });
});

describe('counting a file', () => {
  it.each<Operator>([
    {
      op: 'Conv',
      inputs: [
        [1, 8, 16, 16],
        [12, 8, 3, 3],
      ],
      output: [1, 12, 8, 8],
      flop: 2 * 8 * 8 * 12 * 8 * 9,
    },
    {
      op: 'Conv',
      inputs: [
        [1, 8, 16, 16],
        [12, 8, 1, 1],
      ],
      output: [1, 12, 16, 16],
      flop: 2 * 16 * 16 * 12 * 8,
    },
    {
      op: 'MatMul',
      inputs: [
        [1, 50, 20],
        [20, 30],
      ],
      output: [1, 50, 30],
      flop: 2 * 50 * 20 * 30,
    },
    {
      op: 'MatMul',
      inputs: [
        [1, 4, 50, 20],
        [1, 4, 20, 50],
      ],
      output: [1, 4, 50, 50],
      flop: 2 * 4 * 50 * 20 * 50,
    },
    {
      op: 'MultiHeadAttention',
      inputs: [
        [1, 50, 64],
        [1, 70, 64],
        [1, 70, 64],
      ],
      output: [1, 50, 64],
      flop: 2 * 2 * 50 * 70 * 64,
    },
    {
      op: 'GridSample',
      inputs: [
        [2, 3, 16, 16],
        [2, 8, 8, 2],
      ],
      output: [2, 3, 8, 8],
      flop: 8 * 2 * 3 * 8 * 8,
    },
  ])('runs it and sees what was written: $op $inputs', async (operator) => {
    await using dir = await scratch();
    const { model, inputs } = oneOperator(operator);
    await writeFile(dir.file('one.onnx'), model);
    const count = await countGraph(dir.file('one.onnx'), new Map(inputs.map(([name, dims]) => [name, zeros(dims)])));
    expect(count.operators).toEqual([operator]);
    expect(count.gflop).toBeCloseTo(operator.flop / 1e9, 12);
  });
});
