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
  /**
   * true: small pictures are brought up to the area, which the networks need. A number: what lies around the mask alone is seen, enlarged
   * so far at most.
   */
  readonly enlarge?: boolean | number | undefined;
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

export function toPhoto(view: View, p: WorkPoint): PhotoPoint {
  return { x: p.x / view.scaleX + view.region.left, y: p.y / view.scaleY + view.region.top } as PhotoPoint;
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
/** A closer look is one at so many times the pixels. */
const HARDLY = 1.1;
/** A work size may exceed the bundle's area by this factor before its short side drops below minSide. */
const AREA_SLACK = 1.5;

/**
 * Chooses the region and the work size for a mask.
 * The region is the mask's box with context, never smaller than what the networks see at scale 1, or as far as they enlarge, where the
 * photo is that large. A photo that is small for the networks is seen whole by those that do not enlarge, and enlarged only up to
 * `minSide`.
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

/** A closer look: how many times what lies around a mask is enlarged at most, and how long a drag may become by it, work pixels. */
export interface Closer {
  readonly times: number;
  readonly longest: number;
}

/**
 * A closer look than `view` at what lies around a mask, for a network that tells things apart better when they are larger, but knows drags
 * up to a length; undefined if it would be hardly closer.
 */
export function closerView(
  view: View,
  maskBox: Rect,
  rules: SizeRules,
  limits: Closer | undefined,
  drags: readonly PhotoDrag[],
): View | undefined {
  if (limits === undefined) return undefined;
  const enlarge = Math.min(limits.times, limits.longest / Math.max(1, ...drags.map(dragLength)));
  if (enlarge <= 1) return undefined;
  const closer = planView(view.photo, maskBox, { ...rules, enlarge });
  return closer.scaleX * closer.scaleY > HARDLY * view.scaleX * view.scaleY ? closer : undefined;
}

function chooseRegion(photo: Size, box: Rect, rules: SizeRules): Rect {
  const whole = wholeOf(photo);
  const closer = typeof rules.enlarge === 'number' ? rules.enlarge : 1;
  if (closer === 1 && photo.width * photo.height <= rules.area * AREA_SLACK) return whole;

  const margin = CONTEXT * Math.max(width(box), height(box));
  const side = Math.sqrt(rules.area) / closer;
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

/**
 * An interval of about `length` around `centre`, within [0, limit]: on the grid, but where the limit is near, which it then reaches.
 * It is off by half of the grid at most, which is less than the context.
 */
function place(centre: number, length: number, limit: number): [number, number] {
  if (length >= limit) return [0, limit];
  const start = Math.max(0, Math.min(centre - length / 2, limit - length));
  const from = Math.min(Math.floor(start / GRID + 0.5), Math.floor((limit - length) / GRID)) * GRID;
  const to = from + Math.ceil(length / GRID) * GRID;
  return [from, to > limit - GRID ? limit : to];
}

function chooseWorkSize(region: Size, rules: SizeRules): Size {
  const { area, multiple } = rules;
  const minSide = Math.ceil(rules.minSide / multiple) * multiple;
  const pixels = region.width * region.height;
  const fitting = Math.sqrt(area / pixels);
  const closer = rules.enlarge === true ? fitting : typeof rules.enlarge === 'number' ? rules.enlarge : 1;
  let scale = Math.min(closer, fitting);
  const shortSide = Math.min(region.width, region.height);
  if (shortSide * scale < minSide) scale = Math.min(minSide / shortSide, Math.sqrt((area * AREA_SLACK) / pixels));
  const fit = (length: number): number => Math.max(minSide, Math.round((length * scale) / multiple) * multiple);
  const size = { width: fit(region.width), height: fit(region.height) };
  // an extreme strip: raising its short side to minSide must not cost several times the work; squeeze the long side instead
  const longest = Math.floor((area * 2) / Math.min(size.width, size.height) / multiple) * multiple;
  return { width: Math.min(size.width, longest), height: Math.min(size.height, longest) };
}
