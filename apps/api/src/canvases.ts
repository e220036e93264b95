/** Knows: canvases, their revisions and head, and the links that let people in. */

import { TugError } from '@tug/schema';
import { type Auth, requireUser } from './auth.js';
import type { Blobs } from './blobs.js';
import type { Database, Transaction } from './database.js';
import type { CanvasEvents, EventBody } from './events.js';
import type { Role } from './generated/prisma/client.js';
import type { CanvasModel, RevisionModel, ShareLinkModel, UserModel } from './models.js';
import { thumbnail } from './raster.js';
import { newId, type Signer } from './secrets.js';

const MAX_TITLE = 120;
const MAX_LINKS = 100;

/** Told after the database has a new head: the shared document follows. */
export type HeadListener = (canvasId: string, headId: string, usedDragIds: readonly string[]) => Promise<void>;

export interface CanvasesOptions {
  readonly db: Database;
  readonly auth: Auth;
  readonly blobs: Blobs;
  readonly events: CanvasEvents;
  readonly signer: Signer;
  readonly readBlob: (sha256: string) => Promise<Buffer>;
  readonly onHead: HeadListener;
}

export class Canvases {
  constructor(private readonly services: CanvasesOptions) {}

  /** Makes a canvas of an upload of the user's own; the upload's id is used up. */
  async create(viewer: UserModel | null, fileId: string, title: string | null | undefined): Promise<CanvasModel> {
    const user = requireUser(viewer);
    const name = title === null || title === undefined ? 'Untitled' : checkedTitle(title);
    const upload = await this.services.db.upload.findFirst({
      where: { id: fileId, uploaderId: user.id },
      include: { blob: true },
    });
    if (upload === null)
      throw new TugError('NOT_FOUND', 'There is no such file; a file id works once, for its uploader.');
    const { width, height, sha256: imageSha } = upload.blob;
    const thumbnailSha = await this.services.blobs.put(
      await thumbnail(await this.services.readBlob(imageSha)),
      'image/webp',
    );
    const [canvasId, headId] = [newId(), newId()];
    return this.services.db.$transaction(async (tx) => {
      const { count } = await tx.upload.deleteMany({ where: { id: fileId } });
      if (count === 0)
        throw new TugError('NOT_FOUND', 'There is no such file; a file id works once, for its uploader.');
      await tx.canvas.create({ data: { id: canvasId, title: name, width, height, ownerId: user.id } });
      await tx.revision.create({ data: { id: headId, canvasId, imageSha, thumbnailSha, createdById: user.id } });
      return tx.canvas.update({ where: { id: canvasId }, data: { headId } });
    });
  }

  async rename(viewer: UserModel | null, canvasId: string, title: string): Promise<CanvasModel> {
    await this.services.auth.require(viewer, canvasId, 'EDITOR');
    return this.services.db.canvas.update({ where: { id: canvasId }, data: { title: checkedTitle(title) } });
  }

  /** Deletes the canvas with everything on it; whoever is on it is let go. */
  async delete(viewer: UserModel | null, canvasId: string): Promise<void> {
    await this.services.auth.require(viewer, canvasId, 'OWNER');
    await this.services.db.canvas.deleteMany({ where: { id: canvasId } });
    this.services.auth.changed(canvasId);
  }

  /** Makes a candidate the head: a new revision under the edit's base, or the one that was made of it before. */
  async accept(
    viewer: UserModel | null,
    editId: string,
    index: number,
    expectedHeadId: string | null | undefined,
  ): Promise<CanvasModel> {
    const { db, auth, blobs, events } = this.services;
    const edit = await db.edit.findUnique({ where: { id: editId } });
    if (edit === null) {
      requireUser(viewer);
      throw new TugError('NOT_FOUND', 'There is no such edit.');
    }
    const { user } = await auth.require(viewer, edit.canvasId, 'EDITOR', 'edit');
    const candidate = await db.candidate.findUnique({ where: { editId_index: { editId, index } } });
    if (candidate === null) throw new TugError('NOT_FOUND', `This edit has no candidate ${index}.`);
    const thumbnailSha = await blobs.put(
      await thumbnail(await this.services.readBlob(candidate.imageSha)),
      'image/webp',
    );
    const canvas = await events.commit(edit.canvasId, async (tx) => {
      const { imageSha } = candidate;
      const made = await tx.revision.findUnique({
        where: { editId_candidateIndex: { editId, candidateIndex: index } },
      });
      return moveHead(tx, edit.canvasId, expectedHeadId, () =>
        made === null
          ? tx.revision.create({
              data: {
                id: newId(),
                canvasId: edit.canvasId,
                parentId: edit.baseId,
                editId,
                candidateIndex: index,
                imageSha,
                thumbnailSha,
                createdById: user.id,
              },
            })
          : Promise.resolve(made),
      );
    });
    if (canvas.headId !== null) await this.services.onHead(canvas.id, canvas.headId, edit.usedDragIds);
    return canvas;
  }

