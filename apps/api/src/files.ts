/** Knows: the two doors for bytes — POST /files, which takes pictures, and GET /files/…, which serves signed addresses. */

import { createWriteStream } from 'node:fs';
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { type ErrorCode, TugError } from '@tug/schema';
import busboy from 'busboy';
import { type NextFunction, type Request, type Response, Router } from 'express';
import type { Logger } from 'pino';
import { type Auth, bearerToken, requireUser } from './auth.js';
import { type Blobs, type FileRef, parseFilePath } from './blobs.js';
import type { Limits } from './config.js';
import type { Database } from './database.js';
import { KeyedMutex } from './mutex.js';
import { canonicalRaster } from './raster.js';
import { RateLimit } from './rate-limit.js';
import { newId } from './secrets.js';

const STATUS: Partial<Record<ErrorCode, number>> = {
  UNAUTHENTICATED: 401,
  FORBIDDEN: 403,
  NOT_FOUND: 404,
  BAD_USER_INPUT: 400,
  TOO_LARGE: 413,
  UNSUPPORTED_IMAGE: 415,
  RATE_LIMITED: 429,
};

const DECODERS = 2;

/** What the doors need. */
export interface FilesOptions {
  readonly db: Database;
  readonly auth: Auth;
  readonly blobs: Blobs;
  readonly limits: Limits;
  readonly dataDir: string;
  readonly log: Logger;
}

/** The routes under /files. */
export function filesRouter({ db, auth, blobs, limits, dataDir, log }: FilesOptions): Router {
  const uploads = new RateLimit('uploads', limits.uploadsPerMinute);
  const decoders = new KeyedMutex();
  let turn = 0;
  const router = Router();

  router.post('/files', async (request, response) => {
    const user = requireUser(await auth.userOf(bearerToken(request.headers.authorization)));
    uploads.take(user.id);
    const id = newId();
    const draft = join(dataDir, 'tmp', id);
    await mkdir(join(dataDir, 'tmp'), { recursive: true });
    try {
      await receive(request, draft, limits.uploadBytes);
      turn += 1;
      const raster = await decoders.run(String(turn % DECODERS), () => canonicalRaster(draft, limits.pixels));
      const sha256 = await blobs.put(raster, 'image/png');
      await db.upload.create({ data: { id, uploaderId: user.id, sha256 } });
      response.status(201).json({ fileId: id, width: raster.width, height: raster.height });
    } finally {
      await rm(draft, { force: true });
    }
  });

  router.get('/files/*path', async (request, response) => {
    const query = {
      user: text(request.query.user),
      expires: text(request.query.expires),
      signature: text(request.query.signature),
    };
    const ref = parseFilePath(request.path);
    if (ref === null || !blobs.verify(request.path, query))
      throw new TugError('NOT_FOUND', 'This address is not valid, or no longer.');
    const found = await locate(db, ref);
    if (found === null || (await auth.access(query.user, found.canvasId)) === null) {
      throw new TugError('NOT_FOUND', 'This address is not valid, or no longer.');
    }
    if (found.sha256 === null) {
      response.setHeader('Retry-After', '1');
      throw new TugError('NOT_FOUND', 'The mask of this edit is not derived yet.');
    }
    response.setHeader('Content-Type', ref.kind === 'thumbnail' ? 'image/webp' : 'image/png');
    response.setHeader('Cross-Origin-Resource-Policy', 'cross-origin'); // the signature is the permission
    response.setHeader(
      'Cache-Control',
      ref.kind === 'mask' ? 'private, no-cache' : 'private, max-age=21600, immutable',
    );
    response.sendFile(blobs.path(found.sha256), { cacheControl: false, dotfiles: 'allow' });
  });

  router.use('/files', (error: unknown, request: Request, response: Response, next: NextFunction) => {
    if (response.headersSent) return next(error);
    request.resume();
    const known =
      error instanceof TugError ? error : new TugError('INTERNAL_SERVER_ERROR', 'Something went wrong on the server.');
    if (!(error instanceof TugError)) log.error({ err: error }, 'a file request failed');
    response.status(STATUS[known.code] ?? 500).json({ error: { code: known.code, message: known.message } });
  });
  return router;
}

/** Streams the one part named "file" to a path. */
async function receive(request: Request, path: string, maxBytes: number): Promise<void> {
  const tooLarge = () => new TugError('TOO_LARGE', `A file may have at most ${Math.floor(maxBytes / 1_048_576)} MB.`);
  if (Number(request.headers['content-length'] ?? 0) > maxBytes * 2) throw tooLarge();
  let form: busboy.Busboy;
  try {
    form = busboy({ headers: request.headers, limits: { files: 1, fields: 8, fieldSize: 1024, fileSize: maxBytes } });
  } catch {
    throw new TugError('BAD_USER_INPUT', 'Expected multipart/form-data with one part named "file".');
  }
  let written: Promise<void> | undefined;
  let problem: TugError | undefined;
  form.on('file', (name, stream) => {
    if (name !== 'file') {
      problem = new TugError('BAD_USER_INPUT', `Expected a part named "file", not "${name.slice(0, 40)}".`);
      stream.resume();
      return;
    }
    stream.on('limit', () => {
      problem = tooLarge();
    });
    written = pipeline(stream, createWriteStream(path));
    written.catch(() => undefined);
  });
  form.on('filesLimit', () => {
    problem ??= new TugError('BAD_USER_INPUT', 'Send one file at a time.');
  });
  try {
    await pipeline(request, form);
    await written;
  } catch (error) {
    throw (
      problem ??
      new TugError('BAD_USER_INPUT', 'The upload ended early or is not valid multipart/form-data.', { cause: error })
    );
  }
  if (problem !== undefined) throw problem;
  if (written === undefined)
    throw new TugError('BAD_USER_INPUT', 'Expected multipart/form-data with one part named "file".');
}

async function locate(db: Database, ref: FileRef): Promise<{ canvasId: string; sha256: string | null } | null> {
  switch (ref.kind) {
    case 'image':
    case 'thumbnail': {
      const revision = await db.revision.findUnique({ where: { id: ref.revisionId } });
      return (
        revision && {
          canvasId: revision.canvasId,
          sha256: ref.kind === 'image' ? revision.imageSha : revision.thumbnailSha,
        }
      );
    }
    case 'mask': {
      const edit = await db.edit.findUnique({ where: { id: ref.editId }, select: { canvasId: true, maskSha: true } });
      return edit && { canvasId: edit.canvasId, sha256: edit.maskSha };
    }
    case 'candidate': {
      const candidate = await db.candidate.findUnique({
        where: { editId_index: { editId: ref.editId, index: ref.index } },
        select: { imageSha: true, edit: { select: { canvasId: true } } },
      });
      return candidate && { canvasId: candidate.edit.canvasId, sha256: candidate.imageSha };
    }
  }
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : '';
}
