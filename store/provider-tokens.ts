/** Provider tokens where all processes see them, sealed. Lease times are the database's, so clocks may differ. */
import { createHash } from 'node:crypto';
import type { TokenKey } from '../contracts/channel.ts';
import type { TokenShelf } from '../platform/provider-tokens.ts';
import type { Sealer } from '../platform/seal.ts';
import type { Database } from './database.ts';
import type { SealedColumn } from './sealed-columns.ts';

interface TokenRow {
  accountId: string;
  name: string;
  sealed: string | null;
  tokenHash: string | null;
  renewAtMs: number;
  expiresAtMs: number;
}

export interface TokenTable extends TokenShelf {
  /** Removes at most `limit` tokens that ended before `beforeMs`; resolves with how many. */
  purge(beforeMs: number, limit: number): Promise<number>;
}

export function createTokenTable(db: Database, sealer: Sealer): TokenTable {
  const rows = () => db<TokenRow>('provider_tokens');
  const one = ({ accountId, name }: TokenKey) => ({ accountId, name });
  return {
    read: async (key) => {
      const row = await rows().where(one(key)).first();
      if (row === undefined || row.sealed === null || row.expiresAtMs === 0) return undefined;
      const token = sealer.open(row.sealed, contextOf(key)).toString('utf8');
      return { token, renewAtMs: row.renewAtMs, expiresAtMs: row.expiresAtMs };
    },
    lease: async (key, leaseMs) => {
      await db.raw(
        'insert ignore into provider_tokens (account_id, name, renew_at_ms, expires_at_ms) values (?, ?, 0, 0)',
        [key.accountId, key.name],
      );
      const taken = await rows()
        .where(one(key))
        .where((either) =>
          either.whereNull('leasedUntil').orWhereRaw('leased_until <= utc_timestamp(3)'),
        )
        .update({
          leasedUntil: db.raw('utc_timestamp(3) + interval ? microsecond', [leaseMs * 1000]),
        } as object);
      return taken === 1;
    },
    write: async (key, { token, renewAtMs, expiresAtMs }) => {
      await rows()
        .where(one(key))
        .update({
          sealed: sealer.seal(token, contextOf(key)),
          tokenHash: hashOf(token),
          renewAtMs: Math.round(renewAtMs),
          expiresAtMs: Math.round(expiresAtMs),
          leasedUntil: null,
        } as object);
    },
    release: async (key) =>
      void (await rows()
        .where(one(key))
        .update({ leasedUntil: null } as object)),
    expire: async (key, failed) =>
      void (await rows()
        .where({ ...one(key), tokenHash: hashOf(failed) })
        .update({ renewAtMs: 0, expiresAtMs: 0 })),
    purge: (beforeMs, limit) => rows().where('expiresAtMs', '<', beforeMs).limit(limit).delete(),
  };
}

const contextOf = ({ accountId, name }: TokenKey) => `provider-token:${accountId}:${name}`;

export const sealedTokens: SealedColumn<TokenKey> = {
  what: 'provider tokens',
  table: 'providerTokens',
  column: 'sealed',
  keys: ['accountId', 'name'],
  form: 'direct',
  context: contextOf,
};

const hashOf = (token: string) => createHash('sha256').update(token).digest('hex');
