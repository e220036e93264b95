/**
 * Knows: the life of an edit. The rows are the queue: what is QUEUED or RUNNING in them survives a crash and runs again at boot.
 *
 *     QUEUED → RUNNING → SUCCEEDED | FAILED | CANCELLED       QUEUED → FAILED | CANCELLED
 *     RUNNING → QUEUED  when the engine's process died under it (once), or the server stopped
 */

import type { EditEvent, EngineErrorCode } from '@tug/engine';
import { TugError } from '@tug/schema';
import type { Logger } from 'pino';
import type { Blobs } from './blobs.js';
import type { Database, Transaction } from './database.js';
import type { RunOutcome } from './engine-outcome.js';
import type { EngineProcess } from './engine-process.js';
import type { CanvasEvents, EventBody } from './events.js';
import type { EditErrorCode, EditStatus } from './generated/prisma/client.js';
import { dragsOf, type EditModel } from './models.js';
import { sizeOf } from './raster.js';

const MAX_ENGINE_DEATHS = 2;
const RETRY_MS = 2_000;

const TOO_LONG = 'The edit took too long and was stopped: ask for fewer steps or candidates.';

const ERROR_CODES: Record<EngineErrorCode, EditErrorCode> = {
  BAD_INPUT: 'ENGINE_FAILED',
  UNSUPPORTED_OPTION: 'ENGINE_FAILED',
  BUNDLE_INVALID: 'ENGINE_UNAVAILABLE',
  DEVICE_UNAVAILABLE: 'ENGINE_UNAVAILABLE',
  OUT_OF_MEMORY: 'OUT_OF_MEMORY',
  BAD_OUTPUT: 'BAD_OUTPUT',
  TIMED_OUT: 'TIMED_OUT',
  CANCELLED: 'ENGINE_FAILED',
  ENGINE_FAILED: 'ENGINE_FAILED',
};

/** How an edit ends. */
type Ending = { status: 'SUCCEEDED' } | { status: 'FAILED'; code: EditErrorCode; message: string };

/** The edit that the engine works on now, with what is not worth a row. */
interface Active {
  readonly editId: string;
  readonly abort: AbortController;
  step: number;
  firstPreviewAt: Date | null;
}

export interface EditQueueOptions {
  readonly db: Database;
  readonly blobs: Blobs;
  readonly events: CanvasEvents;
  readonly engine: EngineProcess;
  readonly readBlob: (sha256: string) => Promise<Buffer>;
  readonly log: Logger;
}

export class EditQueue implements AsyncDisposable {
  private active: Active | null = null;
  private loop: Promise<void> | null = null;
  private again = false;
  private stopped = false;

  constructor(private readonly services: EditQueueOptions) {}

  /** Takes up what a crash or a stop left behind. */
  async resume(): Promise<void> {
    const { db, events } = this.services;
    for (const edit of await db.edit.findMany({ where: { status: 'RUNNING' } })) {
      await events.commit(edit.canvasId, (tx) => this.backToQueue(tx, edit.id, edit.engineDeaths));
    }
    this.wake();
  }

  /** Says that there may be work. */
  wake(): void {
    this.again = true;
    this.loop ??= this.work().finally(() => {
      this.loop = null;
      if (this.again && !this.stopped) this.wake();
    });
  }

  /** The step that a running edit is at. */
  stepOf(edit: EditModel): number {
    if (edit.status === 'SUCCEEDED') return edit.totalSteps;
    return this.active?.editId === edit.id ? this.active.step : 0;
  }

  /** Ends a queued or running edit now; the engine comes out of it within a step. */
  async cancel(edit: EditModel): Promise<EditModel> {
    const cancelled = await this.end(edit.canvasId, edit.id, { status: 'CANCELLED' });
    this.abandon(edit.id);
    return cancelled;
  }

  /** Lets go of the edit if it is the running one: its canvas is gone. */
  abandon(editId: string): void {
    if (this.active?.editId === editId) this.active.abort.abort();
  }

