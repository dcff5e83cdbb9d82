/**
 * Uploads of a batch's recipients. Blocks and faults are written as they come, under an upload of their own, which becomes
 * the batch's at its end: one that breaks leaves the batch as it was.
 */
import type { SealedColumn } from './sealed-columns.ts';
import type { Batch, BatchFault, BatchMember } from '../contracts/batch.ts';
import { problem } from '../contracts/problems.ts';
import type { Sealer } from '../platform/seal.ts';
import {
  batchRows,
  blockRows,
  erasedPlaces,
  faultsRows,
  isUploading,
  toBatches,
  uploadRows,
} from './batch-rows.ts';
import { inTransaction, type Database, type Transaction } from './database.ts';
import { createId } from './ids.ts';

export interface Upload {
  readonly id: string;
  readonly batchId: string;
}

/** Errors of all: not-found; batch-not-possible while it is started, or another upload is under way. */
export interface BatchUploads {
  beginUpload(tenantId: string, batchId: string): Promise<Upload>;
  /** Adds members in their order; `firstIndex` is the first one's place in the batch. */
  addBlock(
    upload: Upload,
    block: {
      readonly number: number;
      readonly firstIndex: number;
      readonly members: readonly BatchMember[];
    },
  ): Promise<void>;
  /** Pages of `faultsInRow` faults, the last one shorter. */
  addFaults(upload: Upload, number: number, faults: readonly BatchFault[]): Promise<void>;
  /** Makes it the batch's upload; the one before is removed. */
  finishUpload(
    upload: Upload,
    counts: { readonly members: number; readonly faults: number },
  ): Promise<Batch>;
  abandonUpload(upload: Upload): Promise<void>;
  /** Removes uploads that no batch has, at most `limit`, begun before; resolves with how many. */
  purgeUploads(begunBeforeMs: number, limit: number): Promise<number>;
}

export const faultsInRow = 100;
/** An upload writes at least a block within this time, or it counts as broken; a slow client's is extended by each block. */
const uploadingMs = 120_000;
const touchEveryMs = 5000;

/** Rows removed at a time: they are large. */
const portion = 200;

export const blockContext = (uploadId: string, number: number) => `batch:${uploadId}:${number}`;
export const faultsContext = (uploadId: string, number: number) => `faults:${uploadId}:${number}`;

interface UploadPart {
  readonly uploadId: string;
  readonly number: number;
}
export const sealedMembers: SealedColumn<UploadPart> = {
  what: 'members of batches',
  table: 'batchBlocks',
  column: 'sealed',
  keys: ['uploadId', 'number'],
  form: 'direct',
  context: ({ uploadId, number }) => blockContext(uploadId, number),
};
export const sealedFaults: SealedColumn<UploadPart> = {
  what: 'faults of batches',
  table: 'batchFaults',
  column: 'sealed',
  keys: ['uploadId', 'number'],
  form: 'direct',
  context: ({ uploadId, number }) => faultsContext(uploadId, number),
};

export function createBatchUploads(db: Database, sealer: Sealer): BatchUploads {
  const touchedAtMs = new WeakMap<Upload, number>();
  const touch = async (on: Database | Transaction, upload: Upload) => {
    const { id, batchId } = upload;
    if (performance.now() - (touchedAtMs.get(upload) ?? -Infinity) < touchEveryMs) return;
    touchedAtMs.set(upload, performance.now());
    const uploadingUntil = new Date(Date.now() + uploadingMs);
    const held = await batchRows(on)
      .where({ id: batchId, uploadingId: id })
      .update({ uploadingUntil });
    if (held !== 1)
      throw problem('batch-not-possible', {
        detail: 'Another upload has taken the place of this one.',
      });
  };
  const remove = async (uploadId: string) => {
    for (let removed = portion; removed === portion;)
      removed = await blockRows(db).where({ uploadId }).limit(portion).delete();
    await faultsRows(db).where({ uploadId }).delete();
    await uploadRows(db).where({ id: uploadId }).delete();
  };
  return {
    beginUpload: (tenantId, batchId) =>
      inTransaction(db, async (trx) => {
        const row = await batchRows(trx).where({ id: batchId, tenantId }).forUpdate().first();
        if (row === undefined)
          throw problem('not-found', { detail: `There is no batch with the id "${batchId}".` });
        if (row.state !== 'draft' && row.state !== 'ready')
          throw problem('batch-not-possible', {
            detail: 'It is started: its recipients are fixed.',
          });
        if (isUploading(row))
          throw problem('batch-not-possible', {
            detail: 'Another upload is under way.',
            retryAfterSeconds: 10,
          });
        const upload = { id: createId('upl'), batchId };
        await uploadRows(trx).insert({ ...upload, createdAt: new Date() });
        await batchRows(trx).where({ id: batchId }).update({ uploadingId: upload.id });
        await touch(trx, upload);
        return upload;
      }),
    addBlock: async (upload, { number, firstIndex, members }) => {
      await touch(db, upload);
      await blockRows(db).insert({
        uploadId: upload.id,
        number,
        firstIndex,
        members: members.length,
        lineNumbers: JSON.stringify(members.map(({ line }) => line)),
        sealed: sealer.seal(JSON.stringify(members), blockContext(upload.id, number)),
        isPublished: false,
        acceptedAt: null,
        portions: null,
        erased: null,
        chunks: null,
      });
    },
    addFaults: async (upload, number, faults) => {
      await touch(db, upload);
      const sealed = sealer.seal(JSON.stringify(faults), faultsContext(upload.id, number));
      await faultsRows(db).insert({ uploadId: upload.id, number, sealed });
    },
    finishUpload: async ({ id, batchId }, { members, faults }) => {
      const { batch, before } = await inTransaction(db, async (trx) => {
        const row = await batchRows(trx).where({ id: batchId }).forUpdate().first();
        if (row?.uploadingId !== id)
          throw problem('batch-not-possible', {
            detail: 'Another upload has taken the place of this one.',
          });
        const erasedFrom = await blockRows(trx)
          .where({ uploadId: id })
          .whereNotNull('erased')
          .select('uploadId', 'number', 'erased');
        const next = {
          state: members > 0 ? ('ready' as const) : ('draft' as const),
          uploadId: id,
          uploadingId: null,
          uploadingUntil: null,
          members,
          faults,
          erased: erasedFrom.flatMap(erasedPlaces).length,
          updatedAt: new Date(),
        };
        await batchRows(trx).where({ id: batchId }).update(next);
        const [changed] = await toBatches(trx, [{ ...row, ...next }]);
        return { batch: changed, before: row.uploadId };
      });
      // What is left of it belongs to no batch any more, and is purged.
      if (before !== null) await remove(before).catch(() => undefined);
      if (batch === undefined) throw new Error('a batch without a row');
      return batch;
    },
    abandonUpload: async ({ id, batchId }) => {
      await batchRows(db)
        .where({ id: batchId, uploadingId: id })
        .update({ uploadingId: null, uploadingUntil: null });
      await remove(id);
    },
    purgeUploads: async (begunBeforeMs, limit) => {
      const orphans = await uploadRows(db)
        .where('createdAt', '<', new Date(begunBeforeMs))
        .whereNotExists(
          batchRows(db).whereRaw(
            'batches.id = batch_uploads.batch_id and batch_uploads.id in (batches.upload_id, batches.uploading_id)',
          ),
        )
        .limit(limit);
      for (const { id } of orphans) await remove(id);
      return orphans.length;
    },
  };
}
