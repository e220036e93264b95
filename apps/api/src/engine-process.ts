/**
 * Knows: the engine's child process — how to hand it an edit, cancel, notice that it died, hangs or holds too much memory, and start
 * another. Does not know: what an edit means to anybody.
 *
 *     stopped → starting → ready ⇄ running        (any) → stopped when the process ends
 *                            ready → retiring → stopped when it holds more memory than its bound
 */

import type { ChildProcess } from 'node:child_process';
import type { BundleInfo, EditEvent, EditInput, EngineInfo } from '@tug/engine';
import { TugError } from '@tug/schema';
import type { Logger } from 'pino';
import { type Bundles, pickBundle, readBundles } from './bundles.js';
import type { Config } from './config.js';
import type { FromChild, ToChild } from './engine-child.js';
import { forkEngine } from './engine-fork.js';
import { outcomeOf, outOfMemory, type RunOutcome } from './engine-outcome.js';
import { memoryMbOf } from './memory.js';

/** How often memory is looked at while an edit runs. */
const MEMORY_EVERY_MS = 200;

/** After a cancel, how long the child may take to come out of the step that it is in; also, to end when it is asked to. */
const CANCEL_GRACE_MS = 10_000;

/** An engine that has nothing to do and says nothing for so long hangs. While it runs an edit, the edit's deadline watches it. */
const SILENCE_MS = 60_000;

/** A process that lived for less is not started again before somebody needs it. */
const STABLE_MS = 10_000;

/** One edit for the engine. */
export interface EngineJob {
  readonly id: string;
  readonly bundle: string;
  readonly input: EditInput;
}

interface Run {
  readonly id: string;
  readonly onEvent: (event: EditEvent) => Promise<void>;
  readonly settle: (outcome: RunOutcome) => void;
  /** how the run ends once the process is gone, if it is known why it was ended */
  verdict?: RunOutcome;
}

export class EngineProcess implements AsyncDisposable {
  private child: ChildProcess | null = null;
  private running: Run | null = null;
  private opened: EngineInfo | null = null;
  private problem: string | null = null;
  private waiting: (() => void)[] = [];
  private disposed = false;
  private retiring: Promise<void> | null = null;
  private heardAt = 0;
  /** what the child last held */
  private memoryMb = 0;
  private watchdog: NodeJS.Timeout | undefined;

  private constructor(
    /** bundles by name; the first is the default */
    readonly bundles: Bundles,
    private readonly config: Config,
    private readonly log: Logger,
  ) {}

  /** Looks which bundles there are. Nothing is started yet. */
  static async create(config: Config, log: Logger): Promise<EngineProcess> {
    return new EngineProcess(await readBundles(config, log), config, log);
  }

  /** The bundle of a name, or the default one. */
  bundle(name: string | null | undefined): { name: string; info: BundleInfo } {
    const found = pickBundle(this.bundles, name);
    if (found === undefined) throw unavailable(`there is no bundle in ${this.config.modelsDir}`);
    return found;
  }

  /** Starts the process and opens the default bundle, so that the first edit need not wait for it. */
  warmUp(): void {
    const [first] = this.bundles.keys();
    if (first === undefined || this.disposed) return;
    this.post({ type: 'open', bundle: first });
  }

  /** The child's process id, while there is one. */
  get pid(): number | undefined {
    return this.child?.pid;
  }

  /** What the open engine is, as soon as it is open; ENGINE_UNAVAILABLE if it cannot be opened. */
  async info(timeoutMs = 20_000): Promise<EngineInfo> {
    if (this.bundles.size === 0) throw unavailable(`there is no bundle in ${this.config.modelsDir}`);
    const deadline = Date.now() + timeoutMs;
    while (this.opened === null) {
      if (this.problem !== null) throw unavailable(this.problem);
      const left = deadline - Date.now();
      if (left <= 0 || this.disposed) throw unavailable('it is still starting');
      if (this.child === null) this.warmUp();
      await this.change(left);
    }
    return this.opened;
  }

  /** What the engine was when it was last open. */
  get lastInfo(): EngineInfo | null {
    return this.opened;
  }

  /** Runs one edit; its events are handed on in order, each after the one before was dealt with. One edit at a time. */
  async run(job: EngineJob, signal: AbortSignal, onEvent: (event: EditEvent) => Promise<void>): Promise<RunOutcome> {
    if (this.running !== null) throw new Error('The engine runs one edit at a time.');
    await this.retiring;
    if (signal.aborted) return { kind: 'cancelled' };
    let handled: Promise<void> = Promise.resolve();
    let timedOut = false;
    let kill: NodeJS.Timeout | undefined;
    const stop = () => {
      this.post({ type: 'cancel', id: job.id });
      kill ??= setTimeout(() => this.kill('it did not stop in time'), CANCEL_GRACE_MS);
    };
    const deadline = setTimeout(() => {
      timedOut = true;
      stop();
    }, this.config.editDeadlineMs);
    const watch = setInterval(() => this.checkMemory(), MEMORY_EVERY_MS);
    const outcome = await new Promise<RunOutcome>((resolve, reject) => {
      this.running = {
        id: job.id,
        onEvent: (event) => {
          handled = handled.then(() => onEvent(event));
          handled.catch(reject);
          return handled;
        },
        settle: resolve,
      };
      signal.addEventListener('abort', stop, { once: true });
      this.post({ type: 'edit', ...job });
    })
      .catch((error: unknown) => {
        this.post({ type: 'cancel', id: job.id }); // nobody hears what it still has to say
        throw error;
      })
      .finally(() => {
        signal.removeEventListener('abort', stop);
        clearTimeout(deadline);
        clearTimeout(kill);
        clearInterval(watch);
        this.running = null;
        if (this.memoryMb > this.config.engineMemory.replaceMb) this.retire();
      });
    await handled;
    if (timedOut) return { kind: 'timedOut' };
    return signal.aborted ? { kind: 'cancelled' } : outcome;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.disposed = true;
    clearInterval(this.watchdog);
    await this.retiring;
    const child = this.child;
    if (child === null) return;
    const gone = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGKILL');
    await gone;
  }

