/** Knows: the closed set of error codes that leave the API, and the one error class that carries them. */

/** `extensions.code` of GraphQL errors and `error.code` of POST /files. */
export const ERROR_CODES = [
  'UNAUTHENTICATED',
  'FORBIDDEN',
  'NOT_FOUND',
  'BAD_USER_INPUT',
  'CONFLICT',
  'RATE_LIMITED',
  'QUEUE_FULL',
  'ENGINE_UNAVAILABLE',
  'TOO_LARGE',
  'UNSUPPORTED_IMAGE',
  'QUERY_TOO_COMPLEX',
  'INTERNAL_SERVER_ERROR',
] as const;

export type ErrorCode = (typeof ERROR_CODES)[number];

/** An error that a person can act on: the message says what was expected, what came, and what to do. */
export class TugError extends Error {
  override readonly name = 'TugError';

  constructor(
    readonly code: ErrorCode,
    message: string,
    options?: { cause?: unknown },
  ) {
    super(message, options);
  }
}

/** Whether a string from outside is one of the codes. */
export function isErrorCode(value: unknown): value is ErrorCode {
  return ERROR_CODES.some((code) => code === value);
}
