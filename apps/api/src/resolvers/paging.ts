/** Knows: cursors, and how a list in time order is cut into pages. */

import { TugError } from '@tug/schema';

const MAX_FIRST = 100;

/** What the database is asked for, newest first. */
export interface PageQuery {
  take: number;
  orderBy: [{ createdAt: 'desc' }, { id: 'desc' }];
  where: { OR?: [{ createdAt: { lt: Date } }, { createdAt: Date; id: { lt: string } }] };
}

interface Row {
  id: string;
  createdAt: Date;
}

/** The page after a cursor; one row more than asked for tells whether another page follows. */
export function pageQuery(first: number, after: string | null | undefined): PageQuery {
  if (first < 0 || first > MAX_FIRST) throw new TugError('BAD_USER_INPUT', `first is 0 to ${MAX_FIRST}, not ${first}.`);
  const query: PageQuery = { take: first + 1, orderBy: [{ createdAt: 'desc' }, { id: 'desc' }], where: {} };
  if (after !== null && after !== undefined) {
    const { createdAt, id } = decode(after);
    query.where = { OR: [{ createdAt: { lt: createdAt } }, { createdAt, id: { lt: id } }] };
  }
  return query;
}

/** The rows of a {@link pageQuery} as a connection. */
export function connection<T extends Row>(rows: T[], first: number) {
  const edges = rows.slice(0, first).map((node) => ({ node, cursor: encode(node) }));
  return { edges, pageInfo: { hasNextPage: rows.length > first, endCursor: edges.at(-1)?.cursor ?? null } };
}

function encode(row: Row): string {
  return Buffer.from(`${row.createdAt.getTime()} ${row.id}`).toString('base64url');
}

function decode(cursor: string): Row {
  const [, time, id] =
    Buffer.from(cursor, 'base64url')
      .toString()
      .match(/^(\d{1,15}) ([a-z0-9]+)$/) ?? [];
  if (time === undefined || id === undefined)
    throw new TugError('BAD_USER_INPUT', 'after is not a cursor of this list.');
  return { createdAt: new Date(Number(time)), id };
}
