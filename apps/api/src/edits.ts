/**
 * Knows: what an edit is asked to do. Checks a request completely, freezes its input in a row, and cancels.
 * Does not know: how it is run (edit-queue.ts).
 */

import { randomInt } from 'node:crypto';
import type { BundleInfo, EditOptions } from '@tug/engine';
import { isInsideCanvas, MAX_SEED, SEEDS_AN_ANSWER, TugError } from '@tug/schema';
import { type Auth, requireUser } from './auth.js';
import type { Blobs } from './blobs.js';
import type { Limits } from './config.js';
import { type Database, isUniqueViolation } from './database.js';
import type { EditQueue } from './edit-queue.js';
import type { EngineProcess } from './engine-process.js';
import type { CanvasEvents } from './events.js';
import type { EditOptionsInput, StartEditInput } from './generated/resolvers.js';
import type { CanvasModel, EditModel, FrozenDrag, UserModel } from './models.js';
import { paintedMask } from './raster.js';
import { RateLimit } from './rate-limit.js';
import type { Rooms } from './rooms.js';
import { newId } from './secrets.js';

const MAX_CANDIDATES = 4;
const MAX_KEY = 200;

type Size = { width: number; height: number };

export interface EditsOptions {
  readonly db: Database;
  readonly auth: Auth;
  readonly blobs: Blobs;
  readonly events: CanvasEvents;
  readonly rooms: Rooms;
  readonly engine: EngineProcess;
  readonly queue: EditQueue;
  readonly limits: Limits;
}

export class Edits {
  private readonly starts: RateLimit;

  constructor(private readonly services: EditsOptions) {
    this.starts = new RateLimit('edits', services.limits.editsPerMinute);
  }

  /** Queues an edit; whatever is wrong with the request is said now, before anything is stored. */
  async start(viewer: UserModel | null, input: StartEditInput): Promise<EditModel> {
    const { db, auth, engine, queue } = this.services;
    const { user } = await auth.require(viewer, input.canvasId, 'EDITOR');
    const idempotencyKey = checkedKey(input.idempotencyKey);
    const earlier = await this.earlier(input.canvasId, user.id, idempotencyKey);
    if (earlier !== null) return earlier;
    this.starts.take(user.id);

    const canvas = await db.canvas.findUnique({ where: { id: input.canvasId } });
    if (canvas === null) throw new TugError('NOT_FOUND', 'There is no such canvas.');
    const { name: bundle, info } = engine.bundle(input.bundle);
    const wanted = checkedCandidates(input.candidates ?? 1);
    const seed = checkedSeed(input.seed);
    const options = checkedOptions(input.options, info);
    const work = await this.work(user, canvas, input, info);
    if (canvas.width * canvas.height > info.maxPixels) {
      throw new TugError('BAD_USER_INPUT', `Bundle ${bundle} takes pictures of at most ${info.maxPixels} pixels.`);
    }

    try {
      const edit = await this.insert(canvas.id, user, {
        ...work,
        idempotencyKey,
        bundle,
        seed,
        wanted,
        options: { ...options },
        totalSteps: options.steps ?? info.defaultSteps,
        guidance: options.guidance ?? info.defaultGuidance,
      });
      queue.wake();
      return edit;
    } catch (error) {
      const first = isUniqueViolation(error) ? await this.earlier(canvas.id, user.id, idempotencyKey) : null;
      if (first !== null) return first;
      throw error;
    }
  }

  /** Cancels a queued or running edit; one that has ended stays as it is. */
  async cancel(viewer: UserModel | null, editId: string): Promise<EditModel> {
    const { db, auth, queue } = this.services;
    const edit = await db.edit.findUnique({ where: { id: editId } });
    if (edit === null) {
      requireUser(viewer);
      throw new TugError('NOT_FOUND', 'There is no such edit.');
    }
    await auth.require(viewer, edit.canvasId, 'EDITOR', 'edit');
    return queue.cancel(edit);
  }

