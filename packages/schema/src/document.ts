/**
 * Knows: the shape of a canvas' shared Y.Doc, and the only functions that change it.
 *
 *     drags     Y.Map  drag id → Y.Map { handleX, handleY, targetX, targetY, author, base, createdAt }
 *     strokes   Y.Array of plain objects, in drawing order
 *     settings  Y.Map  { seed, steps, candidates }
 *     mirror    Y.Map  { head }, written by the server alone: a copy of the database's head revision
 *
 * A drag's four numbers are separate entries, so two people can move its two ends at once and both moves survive.
 * Does not know: transport, rights, the database, undo (whoever writes passes its own transaction origin).
 */

import * as Y from 'yjs';
import { z } from 'zod';
import { type CanvasPoint, canvasPoint } from './geometry.js';
import { MAX_SEED } from './seeds.js';

/** The most that a document may hold; what exceeds it is left out when it is read. */
export const DOCUMENT_LIMITS = { drags: 200, strokes: 2000, strokePoints: 8000, maxCandidates: 4 } as const;

const finite = z.number().finite();

const dragSchema = z.object({
  handleX: finite,
  handleY: finite,
  targetX: finite,
  targetY: finite,
  author: z.string().max(64),
  base: z.string().max(64),
  createdAt: finite,
});

const strokeSchema = z.object({
  id: z.string().min(1).max(64),
  mode: z.enum(['paint', 'erase']),
  radius: finite.positive().max(4096),
  points: z
    .array(finite)
    .min(2)
    .max(DOCUMENT_LIMITS.strokePoints * 2),
  author: z.string().max(64),
});

const settingsSchema = z.object({
  /** null = another one for every run */
  seed: z.number().int().min(0).max(MAX_SEED).nullable().catch(null),
  /** null = the bundle's default */
  steps: z.number().int().min(1).max(100).nullable().catch(null),
  candidates: z.number().int().min(1).max(DOCUMENT_LIMITS.maxCandidates).catch(1),
});

/** A drag as people draw it. `base` is the id of the revision it was drawn on, `author` a user id. */
export interface SharedDrag {
  readonly id: string;
  readonly handle: CanvasPoint;
  readonly target: CanvasPoint;
  readonly author: string;
  readonly base: string;
  readonly createdAt: number;
}

/** A brush stroke of the shared mask; see `StrokeGeometry` for the meaning of its numbers. */
export type SharedStroke = z.infer<typeof strokeSchema>;

/** What the next run will use; `null` leaves the choice to the engine. */
export type SharedSettings = z.infer<typeof settingsSchema>;

/** Everything in the document, checked: entries that do not fit the shape are left out and counted. */
export interface SharedState {
  /** oldest first */
  readonly drags: readonly SharedDrag[];
  /** in drawing order */
  readonly strokes: readonly SharedStroke[];
  readonly settings: SharedSettings;
  /** the server's copy of the head revision's id, null before the room was loaded */
  readonly head: string | null;
  readonly rejected: number;
}

/** Reads the whole document; never throws on what a foreign client may have written. */
export function readDocument(doc: Y.Doc): SharedState {
  let rejected = 0;
  const drags: SharedDrag[] = [];
  for (const [id, entry] of doc.getMap('drags')) {
    const parsed = dragSchema.safeParse(entry instanceof Y.Map ? entry.toJSON() : entry);
    if (!parsed.success || drags.length >= DOCUMENT_LIMITS.drags) rejected += 1;
    else {
      const { handleX, handleY, targetX, targetY, ...rest } = parsed.data;
      drags.push({ id, handle: canvasPoint(handleX, handleY), target: canvasPoint(targetX, targetY), ...rest });
    }
  }
  drags.sort((a, b) => a.createdAt - b.createdAt || (a.id < b.id ? -1 : 1));
  const strokes: SharedStroke[] = [];
  for (const entry of doc.getArray('strokes')) {
    const parsed = strokeSchema.safeParse(entry);
    if (!parsed.success || strokes.length >= DOCUMENT_LIMITS.strokes) rejected += 1;
    else strokes.push(parsed.data);
  }
  const settings = settingsSchema.parse({ seed: null, steps: null, candidates: 1, ...doc.getMap('settings').toJSON() });
  const head = doc.getMap('mirror').get('head');
  return { drags, strokes, settings, head: typeof head === 'string' ? head : null, rejected };
}

/** Adds a drag, or replaces the one with the same id. */
export function putDrag(doc: Y.Doc, drag: SharedDrag, origin?: unknown): void {
  doc.transact(() => {
    const entry = new Y.Map<number | string>();
    entry.set('handleX', drag.handle.x);
    entry.set('handleY', drag.handle.y);
    entry.set('targetX', drag.target.x);
    entry.set('targetY', drag.target.y);
    entry.set('author', drag.author);
    entry.set('base', drag.base);
    entry.set('createdAt', drag.createdAt);
    doc.getMap('drags').set(drag.id, entry);
  }, origin);
}

/** Moves one end of a drag. A drag that somebody removed meanwhile stays removed. */
export function moveDragEnd(doc: Y.Doc, id: string, end: 'handle' | 'target', to: CanvasPoint, origin?: unknown): void {
  doc.transact(() => {
    const entry = doc.getMap('drags').get(id);
    if (!(entry instanceof Y.Map)) return;
    entry.set(`${end}X`, to.x);
    entry.set(`${end}Y`, to.y);
  }, origin);
}

/** Removes drags; ids that are gone already are ignored. */
export function removeDrags(doc: Y.Doc, ids: Iterable<string>, origin?: unknown): void {
  doc.transact(() => {
    for (const id of ids) doc.getMap('drags').delete(id);
  }, origin);
}

/** Appends a finished stroke to the mask. */
export function addStroke(doc: Y.Doc, stroke: SharedStroke, origin?: unknown): void {
  doc.transact(() => doc.getArray('strokes').push([stroke]), origin);
}

/** Removes every stroke, so that the mask is derived from the drags again. */
export function clearMask(doc: Y.Doc, origin?: unknown): void {
  doc.transact(() => {
    const strokes = doc.getArray('strokes');
    strokes.delete(0, strokes.length);
  }, origin);
}

/** Changes some of the settings. */
export function changeSettings(doc: Y.Doc, change: Partial<SharedSettings>, origin?: unknown): void {
  doc.transact(() => {
    for (const [key, value] of Object.entries(change)) doc.getMap('settings').set(key, value);
  }, origin);
}

/**
 * The server's own write: mirrors the head and clears what the accepted edit used, in one transaction, so that nobody sees
 * the new picture with the old drags. The mask's strokes belong to the drags and go with them.
 */
export function mirrorHead(doc: Y.Doc, head: string, usedDrags: Iterable<string>, origin?: unknown): void {
  doc.transact(() => {
    doc.getMap('mirror').set('head', head);
    const used = [...usedDrags];
    removeDrags(doc, used, origin);
    if (used.length > 0) clearMask(doc, origin);
  }, origin);
}
