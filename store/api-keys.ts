/** API keys of tenants: `mck_<id>_<secret>`. Only a SHA-256 of the secret is kept: 32 random bytes need no slow hash. */
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import { Model } from 'objection';
import { apiScopes, type ApiScope } from '../contracts/api-scopes.ts';
import { problem } from '../contracts/problems.ts';
import { encodeBase32 } from '../platform/message-id.ts';
import { inTransaction, type Database, type Transaction } from './database.ts';
import { nextRevision, type Change } from './revisions.ts';

export interface ApiKey {
  readonly id: string;
  readonly tenantId: string;
  readonly name: string;
  readonly scopes: readonly ApiScope[];
  readonly createdAt: string;
  /** Not taken any more from then on. */
  readonly expiresAt?: string;
  readonly revokedAt?: string;
  /** To the minute. */
  readonly lastUsedAt?: string;
}

export interface NewApiKey {
  readonly name: string;
  /** Default: all there are, and will be. */
  readonly scopes?: readonly ApiScope[];
  readonly expiresAt?: Date;
}

/** Whom a key speaks for. */
export interface Caller {
  readonly tenantId: string;
  readonly keyId: string;
  readonly scopes: readonly ApiScope[];
}

/** What a cache needs to recognise a key. */
export interface KnownKey extends Caller {
  readonly secretHash: string;
  readonly isRevoked: boolean;
  /** Epoch milliseconds. */
  readonly expiresAtMs?: number;
}

export interface ApiKeys {
  /** `key` is the only time that the secret is seen. Errors: too-many-keys, when two of this name are live. */
  create(tenantId: string, wanted: NewApiKey): Promise<ApiKey & { readonly key: string }>;
  findByKey(key: string): Promise<Caller | undefined>;
  /** False: this tenant has no such live key. */
  revoke(tenantId: string, keyId: string): Promise<boolean>;
  /** All of a tenant, revoked ones too, oldest first. */
  list(tenantId: string): Promise<ApiKey[]>;
  /** Notes when keys were used; a note within a minute of the one before is dropped. */
  recordUses(uses: readonly { readonly keyId: string; readonly usedAt: Date }[]): Promise<void>;
  find(keyId: string): Promise<KnownKey | undefined>;
  changedSince(revision: number, limit: number): Promise<Change<KnownKey>[]>;
}

class ApiKeyRow extends Model {
  static override tableName = 'api_keys';
  declare id: string;
  declare tenantId: string;
  declare name: string;
  declare secretHash: string;
  declare scopes: string | null;
  declare revision: number;
  declare createdAt: Date;
  declare expiresAt: Date | null;
  declare revokedAt: Date | null;
  declare lastUsedAt: Date | null;
}

/** The one in use, and the one that takes its place. */
const mostLiveKeys = 2;
const useEveryMs = 60_000;

const keyPattern = /^mck_([0-9a-z]{8,12})_([A-Za-z0-9]{32,80})$/;

/** The parts of a key, or undefined when it cannot be one of ours. */
export function parseApiKey(key: string): { id: string; secret: string } | undefined {
  const [, id, secret] = keyPattern.exec(key) ?? [];
  return id === undefined || secret === undefined ? undefined : { id, secret };
}

/** Whether a secret is the one behind the hash; takes the same time either way. */
function matchesSecret(secret: string, secretHash: string): boolean {
  return timingSafeEqual(Buffer.from(hashSecret(secret), 'hex'), Buffer.from(secretHash, 'hex'));
}

/** Whom a known key speaks for, if the secret is its own and it is live now. */
export function callerOf(known: KnownKey, secret: string): Caller | undefined {
  const { tenantId, keyId, scopes, isRevoked, expiresAtMs = Infinity } = known;
  if (isRevoked || expiresAtMs <= Date.now()) return undefined;
  return matchesSecret(secret, known.secretHash) ? { tenantId, keyId, scopes } : undefined;
}

