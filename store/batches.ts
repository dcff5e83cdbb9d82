/** Batches: made, uploaded, started; what of them is read. */
import type { Batch, BatchFault, PostBatch, StartBatch } from '../contracts/batch.ts';
import { problem } from '../contracts/problems.ts';
import { canonical } from '../platform/compose-message.ts';
import type { Sealer } from '../platform/seal.ts';
import { createBatchErasures, type BatchErasures } from './batch-erasures.ts';
import { portionsOf, type Portion } from './batch-portions.ts';
import {
  batchRows,
  blockRows,
  erasedPlaces,
  faultsRows,
  isUploading,
  toBatches,
  type BatchRow,
} from './batch-rows.ts';
import { createBatchRuns, type BatchRuns } from './batch-runs.ts';
import {
  createBatchUploads,
  faultsContext,
  faultsInRow,
  type BatchUploads,
} from './batch-uploads.ts';
import { inTransaction, isDuplicate, type Database } from './database.ts';
import { createId } from './ids.ts';

/** What is known of a block without its recipients. */
export interface BlockOutline {
  readonly number: number;
  readonly firstIndex: number;
  readonly lines: readonly number[];
  readonly isPublished: boolean;
  /** What of it was handed over or may be, with when it was accepted. */
  readonly portions: readonly Portion[];
  /** Places whose person was erased. */
  readonly erased: readonly number[];
}

export interface Batches extends BatchUploads, BatchRuns, BatchErasures {
  /** Under an Idempotency-Key once: a repeat gives what was made. Errors: idempotency-conflict. */
  create(tenantId: string, request: PostBatch, idempotencyKey?: string): Promise<Batch>;
  /** What was made under this key. Errors: idempotency-conflict: by another request. */
  findRepeated(
    tenantId: string,
    request: PostBatch,
    idempotencyKey: string,
  ): Promise<Batch | undefined>;
  /** Without a tenant: of any. */
  get(id: string, tenantId?: string): Promise<Batch | undefined>;
  /** Newest first; `after` is the `batchListKey` of the last one of the page before. */
  list(page: {
    readonly after?: string | undefined;
    readonly limit: number;
    readonly tenantId?: string | undefined;
  }): Promise<Batch[]>;
  /** Starts it, or leaves it as it is when it is started. Errors: not-found, batch-not-possible. */
  start(tenantId: string, id: string, start: StartBatch): Promise<Batch>;
  /** Faults of its upload in the order of lines, from the place `from` on. */
  faults(
    id: string,
    page: { readonly from: number; readonly limit: number },
  ): Promise<BatchFault[]>;
  /** Blocks of its upload in order, from this number on. */
  blocks(
    id: string,
    page: { readonly from: number; readonly limit: number },
  ): Promise<BlockOutline[]>;
  /** Removes batches that changed last before this time and of which nothing waits; resolves with how many. */
  purgeBatches(changedBeforeMs: number, limit: number): Promise<number>;
}

/** What a page of the list goes on from. */
export const batchListKey = ({ createdAt, id }: Pick<Batch, 'createdAt' | 'id'>): string =>
  `${Date.parse(createdAt)}.${id}`;