  /** Stops; the running edit goes back to the queue and runs again at the next boot. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.stopped = true;
    this.active?.abort.abort();
    await this.services.engine[Symbol.asyncDispose]();
    await this.loop;
    const { db } = this.services;
    await db.edit.updateMany({ where: { status: 'RUNNING' }, data: { status: 'QUEUED', startedAt: null } });
  }

  private async work(): Promise<void> {
    while (this.again && !this.stopped) {
      this.again = false;
      for (;;) {
        const edit = this.stopped ? null : await this.nextQueued();
        if (edit === null) break;
        await this.attempt(edit);
      }
    }
  }

  private async nextQueued(): Promise<EditModel | null> {
    try {
      return await this.services.db.edit.findFirst({
        where: { status: 'QUEUED' },
        orderBy: [{ createdAt: 'asc' }, { id: 'asc' }],
      });
    } catch (error) {
      this.services.log.error({ err: error }, 'the queue cannot be read');
      setTimeout(() => this.wake(), RETRY_MS).unref();
      return null;
    }
  }

  private async attempt(edit: EditModel): Promise<void> {
    const { engine, log } = this.services;
    const active: Active = { editId: edit.id, abort: new AbortController(), step: 0, firstPreviewAt: null };
    this.active = active;
    try {
      const input = await this.input(edit);
      const job = { id: `${edit.id}/${edit.engineDeaths}`, bundle: edit.bundle, input };
      const outcome = await engine.run(job, active.abort.signal, (event) => this.hear(edit, active, event));
      await this.conclude(edit, active, outcome);
    } catch (error) {
      if (isGone(error)) return;
      log.error({ err: error, editId: edit.id }, 'an edit failed');
      const ending: Ending = { status: 'FAILED', code: 'ENGINE_FAILED', message: 'The result could not be stored.' };
      await this.end(edit.canvasId, edit.id, ending).catch((again: unknown) => {
        if (!isGone(again)) {
          log.error({ err: again, editId: edit.id }, 'an edit cannot be ended');
          return new Promise((resolve) => setTimeout(resolve, RETRY_MS));
        }
      });
    } finally {
      this.active = null;
    }
  }

  private async input(edit: EditModel) {
    const { db, readBlob } = this.services;
    const base = await db.revision.findUniqueOrThrow({ where: { id: edit.baseId } });
    return {
      image: await readBlob(base.imageSha),
      drags: dragsOf(edit).map(([x, y, toX, toY]) => ({ handle: { x, y }, target: { x: toX, y: toY } })),
      ...(edit.maskSha === null ? {} : { mask: await readBlob(edit.maskSha) }),
      seed: edit.seed,
      candidates: edit.wanted,
      options: Object(edit.options),
    };
  }

  private async hear(edit: EditModel, active: Active, event: EditEvent): Promise<void> {
    const { blobs, events } = this.services;
    if (active.abort.signal.aborted) return;
    switch (event.type) {
      case 'started': {
        const { totalSteps, warnings, width, height } = event;
        const maskSha = await blobs.put({ data: Buffer.from(event.mask), width, height }, 'image/png');
        const info = this.services.engine.lastInfo;
        await this.change(edit, async (tx) => {
          const data = {
            status: 'RUNNING' as const,
            startedAt: new Date(),
            maskSha,
            totalSteps,
            warnings,
            device: info?.device ?? null,
            precision: info?.precision ?? null,
          };
          const started = await tx.edit.update({ where: { id: edit.id }, data });
          return { __typename: 'EditStarted', edit: started };
        });
        return;
      }
      case 'preview': {
        active.step = event.step;
        active.firstPreviewAt ??= new Date();
        const image = `data:image/webp;base64,${Buffer.from(event.image).toString('base64')}`;
        const { candidate, step, totalSteps } = event;
        events.preview(edit.canvasId, {
          __typename: 'EditPreview',
          editId: edit.id,
          candidate,
          step,
          totalSteps,
          image,
        });
        return;
      }
      case 'candidate': {
        const data = Buffer.from(event.image);
        const imageSha = await blobs.put({ data, ...(await sizeOf(data)) }, 'image/png');
        const { index, seed } = event;
        await this.change(edit, async (tx) => {
          const key = { editId: edit.id, index };
          const values = { seed, imageSha };
          const candidate = await tx.candidate.upsert({
            where: { editId_index: key },
            create: { ...key, ...values },
            update: values,
          });
          return { __typename: 'EditCandidate', editId: edit.id, candidate };
        });
        return;
      }
      case 'done':
        return;
    }
  }

  private async conclude(edit: EditModel, active: Active, outcome: RunOutcome): Promise<void> {
    const { events, engine, log } = this.services;
    switch (outcome.kind) {
      case 'done':
        await this.end(edit.canvasId, edit.id, { status: 'SUCCEEDED' }, active);
        return;
      case 'cancelled':
        return; // the row says so already, or the server is stopping
      case 'timedOut':
        await this.end(edit.canvasId, edit.id, failed('TIMED_OUT', TOO_LONG), active);
        return;
      case 'failed':
        await this.end(edit.canvasId, edit.id, failed(ERROR_CODES[outcome.code], outcome.message), active);
        return;
      case 'died': {
        if (this.stopped) return;
        const deaths = edit.engineDeaths + 1;
        log.warn({ editId: edit.id, deaths, reason: outcome.reason }, 'the engine died under an edit');
        if (deaths < MAX_ENGINE_DEATHS)
          await events.commit(edit.canvasId, (tx) => this.backToQueue(tx, edit.id, deaths));
        else {
          const message = `The engine's process broke down twice under this edit (${outcome.reason}). If the machine is short of memory, use a smaller picture or mask.`;
          await this.end(edit.canvasId, edit.id, failed('ENGINE_FAILED', message), active);
        }
        engine.warmUp();
      }
    }
  }

  /** Puts a running edit back, unless it has ended meanwhile. */
  private async backToQueue(
    tx: Transaction,
    editId: string,
    engineDeaths: number,
  ): Promise<{ result: undefined; events: EventBody[] }> {
    const { count } = await tx.edit.updateMany({
      where: { id: editId, status: { in: ['QUEUED', 'RUNNING'] } },
      data: { status: 'QUEUED', startedAt: null, engineDeaths },
    });
    const edit = count === 0 ? null : await tx.edit.findUnique({ where: { id: editId } });
    const position =
      edit === null
        ? 0
        : await tx.edit.count({ where: { status: { in: ['QUEUED', 'RUNNING'] }, createdAt: { lt: edit.createdAt } } });
    return { result: undefined, events: edit === null ? [] : [{ __typename: 'EditQueued', edit, position }] };
  }

