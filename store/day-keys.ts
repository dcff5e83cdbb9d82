/** The table of day keys: made ahead of their day, sealed under the master key, destroyed when their time is over. */
import { randomBytes } from 'node:crypto';
import {
  createDayKey,
  createDayKeyId,
  dayKeyBytes,
  destroyAfterMs,
  utcDay,
  type DayKey,
} from '../platform/day-key.ts';
import type { Sealer } from '../platform/seal.ts';
import { inTransaction, type Database, type Transaction } from './database.ts';
import { nextRevisions, type Change } from './revisions.ts';
import type { SealedColumn } from './sealed-columns.ts';

/** A key as it is now; `key` absent: destroyed. */
export interface KnownDayKey {
  readonly id: string;
  readonly key?: DayKey;
}

export interface DayKeys {
  /** The tenant's keys of this day and the two after it; makes those that are not there. Whoever asks gets the same ones. */
  ensure(tenantId: string, day: string): Promise<readonly DayKey[]>;
  /** undefined: there is none, or none any more. */
  find(id: string): Promise<KnownDayKey | undefined>;
  /** Keys that seal now or will, and those destroyed since: in the order of their edits. */
  changedSince(revision: number, limit: number): Promise<Change<KnownDayKey>[]>;
  /** Makes keys of today and two days ahead for at most `limit` tenants that lack one; resolves with how many. */
  makeAhead(nowMs: number, limit: number): Promise<number>;
  /** Destroys at most `limit` keys whose time is over; resolves with how many. */
  destroy(nowMs: number, limit: number): Promise<number>;
  /** Removes at most `limit` rows whose key was destroyed before; resolves with how many. */
  purge(destroyedBeforeMs: number, limit: number): Promise<number>;
  /** When the last key is destroyed that has sealed for this tenant so far; undefined: none has. Epoch milliseconds. */
  lastDestroyAfterMs(tenantId: string, nowMs: number): Promise<number | undefined>;
}

interface DayKeyRow {
  id: string;
  tenantId: string;
  day: string;
  sealed: string;
  destroyAfter: Date;
  destroyedAt: Date | null;
  revision: number;
}

/** Days ahead for which there is always a key: so long messages are taken while MySQL is away. */
const daysAhead = 2;

const sealContext = (id: string) => `day-key:${id}`;
export const sealedDayKeys: SealedColumn<Pick<DayKeyRow, 'id'>> = {
  what: 'day keys',
  table: 'dayKeys',
  column: 'sealed',
  keys: ['id'],
  form: 'direct',
  context: ({ id }) => sealContext(id),
};

/** `keyDays`: how long after its day a key lives that is made here. */
export function createDayKeys(db: Database, sealer: Sealer, keyDays: number): DayKeys {
  const rows = (on: Database | Transaction = db) => on<DayKeyRow>('dayKeys');
  const toKey = ({ id, tenantId, day, sealed, destroyAfter }: DayKeyRow): DayKey =>
    createDayKey(
      { id, tenantId, day, destroyAfterMs: destroyAfter.getTime() },
      sealer.open(sealed, sealContext(id)),
    );
  const toKnown = (row: DayKeyRow): KnownDayKey =>
    row.destroyedAt === null ? { id: row.id, key: toKey(row) } : { id: row.id };
  const newRow = (tenantId: string, day: string, revision: number): DayKeyRow => {
    const id = createDayKeyId(day);
    const sealed = sealer.seal(randomBytes(dayKeyBytes), sealContext(id));
    const destroyAfter = new Date(destroyAfterMs(day, keyDays));
    return { id, tenantId, day, sealed, destroyAfter, destroyedAt: null, revision };
  };
  const ensure = async (tenantId: string, day: string): Promise<readonly DayKey[]> => {
    const days = Array.from({ length: 1 + daysAhead }, (_, ahead) =>
      utcDay(Date.parse(day), ahead),
    );
    const read = () => rows().where({ tenantId, destroyedAt: null }).whereIn('day', days);
    const found = await read();
    const lacking = days.filter((each) => !found.some((row) => row.day === each));
    if (lacking.length === 0) return found.map(toKey);
    await inTransaction(db, async (trx) => {
      const last = await nextRevisions(trx, 'day-keys', lacking.length);
      await rows(trx)
        .insert(lacking.map((each, place) => newRow(tenantId, each, last - place)))
        .onConflict()
        .ignore();
    });
    // What another process has made meanwhile is kept, and ours was ignored.
    return (await read()).map(toKey);
  };
  return {
    ensure,
    find: async (id) => {
      const row = await rows().where({ id }).first();
      return row === undefined ? undefined : toKnown(row);
    },
    changedSince: async (revision, limit) => {
      const ofUse = await rows()
        .where('revision', '>', revision)
        .where((either) =>
          // Clocks differ: for some it is not midnight yet.
          either.where('day', '>=', utcDay(Date.now(), -1)).orWhereNotNull('destroyedAt'),
        )
        .orderBy('revision')
        .limit(limit);
      return ofUse.map((row) => ({
        id: row.id,
        revision: row.revision,
        read: () => toKnown(row),
      }));
    },
    makeAhead: async (nowMs, limit) => {
      const lacking = await db<{ id: string }>('tenants')
        .leftJoin('dayKeys', (join) =>
          join
            .on('dayKeys.tenantId', 'tenants.id')
            .andOnVal('dayKeys.day', utcDay(nowMs, daysAhead)),
        )
        .whereNull('dayKeys.id')
        .limit(limit)
        .select<{ id: string }[]>('tenants.id');
      for (const { id } of lacking) await ensure(id, utcDay(nowMs));
      return lacking.length;
    },
    destroy: (nowMs, limit) =>
      inTransaction(db, async (trx) => {
        const due = await rows(trx)
          .whereNull('destroyedAt')
          .where('destroyAfter', '<=', new Date(nowMs))
          .orderBy('destroyAfter')
          .limit(limit)
          .select('id');
        if (due.length === 0) return 0;
        const last = await nextRevisions(trx, 'day-keys', due.length);
        for (const [place, { id }] of due.entries()) {
          // Written over where it lies, by as many bytes; then emptied.
          const over = trx.raw("repeat('0', char_length(sealed))");
          await rows(trx)
            .where({ id })
            .update({ sealed: over as never });
          await rows(trx)
            .where({ id })
            .update({ sealed: '', destroyedAt: new Date(nowMs), revision: last - place });
        }
        return due.length;
      }),
    purge: (destroyedBeforeMs, limit) =>
      rows().where('destroyedAt', '<', new Date(destroyedBeforeMs)).limit(limit).delete(),
    lastDestroyAfterMs: async (tenantId, nowMs) => {
      const row = await rows()
        .where({ tenantId })
        .where('day', '<=', utcDay(nowMs))
        .orderBy('destroyAfter', 'desc')
        .first('destroyAfter');
      return row?.destroyAfter.getTime();
    },
  };
}
