/** What is sealed in MySQL, and its move to the newest master key: row by row, so that it can be broken off and repeated. */
import type { Logger } from '../platform/logger.ts';
import type { Sealer } from '../platform/seal.ts';
import { accountSecrets } from './channel-accounts.ts';
import type { Database } from './database.ts';
import { sealedFaults, sealedMembers } from './batch-uploads.ts';
import { sealedConsents } from './consents.ts';
import { sealedDayKeys } from './day-keys.ts';
import { sealedDevices } from './devices.ts';
import { sealedItems } from './inbox-rows.ts';
import { sealedReceipts } from './parked-receipts.ts';
import { sealedPeople } from './people.ts';
import { sealedTokens } from './provider-tokens.ts';
import type { SealedColumn } from './sealed-columns.ts';
import { sealedWebhookEvents } from './webhook-deliveries.ts';
import { sealedWebhookSecrets } from './webhook-endpoints.ts';

/** Every sealed column there is; store/secrets.test.ts looks for others. */
export const sealedColumns: readonly SealedColumn[] = [
  accountSecrets,
  sealedTokens,
  sealedPeople,
  sealedConsents,
  sealedDevices,
  sealedItems,
  sealedReceipts,
  sealedMembers,
  sealedFaults,
  sealedWebhookSecrets,
  sealedWebhookEvents,
  sealedDayKeys,
];

export interface SealedCount {
  readonly what: string;
  /** Name of the master key. */
  readonly key: string;
  readonly count: number;
}

export interface SealedUnder {
  /** Names of the keys of this process, the one that seals first. */
  readonly keyNames: readonly string[];
  readonly counts: readonly SealedCount[];
}

export interface Secrets {
  /** How much is sealed under which key; reads every row. */
  count(): Promise<SealedUnder>;
  /**
   * Seals what other keys have sealed under the newest, for about `withinMs`. Values that change meanwhile are left as they
   * are: whoever wrote them used the newest. `unreadable`: sealed under a key that is not known any more.
   */
  rewrap(withinMs: number): Promise<{
    readonly rewrapped: number;
    readonly unreadable: number;
    readonly isDone: boolean;
  }>;
}

const pageSize = 100;

type Row = Record<string, string | number>;

export function createSecrets(db: Database, sealer: Sealer, logger: Logger): Secrets {
  /** Rows of a column that are not sealed as they would be now, after one of them. */
  const olderRows = async (of: SealedColumn, after: readonly unknown[] | undefined) => {
    const prefix = sealer.newestPrefix(of.form);
    const query = db<Row>(of.table)
      .select([...of.keys, ...(of.besides ?? []), of.column])
      .whereNot(of.column, '')
      .whereRaw('left(??, ?) <> ?', [of.column, prefix.length, prefix])
      .orderBy([...of.keys])
      .limit(pageSize);
    if (after !== undefined) {
      const marks = of.keys.map(() => '?').join(', ');
      const names = of.keys.map(() => '??').join(', ');
      void query.whereRaw(`(${names}) > (${marks})`, [...of.keys, ...after] as string[]);
    }
    return (await query) as Row[];
  };
  const resealed = (of: SealedColumn, row: Row): string | undefined => {
    try {
      return sealer.reseal(String(row[of.column]), of.context(row as never), of.form);
    } catch (error) {
      logger.error({ error, table: of.table }, 'secret.unreadable');
      return undefined;
    }
  };
  /** False: it was changed meanwhile. */
  const replace = async (of: SealedColumn, row: Row, sealed: string): Promise<boolean> => {
    const asRead = Object.fromEntries([...of.keys, of.column].map((name) => [name, row[name]]));
    return (
      (await db(of.table)
        .where(asRead)
        .update({ [of.column]: sealed })) === 1
    );
  };

  return {
    count: async () => {
      const counts = await Promise.all(
        sealedColumns.map(async ({ what, table, column }) => {
          const keyOf = db.raw("substring_index(substring_index(??, '.', 2), '.', -1)", [column]);
          const rows = (await db(table)
            .select({ key: keyOf })
            .count({ count: '*' })
            .whereNot(column, '')
            .groupBy('key')
            .orderBy('key')) as { key: string; count: number }[];
          return rows.map(({ key, count }) => ({ what, key, count }));
        }),
      );
      return { keyNames: sealer.keyNames, counts: counts.flat() };
    },
    rewrap: async (withinMs) => {
      const untilMs = Date.now() + withinMs;
      let rewrapped = 0;
      let unreadable = 0;
      for (const of of sealedColumns) {
        let after: readonly unknown[] | undefined;
        for (let last = pageSize; last === pageSize;) {
          if (Date.now() > untilMs) return { rewrapped, unreadable, isDone: false };
          const rows = await olderRows(of, after);
          for (const row of rows) {
            const sealed = resealed(of, row);
            if (sealed === undefined) unreadable += 1;
            else if (await replace(of, row, sealed)) rewrapped += 1;
            after = of.keys.map((name) => row[name]);
          }
          last = rows.length;
        }
      }
      return { rewrapped, unreadable, isDone: true };
    },
  };
}
