/** Knows: how the contract's types are read from rows. */

import { TugError } from '@tug/schema';
import { GraphQLError, GraphQLScalarType, Kind } from 'graphql';
import type { FileRef } from '../blobs.js';
import type { Context } from '../context.js';
import type {
  CandidateResolvers,
  CanvasEventResolvers,
  CanvasResolvers,
  EditResolvers,
  NodeResolvers,
  RevisionResolvers,
  ShareLinkResolvers,
} from '../generated/resolvers.js';
import { type CandidateModel, dragsOf } from '../models.js';
import { connection, pageQuery } from './paging.js';

export const DateTime = new GraphQLScalarType<Date, string>({
  name: 'DateTime',
  serialize: (value) => (value instanceof Date ? value : new Date(String(value))).toISOString(),
  parseValue: parseInstant,
  parseLiteral: (node) => parseInstant(node.kind === Kind.STRING ? node.value : null),
});

export const Node: NodeResolvers = { __resolveType: (node) => node.__typename };

export const CanvasEvent: CanvasEventResolvers = { __resolveType: (event) => event.__typename };

export const Canvas: CanvasResolvers = {
  async role(canvas, _args, { load }) {
    const access = await load.access.load(canvas.id);
    return found(access, 'canvas').role;
  },
  head: async (canvas, _args, { load }) =>
    found(canvas.headId === null ? null : await load.revision.load(canvas.headId), 'revision'),
  revisions: (canvas, _args, { services }) =>
    services.db.revision.findMany({ where: { canvasId: canvas.id }, orderBy: [{ createdAt: 'asc' }, { id: 'asc' }] }),
  async edits(canvas, { first, after }, { services }) {
    const { where, ...page } = pageQuery(first, after);
    return connection(await services.db.edit.findMany({ ...page, where: { canvasId: canvas.id, ...where } }), first);
  },
  async shareLinks(canvas, _args, { services, viewer }) {
    if (canvas.ownerId !== viewer?.id) return [];
    const now = new Date();
    const where = { canvasId: canvas.id, OR: [{ expiresAt: null }, { expiresAt: { gt: now } }] };
    return services.db.shareLink.findMany({ where, orderBy: { createdAt: 'asc' } });
  },
};

export const ShareLink: ShareLinkResolvers = {
  url: (link, _args, { services, baseUrl }) => `${baseUrl}/s/${services.signer.shareToken(link.id)}`,
};

export const Revision: RevisionResolvers = {
  url: (revision, _args, context) => signed(context, { kind: 'image', revisionId: revision.id }),
  thumbnailUrl: (revision, _args, context) => signed(context, { kind: 'thumbnail', revisionId: revision.id }),
  parent: (revision, _args, { load }) => (revision.parentId === null ? null : load.revision.load(revision.parentId)),
  edit: (revision, _args, { load }) => (revision.editId === null ? null : load.edit.load(revision.editId)),
  createdBy: async (revision, _args, { load }) => found(await load.user.load(revision.createdById), 'user'),
};

export const Edit: EditResolvers = {
  canvas: async (edit, _args, { load }) => found(await load.canvas.load(edit.canvasId), 'canvas'),
  base: async (edit, _args, { load }) => found(await load.revision.load(edit.baseId), 'revision'),
  requestedBy: async (edit, _args, { load }) => found(await load.user.load(edit.requestedById), 'user'),
  step: (edit, _args, { services }) => services.queue.stepOf(edit),
  drags: (edit) => dragsOf(edit).map(([x, y, toX, toY]) => ({ handle: { x, y }, target: { x: toX, y: toY } })),
  maskUrl: (edit, _args, context) => signed(context, { kind: 'mask', editId: edit.id }),
  candidates: (edit, _args, { load }) => load.candidates.load(edit.id),
  error: ({ errorCode, errorMessage }) =>
    errorCode === null ? null : { code: errorCode, message: errorMessage ?? '' },
  timings({ createdAt, startedAt, finishedAt, firstPreviewAt }) {
    if (startedAt === null) return null;
    return {
      queuedMs: startedAt.getTime() - createdAt.getTime(),
      runningMs: (finishedAt ?? new Date()).getTime() - startedAt.getTime(),
      firstPreviewMs: firstPreviewAt === null ? null : firstPreviewAt.getTime() - startedAt.getTime(),
    };
  },
};

export const Candidate: CandidateResolvers = {
  url: (candidate: CandidateModel, _args, context) =>
    signed(context, { kind: 'candidate', editId: candidate.editId, index: candidate.index }),
};

function signed({ services, viewer, baseUrl }: Context, ref: FileRef): string {
  if (viewer === null) throw new TugError('UNAUTHENTICATED', 'Sign in first.');
  return baseUrl + services.blobs.url(ref, viewer.id);
}

/** A row that must be there; it can only be gone if its canvas was deleted meanwhile. */
function found<T>(row: T | null, what: string): T {
  if (row === null) throw new TugError('NOT_FOUND', `The ${what} is gone.`);
  return row;
}

function parseInstant(value: unknown): Date {
  const date = typeof value === 'string' && /^\d{4}-\d{2}-\d{2}T/.test(value) ? new Date(value) : new Date(Number.NaN);
  if (Number.isNaN(date.getTime()))
    throw new GraphQLError('A DateTime is an ISO 8601 instant such as 2030-01-31T12:00:00Z.');
  return date;
}