  /** Makes an earlier revision the head again. */
  async restore(
    viewer: UserModel | null,
    canvasId: string,
    revisionId: string,
    expectedHeadId: string | null | undefined,
  ): Promise<CanvasModel> {
    await this.services.auth.require(viewer, canvasId, 'EDITOR');
    const revision = await this.services.db.revision.findFirst({ where: { id: revisionId, canvasId } });
    if (revision === null) throw new TugError('NOT_FOUND', 'This canvas has no such revision.');
    const canvas = await this.services.events.commit(canvasId, (tx) =>
      moveHead(tx, canvasId, expectedHeadId, async () => revision),
    );
    await this.services.onHead(canvas.id, revisionId, []);
    return canvas;
  }

  async createLink(
    viewer: UserModel | null,
    canvasId: string,
    role: Role,
    expiresAt: Date | null | undefined,
  ): Promise<{ shareLink: ShareLinkModel; token: string }> {
    const { db, auth, signer } = this.services;
    await auth.require(viewer, canvasId, 'OWNER');
    if (role === 'OWNER') throw new TugError('BAD_USER_INPUT', 'A link gives the role EDITOR or VIEWER, not OWNER.');
    if (expiresAt && expiresAt.getTime() <= Date.now())
      throw new TugError('BAD_USER_INPUT', 'expiresAt lies in the past.');
    if ((await db.shareLink.count({ where: { canvasId } })) >= MAX_LINKS) {
      throw new TugError('BAD_USER_INPUT', `A canvas has at most ${MAX_LINKS} links; revoke one first.`);
    }
    const shareLink = await db.shareLink.create({
      data: { id: newId(), canvasId, role, expiresAt: expiresAt ?? null },
    });
    return { shareLink, token: signer.shareToken(shareLink.id) };
  }

  /** Takes the link back: whoever has no other way in loses the canvas at once. */
  async revokeLink(viewer: UserModel | null, linkId: string): Promise<CanvasModel> {
    const user = requireUser(viewer);
    const { db, auth } = this.services;
    const link = await db.shareLink.findUnique({ where: { id: linkId }, include: { canvas: true } });
    const access = link === null ? null : await auth.access(user.id, link.canvasId);
    if (link === null || access?.role !== 'OWNER') throw new TugError('NOT_FOUND', 'There is no such link.');
    await db.shareLink.deleteMany({ where: { id: linkId } });
    auth.changed(link.canvasId);
    return link.canvas;
  }

  /** Lets the user in through a link; doing it again changes nothing. */
  async redeem(viewer: UserModel | null, token: string): Promise<CanvasModel> {
    const user = requireUser(viewer);
    const { db, auth, signer } = this.services;
    const linkId = signer.shareLinkId(token);
    const link =
      linkId === null ? null : await db.shareLink.findUnique({ where: { id: linkId }, include: { canvas: true } });
    if (link === null || (link.expiresAt !== null && link.expiresAt.getTime() <= Date.now())) {
      throw new TugError('NOT_FOUND', 'This link is not valid, or no longer. Ask for a new one.');
    }
    if (link.canvas.ownerId !== user.id) {
      await db.grant.upsert({
        where: { userId_linkId: { userId: user.id, linkId: link.id } },
        create: { userId: user.id, linkId: link.id, canvasId: link.canvasId },
        update: {},
      });
      auth.changed(link.canvasId);
    }
    return link.canvas;
  }
}

async function moveHead(
  tx: Transaction,
  canvasId: string,
  expectedHeadId: string | null | undefined,
  revision: () => Promise<RevisionModel>,
): Promise<{ result: CanvasModel; events: EventBody[] }> {
  const canvas = await tx.canvas.findUnique({ where: { id: canvasId } });
  if (canvas === null) throw new TugError('NOT_FOUND', 'There is no such canvas.');
  if (expectedHeadId !== null && expectedHeadId !== undefined && expectedHeadId !== canvas.headId) {
    throw new TugError('CONFLICT', 'Somebody changed the head meanwhile: look at the new picture first.');
  }
  const head = await revision();
  if (head.id === canvas.headId) return { result: canvas, events: [] };
  const result = await tx.canvas.update({ where: { id: canvasId }, data: { headId: head.id } });
  return { result, events: [{ __typename: 'HeadChanged', canvasId, head }] };
}

function checkedTitle(title: string): string {
  const trimmed = title.trim();
  const length = [...trimmed].length;
  if (length < 1 || length > MAX_TITLE)
    throw new TugError('BAD_USER_INPUT', `A title has 1 to ${MAX_TITLE} characters, not ${length}.`);
  return trimmed;
}
