/**
 * Coordinate spaces and the view: which part of the photo the networks see, and at what size.
 *
 * Two spaces, told apart by type. Photo space: pixels of the photo. Work space: pixels of the tensor that the networks get. Both are
 * continuous with the origin at the top-left corner (the first pixel's centre is (0.5, 0.5)), so going from one to the other is a
 * shift and a multiplication.
 */
import type { Point } from './types.js';

declare const space: unique symbol;
export type PhotoPoint = Readonly<Point> & { readonly [space]: 'photo' };
export type WorkPoint = Readonly<Point> & { readonly [space]: 'work' };

export interface PhotoDrag {
  readonly handle: PhotoPoint;
  readonly target: PhotoPoint;
}

export interface Size {
  readonly width: number;
  readonly height: number;
}

/** Whole pixels; right and bottom are exclusive. */
export interface Rect {
  readonly left: number;
  readonly top: number;
  readonly right: number;
  readonly bottom: number;
}

/** What a bundle wants its work size to be: `area` in work pixels, both sides multiples of `multiple`, none under `minSide`. */
export interface SizeRules {
  readonly area: number;
  readonly multiple: number;
  readonly minSide: number;
  /** small pictures are brought up to the area, which the networks need */
  readonly enlarge?: boolean | undefined;
}

/** The part `region` of a photo, seen by the networks at size `work`. scaleX, scaleY: work pixels per photo pixel. */
export interface View {
  readonly photo: Size;
  readonly region: Rect;
  readonly work: Size;
  readonly scaleX: number;
  readonly scaleY: number;
}

export const photoPoint = (p: Point): PhotoPoint => ({ x: p.x, y: p.y }) as PhotoPoint;

export function toWork(view: View, p: PhotoPoint): WorkPoint {
  return { x: (p.x - view.region.left) * view.scaleX, y: (p.y - view.region.top) * view.scaleY } as WorkPoint;
}

export const width = (r: Rect): number => r.right - r.left;
export const height = (r: Rect): number => r.bottom - r.top;
export const sizeOf = (r: Rect): Size => ({ width: width(r), height: height(r) });
export const wholeOf = ({ width, height }: Size): Rect => ({ left: 0, top: 0, right: width, bottom: height });
export const scaled = ({ left, top, right, bottom }: Rect, by: number): Rect => ({
  left: left * by,
  top: top * by,
  right: right * by,
  bottom: bottom * by,
});
export const diagonal = (size: Size): number => Math.hypot(size.width, size.height);
export const dragLength = (d: { handle: Point; target: Point }): number =>
  Math.hypot(d.target.x - d.handle.x, d.target.y - d.handle.y);

/** How much of the surroundings the networks see on each side of the mask, as a share of the mask box's longer side. */
const CONTEXT = 0.3;
/** A region that would cover more of the photo than this becomes the whole photo, so that later edits share its encoding. */
const WHOLE_PHOTO_ABOVE = 0.6;
/** Regions start and end on multiples of this, for the same reason. Photo pixels. */
const GRID = 32;
/** A work size may exceed the bundle's area by this factor before its short side drops below minSide. */
const AREA_SLACK = 1.5;

/**
 * Chooses the region and the work size for a mask.
 * The region is the mask's box with context, never smaller than what the networks see at scale 1 where the photo is that large, so
 * a small mask in a big photo is worked on at the photo's own resolution. Small photos are enlarged only up to `minSide`.
 */
export function planView(photo: Size, maskBox: Rect, rules: SizeRules): View {
  const region = chooseRegion(photo, maskBox, rules);
  const work = chooseWorkSize(sizeOf(region), rules);
  return {
    photo,
    region,
    work,
    scaleX: work.width / width(region),
    scaleY: work.height / height(region),
  };
}

function chooseRegion(photo: Size, box: Rect, rules: SizeRules): Rect {
  const whole = wholeOf(photo);
  if (photo.width * photo.height <= rules.area * AREA_SLACK) return whole;

  const margin = CONTEXT * Math.max(width(box), height(box));
  const side = Math.sqrt(rules.area);
  let w = Math.max(width(box) + 2 * margin, side);
  let h = Math.max(height(box) + 2 * margin, side);
  // keep the shape moderate where the photo allows it: the networks were trained on pictures, not on strips
  w = Math.max(w, h / 1.6);
  h = Math.max(h, w / 1.6);
  const [left, right] = place((box.left + box.right) / 2, w, photo.width);
  const [top, bottom] = place((box.top + box.bottom) / 2, h, photo.height);
  const region = { left, top, right, bottom };
  const share = (width(region) * height(region)) / (photo.width * photo.height);
  return share > WHOLE_PHOTO_ABOVE ? whole : region;
}

/** An interval of about `length` around `centre`, on the grid, shifted to lie within [0, limit]. */
function place(centre: number, length: number, limit: number): [number, number] {
  if (length >= limit) return [0, limit];
  const start = Math.min(Math.max(centre - length / 2, 0), limit - length);
  const from = Math.floor(start / GRID) * GRID;
  const to = Math.min(limit, from + Math.ceil(length / GRID) * GRID);
  return [from, to];
}

function chooseWorkSize(region: Size, rules: SizeRules): Size {
  const { area, multiple } = rules;
  const minSide = Math.ceil(rules.minSide / multiple) * multiple;
  const pixels = region.width * region.height;
  const fitting = Math.sqrt(area / pixels);
  let scale = rules.enlarge === true ? fitting : Math.min(1, fitting);
  const shortSide = Math.min(region.width, region.height);
  if (shortSide * scale < minSide) scale = Math.min(minSide / shortSide, Math.sqrt((area * AREA_SLACK) / pixels));
  const fit = (length: number): number => Math.max(minSide, Math.round((length * scale) / multiple) * multiple);
  const size = { width: fit(region.width), height: fit(region.height) };
  // an extreme strip: raising its short side to minSide must not cost several times the work; squeeze the long side instead
  const longest = Math.floor((area * 2) / Math.min(size.width, size.height) / multiple) * multiple;
  return { width: Math.min(size.width, longest), height: Math.min(size.height, longest) };
}