  private post(message: ToChild): void {
    if (this.disposed) return;
    if (message.type === 'cancel' && this.child === null) return;
    this.child ??= this.start();
    this.child.send(message, (error) => {
      if (error !== null) this.log.debug({ err: error }, 'a message did not reach the engine');
    });
  }

  private start(): ChildProcess {
    this.problem = null;
    this.memoryMb = 0;
    const startedAt = Date.now();
    this.heardAt = startedAt;
    this.watchdog ??= setInterval(() => this.checkSilence(), SILENCE_MS / 4).unref();
    let victim: Run | null = null;
    let expected = false;
    const child = forkEngine(this.config, {
      message: (message) => this.receive(message),
      failed: (error) => this.log.error({ err: error }, 'the engine process failed'),
      exited: () => {
        expected = this.child !== child; // it was let go before
        if (expected) return;
        this.child = null;
        this.opened = null;
        victim = this.running;
        this.notify();
      },
      ended: (end) => {
        if (expected) return;
        const { reason, lastWords: stderr } = end;
        if (!this.disposed) this.log.warn({ reason, stderr }, 'the engine process is gone');
        victim?.settle(victim.verdict ?? outcomeOf(end));
        if (Date.now() - startedAt > STABLE_MS) this.warmUp();
      },
    });
    return child;
  }

  /** Lets go of the process, which has nothing to do, and starts another. */
  private retire(): void {
    const child = this.child;
    if (child === null || this.disposed) return;
    const { memoryMb } = this;
    const boundMb = this.config.engineMemory.replaceMb;
    this.log.warn({ memoryMb, boundMb }, 'the engine holds more memory than TUG_ENGINE_MEMORY and is replaced');
    this.child = null;
    this.opened = null;
    const kill = setTimeout(() => child.kill('SIGKILL'), CANCEL_GRACE_MS);
    const gone = new Promise((resolve) => child.once('exit', resolve));
    this.retiring = gone.then(() => {
      clearTimeout(kill);
      this.retiring = null;
      this.warmUp();
    });
    child.disconnect();
  }

  /** Ends the process in the middle of an edit that takes what the machine needs. */
  private checkMemory(): void {
    const { child, running } = this;
    if (child?.pid === undefined || running === null || running.verdict !== undefined) return;
    this.memoryMb = memoryMbOf(child.pid) ?? this.memoryMb;
    const { killMb } = this.config.engineMemory;
    if (this.memoryMb <= killMb) return;
    running.verdict = outOfMemory(`it held ${this.memoryMb} MB and may hold ${killMb} MB`);
    this.kill('it holds too much memory');
  }

  private checkSilence(): void {
    const idle = this.child !== null && this.opened !== null && this.running === null;
    if (idle && Date.now() - this.heardAt > SILENCE_MS) this.kill('it says nothing any more');
  }

  private receive(message: FromChild): void {
    this.heardAt = Date.now();
    if ('memoryMb' in message) this.memoryMb = message.memoryMb;
    switch (message.type) {
      case 'alive':
        return;
      case 'opened':
        this.opened = message.info;
        this.problem = null;
        this.notify();
        return;
      case 'event':
        if (message.id === this.running?.id) void this.running.onEvent(message.event).catch(() => undefined);
        return;
      case 'end':
        if (message.id === this.running?.id) this.running.settle({ kind: 'done' });
        return;
      case 'failed': {
        const { code, message: text } = message;
        if (message.id === null) {
          this.log.error({ code, reason: text }, 'the engine cannot be opened');
          this.problem = text;
          this.notify();
          return;
        }
        if (message.id === this.running?.id) this.running.settle({ kind: 'failed', code, message: text });
      }
    }
  }

  private kill(why: string): void {
    this.log.warn({ why }, 'the engine process is ended');
    this.child?.kill('SIGKILL');
  }

  private notify(): void {
    for (const wake of this.waiting.splice(0)) wake();
  }

  private change(timeoutMs: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, timeoutMs);
      this.waiting.push(() => {
        clearTimeout(timer);
        resolve();
      });
    });
  }
}

function unavailable(why: string): TugError {
  return new TugError('ENGINE_UNAVAILABLE', `The engine is not available: ${why}.`);
}
