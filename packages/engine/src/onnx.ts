/**
 * Writes one-operator ONNX models, to time an operator by itself. A few lines of protobuf suffice for that; field numbers are those of
 * onnx.proto3. For measuring; no edit uses it.
 */
import type { Operator } from './flops.js';

/** Protobuf wire types: 0 varint, 2 bytes with a length. */
function varint(value: number): number[] {
  const out: number[] = [];
  let rest = value;
  while (rest > 127) {
    out.push((rest % 128) | 128);
    rest = Math.floor(rest / 128);
  }
  out.push(rest);
  return out;
}
const int = (field: number, value: number): Buffer => Buffer.from([...varint(field * 8), ...varint(value)]);
const bytes = (field: number, value: Uint8Array): Buffer =>
  Buffer.concat([Buffer.from([...varint(field * 8 + 2), ...varint(value.length)]), value]);
const text = (field: number, value: string): Buffer => bytes(field, Buffer.from(value));
const message = (field: number, ...parts: Buffer[]): Buffer => bytes(field, Buffer.concat(parts));

const FLOAT = 1; // TensorProto.DataType
const UINT8 = 2;
const INT8 = 3;
const INTS = 7; // AttributeProto.type
const INT = 2;
const STRING = 3;

function valueInfo(field: number, name: string, shape: readonly number[]): Buffer {
  const dims = shape.map((n) => message(1, int(1, n)));
  return message(field, text(1, name), message(2, message(1, int(1, FLOAT), message(2, ...dims))));
}

/** The elements of a tensor, as bytes, and what they are. */
function initializer(name: string, shape: readonly number[], type: number, data: Uint8Array): Buffer {
  return message(5, ...shape.map((n) => int(1, n)), int(2, type), text(8, name), bytes(9, data));
}

const product = (shape: readonly number[]): number => shape.reduce((p, n) => p * n, 1);
/** Weights between −1/16 and 1/16. */
const weight = (i: number): number => (((i * 2654435761) % 1009) / 1009 - 0.5) / 8;
const floats = (values: Float32Array): Uint8Array => new Uint8Array(values.buffer);

/** The domain of ONNX Runtime's own operators. */
const RUNTIMES_OWN = 'com.microsoft';

function node(
  op: string,
  inputs: readonly string[],
  output: string,
  attributes: readonly Buffer[] = [],
  domain = '',
): Buffer {
  const names = [...inputs.map((name) => text(1, name)), text(2, output)];
  return message(1, ...names, text(4, op), text(7, domain), ...attributes);
}

function model(...graph: Buffer[]): Uint8Array {
  const versions = [message(8, int(2, 17)), message(8, text(1, RUNTIMES_OWN), int(2, 1))];
  return Buffer.concat([int(1, 8), message(7, text(2, 'one'), ...graph), ...versions]);
}

const ints = (name: string, values: readonly number[]): Buffer =>
  message(5, text(1, name), ...values.map((v) => int(8, v)), int(20, INTS));
const single = (name: string, value: number): Buffer => message(5, text(1, name), int(3, value), int(20, INT));
const word = (name: string, value: string): Buffer => message(5, text(1, name), text(4, value), int(20, STRING));

export interface OneOperator {
  model: Uint8Array;
  inputs: [string, readonly number[]][];
}

/** Of an attention; its shapes do not tell, and Stable Diffusion has as many everywhere. */
const HEADS = 8;

/** Queries, keys and values are all inputs. */
function oneAttention({ inputs, output }: Operator): OneOperator {
  const named = ['q', 'k', 'v'].map((name, i): [string, readonly number[]] => [name, inputs[i] ?? []]);
  const names = named.map(([name]) => name);
  return {
    model: model(
      node('MultiHeadAttention', names, 'y', [single('num_heads', HEADS)], RUNTIMES_OWN),
      ...named.map(([name, shape]) => valueInfo(11, name, shape)),
      valueInfo(12, 'y', output),
    ),
    inputs: named,
  };
}

