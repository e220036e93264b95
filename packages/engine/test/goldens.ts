/** The golden tensors of the LightningDrag family and the tiny bundle they belong to; see goldens/lightningdrag/README.md. */
import { readFile, writeFile } from 'node:fs/promises';
import { gunzipSync } from 'node:zlib';
import type { Rgb } from '../src/picture.js';
import type { Tensor } from '../src/runtime.js';
import { scratch } from './helpers.js';

const FOLDER = new URL('./goldens/lightningdrag/', import.meta.url);

export interface Case {
  name: string;
  scheduler: 'DDIM' | 'LCM';
  steps: number;
  height: number;
  width: number;
  drags: number;
  candidates: number;
  guidance: number;
  decay: string;
  guided_steps: number | null;
}

export interface Golden {
  readonly case: Case;
  readonly tensors: ReadonlyMap<string, Tensor>;
}

/** A safetensors file of float32 tensors: length, JSON header, data. */
export async function readGolden(name: string): Promise<Golden> {
  const file = await readFile(new URL(`${name}.safetensors`, FOLDER));
  const length = Number(file.readBigUInt64LE(0));
  const { __metadata__: metadata, ...entries } = JSON.parse(file.toString('utf8', 8, 8 + length)) as {
    __metadata__: { case: string };
  } & Record<string, { dtype: string; shape: number[]; data_offsets: [number, number] }>;
  const tensors = Object.entries(entries).map(
    ([
      key,
      {
        shape,
        data_offsets: [from, to],
      },
    ]) => {
      const bytes = Uint8Array.from(file.subarray(8 + length + from, 8 + length + to));
      return [key, { data: new Float32Array(bytes.buffer), dims: shape }] as const;
    },
  );
  return { case: JSON.parse(metadata.case) as Case, tensors: new Map(tensors) };
}

export function tensor(golden: Golden, name: string): Tensor {
  const found = golden.tensors.get(name);
  if (found === undefined) throw new Error(`${golden.case.name} holds no ${name}`);
  return found;
}

/** The part of a tensor that belongs to `index` of its first axis. */
export function slice({ data, dims }: Tensor, index: number): Tensor {
  const length = data.length / (dims[0] as number);
  return { data: data.slice(index * length, (index + 1) * length), dims: dims.slice(1) };
}

/** ‖ours − theirs‖ / ‖theirs‖ */
export function relativeError(ours: Float32Array, theirs: Float32Array): number {
  if (ours.length !== theirs.length) throw new Error(`${ours.length} values against ${theirs.length}`);
  let [difference, size] = [0, 0];
  for (let i = 0; i < ours.length; i++) {
    difference += ((ours[i] as number) - (theirs[i] as number)) ** 2;
    size += (theirs[i] as number) ** 2;
  }
  return Math.sqrt(difference / size);
}

/** The tiny bundle, unpacked; goes away with its scope. */
export async function tinyBundle() {
  const dir = await scratch();
  const json = await readFile(new URL('bundle/bundle.json', FOLDER), 'utf8');
  await writeFile(dir.file('bundle.json'), json);
  const { graphs } = JSON.parse(json) as { graphs: Record<string, { file: string }> };
  for (const { file } of Object.values(graphs)) {
    await writeFile(dir.file(file), gunzipSync(await readFile(new URL(`bundle/${file}.gz`, FOLDER))));
  }
  return dir;
}

/** The cases' test picture, mask and drags: the same integers as in make_goldens.py. */
export function goldenPicture({ height, width }: Case): Rgb {
  const out = new Uint8Array(3 * height * width);
  for (let y = 0, o = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      for (let c = 0; c < 3; c++, o++) {
        const wave = (3 + c) * x + (5 - c) * y + ((x * y) >> (5 + c));
        out[o] = Math.min(Math.abs((wave % 512) - 256), 255);
      }
    }
  }
  return out;
}

/** [H, W], 1 = may change */
export function goldenMask({ height, width }: Case): Float32Array {
  const [top, left] = [Math.floor(height / 5), Math.floor(width / 6)];
  const [bottom, right] = [height - Math.floor(height / 7), width - Math.floor(width / 9)];
  return Float32Array.from({ length: height * width }, (_, i) => {
    const [x, y] = [i % width, Math.floor(i / width)];
    return y >= top && y < bottom && x >= left && x < right ? 1 : 0;
  });
}

export function goldenDrags({ height, width, drags }: Case) {
  const all = Array.from({ length: drags }, (_, i) => ({
    handle: { x: (37 * i + 11) % width, y: (53 * i + 17) % height },
    target: { x: (71 * i + 29) % width, y: (43 * i + 31) % height },
  }));
  const [before, last] = all.slice(-2);
  if (before !== undefined && last !== undefined) last.handle = { ...before.handle };
  return all;
}

/** The tiny bundle made to work at 128 × 128, so that whole edits are quick. */
export async function smallBundle() {
  const dir = await tinyBundle();
  const json = JSON.parse(await readFile(dir.file('bundle.json'), 'utf8')) as { size: object };
  json.size = { area: 128 * 128, multiple: 64, minSide: 64, enlarge: true };
  await writeFile(dir.file('bundle.json'), JSON.stringify(json));
  return dir;
}
