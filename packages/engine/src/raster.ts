/**
 * The only file that touches sharp: encoded pictures in, upright sRGB bytes out, and previews. Knows nothing of drags or networks.
 */
import sharp, { type OutputInfo, type Sharp } from 'sharp';
import { asEngineError, EngineError, firstLine } from './errors.js';
import type { Size } from './geometry.js';
import type { Rgb } from './picture.js';
import { MAX_PIXELS } from './types.js';

sharp.cache(false); // libvips' own operation cache would hold decoded photos

const MIN_SIDE = 16;
/** Pictures made of pixels; libvips would also draw SVG and PDF. */
const FORMATS: ReadonlySet<string> = new Set(['png', 'jpeg', 'webp', 'heif', 'tiff', 'gif']);
const PREVIEW_SIDE = 320;

/** A decoded photo: upright, sRGB, 8 bit. `flat` is what the networks see (over white); it is `rgb` itself without transparency. */
export interface Photo extends Size {
  readonly rgb: Rgb;
  readonly flat: Rgb;
  /** opacity, one byte a pixel; only if some pixel is not opaque */
  readonly alpha?: Uint8Array;
}

export async function decodePhoto(encoded: Uint8Array): Promise<Photo> {
  const { data, info } = await decode(encoded, 'the image', (image) => image.toColourspace('srgb'));
  if (Math.min(info.width, info.height) < MIN_SIDE) {
    throw new EngineError(
      'BAD_INPUT',
      `the image is ${info.width}×${info.height}; both sides must be at least ${MIN_SIDE} pixels`,
    );
  }
  const size = { width: info.width, height: info.height };
  if (info.channels === 3) return { ...size, rgb: data, flat: data };
  const pixels = info.width * info.height;
  const rgb = new Uint8Array(pixels * 3);
  const alpha = new Uint8Array(pixels);
  let opaque = true;
  const step = info.channels; // 1 grey, 2 grey + alpha, 4 RGB + alpha
  for (let i = 0; i < pixels; i++) {
    for (let c = 0; c < 3; c++) rgb[3 * i + c] = data[step * i + (step > 2 ? c : 0)] as number;
    const a = step % 2 === 0 ? (data[step * i + step - 1] as number) : 255;
    alpha[i] = a;
    opaque &&= a === 255;
  }
  return opaque ? { ...size, rgb, flat: rgb } : { ...size, rgb, alpha, flat: overWhite(rgb, alpha) };
}

/**
 * A mask picture → one byte a pixel, 1 where it is at least half white (transparent counts as black). The photo, whose size it must
 * have, may still be on its way: the two are decoded side by side.
 */
export async function decodeMask(encoded: Uint8Array, photo: Size | Promise<Size>): Promise<Uint8Array> {
  const { data, info } = await decode(encoded, 'the mask', (image) =>
    image.flatten({ background: '#000' }).toColourspace('b-w').extractChannel(0),
  );
  const size = await photo;
  if (info.width !== size.width || info.height !== size.height) {
    throw new EngineError(
      'BAD_INPUT',
      `the mask is ${info.width}×${info.height}, but the image is ${size.width}×${size.height}; both must have the same size`,
    );
  }
  const mask = new Uint8Array(size.width * size.height);
  const step = info.channels;
  for (let i = 0, s = 0; i < mask.length; i++, s += step) mask[i] = (data[s] as number) >> 7;
  return mask;
}

async function decode(
  encoded: Uint8Array,
  what: string,
  prepare: (image: Sharp) => Sharp,
): Promise<{ data: Uint8Array; info: OutputInfo }> {
  if (!(encoded instanceof Uint8Array) || encoded.length === 0) {
    throw new EngineError('BAD_INPUT', `${what} is empty; expected an encoded picture (PNG, JPEG, WebP, …)`);
  }
  const options = { failOn: 'error', limitInputPixels: MAX_PIXELS } as const;
  try {
    const image = sharp(encoded, options).autoOrient();
    const { format } = await image.metadata();
    if (!FORMATS.has(format))
      throw new EngineError('BAD_INPUT', `${what} is ${format}; expected PNG, JPEG, WebP, AVIF, TIFF or GIF`);
    const { data, info } = await prepare(image).raw({ depth: 'uchar' }).toBuffer({ resolveWithObject: true });
    return { data: new Uint8Array(data.buffer, data.byteOffset, data.length), info };
  } catch (error) {
    if (error instanceof EngineError) throw error;
    const text = firstLine(error instanceof Error ? error.message : String(error));
    if (/exceeds pixel limit/i.test(text)) {
      const meta = await sharp(encoded, { limitInputPixels: false }).metadata();
      throw new EngineError(
        'BAD_INPUT',
        `${what} is ${meta.width}×${meta.height} (${megapixels(meta.width * meta.height)} megapixels); at most ${megapixels(MAX_PIXELS)} are taken`,
        { cause: error },
      );
    }
    const typed = asEngineError(error, `decoding ${what}`);
    if (typed.code === 'OUT_OF_MEMORY') throw typed;
    throw new EngineError('BAD_INPUT', `${what} can't be decoded: ${text}`, { cause: error });
  }
}

/** Raw RGB to another size. Shrinking is antialiased (Lanczos), enlarging is bicubic. */
export async function resizeRgb(rgb: Rgb, from: Size, to: Size): Promise<Rgb> {
  if (from.width === to.width && from.height === to.height) return rgb;
  const shrinking = to.width * to.height < from.width * from.height;
  const data = await sharp(rgb, { raw: { ...from, channels: 3 }, limitInputPixels: false })
    .resize(to.width, to.height, { fit: 'fill', kernel: shrinking ? 'lanczos3' : 'cubic' })
    .raw()
    .toBuffer();
  return new Uint8Array(data.buffer, data.byteOffset, data.length);
}

/** Size of a preview: at most 320 px on the long side, never enlarged. */
export function previewSize(size: Size): Size {
  const scale = Math.min(1, PREVIEW_SIDE / Math.max(size.width, size.height));
  const side = (length: number): number => Math.max(1, Math.round(length * scale));
  return { width: side(size.width), height: side(size.height) };
}

const previewBases = new WeakMap<Photo, Promise<Rgb>>();

/** The photo at preview size, made once for each decoded photo. */
export function previewBase(photo: Photo): Promise<Rgb> {
  const known = previewBases.get(photo) ?? resizeRgb(photo.flat, photo, previewSize(photo));
  previewBases.set(photo, known);
  return known;
}

export async function encodePreview(rgb: Rgb, size: Size): Promise<Uint8Array> {
  const data = await sharp(rgb, { raw: { ...size, channels: 3 } })
    .webp({ quality: 82, effort: 0 })
    .toBuffer();
  return own(data);
}

/** A plain Uint8Array of its own: a Buffer may be a view of a shared pool, which structured clone would send whole. */
function own(data: Buffer): Uint8Array {
  return new Uint8Array(data);
}

function overWhite(rgb: Rgb, alpha: Uint8Array): Rgb {
  const out = new Uint8Array(rgb.length);
  for (let i = 0; i < out.length; i++) {
    const a = alpha[(i / 3) | 0] as number;
    out[i] = Math.round(255 + (((rgb[i] as number) - 255) * a) / 255);
  }
  return out;
}

const megapixels = (pixels: number): string => (pixels / 1e6).toFixed(1);