  /** A change to an edit that is still going on; one that has ended, or lost its canvas, hears nothing more. */
  private async change(edit: EditModel, change: (tx: Transaction) => Promise<EventBody>): Promise<void> {
    try {
      await this.services.events.commit(edit.canvasId, async (tx) => {
        const open = await tx.edit.count({ where: { id: edit.id, status: { in: ['QUEUED', 'RUNNING'] } } });
        return { result: undefined, events: open === 0 ? [] : [await change(tx)] };
      });
    } catch (error) {
      if (!isGone(error)) throw error;
      this.abandon(edit.id);
    }
  }

  private end(
    canvasId: string,
    editId: string,
    ending: Ending | { status: 'CANCELLED' },
    active?: Active,
  ): Promise<EditModel> {
    const open: EditStatus[] = ['QUEUED', 'RUNNING'];
    return this.services.events.commit(canvasId, async (tx) => {
      const { count } = await tx.edit.updateMany({
        where: { id: editId, status: { in: open } },
        data: {
          status: ending.status,
          finishedAt: new Date(),
          firstPreviewAt: active?.firstPreviewAt ?? null,
          errorCode: ending.status === 'FAILED' ? ending.code : null,
          errorMessage: ending.status === 'FAILED' ? ending.message : null,
        },
      });
      const edit = await tx.edit.findUnique({ where: { id: editId } });
      if (edit === null) throw new TugError('NOT_FOUND', 'There is no such edit.');
      return { result: edit, events: count === 0 ? [] : [{ __typename: 'EditFinished', edit }] };
    });
  }
}

function failed(code: EditErrorCode, message: string): Ending {
  return { status: 'FAILED', code, message };
}

function isGone(error: unknown): boolean {
  return error instanceof TugError && error.code === 'NOT_FOUND';
}
