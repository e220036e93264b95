/** Knows: how the contract's queries are answered. What the viewer may not see is null, as if it were not there. */

import type { Context } from '../context.js';
import type { QueryResolvers } from '../generated/resolvers.js';
import type { CanvasModel, NodeModel } from '../models.js';
import { connection, pageQuery } from './paging.js';

export const Query: QueryResolvers = {
  viewer: (_root, _args, { viewer }) => viewer,

  canvas: (_root, { id }, context) => visibleCanvas(id, context),

  async canvases(_root, { first, after }, { services, viewer }) {
    const { where, ...page } = pageQuery(first, after);
    if (viewer === null) return connection<CanvasModel>([], first);
    const open = { link: { OR: [{ expiresAt: null }, { expiresAt: { gt: new Date() } }] } };
    const mine = { OR: [{ ownerId: viewer.id }, { grants: { some: { userId: viewer.id, ...open } } }] };
    return connection(await services.db.canvas.findMany({ ...page, where: { AND: [mine, where] } }), first);
  },

  async node(_root, { id }, context): Promise<NodeModel | null> {
    const { load, viewer } = context;
    if (viewer === null) return null;
    const [canvas, revision, edit] = await Promise.all([
      load.canvas.load(id),
      load.revision.load(id),
      load.edit.load(id),
    ]);
    const canvasId = canvas?.id ?? revision?.canvasId ?? edit?.canvasId;
    if (canvasId !== undefined && (await load.access.load(canvasId)) === null) return null;
    if (canvas !== null) return { ...canvas, __typename: 'Canvas' };
    if (revision !== null) return { ...revision, __typename: 'Revision' };
    if (edit !== null) return { ...edit, __typename: 'Edit' };
    const user = await visibleUser(id, context);
    return user && { ...user, __typename: 'User' };
  },

  async engine(_root, _args, { services: { engine } }) {
    const { device, deviceReason, precision, maxDrags, maxPixels } = await engine.info();
    const bundles = [...engine.bundles].map(([name, bundle]) => ({ ...bundle, name }));
    return { device, deviceReason, precision, maxDrags, maxPixels, maxCandidates: 4, bundles };
  },
};

async function visibleCanvas(id: string, { load, viewer }: Context): Promise<CanvasModel | null> {
  if (viewer === null || (await load.access.load(id)) === null) return null;
  return load.canvas.load(id);
}

/** The viewer, or somebody who is on one of the viewer's canvases. */
async function visibleUser(id: string, { services: { db }, load, viewer }: Context) {
  if (viewer === null) return null;
  if (id === viewer.id) return viewer;
  const on = (userId: string) => ({
    OR: [{ ownerId: userId }, { grants: { some: { userId } } }, { revisions: { some: { createdById: userId } } }],
  });
  const shared = await db.canvas.findMany({
    where: { AND: [on(id), { OR: [{ ownerId: viewer.id }, { grants: { some: { userId: viewer.id } } }] }] },
    select: { id: true },
  });
  const access = await Promise.all(shared.map((canvas) => load.access.load(canvas.id)));
  return access.some((found) => found !== null) ? load.user.load(id) : null;
}
