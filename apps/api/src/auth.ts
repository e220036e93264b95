/**
 * Knows: who somebody is (guest tokens, stored hashed) and what they may do on a canvas (owner, or let in by links that are
 * neither revoked nor expired). Tells live connections when a right ends.
 */

import { TugError } from '@tug/schema';
import type { Database } from './database.js';
import type { Role } from './generated/prisma/client.js';
import type { UserModel } from './models.js';
import { newId, newToken, sha256 } from './secrets.js';

const COLORS = [
  '#e5484d',
  '#f76b15',
  '#c98a00',
  '#46a758',
  '#12a594',
  '#0090ff',
  '#3e63dd',
  '#8e4ec6',
  '#d6409f',
  '#ad7f58',
];
const UNUSED_MS = 30 * 24 * 3_600_000;
const SEEN_EVERY_MS = 3_600_000;
const RANK: Record<Role, number> = { VIEWER: 0, EDITOR: 1, OWNER: 2 };

/** What somebody may do on a canvas, and until when (null = no end in sight). */
export interface Access {
  readonly role: Role;
  readonly until: Date | null;
}

export class Auth {
  private readonly watchers = new Map<string, Set<() => void>>();

  constructor(private readonly db: Database) {}

  /** Makes a guest account. */
  async signIn(name: string): Promise<{ token: string; user: UserModel }> {
    const trimmed = name.trim();
    const length = [...trimmed].length;
    if (length < 1 || length > 40)
      throw new TugError('BAD_USER_INPUT', `A name has 1 to 40 characters, not ${length}.`);
    const token = newToken();
    const id = newId();
    const color = COLORS[Number.parseInt(sha256(id).slice(0, 8), 16) % COLORS.length] ?? '#0090ff';
    const user = await this.db.user.create({ data: { id, name: trimmed, color, tokenHash: sha256(token) } });
    return { token, user };
  }

  /** Whose token it is; null for none, an unknown one, or one that nobody used for a month. */
  async userOf(token: string | null | undefined): Promise<UserModel | null> {
    if (token === null || token === undefined || token === '' || token.length > 200) return null;
    const user = await this.db.user.findUnique({ where: { tokenHash: sha256(token) } });
    if (user === null) return null;
    const unused = Date.now() - user.seenAt.getTime();
    if (unused > UNUSED_MS) return null;
    if (unused > SEEN_EVERY_MS) await this.db.user.updateMany({ where: { id: user.id }, data: { seenAt: new Date() } });
    return user;
  }

  /** What the user may do on each of the canvases; null where nothing. */
  async accessToMany(userId: string, canvasIds: readonly string[]): Promise<(Access | null)[]> {
    const ids = [...new Set(canvasIds)];
    const canvases = await this.db.canvas.findMany({
      where: { id: { in: ids } },
      select: {
        id: true,
        ownerId: true,
        grants: { where: { userId }, select: { link: { select: { role: true, expiresAt: true } } } },
      },
    });
    const now = Date.now();
    const found = new Map(
      canvases.map((canvas): [string, Access | null] => {
        if (canvas.ownerId === userId) return [canvas.id, { role: 'OWNER', until: null }];
        const open = canvas.grants
          .map((grant) => grant.link)
          .filter((link) => link.expiresAt === null || link.expiresAt.getTime() > now);
        return [canvas.id, best(open)];
      }),
    );
    return canvasIds.map((id) => found.get(id) ?? null);
  }

  async access(userId: string, canvasId: string): Promise<Access | null> {
    const [access] = await this.accessToMany(userId, [canvasId]);
    return access ?? null;
  }

  /** Throws NOT_FOUND unless the user may see the canvas, and FORBIDDEN unless the role is enough. */
  async require(
    user: UserModel | null,
    canvasId: string,
    role: Role,
    what = 'canvas',
  ): Promise<{ user: UserModel; access: Access }> {
    const known = requireUser(user);
    const access = await this.access(known.id, canvasId);
    if (access === null) throw new TugError('NOT_FOUND', `There is no such ${what}.`);
    if (RANK[access.role] < RANK[role]) {
      throw new TugError('FORBIDDEN', `This takes the role ${role}; yours on this canvas is ${access.role}.`);
    }
    return { user: known, access };
  }

  /**
   * Calls back when the user's access to the canvas may have changed: a link was revoked, the canvas deleted, or `until` came.
   * Whoever watches looks the access up again.
   */
  watch(canvasId: string, onChange: () => void): Disposable {
    const watchers = this.watchers.get(canvasId) ?? new Set();
    this.watchers.set(canvasId, watchers);
    watchers.add(onChange);
    return {
      [Symbol.dispose]: () => {
        watchers.delete(onChange);
        if (watchers.size === 0 && this.watchers.get(canvasId) === watchers) this.watchers.delete(canvasId);
      },
    };
  }

  /** Says that rights on the canvas have changed. */
  changed(canvasId: string): void {
    for (const onChange of [...(this.watchers.get(canvasId) ?? [])]) onChange();
  }

  /**
   * Follows one user's access for as long as a connection lives. `onAccess` hears every change; null is the end.
   */
  follow(userId: string, canvasId: string, start: Access, onAccess: (access: Access | null) => void): Disposable {
    let timer: NodeJS.Timeout | undefined;
    let disposed = false;
    const arm = (access: Access) => {
      clearTimeout(timer);
      if (access.until === null || disposed) return;
      timer = setTimeout(check, Math.min(Math.max(access.until.getTime() - Date.now(), 0) + 1, 2 ** 31 - 1));
      timer.unref();
    };
    const check = () => {
      this.access(userId, canvasId)
        .catch(() => null)
        .then((access) => {
          if (disposed) return;
          if (access !== null) arm(access);
          onAccess(access);
        });
    };
    const watching = this.watch(canvasId, check);
    arm(start);
    check(); // `start` may have been read before a change that nobody here heard of
    return {
      [Symbol.dispose]: () => {
        disposed = true;
        clearTimeout(timer);
        watching[Symbol.dispose]();
      },
    };
  }
}

/** The user, or UNAUTHENTICATED. */
export function requireUser(user: UserModel | null): UserModel {
  if (user === null)
    throw new TugError('UNAUTHENTICATED', 'Sign in first: signInAsGuest gives a token for the Authorization header.');
  return user;
}

/** The token in an Authorization header. */
export function bearerToken(header: string | undefined): string | null {
  return header?.match(/^Bearer\s+(\S+)$/i)?.[1] ?? null;
}

/** The strongest role of several links; it holds until the last link that gives it ends. */
function best(links: readonly { role: Role; expiresAt: Date | null }[]): Access | null {
  let access: Access | null = null;
  for (const { role, expiresAt } of links) {
    const stronger = access === null || RANK[role] > RANK[access.role];
    const longer =
      access !== null &&
      role === access.role &&
      access.until !== null &&
      (expiresAt === null || expiresAt > access.until);
    if (stronger || longer) access = { role, until: expiresAt };
  }
  return access;
}
