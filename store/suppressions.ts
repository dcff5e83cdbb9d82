/** Addresses that a tenant must not write to, through one channel or any: held back from all but critical messages. */
import type { Database } from './database.ts';

/** In place of a channel: through none. */
export const everyChannel = '*';

export interface Suppression {
  readonly recipientHash: string;
  /** A channel, or '*': every one. */
  readonly channel: string;
  readonly reason: string;
  /** ISO time. */
  readonly createdAt: string;
}

export interface Suppressions {
  /** Suppresses an address; again gives it the newer reason. */
  put(tenantId: string, suppression: Omit<Suppression, 'createdAt'>): Promise<Suppression>;
  /** Those of any of these addresses. */
  of(tenantId: string, recipientHashes: readonly string[]): Promise<readonly Suppression[]>;
  /** False: there is none of this address and this very channel. */
  remove(
    tenantId: string,
    suppression: Pick<Suppression, 'recipientHash' | 'channel'>,
  ): Promise<boolean>;
}

interface SuppressionRow {
  tenantId: string;
  recipientHash: string;
  channel: string;
  reason: string;
  createdAt: Date;
}

export function createSuppressions(db: Database): Suppressions {
  const rows = () => db<SuppressionRow>('suppressions');
  return {
    put: async (tenantId, { recipientHash, channel, reason }) => {
      const row = { tenantId, recipientHash, channel, reason, createdAt: new Date() };
      await rows().insert(row).onConflict(['tenantId', 'recipientHash', 'channel']).merge();
      return toSuppression(row);
    },
    of: async (tenantId, recipientHashes) => {
      const found = await rows()
        .where({ tenantId })
        .whereIn('recipientHash', [...recipientHashes])
        .orderBy('channel');
      return found.map(toSuppression);
    },
    remove: async (tenantId, { recipientHash, channel }) =>
      (await rows().where({ tenantId, recipientHash, channel }).delete()) > 0,
  };
}

function toSuppression({ recipientHash, channel, reason, createdAt }: SuppressionRow): Suppression {
  return { recipientHash, channel, reason, createdAt: createdAt.toISOString() };
}
