/** The networks' picture, put into the photo at the photo's own resolution, in bands of rows between which an edit can be cancelled. */
import type { Grid } from './field.js';
import { height, sizeOf, width } from './geometry.js';
import { blendRows, crop, type Detail, joinAlpha, type Rgb, toRgb, warpRows } from './picture.js';
import { encodePng } from './png.js';
import { type Photo, resizeRgb } from './raster.js';
import type { Run } from './sample.js';
import { finite, type Scene, shownWindow, warpedPicture } from './scene.js';

/** Rows of a band. */
const BAND = 32;

/**
 * The networks' picture [work, RGB] put into the photo at its own resolution. Where the source is visible, what the networks changed
 * against their own low-resolution warp is added to the warp of the photo itself: whatever they left alone keeps the photo's sharpness.
 */
export async function composite(run: Run, photo: Photo, picture: Rgb, moved: Moved): Promise<Photo> {
  const { alpha, frame } = run;
  const { view, box } = frame;
  const flat = photo.flat.slice();
  const enlarged = await resizeRgb(picture, view.work, sizeOf(view.region));
  await bands(run, (from, to) => blendRows(flat, enlarged, moved.detail, view, box, alpha, from, to));
  const size = { width: photo.width, height: photo.height };
  if (photo.alpha === undefined || moved.opacity === undefined) return { ...size, rgb: flat, flat };
  const rgba = joinAlpha({ rgb: photo.rgb, alpha: photo.alpha }, flat, moved.opacity, view, box, alpha);
  return { ...size, ...splitAlpha(rgba), flat };
}

/** What of the photo itself is carried along by the warp: known as soon as the field is. */
export interface Moved {
  /** undefined where nothing says what the source shows */
  readonly detail: Detail | undefined;
  /** [region] bytes, of a photo with transparency */
  readonly opacity: Uint8Array | undefined;
}

/** Warps the photo at its own resolution, while the networks are busy. */
export async function moveAlong(run: Run, scene: Scene): Promise<Moved> {
  const { alpha, frame, clock } = run;
  const { view, box } = frame;
  const { photo, visibility } = scene;
  const { region } = view;
  const left = box.left - region.left;
  const warp = async (data: Uint8Array, channels: number): Promise<Uint8Array> => {
    const target = crop(data, photo, view.region, channels).slice();
    await bands(run, (from, to) => {
      const top = box.top - region.top;
      const window = { left, top: top + from, right: left + width(box), bottom: top + to };
      const moves = scene.fieldWithin(sizeOf(region), window);
      warpRows({ data, channels }, view, moves, box, alpha, target, from, to);
    });
    return target;
  };
  const carried = async (seen: Grid): Promise<Detail> => {
    // libvips enlarges on threads of its own while this one warps
    const smooth = resizeRgb(shownWarp(run, scene), view.work, sizeOf(view.region));
    return { warped: await warp(photo.flat, 3), smooth: await smooth, visibility: seen };
  };
  await run.breathe(); // what the networks wait for goes first
  return clock.time('composite', async () => ({
    detail: visibility === undefined ? undefined : await carried(visibility),
    opacity: photo.alpha === undefined ? undefined : await warp(photo.alpha, 1),
  }));
}

async function bands({ frame, breathe }: Run, rows: (from: number, to: number) => void): Promise<void> {
  const end = height(frame.box);
  for (let from = 0; from < end; from += BAND) {
    rows(from, Math.min(from + BAND, end));
    await breathe();
  }
}

/** The warp that the networks' picture was built on: the decoder's own where it takes one. */
function shownWarp({ frame }: Run, scene: Scene): Rgb {
  const { work } = frame.view;
  const warped = scene.landed('image_warped');
  if (warped === undefined) return warpedPicture(scene, work, shownWindow(frame, work));
  return finite(toRgb(warped.data, work, shownWindow(frame, work), scene.part), 'the field network');
}

/** PNG with or without opacity, as the photo has it. */
export function encodeResult(photo: Photo): Promise<Uint8Array> {
  return photo.alpha === undefined
    ? encodePng(photo.rgb, photo, 3)
    : encodePng(withAlpha(photo.rgb, photo.alpha), photo, 4);
}

function withAlpha(rgb: Rgb, alpha: Uint8Array): Uint8Array {
  const out = new Uint8Array(alpha.length * 4);
  for (let i = 0, s = 0, o = 0; i < alpha.length; i++, s += 3, o += 4) {
    out[o] = rgb[s] as number;
    out[o + 1] = rgb[s + 1] as number;
    out[o + 2] = rgb[s + 2] as number;
    out[o + 3] = alpha[i] as number;
  }
  return out;
}

function splitAlpha(rgba: Uint8Array): { rgb: Rgb; alpha: Uint8Array } {
  const alpha = new Uint8Array(rgba.length / 4);
  const rgb = new Uint8Array(alpha.length * 3);
  for (let i = 0, s = 0, o = 0; i < alpha.length; i++, s += 4, o += 3) {
    rgb[o] = rgba[s] as number;
    rgb[o + 1] = rgba[s + 1] as number;
    rgb[o + 2] = rgba[s + 2] as number;
    alpha[i] = rgba[s + 3] as number;
  }
  return { rgb, alpha };
}
