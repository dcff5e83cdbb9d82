/**
 * What the ingest processes share for quotas: how much of a tenant's day is taken, in blocks, and how many processes there
 * are. Lease times are the database's, so clocks may differ.
 */
import { inTransaction, type Database, type Transaction } from './database.ts';

/** One count of one tenant on one UTC day (`2026-11-21`). */
export interface DayCount {
  readonly tenantId: string;
  /** `total`, or the lane. */
  readonly counter: string;
  readonly day: string;
}

/** What one count allows in a day. */
export interface DayLimit {
  readonly counter: string;
  readonly most: number;
}

/** A tenant's lane in which a batch is handed over. */
export interface BatchLane {
  readonly tenantId: string;
  readonly lane: string;
}

export interface QuotaCounters {
  /**
   * Takes a block of what is left of `most`, never more than is left. First adds `debt`: what was accepted while this could
   * not be asked. `left` is what others can still take. The nearer the end, the smaller the blocks.
   */
  reserve(request: {
    readonly count: DayCount;
    readonly most: number;
    readonly debt: number;
    readonly processes: number;
  }): Promise<{ readonly granted: number; readonly left: number }>;
  /** Gives back what is left of a block. */
  giveBack(count: DayCount, unused: number): Promise<void>;
  /** Says that an ingest process lives; resolves with how many do. */
  confirm(instanceId: string): Promise<number>;
  leave(instanceId: string): Promise<void>;
  /** Says that batches are handed over in these lanes now; resolves with how many ingest processes live. */
  confirmBatches(lanes: readonly BatchLane[]): Promise<number>;
  /** Lanes in which batches are handed over now. */
  batchLanes(): Promise<readonly BatchLane[]>;
  /** Removes at most `limit` counts of days before this one; resolves with how many. */
  purge(beforeDay: string, limit: number): Promise<number>;
}

/** What a process that is killed takes with it, at most, of each count. */
const largestBlock = 1000;
const leaseMs = 5000;

const blockOf = (left: number, processes: number) =>
  Math.min(left, Math.max(1, Math.min(largestBlock, Math.floor(left / (4 * processes)))));

interface CountRow extends DayCount {
  reserved: number;
}

const counts = (on: Database | Transaction) => on<CountRow>('tenantDayCounts');

/** What is taken of a count, which nobody else changes until the end of the transaction. */
async function lockedCount(trx: Transaction, count: DayCount): Promise<number> {
  const locked = async () =>
    (await counts(trx).where(count).forUpdate().first('reserved'))?.reserved;
  const reserved = await locked();
  if (reserved !== undefined) return reserved;
  await counts(trx)
    .insert({ ...count, reserved: 0 })
    .onConflict()
    .ignore();
  return (await locked()) ?? 0;
}

/** Takes up to `wanted` of what all of these limits have left today; resolves with how many. */
export async function takeOfDay(
  trx: Transaction,
  of: {
    readonly tenantId: string;
    readonly limits: readonly DayLimit[];
    readonly wanted: number;
    readonly now: Date;
  },
): Promise<number> {
  const { tenantId, limits, now } = of;
  const day = now.toISOString().slice(0, 10);
  let granted = of.wanted;
  for (const { counter, most } of limits) {
    const reserved = await lockedCount(trx, { tenantId, counter, day });
    granted = Math.max(0, Math.min(granted, most - reserved));
  }
  if (granted > 0)
    for (const { counter } of limits)
      await counts(trx).where({ tenantId, counter, day }).increment('reserved', granted);
  return granted;
}

export function createQuotaCounters(db: Database): QuotaCounters {
  const members = () => db<{ instanceId: string }>('ingestMembers');
  const batches = () => db<BatchLane>('quotaBatches');
  const countLive = async () => {
    const [row] = await members().whereRaw('leased_until > utc_timestamp(3)').count({ live: '*' });
    return Math.max(1, Number(row?.['live']));
  };
  const leasedUntil = () => db.raw('utc_timestamp(3) + interval ? microsecond', [leaseMs * 1000]);
  return {
    reserve: ({ count, most, debt, processes }) =>
      inTransaction(db, async (trx) => {
        const reserved = await lockedCount(trx, count);
        const left = Math.max(0, most - reserved - debt);
        const granted = blockOf(left, processes);
        if (granted + debt > 0)
          await counts(trx)
            .where(count)
            .update({ reserved: reserved + debt + granted });
        return { granted, left: left - granted };
      }),
    giveBack: async (count, unused) =>
      void (await counts(db)
        .where(count)
        .update({ reserved: db.raw('greatest(reserved - ?, 0)', [unused]) } as object)),
    confirm: async (instanceId) => {
      await members()
        .insert({ instanceId, leasedUntil: leasedUntil() } as object)
        .onConflict('instanceId')
        .merge();
      return countLive();
    },
    leave: async (instanceId) => {
      await members().where({ instanceId }).delete();
      // What was killed left its row.
      await members().whereRaw('leased_until < utc_timestamp(3) - interval 1 day').delete();
    },
    confirmBatches: async (lanes) => {
      if (lanes.length > 0)
        await batches()
          .insert(lanes.map((lane) => ({ ...lane, leasedUntil: leasedUntil() })) as object[])
          .onConflict(['tenantId', 'lane'])
          .merge();
      return countLive();
    },
    batchLanes: () =>
      batches().whereRaw('leased_until > utc_timestamp(3)').select('tenantId', 'lane'),
    purge: (beforeDay, limit) => counts(db).where('day', '<', beforeDay).limit(limit).delete(),
  };
}
