/** Started batches as the one process sees them that hands their messages to the queue. */
import { Type } from 'typebox';
import { ChunkRangeSchema, type ChunkRange, type PostBatch } from '../contracts/batch.ts';
import type { Sealer } from '../platform/seal.ts';
import { createValidator } from '../platform/validate.ts';
import { openBlock, withoutErased, type Place } from './batch-erasures.ts';
import { admitBlock, type Portion } from './batch-portions.ts';
import {
  batchRows,
  blockRows,
  erasedPlaces,
  requestOf,
  stopsInForce,
  verdictOfBatch,
  type BatchRow,
  type BlockRow,
} from './batch-rows.ts';
import { inTransaction, readJson, type Database, type Transaction } from './database.ts';
import type { DayLimit } from './quota-counters.ts';

/** The lease of whoever runs batches. */
export const batchesLease = 'batches';

export interface RunningBatch {
  readonly id: string;
  readonly tenantId: string;
  readonly request: PostBatch;
  /** Messages that it comes to: its members but for those who were erased. */
  readonly total: number;
  readonly published: number;
}

export interface Block {
  readonly uploadId: string;
  readonly number: number;
  /** Place of its first member in the batch. */
  readonly firstIndex: number;
  readonly members: readonly Place[];
  /** How much of it may go, in order; one or more. What is behind the last one waits for the tenant's quota. */
  readonly portions: readonly Portion[];
  /** Which of them go as chunks, the others one by one; undefined: not fixed yet, and nothing of it was published. */
  readonly chunks: readonly ChunkRange[] | undefined;
}

/**
 * lost: the lease is another's; recalled: the batch has ended as stopped; over-quota: nothing of the next block may go today;
 * all-published: no block is left.
 */
export type Taken =
  | { readonly result: 'taken'; readonly block: Block }
  | { readonly result: 'lost' | 'recalled' | 'paused' | 'over-quota' | 'all-published' };

export interface BatchRuns {
  /** Started and not ended, whose time has come; longest first. Those that were recalled end as stopped. */
  listRunning(): Promise<RunningBatch[]>;
  /**
   * The next block that the queue does not have, without those who were erased since its upload, and as much of it as these
   * limits of a day let go: it is counted against them once, however often it is taken. What is taken counts as accepted
   * before any recall that is made later: a recall is of all of it.
   */
  takeBlock(batchId: string, holder: string, limits?: readonly DayLimit[]): Promise<Taken>;
  /**
   * Fixes which members go as chunks, before the first of the block is published; resolves with what is fixed, which is
   * what was fixed before.
   */
  fixChunks(
    block: Pick<Block, 'uploadId' | 'number'>,
    chunks: readonly ChunkRange[],
  ): Promise<readonly ChunkRange[]>;
  /** Call it once the queue has all of the block. A repeat changes nothing. */
  markPublished(batchId: string, block: Pick<Block, 'uploadId' | 'number'>): Promise<void>;
  /** Says why it does not go on; undefined: it does. */
  setWaitingFor(batchId: string, detail: string | undefined): Promise<void>;
  /** Every message of it has ended. */
  markDone(batchId: string): Promise<void>;
}

const chunksValidator = createValidator(Type.Array(ChunkRangeSchema));

