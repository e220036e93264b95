/** What the public-door tests share: the shipped bundle, pictures made on the spot, and a collector of events. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import sharp from 'sharp';
import type { EditEvent, EditInput, Engine } from '../src/index.js';

/** The bundle that ships with the repository; TUG_BUNDLE names another one. */
export const BUNDLE = process.env.TUG_BUNDLE ?? fileURLToPath(new URL('../../../models/tug-small', import.meta.url));

/** A picture with large shapes and fine texture, always the same: RGB bytes. */
export function texture(width: number, height: number, channels: 3 | 4 = 3): Buffer {
  const data = Buffer.alloc(width * height * channels);
  for (let y = 0, i = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const disk = Math.hypot(x - width * 0.4, y - height * 0.5) < 0.2 * Math.min(width, height);
      const grain = ((x * 31 + y * 17) % 23) - 11;
      data[i++] = 120 + (disk ? 90 : 0) + grain + 20 * Math.sin(x / 9);
      data[i++] = 90 + 40 * Math.sin(y / 14) + grain;
      data[i++] = 60 + (disk ? 0 : (100 * x) / width) - grain;
      if (channels === 4) data[i++] = disk ? 255 : 90;
    }
  }
  return data;
}

export function picture(width: number, height: number): Promise<Uint8Array> {
  return sharp(texture(width, height), { raw: { width, height, channels: 3 } })
    .png({ compressionLevel: 1 })
    .toBuffer();
}

/** A mask that is white in the given ellipse. */
export function ellipse(
  width: number,
  height: number,
  cx: number,
  cy: number,
  rx: number,
  ry: number,
): Promise<Uint8Array> {
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}">
    <rect width="100%" height="100%"/><ellipse cx="${cx}" cy="${cy}" rx="${rx}" ry="${ry}" fill="#fff"/></svg>`;
  return sharp(Buffer.from(svg)).png().toBuffer();
}

/** Raw RGB of an encoded picture. */
export async function pixels(
  encoded: Uint8Array,
): Promise<{ data: Buffer; width: number; height: number; channels: number }> {
  const { data, info } = await sharp(encoded).raw().toBuffer({ resolveWithObject: true });
  return { data, width: info.width, height: info.height, channels: info.channels };
}

export const drag = (hx: number, hy: number, tx: number, ty: number) => ({
  handle: { x: hx, y: hy },
  target: { x: tx, y: ty },
});

type Of<T extends EditEvent['type']> = Extract<EditEvent, { type: T }>;

/** Every event of an edit, sorted by kind. */
export async function collect(engine: Engine, input: EditInput, signal?: AbortSignal) {
  const events: EditEvent[] = [];
  for await (const event of engine.edit(input, signal === undefined ? {} : { signal })) events.push(event);
  const all = <T extends EditEvent['type']>(type: T): Of<T>[] => events.filter((e): e is Of<T> => e.type === type);
  const only = <T extends EditEvent['type']>(type: T): Of<T> => {
    const found = all(type);
    if (found.length !== 1) throw new Error(`${found.length} ${type} events`);
    return found[0] as Of<T>;
  };
  return {
    events,
    started: only('started'),
    previews: all('preview'),
    candidates: all('candidate'),
    image: (all('candidate')[0] as Of<'candidate'>).image,
    timings: only('done').timings,
  };
}

/** A folder that goes away with its scope: `await using dir = await scratch()`. */
export async function scratch() {
  const folder = await mkdtemp(path.join(tmpdir(), 'tug-engine-'));
  return {
    folder,
    file: (name: string): string => path.join(folder, name),
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }),
  };
}
