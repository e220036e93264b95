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

/** Native allocation failures, as ONNX Runtime, V8 and libvips word them. */
const OUT_OF_MEMORY = /bad_alloc|out of memory|failed to allocate|allocation failed|cudaErrorMemoryAllocation|OOM/i;

/** Turns whatever was thrown into an EngineError; `doing` completes the sentence "… failed while". */
export function asEngineError(error: unknown, doing: string): EngineError {
  if (error instanceof EngineError) return error;
  const text = firstLine(error instanceof Error ? error.message : String(error));
  if (OUT_OF_MEMORY.test(text) || error instanceof RangeError) {
    return new EngineError(
      'OUT_OF_MEMORY',
      `not enough memory while ${doing} (${text}): use a smaller picture or mask, or give the process more memory`,
      { cause: error },
    );
  }
  return new EngineError('ENGINE_FAILED', `${doing} failed: ${text}`, { cause: error });
}

/** Throws CANCELLED if the signal has fired. A deadline (AbortSignal.timeout) is a cancellation with its own words. */
export function throwIfCancelled(signal: AbortSignal | undefined): void {
  if (!signal?.aborted) return;
  const timedOut = signal.reason instanceof DOMException && signal.reason.name === 'TimeoutError';
  throw new EngineError('CANCELLED', timedOut ? 'the edit ran past its deadline' : 'the edit was cancelled');
}

export function firstLine(text: string): string {
  return text.split('\n', 1)[0]?.trim() ?? '';
}