/** Makes the runner's view. */
export function createBatchRuns(db: Database, sealer: Sealer): BatchRuns {
  const running = (on: Database | Transaction, id: string) =>
    batchRows(on).where({ id, state: 'running' });
  /** A stopped batch keeps no recipients. */
  const markStopped = async (trx: Transaction, { id, uploadId }: BatchRow) => {
    const now = new Date();
    await running(trx, id).update({ state: 'stopped', endedAt: now, updatedAt: now });
    await blockRows(trx)
      .where({ uploadId: uploadId ?? '', isPublished: false })
      .update({ sealed: null });
  };
  return {
    listRunning: async () => {
      const rows = await batchRows(db).where({ state: 'running' }).orderBy(['startedAt', 'id']);
      const stops = await stopsInForce(db, rows);
      const isRecalled = (row: BatchRow) => verdictOfBatch(stops, row) === 'recalled';
      for (const row of rows.filter(isRecalled))
        await inTransaction(db, (trx) => markStopped(trx, row));
      return rows
        .filter((row) => !isRecalled(row) && (row.startAt?.getTime() ?? 0) <= Date.now())
        .map((row) => ({
          id: row.id,
          tenantId: row.tenantId,
          request: requestOf(row),
          total: row.members - row.erased,
          published: row.published,
        }));
    },
    takeBlock: (batchId, holder, limits = []) =>
      inTransaction(db, async (trx): Promise<Taken> => {
        const lease = await trx('leases')
          .where({ name: batchesLease, holder })
          .whereRaw('expires_at > utc_timestamp(3)')
          .forShare()
          .first();
        if (lease === undefined) return { result: 'lost' };
        // A stop that is being made goes before this or after it, never beside it.
        await trx('revisions').where({ kind: 'stops' }).forShare().first();
        const row = await running(trx, batchId).first();
        if (row === undefined) return { result: 'recalled' };
        const verdict = verdictOfBatch(await stopsInForce(trx, [row]), row);
        if (verdict === 'recalled') await markStopped(trx, row);
        if (verdict !== 'go') return { result: verdict };
        const next = await blockRows(trx)
          .where({ uploadId: row.uploadId ?? '', isPublished: false })
          .orderBy('number')
          .first();
        if (next === undefined) return { result: 'all-published' };
        const { tenantId } = row;
        const block = await withoutErased(trx, sealer, { tenantId, batchId, block: next });
        const portions = await admitBlock(trx, tenantId, { block, limits });
        if (portions.length === 0) return { result: 'over-quota' };
        const { uploadId, number, firstIndex } = block;
        // Somebody had it in hand, perhaps a process that knows no chunks: some of it may have gone one by one.
        const chunks = block.chunks ?? (block.acceptedAt === null ? null : '[]');
        if (chunks !== block.chunks)
          await blockRows(trx).where({ uploadId, number }).update({ chunks });
        const members = openBlock(sealer, block);
        return {
          result: 'taken',
          block: { uploadId, number, firstIndex, members, portions, chunks: chunksOf({ chunks }) },
        };
      }),
    fixChunks: async ({ uploadId, number }, chunks) => {
      // Of two processes that both believe to hold the lease the second one goes the first one's way.
      const isFixed = await blockRows(db)
        .where({ uploadId, number, isPublished: false })
        .whereNull('chunks')
        .update({ chunks: JSON.stringify(chunks) });
      if (isFixed === 1) return chunks;
      const row = await blockRows(db).where({ uploadId, number }).first('chunks');
      const fixed = row && chunksOf(row);
      if (fixed === undefined)
        throw new Error(`block ${number} of ${uploadId} was published by another`);
      return fixed;
    },
    markPublished: (batchId, { uploadId, number }) =>
      inTransaction(db, async (trx) => {
        const marked = await blockRows(trx)
          .where({ uploadId, number, isPublished: false })
          .update({ isPublished: true, sealed: null });
        if (marked !== 1) return;
        const block = await blockRows(trx).where({ uploadId, number }).first();
        if (block === undefined) throw new Error('a block without a row');
        await batchRows(trx)
          .where({ id: batchId })
          .increment('published', block.members - erasedPlaces(block).length)
          .update({ updatedAt: new Date() });
      }),
    setWaitingFor: async (batchId, detail) =>
      void (await running(db, batchId).update({ waitingFor: detail?.slice(0, 500) ?? null })),
    markDone: async (batchId) => {
      const now = new Date();
      await running(db, batchId).update({ state: 'done', endedAt: now, updatedAt: now });
    },
  };
}

function chunksOf({ chunks }: Pick<BlockRow, 'chunks'>): readonly ChunkRange[] | undefined {
  return chunks === null ? undefined : readJson(chunks, chunksValidator, 'the chunks of a block');
}