export function createApiKeys(db: Database): ApiKeys {
  const find = async (keyId: string) => {
    const row = await ApiKeyRow.query(db).findById(keyId);
    return row === undefined ? undefined : toKnown(row);
  };
  return {
    find,
    create: async (tenantId, { name, scopes, expiresAt }) => {
      const id = encodeBase32(randomBytes(6));
      const secret = encodeBase32(randomBytes(32));
      const row = {
        id,
        tenantId,
        name,
        scopes: scopes?.join(' ') ?? null,
        createdAt: new Date(),
        expiresAt: expiresAt ?? null,
        revokedAt: null,
        lastUsedAt: null,
      };
      await inTransaction(db, async (trx) => {
        const revision = await nextRevision(trx, 'api-keys');
        await assertRoom(trx, tenantId, name);
        await ApiKeyRow.query(trx).insert({ ...row, revision, secretHash: hashSecret(secret) });
      });
      return { ...toApiKey(row), key: `mck_${id}_${secret}` };
    },
    findByKey: async (key) => {
      const parsed = parseApiKey(key);
      const known = parsed && (await find(parsed.id));
      return parsed && known && callerOf(known, parsed.secret);
    },
    revoke: (tenantId, keyId) => inTransaction(db, (trx) => revoke(trx, tenantId, keyId)),
    list: async (tenantId) => {
      const rows = await ApiKeyRow.query(db).where({ tenantId }).orderBy(['createdAt', 'id']);
      return rows.map(toApiKey);
    },
    recordUses: async (uses) => {
      for (const { keyId, usedAt } of uses)
        await ApiKeyRow.query(db)
          .findById(keyId)
          .where((older) =>
            older
              .whereNull('lastUsedAt')
              .orWhere('lastUsedAt', '<=', new Date(usedAt.getTime() - useEveryMs)),
          )
          .patch({ lastUsedAt: usedAt });
    },
    changedSince: async (revision, limit) => {
      const rows = await ApiKeyRow.query(db)
        .where('revision', '>', revision)
        .orderBy('revision')
        .limit(limit);
      return rows.map((row) => ({
        id: row.id,
        revision: row.revision,
        read: () => toKnown(row),
      }));
    },
  };
}

/** Its caller's lock on the revision lets one key in at a time. */
async function assertRoom(trx: Transaction, tenantId: string, name: string): Promise<void> {
  const live = await ApiKeyRow.query(trx)
    .where({ tenantId, name })
    .whereNull('revokedAt')
    .where((either) => either.whereNull('expiresAt').orWhere('expiresAt', '>', new Date()));
  if (live.length < mostLiveKeys) return;
  const ids = live.map(({ id }) => id).join(', ');
  throw problem('too-many-keys', {
    detail: `"${name}" has ${live.length} live keys: ${ids}. Revoke the old one first.`,
    errors: [{ pointer: '/name', detail: `has ${mostLiveKeys} live keys already` }],
  });
}

async function revoke(trx: Transaction, tenantId: string, keyId: string): Promise<boolean> {
  const revision = await nextRevision(trx, 'api-keys');
  const changed = await ApiKeyRow.query(trx)
    .where({ id: keyId, tenantId })
    .whereNull('revokedAt')
    .patch({ revokedAt: new Date(), revision });
  return changed === 1;
}

function hashSecret(secret: string): string {
  return createHash('sha256').update(secret).digest('hex');
}

function toKnown(row: ApiKeyRow): KnownKey {
  return {
    keyId: row.id,
    tenantId: row.tenantId,
    secretHash: row.secretHash,
    scopes: scopesOf(row),
    isRevoked: row.revokedAt !== null,
    ...(row.expiresAt !== null && { expiresAtMs: row.expiresAt.getTime() }),
  };
}

/** Keys from before there were scopes, and those made without, may do everything. */
function scopesOf({ scopes }: Pick<ApiKeyRow, 'scopes'>): readonly ApiScope[] {
  return scopes === null ? apiScopes : apiScopes.filter((one) => scopes.split(' ').includes(one));
}

function toApiKey(row: Omit<ApiKeyRow, keyof Model | 'secretHash' | 'revision'>): ApiKey {
  return {
    id: row.id,
    tenantId: row.tenantId,
    name: row.name,
    scopes: scopesOf(row),
    createdAt: row.createdAt.toISOString(),
    ...(row.expiresAt !== null && { expiresAt: row.expiresAt.toISOString() }),
    ...(row.lastUsedAt !== null && { lastUsedAt: row.lastUsedAt.toISOString() }),
    ...(row.revokedAt !== null && { revokedAt: row.revokedAt.toISOString() }),
  };
}
