/**
 * Sessions of people, and the tokens that they make for programs: `mcs_<id>_<secret>`. Only a SHA-256 of the secret is kept:
 * 32 random bytes need no slow hash. Read from MySQL at every call, so that an end is an end at once.
 */
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import { problem } from '../contracts/problems.ts';
import type { Grant, Session } from '../contracts/users.ts';
import { encodeBase32 } from '../platform/message-id.ts';
import type { Database } from './database.ts';
import { readGrants } from './users.ts';

/** Who calls by a token. */
export interface SessionCaller {
  readonly session: Pick<Session, 'id' | 'kind'>;
  readonly user: { readonly id: string; readonly name: string; readonly grants: readonly Grant[] };
}

export interface Sessions {
  /** `token` is the only time that the secret is seen. Errors: not-found (the user is disabled or gone). */
  create(session: {
    readonly userId: string;
    readonly kind: Session['kind'];
    readonly name?: string;
    readonly expiresAt: Date;
  }): Promise<Session & { readonly token: string }>;
  /** Undefined: none of ours, expired, revoked, or its user is disabled. */
  findByToken(token: string): Promise<SessionCaller | undefined>;
  /** The live ones of a user, oldest first. */
  list(userId: string): Promise<Session[]>;
  /** False: this user has no such live one. */
  revoke(userId: string, id: string): Promise<boolean>;
}

interface SessionRow {
  id: string;
  userId: string;
  kind: Session['kind'];
  name: string | null;
  secretHash: string;
  createdAt: Date;
  expiresAt: Date;
  lastUsedAt: Date | null;
}

const tokenPattern = /^mcs_([0-9a-z]{10})_([0-9a-z]{52})$/;
/** `lastUsedAt` is not worth a write at every call. */
const touchEveryMs = 60_000;

export function createSessions(db: Database): Sessions {
  const rows = () => db<SessionRow>('user_sessions');
  return {
    create: async ({ userId, kind, name, expiresAt }) => {
      const now = new Date();
      await rows().where('expiresAt', '<', now).limit(100).delete();
      const secret = encodeBase32(randomBytes(32));
      const row: SessionRow = {
        id: encodeBase32(randomBytes(6)),
        userId,
        kind,
        name: name ?? null,
        secretHash: hashSecret(secret),
        createdAt: now,
        expiresAt,
        lastUsedAt: null,
      };
      await db.transaction(async (trx) => {
        // Its lock: who is being disabled now either ends this session too, or is seen here.
        const user = await trx('users')
          .where({ id: userId, isDisabled: 0 })
          .forUpdate()
          .first('id');
        if (user === undefined)
          throw problem('not-found', { detail: 'There is no such user now.' });
        await trx<SessionRow>('user_sessions').insert(row);
      });
      return { ...toSession(row), token: `mcs_${row.id}_${secret}` };
    },
    findByToken: async (token) => {
      const [, id, secret] = tokenPattern.exec(token) ?? [];
      if (id === undefined || secret === undefined) return undefined;
      const now = new Date();
      const row = await rows().where({ id }).where('expiresAt', '>', now).first();
      if (row === undefined || !matchesSecret(secret, row.secretHash)) return undefined;
      const { userId, kind, lastUsedAt } = row;
      const user = await db<{ id: string; name: string; isDisabled: 0 | 1 }>('users')
        .where({ id: userId, isDisabled: 0 })
        .first('id', 'name');
      if (user === undefined) return undefined;
      if (lastUsedAt === null || lastUsedAt.getTime() < now.getTime() - touchEveryMs)
        await rows().where({ id }).update({ lastUsedAt: now });
      const grants = (await readGrants(db, [userId])).get(userId) ?? [];
      return { session: { id, kind }, user: { ...user, grants } };
    },
    list: async (userId) =>
      (
        await rows()
          .where({ userId })
          .where('expiresAt', '>', new Date())
          .orderBy(['createdAt', 'id'])
      ).map(toSession),
    revoke: async (userId, id) => (await rows().where({ userId, id }).delete()) === 1,
  };
}

function hashSecret(secret: string): string {
  return createHash('sha256').update(secret).digest('hex');
}

function matchesSecret(secret: string, secretHash: string): boolean {
  return timingSafeEqual(Buffer.from(hashSecret(secret), 'hex'), Buffer.from(secretHash, 'hex'));
}

function toSession({ id, kind, name, createdAt, expiresAt, lastUsedAt }: SessionRow): Session {
  return {
    id,
    kind,
    ...(name !== null && { name }),
    createdAt: createdAt.toISOString(),
    expiresAt: expiresAt.toISOString(),
    ...(lastUsedAt !== null && { lastUsedAt: lastUsedAt.toISOString() }),
  };
}
