/** People who said through a channel that they want no more from a tenant: held back from marketing, nothing else. */
import type { Database } from './database.ts';

export interface OptOutEntry {
  readonly tenantId: string;
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
  const rows = () => db<OptOutRow>('opt_outs');
  return {
    record: async ({ tenantId, channel, recipientHash, isOut, how, occurredAt }) => {
      const key = { tenantId, channel, recipientHash };
      const word = {
        isOut: isOut ? 1 : 0,
        how: how.slice(0, 32),
        occurredAt: new Date(occurredAt),
      };
      await rows()
        .insert({ ...key, ...word })
        .onConflict(['tenantId', 'channel', 'recipientHash'])
        .ignore();
      await rows().where(key).where('occurredAt', '<=', word.occurredAt).update(word);
    },
    isOut: async (key) =>
      (await rows()
        .where({ ...key, isOut: 1 })
        .first('how')) !== undefined,
  };
}