  private async earlier(canvasId: string, userId: string, key: string | null): Promise<EditModel | null> {
    if (key === null) return null;
    const where = { canvasId_requestedById_idempotencyKey: { canvasId, requestedById: userId, idempotencyKey: key } };
    return this.services.db.edit.findUnique({ where });
  }

  /** The drags and the mask: those of the request, or the shared document's. */
  private async work(
    user: UserModel,
    canvas: CanvasModel,
    input: StartEditInput,
    info: BundleInfo,
  ): Promise<{ drags: FrozenDrag[]; usedDragIds: string[]; maskSha: string | null; maskFileId: string | null }> {
    if (input.drags !== null && input.drags !== undefined) {
      const drags = checkedDrags(input.drags, canvas, info);
      const { maskSha, maskFileId } = await this.uploadedMask(user, canvas, input.maskFileId);
      return { drags, usedDragIds: [], maskSha, maskFileId };
    }
    if (input.maskFileId)
      throw new TugError('BAD_USER_INPUT', 'A mask without drags: send both, or neither for the shared document.');
    const shared = await this.services.rooms.read(canvas.id);
    const drags = checkedDrags(shared.drags, canvas, info);
    const mask = await paintedMask(shared.strokes, canvas);
    const maskSha = mask === null ? null : await this.services.blobs.put(mask, 'image/png');
    return { drags, usedDragIds: shared.drags.map((drag) => drag.id), maskSha, maskFileId: null };
  }

  private async uploadedMask(
    user: UserModel,
    size: Size,
    fileId: string | null | undefined,
  ): Promise<{ maskSha: string | null; maskFileId: string | null }> {
    if (fileId === null || fileId === undefined) return { maskSha: null, maskFileId: null };
    const upload = await this.services.db.upload.findFirst({
      where: { id: fileId, uploaderId: user.id },
      include: { blob: true },
    });
    if (upload === null)
      throw new TugError('NOT_FOUND', 'There is no such mask file; a file id works once, for its uploader.');
    const { width, height } = upload.blob;
    if (width !== size.width || height !== size.height) {
      throw new TugError(
        'BAD_USER_INPUT',
        `The mask is ${width} × ${height} pixels and the picture ${size.width} × ${size.height}; they must agree.`,
      );
    }
    return { maskSha: upload.sha256, maskFileId: fileId };
  }

  /** Stores the row within the limits of the queue, on the head of this moment. */
  private insert(
    canvasId: string,
    user: UserModel,
    { maskFileId, ...frozen }: InsertableEdit & { maskFileId: string | null },
  ): Promise<EditModel> {
    const { events, limits } = this.services;
    return events.commit(canvasId, async (tx) => {
      const open = { status: { in: ['QUEUED' as const, 'RUNNING' as const] } };
      const position = await tx.edit.count({ where: open });
      if (position >= limits.queued)
        throw new TugError('QUEUE_FULL', 'Too many edits are waiting; try again in a moment.');
      if ((await tx.edit.count({ where: { ...open, requestedById: user.id } })) >= limits.queuedPerUser) {
        throw new TugError('QUEUE_FULL', `You have ${limits.queuedPerUser} edits waiting already; cancel one or wait.`);
      }
      const canvas = await tx.canvas.findUnique({ where: { id: canvasId } });
      if (canvas?.headId === null || canvas === null) throw new TugError('NOT_FOUND', 'There is no such canvas.');
      if (maskFileId !== null && (await tx.upload.deleteMany({ where: { id: maskFileId } })).count === 0) {
        throw new TugError('NOT_FOUND', 'There is no such mask file; a file id works once, for its uploader.');
      }
      const edit = await tx.edit.create({
        data: { ...frozen, id: newId(), canvasId, baseId: canvas.headId, requestedById: user.id },
      });
      return { result: edit, events: [{ __typename: 'EditQueued', edit, position }] };
    });
  }
}

type InsertableEdit = {
  drags: FrozenDrag[];
  usedDragIds: string[];
  maskSha: string | null;
  idempotencyKey: string | null;
  bundle: string;
  seed: number;
  wanted: number;
  options: Record<string, string | number | boolean>;
  totalSteps: number;
  guidance: number;
};

