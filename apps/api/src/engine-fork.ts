/** Knows: how the engine's child is started, and what can be told of its end. Does not know: edits. */

import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { tellsOfMemory } from '@tug/engine/errors';
import type { Config } from './config.js';
import type { ChildOptions, FromChild } from './engine-child.js';

/** How a child ended. */
export interface ChildEnd {
  readonly reason: string;
  /** the last of what it wrote to stderr */
  readonly lastWords: string;
  /** it could not get the memory that it needed */
  readonly starved: boolean;
}

export interface ChildListener {
  message(message: FromChild): void;
  failed(error: Error): void;
  /** it runs no more */
  exited(): void;
  /** all that it wrote has been read; comes after `exited` */
  ended(end: ChildEnd): void;
}

/**
 * How V8 collects garbage. Its helpers beside the main thread are in the way of the networks' threads, and there is little JavaScript to
 * collect: without them an edit on two cores took a tenth less time (median of nine pairs of runs). And from a heap of a few megabytes,
 * which is all that this process needs, V8 would look through it three times an edit: a larger one to begin with costs 20 MB, and
 * spares most of that.
 */
const COLLECTOR = ['--single-threaded-gc', '--initial-heap-size=128'];

export function forkEngine({ modelsDir, device, threads }: Config, listener: ChildListener): ChildProcess {
  const options: ChildOptions = threads === undefined ? { modelsDir, device } : { modelsDir, device, threads };
  const child = fork(childPath(), [JSON.stringify(options)], {
    serialization: 'advanced',
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    execArgv: ['--enable-source-maps', ...COLLECTOR],
  });
  let lastWords = '';
  child.stderr?.on('data', (chunk: Buffer) => {
    lastWords = (lastWords + chunk.toString()).slice(-8000); // V8 writes a long stack after saying what is wrong
  });
  child.on('message', (message: FromChild) => listener.message(message));
  child.on('error', (error) => listener.failed(error));
  child.on('exit', () => listener.exited());
  child.on('close', (code, signal) => {
    const reason = signal === null ? `it ended with code ${code}` : `it was ended by ${signal}`;
    // SIGKILL leaves no words: these are about an earlier edit, which was told so
    listener.ended({ reason, lastWords, starved: signal !== 'SIGKILL' && tellsOfMemory(lastWords) });
  });
  return child;
}

/** The built child beside this file, also when the sources run as they are. */
function childPath(): string {
  const here = import.meta.url;
  return fileURLToPath(new URL(here.endsWith('.ts') ? '../dist/engine-child.js' : './engine-child.js', here));
}
