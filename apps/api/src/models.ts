/** Knows: what the resolvers receive for each type of the contract: rows of the database, and nothing derived. */

import { z } from 'zod';
import type { Candidate, Canvas, Edit, Revision, ShareLink, User } from './generated/prisma/client.js';

export type UserModel = User;
export type CanvasModel = Canvas;
export type RevisionModel = Revision;
export type EditModel = Edit;
export type CandidateModel = Candidate;
export type ShareLinkModel = ShareLink;

/** A node carries its type's name, since rows do not say which table they come from. */
export type NodeModel =
  | (UserModel & { __typename: 'User' })
  | (CanvasModel & { __typename: 'Canvas' })
  | (RevisionModel & { __typename: 'Revision' })
  | (EditModel & { __typename: 'Edit' });

/** A drag as it is frozen in an edit's row: handle x, y and target x, y. */
export type FrozenDrag = [handleX: number, handleY: number, targetX: number, targetY: number];

const frozenDrags = z.array(z.tuple([z.number(), z.number(), z.number(), z.number()]));

/** The drags of an edit's row. */
export function dragsOf(edit: EditModel): FrozenDrag[] {
  return frozenDrags.parse(edit.drags);
}
