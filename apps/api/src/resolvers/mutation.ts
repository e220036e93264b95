/** Knows: which service does what a mutation asks for. */

import type { MutationResolvers } from '../generated/resolvers.js';

export const Mutation: MutationResolvers = {
  async signInAsGuest(_root, { input }, { services, ip }) {
    services.signIns.take(ip);
    return services.auth.signIn(input.name);
  },

  async createCanvas(_root, { input }, { services, viewer }) {
    return { canvas: await services.canvases.create(viewer, input.fileId, input.title) };
  },

  async renameCanvas(_root, { input }, { services, viewer }) {
    return { canvas: await services.canvases.rename(viewer, input.canvasId, input.title) };
  },

  async deleteCanvas(_root, { input }, { services, viewer }) {
    await services.canvases.delete(viewer, input.canvasId);
    return { canvasId: input.canvasId };
  },

  async startEdit(_root, { input }, { services, viewer }) {
    return { edit: await services.edits.start(viewer, input) };
  },

  async cancelEdit(_root, { input }, { services, viewer }) {
    return { edit: await services.edits.cancel(viewer, input.editId) };
  },

  async acceptCandidate(_root, { input }, { services, viewer }) {
    return { canvas: await services.canvases.accept(viewer, input.editId, input.index, input.expectedHeadId) };
  },

  async restoreRevision(_root, { input }, { services, viewer }) {
    return { canvas: await services.canvases.restore(viewer, input.canvasId, input.revisionId, input.expectedHeadId) };
  },

  createShareLink(_root, { input }, { services, viewer }) {
    return services.canvases.createLink(viewer, input.canvasId, input.role, input.expiresAt);
  },

  async revokeShareLink(_root, { input }, { services, viewer }) {
    return { canvas: await services.canvases.revokeLink(viewer, input.shareLinkId) };
  },

  async redeemShareLink(_root, { input }, { services, viewer }) {
    return { canvas: await services.canvases.redeem(viewer, input.token) };
  },
};
