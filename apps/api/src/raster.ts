/**
 * Knows: how any picture becomes the canonical raster — decoded, upright, sRGB with 8 bits, no metadata, lossless PNG — and
 * what is made from it. Transparent parts show white, as they do in most viewers.
 */

import { maskSvg, type StrokeGeometry, TugError } from '@tug/schema';
import sharp from 'sharp';

/** An encoded picture with its size. */
export interface Raster {
  readonly data: Buffer;
  readonly width: number;
  readonly height: number;
}

const FORMATS = new Set(['jpeg', 'png', 'webp', 'heif', 'avif', 'gif', 'tiff']);
const MIN_SIDE = 16;
const THUMBNAIL_SIDE = 320;

sharp.cache(false);

/** Makes the canonical raster of an uploaded file. */
export async function canonicalRaster(path: string, maxPixels: number): Promise<Raster> {
  const open = () => sharp(path, { failOn: 'error', limitInputPixels: maxPixels, pages: 1 });
  const metadata = await open()
    .metadata()
    .catch((error: unknown) => {
      throw unreadable(error, maxPixels);
    });
  if (!FORMATS.has(metadata.format ?? '')) {
    throw new TugError(
      'UNSUPPORTED_IMAGE',
      `Expected a JPEG, PNG, WebP, AVIF, HEIC, TIFF or GIF picture, not ${metadata.format}.`,
    );
  }
  const { width, height } = metadata;
  if (width * height > maxPixels) throw tooManyPixels(maxPixels, `${width} × ${height}`);
  if (Math.min(width, height) < MIN_SIDE) {
    throw new TugError(
      'UNSUPPORTED_IMAGE',
      `The picture is ${width} × ${height} pixels; each side needs at least ${MIN_SIDE}.`,
    );
  }
  try {
    const { data, info } = await open()
      .rotate()
      .flatten({ background: '#ffffff' })
      .toColourspace('srgb')
      .raw({ depth: 'uchar' })
      .toBuffer({ resolveWithObject: true });
    const raw = { width: info.width, height: info.height, channels: info.channels };
    const png = await sharp(data, { raw }).toColourspace('srgb').png({ compressionLevel: 6 }).toBuffer();
    return { data: png, width: info.width, height: info.height };
  } catch (error) {
    throw unreadable(error, maxPixels);
  }
}

/** A WebP of at most 320 pixels on its long side. */
export async function thumbnail(picture: Uint8Array): Promise<Raster> {
  const { data, info } = await sharp(picture)
    .resize(THUMBNAIL_SIDE, THUMBNAIL_SIDE, { fit: 'inside', withoutEnlargement: true })
    .webp({ quality: 80 })
    .toBuffer({ resolveWithObject: true });
  return { data, width: info.width, height: info.height };
}

/** The painted strokes as the mask that they mean: white may change. Null if nothing was painted. */
export async function paintedMask(
  strokes: readonly StrokeGeometry[],
  size: { width: number; height: number },
): Promise<Raster | null> {
  if (!strokes.some((stroke) => stroke.mode === 'paint')) return null;
  const data = await sharp(Buffer.from(maskSvg(strokes, size)), { limitInputPixels: false, unlimited: true })
    .resize(size.width, size.height, { fit: 'fill' })
    .removeAlpha()
    .toColourspace('b-w')
    .png({ compressionLevel: 6 })
    .toBuffer();
  return { data, ...size };
}

/** The size of a picture that the server itself made. */
export async function sizeOf(picture: Uint8Array): Promise<{ width: number; height: number }> {
  const { width, height } = await sharp(picture).metadata();
  return { width, height };
}

function unreadable(error: unknown, maxPixels: number): TugError {
  const reason = error instanceof Error ? error.message : String(error);
  if (/pixel limit/i.test(reason)) return tooManyPixels(maxPixels);
  return new TugError('UNSUPPORTED_IMAGE', `The file cannot be read as a picture: ${oneLine(reason)}`, {
    cause: error,
  });
}

function tooManyPixels(maxPixels: number, size?: string): TugError {
  const found = size === undefined ? '' : `; this one is ${size}`;
  return new TugError(
    'TOO_LARGE',
    `A picture may have at most ${(maxPixels / 1_000_000).toFixed(1)} million pixels${found}.`,
  );
}

function oneLine(reason: string): string {
  const [first = 'unknown reason'] = reason.split('\n');
  return first.trim();
}
