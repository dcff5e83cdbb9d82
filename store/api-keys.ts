/** API keys of tenants: `mck_<id>_<secret>`. Only a SHA-256 of the secret is kept: 32 random bytes need no slow hash. */
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import { Model } from 'objection';
import { encodeBase32 } from '../platform/message-id.ts';
import { inTransaction, type Database, type Transaction } from './database.ts';
import { nextRevision, type Change } from './revisions.ts';

export interface ApiKey {
  readonly id: string;
  readonly tenantId: string;
  readonly name: string;
  readonly createdAt: string;
  readonly revokedAt?: string;
}

/** Whom a key speaks for. */
export interface Caller {
  readonly tenantId: string;
  readonly keyId: string;
}

/** What a cache needs to recognise a key. */
export interface KnownKey extends Caller {
  readonly secretHash: string;
  readonly isRevoked: boolean;
}

export interface ApiKeys {
  /** `key` is the only time that the secret is seen. */
  create(tenantId: string, name: string): Promise<ApiKey & { readonly key: string }>;
  findByKey(key: string): Promise<Caller | undefined>;
  /** False: this tenant has no such live key. */
  revoke(tenantId: string, keyId: string): Promise<boolean>;
  /** All of a tenant, revoked ones too, oldest first. */
  list(tenantId: string): Promise<ApiKey[]>;
  find(keyId: string): Promise<KnownKey | undefined>;
  changedSince(revision: number, limit: number): Promise<Change<KnownKey>[]>;
}

class ApiKeyRow extends Model {
  static override tableName = 'api_keys';
  declare id: string;
  declare tenantId: string;
  declare name: string;
  declare secretHash: string;
  declare revision: number;
  declare createdAt: Date;
  declare revokedAt: Date | null;
}

const keyPattern = /^mck_([0-9a-z]{8,12})_([A-Za-z0-9]{32,80})$/;

/** The parts of a key, or undefined when it cannot be one of ours. */
export function parseApiKey(key: string): { id: string; secret: string } | undefined {
  const [, id, secret] = keyPattern.exec(key) ?? [];
  return id === undefined || secret === undefined ? undefined : { id, secret };
}

/** Whether a secret is the one behind the hash; takes the same time either way. */
export function matchesSecret(secret: string, secretHash: string): boolean {
  return timingSafeEqual(Buffer.from(hashSecret(secret), 'hex'), Buffer.from(secretHash, 'hex'));
}

export function createApiKeys(db: Database): ApiKeys {
  const find = async (keyId: string) => {
    const row = await ApiKeyRow.query(db).findById(keyId);
    return row === undefined ? undefined : toKnown(row);
  };
  return {
    find,
    create: async (tenantId, name) => {
      const id = encodeBase32(randomBytes(6));
      const secret = encodeBase32(randomBytes(32));
      const row = { id, tenantId, name, createdAt: new Date(), revokedAt: null };
      await inTransaction(db, async (trx) => {
        const revision = await nextRevision(trx, 'api-keys');
        await ApiKeyRow.query(trx).insert({ ...row, revision, secretHash: hashSecret(secret) });
      });
      return { ...toApiKey(row), key: `mck_${id}_${secret}` };
    },
    findByKey: async (key) => {
      const parsed = parseApiKey(key);
      const known = parsed && (await find(parsed.id));
      if (parsed === undefined || known === undefined || known.isRevoked) return undefined;
      if (!matchesSecret(parsed.secret, known.secretHash)) return undefined;
      return { tenantId: known.tenantId, keyId: known.keyId };
    },
    revoke: (tenantId, keyId) => inTransaction(db, (trx) => revoke(trx, tenantId, keyId)),
    list: async (tenantId) => {
      const rows = await ApiKeyRow.query(db).where({ tenantId }).orderBy(['createdAt', 'id']);
      return rows.map(toApiKey);
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
    isRevoked: row.revokedAt !== null,
  };
}

function toApiKey(
  row: Pick<ApiKeyRow, 'id' | 'tenantId' | 'name' | 'createdAt' | 'revokedAt'>,
): ApiKey {
  return {
    id: row.id,
    tenantId: row.tenantId,
    name: row.name,
    createdAt: row.createdAt.toISOString(),
    ...(row.revokedAt !== null && { revokedAt: row.revokedAt.toISOString() }),
  };
}