function checkedDrags(
  drags: readonly { handle: { x: number; y: number }; target: { x: number; y: number } }[],
  size: Size,
  info: BundleInfo,
): FrozenDrag[] {
  if (drags.length === 0) throw new TugError('BAD_USER_INPUT', 'There are no drags: an edit needs at least one.');
  if (drags.length > info.maxDrags) {
    throw new TugError(
      'BAD_USER_INPUT',
      `${drags.length} drags are too many: bundle ${info.bundle} takes at most ${info.maxDrags}.`,
    );
  }
  return drags.map(({ handle, target }, index) => {
    for (const [name, point] of Object.entries({ handle, target })) {
      if (isInsideCanvas(point, size)) continue;
      throw new TugError(
        'BAD_USER_INPUT',
        `The ${name} of drag ${index + 1} is at (${point.x}, ${point.y}), outside the picture of ${size.width} × ${size.height} pixels.`,
      );
    }
    return [handle.x, handle.y, target.x, target.y];
  });
}

function checkedCandidates(wanted: number): number {
  if (wanted < 1 || wanted > MAX_CANDIDATES)
    throw new TugError('BAD_USER_INPUT', `candidates is 1 to ${MAX_CANDIDATES}, not ${wanted}.`);
  return wanted;
}

function checkedSeed(seed: number | null | undefined): number {
  if (seed === null || seed === undefined) return randomInt(0, SEEDS_AN_ANSWER);
  if (seed < 0 || seed > MAX_SEED) throw new TugError('BAD_USER_INPUT', `seed is 0 to ${MAX_SEED}, not ${seed}.`);
  return seed;
}

function checkedKey(key: string | null | undefined): string | null {
  if (key === null || key === undefined) return null;
  if (key.length < 1 || key.length > MAX_KEY)
    throw new TugError('BAD_USER_INPUT', `An idempotencyKey has 1 to ${MAX_KEY} characters.`);
  return key;
}

/** Refuses what the bundle does not take; what is left out stays out, for the bundle's own default. */
function checkedOptions(input: EditOptionsInput | null | undefined, info: BundleInfo): EditOptions {
  const given: EditOptions = Object.fromEntries(
    Object.entries(input ?? {}).filter(([, value]) => value !== null && value !== undefined),
  );
  const refuse = (option: string, value: unknown, takes: string): never => {
    throw new TugError('BAD_USER_INPUT', `Bundle ${info.bundle} does not take ${option} ${String(value)}: ${takes}.`);
  };
  const { steps, scheduler, noisePrior, guidance, guidanceDecay, guidanceSteps, pointAugmentation, sequential } = given;
  if (steps !== undefined && !info.steps.includes(steps)) refuse('steps', steps, `it takes ${info.steps.join(', ')}`);
  if (scheduler !== undefined && !info.schedulers.includes(scheduler)) {
    refuse('scheduler', scheduler, `it takes ${info.schedulers.join(', ')}`);
  }
  if (noisePrior !== undefined && !info.noisePriors.includes(noisePrior)) {
    refuse('noisePrior', noisePrior, `it takes ${info.noisePriors.join(', ')}`);
  }
  if (!info.guidance) {
    if (guidance !== undefined && guidance !== 1) refuse('guidance', guidance, 'it is not guided');
    if (guidanceDecay !== undefined) refuse('guidanceDecay', guidanceDecay, 'it is not guided');
    if (guidanceSteps !== undefined) refuse('guidanceSteps', guidanceSteps, 'it is not guided');
  }
  if (guidance !== undefined && (guidance < 0 || guidance > 100)) refuse('guidance', guidance, 'it is 0 to 100');
  const total = steps ?? info.defaultSteps;
  if (guidanceSteps !== undefined && (guidanceSteps < 0 || guidanceSteps > total)) {
    refuse('guidanceSteps', guidanceSteps, `it is 0 to the ${total} steps`);
  }
  if (pointAugmentation === true && !info.pointAugmentation) refuse('pointAugmentation', true, 'it has no such option');
  if (sequential === true && !info.sequential) refuse('sequential', true, 'it has no such option');
  return given;
}
