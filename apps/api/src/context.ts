/** Knows: what every resolver gets — the services, who asks, and loaders that ask the database once for many rows. */

import DataLoader from 'dataloader';
import type { Access, Auth } from './auth.js';
import type { Blobs } from './blobs.js';
import type { Canvases } from './canvases.js';
import type { Database } from './database.js';
import type { EditQueue } from './edit-queue.js';
import type { Edits } from './edits.js';
import type { EngineProcess } from './engine-process.js';
import type { CanvasEvents } from './events.js';
import type { CandidateModel, CanvasModel, EditModel, RevisionModel, UserModel } from './models.js';
import type { RateLimit } from './rate-limit.js';
import type { Signer } from './secrets.js';

export interface Services {
  readonly db: Database;
  readonly auth: Auth;
  readonly blobs: Blobs;
  readonly canvases: Canvases;
  readonly edits: Edits;
  readonly queue: EditQueue;
  readonly engine: EngineProcess;
  readonly events: CanvasEvents;
  readonly signer: Signer;
  readonly signIns: RateLimit;
}

export interface Context {
  readonly services: Services;
  readonly viewer: UserModel | null;
  /** the address of the asker, for limits */
  readonly ip: string;
  /** what urls begin with, without a slash at the end */
  readonly baseUrl: string;
  readonly load: Loaders;
}

/** Rows by id; null where there is none. Nothing is cached: a subscription's context lives long and must not grow stale. */
export interface Loaders {
  readonly user: DataLoader<string, UserModel | null>;
  readonly canvas: DataLoader<string, CanvasModel | null>;
  readonly revision: DataLoader<string, RevisionModel | null>;
  readonly edit: DataLoader<string, EditModel | null>;
  /** the viewer's access by canvas id */
  readonly access: DataLoader<string, Access | null>;
  /** by edit id */
  readonly candidates: DataLoader<string, CandidateModel[]>;
}

/** The context of one request or one connection. */
export function createContext(services: Services, viewer: UserModel | null, ip: string, baseUrl: string): Context {
  const { db, auth } = services;
  const load: Loaders = {
    user: byId((id) => db.user.findMany({ where: { id } })),
    canvas: byId((id) => db.canvas.findMany({ where: { id } })),
    revision: byId((id) => db.revision.findMany({ where: { id } })),
    edit: byId((id) => db.edit.findMany({ where: { id } })),
    access: new DataLoader(async (ids) => (viewer === null ? ids.map(() => null) : auth.accessToMany(viewer.id, ids)), {
      cache: false,
    }),
    candidates: new DataLoader(
      async (ids) => {
        const rows = await db.candidate.findMany({
          where: { editId: { in: [...new Set(ids)] } },
          orderBy: { index: 'asc' },
        });
        return ids.map((id) => rows.filter((row) => row.editId === id));
      },
      { cache: false },
    ),
  };
  return { services, viewer, ip, baseUrl, load };
}

function byId<Row extends { id: string }>(
  find: (id: { in: string[] }) => Promise<Row[]>,
): DataLoader<string, Row | null> {
  return new DataLoader(
    async (ids) => {
      const rows = new Map((await find({ in: [...new Set(ids)] })).map((row) => [row.id, row]));
      return ids.map((id) => rows.get(id) ?? null);
    },
    { cache: false },
  );
}
