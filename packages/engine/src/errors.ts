/**
 * The engine's one error class with its closed set of codes, and the translation of native failures into it.
 * Knows nothing about who reports the error to the user; every message says what is wrong and what to do about it.
 */

export const ENGINE_ERROR_CODES = [
  'BAD_INPUT',
  'UNSUPPORTED_OPTION',
  'BUNDLE_INVALID',
  'DEVICE_UNAVAILABLE',
  'OUT_OF_MEMORY',
  'BAD_OUTPUT',
  'TIMED_OUT',
  'CANCELLED',
  'ENGINE_FAILED',
] as const;

export type EngineErrorCode = (typeof ENGINE_ERROR_CODES)[number];

/** Everything the engine throws on purpose. `message` is one line, fit to be shown to a user. */
export class EngineError extends Error {
  readonly code: EngineErrorCode;

  constructor(code: EngineErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'EngineError';
    this.code = code;
  }
}

/**
 * Native allocation failures, as ONNX Runtime, V8, libvips, CUDA, cuDNN and the system word them; a thread needs memory, too, and
 * libwebp, which is only given pixels that it can encode, fails for nothing else.
 */
const OUT_OF_MEMORY =
  /bad_alloc|out of memory|(failed to|can't|cannot|unable to) allocate|allocation fail|cudaErrorMemoryAllocation|STATUS_ALLOC_FAILED|smaller than requested bytes|creating thread|pthread_create|webpsave: unable to encode|memory error|\bOOM\b/i;

/** Turns whatever was thrown into an EngineError; `doing` completes the sentence "… failed while". */
export function asEngineError(error: unknown, doing: string): EngineError {
  if (error instanceof EngineError) return error;
  const text = firstLine(error instanceof Error ? error.message : String(error));
  if (OUT_OF_MEMORY.test(text) || error instanceof RangeError) {
    const what = /failed to allocate.*$/i.exec(text)?.[0] ?? text; // without the names of the runtime's own source files
    return new EngineError(
      'OUT_OF_MEMORY',
      `not enough memory while ${doing} (${what}): use a smaller picture or mask, or give the process more memory`,
      { cause: error },
    );
  }
  return new EngineError('ENGINE_FAILED', `${doing} failed: ${text}`, { cause: error });
}

/** Throws CANCELLED if the signal has fired; TIMED_OUT if it was a deadline's (AbortSignal.timeout, also inside AbortSignal.any). */
export function throwIfCancelled(signal: AbortSignal | undefined): void {
  if (!signal?.aborted) return;
  if (signal.reason instanceof DOMException && signal.reason.name === 'TimeoutError') {
    throw new EngineError(
      'TIMED_OUT',
      'the edit ran past its deadline: allow it more time, or ask for fewer steps or candidates',
    );
  }
  throw new EngineError('CANCELLED', 'the edit was cancelled');
}

/** For work that is begun now and awaited later: until then nobody listens to its failure, and nobody needs to. */
export function ahead<T>(work: Promise<T>): Promise<T> {
  work.catch(() => undefined);
  return work;
}

/** Whether a process that died left words of an allocation that failed: what a native runtime writes before it gives up. */
export function tellsOfMemory(lastWords: string): boolean {
  return OUT_OF_MEMORY.test(lastWords);
}

export function firstLine(text: string): string {
  return text.split('\n', 1)[0]?.trim() ?? '';
}