/** A model `x (, w) → y` with this one operator. Weights are stored in it; where both are activations both are inputs. */
export function oneOperator(operator: Operator): OneOperator {
  const { op, inputs, output } = operator;
  if (op === 'MultiHeadAttention') return oneAttention(operator);
  const [x = [], w = []] = inputs;
  const convolution = op === 'Conv' || op === 'ConvTranspose';
  const stored = convolution || w.length === 2;
  const attributes = convolution ? convolutionAttributes(operator) : [];
  if (op === 'GridSample') attributes.push(word('mode', 'bilinear'), word('padding_mode', 'border'));
  if (op === 'Gemm' && x[0] !== output[0]) attributes.push(single('transA', 1));
  if (op === 'Gemm' && w[1] !== output[1]) attributes.push(single('transB', 1));
  const weights = stored ? Float32Array.from({ length: product(w) }, (_, i) => weight(i)) : new Float32Array(0);
  return {
    model: model(
      node(op, ['x', 'w'], 'y', attributes),
      ...(stored ? [initializer('w', w, FLOAT, floats(weights))] : []),
      valueInfo(11, 'x', x),
      ...(stored ? [] : [valueInfo(11, 'w', w)]),
      valueInfo(12, 'y', output),
    ),
    inputs: stored
      ? [['x', x]]
      : [
          ['x', x],
          ['w', w],
        ],
  };
}

/** The same convolution on bytes, as quantised networks have it: its inputs, weights and output pass through 8 bits (QDQ). */
export function quantised(operator: Operator): OneOperator {
  const { inputs, output } = operator;
  const [x = [], w = []] = inputs;
  const scale = (name: string, value: number): Buffer => initializer(name, [], FLOAT, floats(Float32Array.of(value)));
  const graph = model(
    node('QuantizeLinear', ['x', 'xs', 'xz'], 'xq'),
    node('DequantizeLinear', ['xq', 'xs', 'xz'], 'xf'),
    node('DequantizeLinear', ['w', 'ws', 'wz'], 'wf'),
    node('Conv', ['xf', 'wf'], 'yf', convolutionAttributes(operator)),
    node('QuantizeLinear', ['yf', 'ys', 'xz'], 'yq'),
    node('DequantizeLinear', ['yq', 'ys', 'xz'], 'y'),
    scale('xs', 1 / 128),
    scale('ws', 1 / 16 / 127),
    scale('ys', 1 / 16),
    initializer('xz', [], UINT8, Uint8Array.of(128)),
    initializer('wz', [], INT8, Uint8Array.of(0)),
    initializer(
      'w',
      w,
      INT8,
      new Uint8Array(Int8Array.from({ length: product(w) }, (_, i) => weight(i) * 2032).buffer),
    ),
    valueInfo(11, 'x', x),
    valueInfo(12, 'y', output),
  );
  return { model: graph, inputs: [['x', x]] };
}

/** Stride, padding and groups follow from the shapes, for the "same" padding that the networks use. */
function convolutionAttributes({ op, inputs, output }: Operator): Buffer[] {
  const [x = [], w = []] = inputs;
  const [kh = 1, kw = 1] = w.slice(2);
  const up = op === 'ConvTranspose';
  const stride = [2, 3].map((axis) => {
    const [large, small] = up ? [output[axis], x[axis]] : [x[axis], output[axis]];
    return Math.max(1, Math.round((large ?? 1) / (small ?? 1)));
  });
  const pads = [kh, kw].map((k, i) => {
    const [large = 1, small = 1] = up ? [output[i + 2], x[i + 2]] : [x[i + 2], output[i + 2]];
    return Math.max(0, (small - 1) * (stride[i] as number) + k - large);
  });
  const begin = pads.map((p) => Math.floor(p / 2));
  const groups = up ? 1 : (x[1] ?? 1) / (w[1] ?? 1);
  return [
    ints('kernel_shape', [kh, kw]),
    ints('strides', stride),
    ints('pads', [...begin, ...pads.map((p, i) => p - (begin[i] as number))]),
    single('group', groups),
  ];
}