export function createBatches(db: Database, sealer: Sealer): Batches {
  const one = async (row: BatchRow | undefined) =>
    row === undefined ? undefined : (await toBatches(db, [row]))[0];
  const uploadOf = async (id: string) =>
    (await batchRows(db).where({ id }).first('uploadId'))?.uploadId ?? '';
  const findRepeated: Batches['findRepeated'] = async (tenantId, request, idempotencyKey) => {
    const { keyHash, requestHash } = hashKey(sealer, { tenantId, request, idempotencyKey });
    const row = await batchRows(db).where({ tenantId, keyHash }).first();
    if (row !== undefined && row.requestHash !== requestHash)
      throw problem('idempotency-conflict', {
        detail: `Batch "${row.id}" was made under this key by a request with another body.`,
        errors: [{ pointer: 'header/idempotency-key', detail: 'is of another request' }],
      });
    return one(row);
  };
  return {
    ...createBatchUploads(db, sealer),
    ...createBatchRuns(db, sealer),
    ...createBatchErasures(db, sealer),
    findRepeated,
    create: async (tenantId, request, idempotencyKey) => {
      const now = new Date();
      const row: BatchRow = {
        id: createId('bat'),
        tenantId,
        template: request.template,
        request: JSON.stringify(request),
        state: 'draft',
        uploadId: null,
        uploadingId: null,
        uploadingUntil: null,
        members: 0,
        faults: 0,
        published: 0,
        waitingFor: null,
        keyHash: null,
        requestHash: null,
        erased: 0,
        ...(idempotencyKey !== undefined && hashKey(sealer, { tenantId, request, idempotencyKey })),
        startAt: request.startAt === undefined ? null : new Date(request.startAt),
        startedAt: null,
        endedAt: null,
        createdAt: now,
        updatedAt: now,
      };
      try {
        await batchRows(db).insert(row);
      } catch (error) {
        const first =
          isDuplicate(error) && idempotencyKey !== undefined
            ? await findRepeated(tenantId, request, idempotencyKey)
            : undefined;
        if (first === undefined) throw error;
        return first;
      }
      const batch = await one(row);
      if (batch === undefined) throw new Error('a batch without a row');
      return batch;
    },
    get: async (id, tenantId) =>
      one(
        await batchRows(db)
          .where({ id, ...(tenantId !== undefined && { tenantId }) })
          .first(),
      ),
    list: async ({ after, limit, tenantId }) => {
      const [, ms, id] = /^(\d{1,15})\.(.+)$/.exec(after ?? '') ?? [];
      const createdAt = new Date(Number(ms));
      const found = batchRows(db)
        .orderBy([
          { column: 'createdAt', order: 'desc' },
          { column: 'id', order: 'desc' },
        ])
        .limit(limit);
      if (tenantId !== undefined) void found.where({ tenantId });
      if (id !== undefined)
        void found.where((older) =>
          older
            .where('createdAt', '<', createdAt)
            .orWhere((same) => same.where({ createdAt }).where('id', '<', id)),
        );
      return toBatches(db, await found);
    },
    start: (tenantId, id, how) =>
      inTransaction(db, async (trx) => {
        const row = await batchRows(trx).where({ id, tenantId }).forUpdate().first();
        if (row === undefined)
          throw problem('not-found', { detail: `There is no batch with the id "${id}".` });
        const started = row.state === 'draft' || row.state === 'ready' ? begin(row, how) : row;
        if (started !== row) await batchRows(trx).where({ id }).update(started);
        const [batch] = await toBatches(trx, [started]);
        if (batch === undefined) throw new Error('a batch without a row');
        return batch;
      }),
    faults: async (id, { from, limit }) => {
      const uploadId = await uploadOf(id);
      const first = Math.floor(from / faultsInRow);
      const rows = await faultsRows(db)
        .where({ uploadId })
        .whereBetween('number', [first, Math.floor((from + limit) / faultsInRow)])
        .orderBy('number');
      const faults = rows.flatMap(
        ({ number, sealed }) =>
          // Written by us under a seal: nobody else can have made it.
          JSON.parse(
            sealer.open(sealed, faultsContext(uploadId, number)).toString('utf8'),
          ) as BatchFault[],
      );
      return faults.slice(from - first * faultsInRow).slice(0, limit);
    },
    blocks: async (id, { from, limit }) => {
      const rows = await blockRows(db)
        .where({ uploadId: await uploadOf(id) })
        .where('number', '>=', from)
        .orderBy('number')
        .limit(limit)
        .select('uploadId', 'number', 'firstIndex', 'members', 'lineNumbers')
        .select('isPublished', 'acceptedAt', 'portions', 'erased');
      return rows.map((row) => ({
        number: row.number,
        firstIndex: row.firstIndex,
        lines: JSON.parse(row.lineNumbers) as number[],
        isPublished: Boolean(row.isPublished),
        portions: portionsOf(row),
        erased: erasedPlaces(row),
      }));
    },
    purgeBatches: async (changedBeforeMs, limit) => {
      const old = await batchRows(db)
        .where('updatedAt', '<', new Date(changedBeforeMs))
        .where((over) =>
          over.whereNot({ state: 'running' }).orWhereRaw('published + erased >= members'),
        )
        .limit(limit)
        .select('id');
      // Its upload goes with the next purge of uploads: no batch has it any more.
      return batchRows(db)
        .whereIn(
          'id',
          old.map(({ id }) => id),
        )
        .delete();
    },
  };
}

/** The key is the service's word, and what it asks for may be, too: neither is kept. */
function hashKey(
  sealer: Sealer,
  of: { readonly tenantId: string; readonly request: PostBatch; readonly idempotencyKey: string },
) {
  const { tenantId, request, idempotencyKey } = of;
  return {
    keyHash: sealer.hash(idempotencyKey, `batch key:${tenantId}`),
    requestHash: sealer.hash(canonical(request), `batch request:${tenantId}`),
  };
}

/** The row of a batch that is not started, started. Errors: batch-not-possible. */
function begin(row: BatchRow, { startAt, allowFaults }: StartBatch): BatchRow {
  const refuse = (detail: string) => problem('batch-not-possible', { detail });
  if (isUploading(row)) throw refuse('An upload is under way.');
  if (row.state === 'draft') throw refuse('It has no recipients; upload them first.');
  if (row.faults > 0 && allowFaults !== true)
    throw refuse(
      `${row.faults} lines of the upload are faulty; upload a better file, or start without them by allowFaults.`,
    );
  const now = new Date();
  return {
    ...row,
    state: 'running',
    startAt: startAt === undefined ? row.startAt : new Date(startAt),
    startedAt: now,
    updatedAt: now,
  };
}
