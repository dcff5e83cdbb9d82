/** Users: people who administer, with their passwords and role grants. */
import { hash, verify } from '@node-rs/argon2';
import { problem } from '../contracts/problems.ts';
import { type Grant, type User, type UserEdit } from '../contracts/users.ts';
import { inTransaction, isDuplicate, type Database, type Transaction } from './database.ts';
import { createId } from './ids.ts';
import type { PageRequest } from './tenants.ts';

export interface Users {
  /** Without a password nobody can sign in by one; `identity`: who they are at an OIDC provider. Errors: name-taken. */
  create(
    user: UserEdit & { readonly login: string; readonly identity?: UserIdentity },
  ): Promise<User>;
  get(id: string): Promise<User | undefined>;
  findByLogin(login: string): Promise<User | undefined>;
  /** By id; `among`: only those with a grant in one of these tenants. */
  list(page: PageRequest & { readonly among?: readonly string[] | undefined }): Promise<User[]>;
  /**
   * Replaces name, grants and whether it is disabled; without `password` that stays. Sessions and tokens end when it is
   * disabled or gets a password. Errors: not-found, version-conflict.
   */
  update(id: string, expectedVersion: number, edit: UserEdit): Promise<User>;
  /** With grants, sessions and tokens. Errors: not-found, version-conflict. */
  remove(id: string, expectedVersion: number): Promise<User>;
  /** The enabled user of a login, if the password is theirs; takes as long for a login that there is none of. */
  verify(login: string, password: string): Promise<User | undefined>;
  /** Who came by this identity of an OIDC provider. */
  findByIdentity(issuer: string, subject: string): Promise<User | undefined>;
  /** What is linked already stays. */
  linkIdentity(id: string, identity: UserIdentity): Promise<void>;
}

/** A person at an OIDC provider. */
export interface UserIdentity {
  readonly issuer: string;
  readonly subject: string;
}

interface UserRow {
  id: string;
  login: string;
  name: string;
  passwordHash: string | null;
  isDisabled: 0 | 1;
  version: number;
  createdAt: Date;
  updatedAt: Date;
}
interface GrantRow extends Grant {
  userId: string;
}

interface IdentityRow extends UserIdentity {
  userId: string;
}

type Connection = Database | Transaction;

/** What a login that there is none of is verified against. */
const nobodysHash = hash('a password that nobody has');

