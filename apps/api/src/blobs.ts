/**
 * Knows: where bytes lie on disk (by their SHA-256, which never leaves the server), which of them nothing uses any more, and
 * the signed addresses under which the rest can be fetched for a while.
 */

import { randomUUID } from 'node:crypto';
import { mkdir, open, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Database } from './database.js';
import { KeyedMutex } from './mutex.js';
import type { Raster } from './raster.js';
import { type Signer, sha256 } from './secrets.js';

const UPLOAD_LIFE_MS = 24 * 3_600_000;
const GRACE_MS = 3_600_000;
const URL_LIFE_S = 12 * 3600;
const URL_GRID_S = 6 * 3600;

export type Mime = 'image/png' | 'image/webp';

/** What a signed address points to. */
export type FileRef =
  | { kind: 'image' | 'thumbnail'; revisionId: string }
  | { kind: 'mask'; editId: string }
  | { kind: 'candidate'; editId: string; index: number };

export class Blobs {
  private readonly mutex = new KeyedMutex();
  private readonly folder: string;

  constructor(
    private readonly db: Database,
    private readonly signer: Signer,
    dataDir: string,
  ) {
    this.folder = join(dataDir, 'files');
  }

  /** Stores a picture, on disk and flushed before the row that names it; the same bytes are stored once. */
  async put({ data, width, height }: Raster, mime: Mime): Promise<string> {
    const hash = sha256(data);
    await this.mutex.run(hash, async () => {
      const path = this.path(hash);
      if (!(await exists(path, data.length))) await writeDurably(path, data);
      await this.db.blob.upsert({
        where: { sha256: hash },
        create: { sha256: hash, mime, bytes: data.length, width, height },
        update: { createdAt: new Date() },
      });
    });
    return hash;
  }

  path(hash: string): string {
    return join(this.folder, hash.slice(0, 2), hash);
  }

  /** Removes uploads that nobody used in a day, and bytes that nothing refers to. */
  async sweep(now = Date.now()): Promise<void> {
    await this.db.upload.deleteMany({ where: { createdAt: { lt: new Date(now - UPLOAD_LIFE_MS) } } });
    const unused = {
      createdAt: { lt: new Date(now - GRACE_MS) },
      uploads: { none: {} },
      images: { none: {} },
      thumbnails: { none: {} },
      masks: { none: {} },
      candidates: { none: {} },
    };
    for (const { sha256: hash } of await this.db.blob.findMany({ where: unused, select: { sha256: true } })) {
      await this.mutex.run(hash, async () => {
        const { count } = await this.db.blob.deleteMany({ where: { sha256: hash, ...unused } });
        if (count > 0) await rm(this.path(hash), { force: true });
      });
    }
  }

  /**
   * The signed path and query for a user. It holds for 6 to 12 hours, and stays the same for hours, so that browsers can cache
   * what it shows; whoever serves it looks up again whether the user may see the canvas.
   */
  url(ref: FileRef, userId: string, now = Date.now()): string {
    const path = pathOf(ref);
    const expires = Math.floor(now / 1000 / URL_GRID_S) * URL_GRID_S + URL_LIFE_S;
    return `${path}?user=${userId}&expires=${expires}&signature=${this.signer.sign('file', `${path}\n${userId}\n${expires}`)}`;
  }

  /** Whose address it is, if it is genuine and has not expired. */
  verify(path: string, query: { user: string; expires: string; signature: string }, now = Date.now()): boolean {
    const genuine = this.signer.verify('file', `${path}\n${query.user}\n${query.expires}`, query.signature);
    return genuine && Number(query.expires) * 1000 > now;
  }
}

function pathOf(ref: FileRef): string {
  switch (ref.kind) {
    case 'image':
      return `/files/revisions/${ref.revisionId}/image.png`;
    case 'thumbnail':
      return `/files/revisions/${ref.revisionId}/thumbnail.webp`;
    case 'mask':
      return `/files/edits/${ref.editId}/mask.png`;
    case 'candidate':
      return `/files/edits/${ref.editId}/candidates/${ref.index}.png`;
  }
}

/** The reverse of the addresses that are signed; null for any other path. */
export function parseFilePath(path: string): FileRef | null {
  const [, revision, picture] = path.match(/^\/files\/revisions\/([a-z0-9]+)\/(image\.png|thumbnail\.webp)$/) ?? [];
  if (revision !== undefined) return { kind: picture === 'image.png' ? 'image' : 'thumbnail', revisionId: revision };
  const [, masked] = path.match(/^\/files\/edits\/([a-z0-9]+)\/mask\.png$/) ?? [];
  if (masked !== undefined) return { kind: 'mask', editId: masked };
  const [, edit, index] = path.match(/^\/files\/edits\/([a-z0-9]+)\/candidates\/([0-9])\.png$/) ?? [];
  return edit === undefined ? null : { kind: 'candidate', editId: edit, index: Number(index) };
}

async function exists(path: string, bytes: number): Promise<boolean> {
  return stat(path).then(
    (found) => found.size === bytes,
    () => false,
  );
}

async function writeDurably(path: string, data: Uint8Array): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  const draft = `${path}.${randomUUID()}`;
  const file = await open(draft, 'wx');
  try {
    await file.writeFile(data);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(draft, path);
}
