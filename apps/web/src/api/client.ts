/**
 * Knows: how to reach the api on the page's own origin: GraphQL over HTTP, uploads, and errors as people can read them.
 * Does not know: who is signed in (`session/guest.ts` hands it a token), subscriptions, React.
 */

import { type ErrorCode, isErrorCode, TugError } from '@tug/schema';
import type { TypedDocumentString } from '@/generated/graphql';

/** A request that never got an answer. */
export class Unreachable extends Error {
  override readonly name = 'Unreachable';
  constructor(options?: { cause?: unknown }) {
    super('The server cannot be reached. Nothing is lost: try again when the connection is back.', options);
  }
}

interface GraphQLAnswer<T> {
  data?: T | null;
  errors?: readonly { message: string; extensions?: { code?: unknown } }[];
}

/** Sends one operation; throws a TugError with the api's own code and message, or Unreachable. */
export async function send<T, V>(document: TypedDocumentString<T, V>, variables: V, token: string | null): Promise<T> {
  let response: Response;
  try {
    response = await fetch('/graphql', {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        accept: 'application/json',
        ...(token ? { authorization: `Bearer ${token}` } : {}),
      },
      body: JSON.stringify({ query: document.toString(), variables }),
    });
  } catch (cause) {
    throw new Unreachable({ cause });
  }
  const answer = (await response.json().catch(() => null)) as GraphQLAnswer<T> | null;
  const error = answer?.errors?.[0];
  if (error) throw new TugError(codeOf(error.extensions?.code), error.message);
  if (!answer?.data) {
    if (response.status >= 500) throw new Unreachable();
    throw new TugError('INTERNAL_SERVER_ERROR', `The server answered with status ${response.status}.`);
  }
  return answer.data;
}

export interface Upload {
  readonly fileId: string;
  readonly width: number;
  readonly height: number;
}

/** Uploads a picture; `onProgress` is told the part that was sent, 0 to 1. */
export function upload(file: Blob, name: string, token: string, onProgress: (part: number) => void): Promise<Upload> {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open('POST', '/files');
    request.setRequestHeader('authorization', `Bearer ${token}`);
    request.responseType = 'json';
    request.upload.onprogress = (event) => {
      if (event.lengthComputable) onProgress(event.loaded / event.total);
    };
    request.onerror = () => reject(new Unreachable());
    request.onload = () => {
      const answer: unknown = request.response;
      if (request.status === 201 && isUpload(answer)) resolve(answer);
      else reject(uploadError(request.status, answer));
    };
    const form = new FormData();
    form.append('file', file, name);
    request.send(form);
  });
}

/** What to tell a person about anything that was thrown. */
export function explain(error: unknown): string {
  if (error instanceof TugError && error.code === 'UNAUTHENTICATED')
    return 'Your guest session has ended. Reload the page to go on.';
  if (error instanceof TugError || error instanceof Unreachable) return error.message;
  return 'Something unexpected went wrong. Try again; if it stays, reload the page.';
}

export function hasCode(error: unknown, code: ErrorCode): boolean {
  return error instanceof TugError && error.code === code;
}

function codeOf(value: unknown): ErrorCode {
  return isErrorCode(value) ? value : 'INTERNAL_SERVER_ERROR';
}

function isUpload(value: unknown): value is Upload {
  return typeof value === 'object' && value !== null && 'fileId' in value && typeof value.fileId === 'string';
}

function uploadError(status: number, answer: unknown): TugError {
  const error = typeof answer === 'object' && answer !== null && 'error' in answer ? answer.error : null;
  if (typeof error === 'object' && error !== null && 'message' in error && typeof error.message === 'string') {
    return new TugError(codeOf('code' in error ? error.code : null), error.message);
  }
  if (status === 413) return new TugError('TOO_LARGE', 'This picture is too large. Make it smaller and try again.');
  if (status === 415) return new TugError('UNSUPPORTED_IMAGE', 'This file is not a picture that can be read.');
  return new TugError('INTERNAL_SERVER_ERROR', `The upload was answered with status ${status}.`);
}
