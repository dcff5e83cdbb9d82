/** People who said through a channel that they want no more from a tenant: held back from marketing, nothing else. */
import type { Database, Transaction } from './database.ts';
import { everyChannel } from './suppressions.ts';

export interface OptOutEntry {
  readonly tenantId: string;
  /** A channel, or '*': every one. */
  readonly channel: string;
  readonly recipientHash: string;
  readonly isOut: boolean;
  readonly how: string;
  /** ISO time. */
  readonly occurredAt: string;
}

export interface OptOuts {
  /** Keeps a person's word; an older word than the one that is kept changes nothing. */
  record(entry: OptOutEntry): Promise<void>;
  isOut(key: Pick<OptOutEntry, 'tenantId' | 'channel' | 'recipientHash'>): Promise<boolean>;
  /** Those of these recipients who are out. */
  outOf(
    key: Pick<OptOutEntry, 'tenantId' | 'channel'>,
    recipientHashes: readonly string[],
  ): Promise<ReadonlySet<string>>;
}

interface OptOutRow {
  tenantId: string;
  channel: string;
  recipientHash: string;
  isOut: number;
  how: string;
  occurredAt: Date;
}

export function createOptOuts(db: Database): OptOuts {
  const outOf: OptOuts['outOf'] = async ({ tenantId, channel }, recipientHashes) => {
    // A word on every channel and one on this: the newer holds, of two at one moment the one that is out.
    const found = await db<OptOutRow>('opt_outs')
      .where({ tenantId })
      .whereIn('channel', [channel, everyChannel])
      .whereIn('recipientHash', [...recipientHashes])
      .orderBy('occurredAt')
      .orderBy('isOut')
      .select('recipientHash', 'isOut');
    const last = new Map(found.map(({ recipientHash, isOut }) => [recipientHash, isOut === 1]));
    return new Set([...last].flatMap(([hash, isOut]) => (isOut ? [hash] : [])));
  };
  return {
    record: (entry) => keepWord(db, entry),
    isOut: async ({ recipientHash, ...place }) =>
      (await outOf(place, [recipientHash])).has(recipientHash),
    outOf,
  };
}

/** As `OptOuts.record`. */
export async function keepWord(db: Database | Transaction, entry: OptOutEntry): Promise<void> {
  const { tenantId, channel, recipientHash } = entry;
  const key = { tenantId, channel, recipientHash };
  const word = {
    isOut: entry.isOut ? 1 : 0,
    how: entry.how.slice(0, 32),
    occurredAt: new Date(entry.occurredAt),
  };
  const rows = () => db<OptOutRow>('opt_outs');
  await rows()
    .insert({ ...key, ...word })
    .onConflict(['tenantId', 'channel', 'recipientHash'])
    .ignore();
  await rows().where(key).where('occurredAt', '<=', word.occurredAt).update(word);
}