export function createUsers(db: Database): Users {
  const rows = (on: Connection = db) => on<UserRow>('users');
  const one = async (where: Partial<UserRow>, on: Connection = db) => {
    const row = await rows(on).where(where).first();
    return row === undefined ? undefined : (await withGrants(on, [row]))[0];
  };

  return {
    create: async ({ login, password, identity, ...edit }) => {
      const passwordHash = password === undefined ? null : await hash(password);
      const now = new Date();
      return inTransaction(db, async (trx) => {
        const row: UserRow = {
          id: createId('usr'),
          login,
          name: edit.name,
          passwordHash,
          isDisabled: edit.isDisabled === true ? 1 : 0,
          version: 1,
          createdAt: now,
          updatedAt: now,
        };
        await rows(trx)
          .insert(row)
          .catch((error: unknown) => throwLoginTaken(error, login));
        await putGrants(trx, row.id, edit.grants);
        if (identity !== undefined)
          await trx<IdentityRow>('user_identities').insert({ ...identity, userId: row.id });
        return toUser(row, edit.grants);
      });
    },
    get: (id) => one({ id }),
    findByLogin: (login) => one({ login }),
    list: async ({ after, limit, among }) => {
      const query = rows().orderBy('id').limit(limit);
      if (after !== undefined) void query.where('id', '>', after);
      if (among !== undefined)
        void query.whereIn(
          'id',
          db<GrantRow>('user_grants').select('userId').whereIn('tenantId', among),
        );
      return withGrants(db, await query);
    },
    update: async (id, expectedVersion, { password, ...edit }) => {
      const passwordHash = password === undefined ? undefined : await hash(password);
      return inTransaction(db, async (trx) => {
        const row = await lockedRow(trx, id, expectedVersion);
        const next: Omit<UserRow, 'id' | 'login' | 'createdAt'> = {
          name: edit.name,
          isDisabled: edit.isDisabled === true ? 1 : 0,
          passwordHash: passwordHash ?? row.passwordHash,
          version: row.version + 1,
          updatedAt: new Date(),
        };
        await rows(trx).where({ id }).update(next);
        await trx('user_grants').where({ userId: id }).delete();
        await putGrants(trx, id, edit.grants);
        if (next.isDisabled === 1 || passwordHash !== undefined)
          await trx('user_sessions').where({ userId: id }).delete();
        return toUser({ ...row, ...next }, edit.grants);
      });
    },
    remove: (id, expectedVersion) =>
      inTransaction(db, async (trx) => {
        const row = await lockedRow(trx, id, expectedVersion);
        const [user] = await withGrants(trx, [row]);
        if (user === undefined) throw new Error('a row was given and none came back');
        for (const table of ['user_grants', 'user_sessions', 'user_identities'])
          await trx(table).where({ userId: id }).delete();
        await rows(trx).where({ id }).delete();
        return user;
      }),
    verify: async (login, password) => {
      const row = await rows().where({ login }).first();
      const passwordHash = row?.isDisabled === 0 ? row.passwordHash : null;
      const isRight = await verify(passwordHash ?? (await nobodysHash), password);
      return row !== undefined && passwordHash !== null && isRight
        ? one({ id: row.id })
        : undefined;
    },
    findByIdentity: async (issuer, subject) => {
      const identity = await db<IdentityRow>('user_identities').where({ issuer, subject }).first();
      return identity === undefined ? undefined : one({ id: identity.userId });
    },
    linkIdentity: async (id, identity) => {
      await db('user_identities')
        .insert({ ...identity, userId: id })
        .onConflict()
        .ignore();
    },
  };
}

/** What a user may do where, by users; one without grants has an entry too. */
export async function readGrants(
  on: Connection,
  userIds: readonly string[],
): Promise<ReadonlyMap<string, Grant[]>> {
  const grants = new Map<string, Grant[]>(userIds.map((id) => [id, []]));
  const rows = await on<GrantRow>('user_grants')
    .whereIn('userId', [...userIds])
    .orderBy(['tenantId', 'role']);
  for (const { userId, role, tenantId } of rows) grants.get(userId)?.push({ role, tenantId });
  return grants;
}

async function withGrants(on: Connection, rows: readonly UserRow[]): Promise<User[]> {
  const grants = await readGrants(
    on,
    rows.map(({ id }) => id),
  );
  return rows.map((row) => toUser(row, grants.get(row.id) ?? []));
}

async function putGrants(trx: Transaction, userId: string, grants: readonly Grant[]) {
  if (grants.length > 0)
    await trx('user_grants').insert(grants.map((grant) => ({ ...grant, userId })));
}

async function lockedRow(trx: Transaction, id: string, expectedVersion: number): Promise<UserRow> {
  const row = await trx<UserRow>('users').where({ id }).forUpdate().first();
  if (row === undefined)
    throw problem('not-found', { detail: `There is no user with the id "${id}".` });
  if (row.version !== expectedVersion)
    throw problem('version-conflict', {
      detail: `You read version ${expectedVersion}; it is version ${row.version} now.`,
      errors: [{ pointer: 'header/if-match', detail: `is not the current "${row.version}"` }],
    });
  return row;
}

function throwLoginTaken(error: unknown, login: string): never {
  if (!isDuplicate(error)) throw error;
  throw problem('name-taken', {
    detail: `There is a user "${login}" already.`,
    errors: [{ pointer: '/login', detail: 'is in use' }],
  });
}

function toUser(row: UserRow, grants: readonly Grant[]): User {
  return {
    id: row.id,
    login: row.login,
    name: row.name,
    isDisabled: row.isDisabled === 1,
    hasPassword: row.passwordHash !== null,
    grants: grants.toSorted((a, b) => order(a.tenantId, b.tenantId) || order(a.role, b.role)),
    version: row.version,
    createdAt: row.createdAt.toISOString(),
    updatedAt: row.updatedAt.toISOString(),
  };
}

function order(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
