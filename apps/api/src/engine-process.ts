/**
 * Knows: the engine's child process — how to start it, hand it an edit, cancel, notice that it died or hangs, and start another.
 * Does not know: what an edit means to anybody.
 *
 *     stopped → starting → ready ⇄ running        (any) → stopped when the process ends
 */

import { type ChildProcess, fork } from 'node:child_process';
import { access, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  type BundleInfo,
  type EditEvent,
  type EditInput,
  type EngineErrorCode,
  type EngineInfo,
  readBundleInfo,
} from '@tug/engine';
import { TugError } from '@tug/schema';
import type { Logger } from 'pino';
import type { Config } from './config.js';
import type { ChildOptions, FromChild, ToChild } from './engine-child.js';

/** After a cancel, how long the child may take to come out of the step that it is in. */
const CANCEL_GRACE_MS = 10_000;

/** An engine that has nothing to do and says nothing for so long hangs. While it runs an edit, the edit's deadline watches it. */
const SILENCE_MS = 60_000;

/** A process that lived for less is not started again before somebody needs it. */
const STABLE_MS = 10_000;

/** How a run ended. Only `died` is worth another try. */
export type RunOutcome =
  | { kind: 'done' }
  | { kind: 'cancelled' }
  | { kind: 'timedOut' }
  | { kind: 'died'; reason: string }
  | { kind: 'failed'; code: EngineErrorCode; message: string };

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
}

export class EngineProcess implements AsyncDisposable {
  private child: ChildProcess | null = null;
  private running: Run | null = null;
  private opened: EngineInfo | null = null;
  private problem: { code: EngineErrorCode; message: string } | null = null;
  private waiting: (() => void)[] = [];
  private disposed = false;
  private heardAt = 0;
  private watchdog: NodeJS.Timeout | undefined;

  private constructor(
    /** bundles by name; the first is the default */
    readonly bundles: ReadonlyMap<string, BundleInfo>,
    private readonly config: Config,
    private readonly log: Logger,
  ) {}

  /** Looks which bundles there are. Nothing is started yet. */
  static async create(config: Config, log: Logger): Promise<EngineProcess> {
    const bundles = new Map<string, BundleInfo>();
    for (const name of (await readdir(config.modelsDir).catch(() => [])).sort()) {
      const folder = join(config.modelsDir, name);
      if (!(await exists(join(folder, 'bundle.json')))) continue;
      try {
        bundles.set(name, await readBundleInfo(folder));
      } catch (error) {
        log.error({ err: error, bundle: name }, 'a bundle cannot be used');
      }
    }
    const chosen = config.bundle ?? (bundles.has('tug-small') ? 'tug-small' : undefined);
    const first = chosen === undefined ? undefined : bundles.get(chosen);
    if (chosen !== undefined && first === undefined) log.error({ bundle: chosen }, 'there is no such bundle');
    const ordered = chosen !== undefined && first !== undefined ? new Map([[chosen, first], ...bundles]) : bundles;
    return new EngineProcess(ordered, config, log);
  }

  /** The bundle of a name, or the default one. */
  bundle(name: string | null | undefined): { name: string; info: BundleInfo } {
    const [fallback] = this.bundles.keys();
    if (fallback === undefined) throw unavailable(`there is no bundle in ${this.config.modelsDir}`);
    const chosen = name ?? fallback;
    const info = this.bundles.get(chosen);
    if (info === undefined) {
      throw new TugError(
        'BAD_USER_INPUT',
        `There is no bundle "${chosen}"; there is ${[...this.bundles.keys()].join(', ')}.`,
      );
    }
    return { name: chosen, info };
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
      if (this.problem !== null) throw unavailable(this.problem.message);
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
        this.running = null;
      });
    await handled;
    if (timedOut) return { kind: 'timedOut' };
    return signal.aborted ? { kind: 'cancelled' } : outcome;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.disposed = true;
    clearInterval(this.watchdog);
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
    const { modelsDir, device, threads } = this.config;
    const options: ChildOptions = threads === undefined ? { modelsDir, device } : { modelsDir, device, threads };
    this.problem = null;
    const child = fork(childPath(), [JSON.stringify(options)], {
      serialization: 'advanced',
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
      execArgv: ['--enable-source-maps'],
    });
    let complaints = '';
    child.stderr?.on('data', (chunk: Buffer) => {
      complaints = (complaints + chunk.toString()).slice(-2000);
    });
    child.on('message', (message: FromChild) => this.receive(message));
    child.on('error', (error) => this.log.error({ err: error }, 'the engine process failed'));
    const startedAt = Date.now();
    this.heardAt = startedAt;
    this.watchdog ??= setInterval(() => this.checkSilence(), SILENCE_MS / 4).unref();
    child.on('exit', (code, signal) => {
      if (this.child === child) this.child = null;
      this.opened = null;
      const reason = signal === null ? `it ended with code ${code}` : `it was ended by ${signal}`;
      if (!this.disposed) this.log.warn({ reason, stderr: complaints }, 'the engine process is gone');
      this.notify();
      this.running?.settle({ kind: 'died', reason });
      if (Date.now() - startedAt > STABLE_MS) this.warmUp();
    });
    return child;
  }

  private checkSilence(): void {
    const idle = this.child !== null && this.opened !== null && this.running === null;
    if (idle && Date.now() - this.heardAt > SILENCE_MS) this.kill('it says nothing any more');
  }

  private receive(message: FromChild): void {
    this.heardAt = Date.now();
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
          this.problem = { code, message: text };
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

/** The built child beside this file, also when the sources run as they are. */
function childPath(): string {
  const here = import.meta.url;
  return fileURLToPath(new URL(here.endsWith('.ts') ? '../dist/engine-child.js' : './engine-child.js', here));
}

function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
