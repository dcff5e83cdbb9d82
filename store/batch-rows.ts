/** Rows of batches, and what a batch is said to be doing: part of it is told by the stops in force. */
import { Type } from 'typebox';
import {
  PostBatchSchema,
  type Batch,
  type BatchState,
  type PostBatch,
} from '../contracts/batch.ts';
import { verdictOf, type Stop, type Verdict } from '../contracts/stops.ts';
import { createValidator } from '../platform/validate.ts';
import { readJson, type Database, type Transaction } from './database.ts';
import { toStop, type StopRow } from './stops.ts';

export interface BatchRow {
  id: string;
  tenantId: string;
  template: string;
  request: string;
  state: 'draft' | 'ready' | 'running' | 'stopped' | 'done';
  uploadId: string | null;
  uploadingId: string | null;
  uploadingUntil: Date | null;
  members: number;
  faults: number;
  published: number;
  waitingFor: string | null;
  /** Keyed hashes; null: it was made without an Idempotency-Key. */
  keyHash: string | null;
  requestHash: string | null;
  /** Members of its upload who were erased before their turn. */
  erased: number;
  startAt: Date | null;
  startedAt: Date | null;
  endedAt: Date | null;
  createdAt: Date;
  updatedAt: Date;
}

export interface BlockRow {
  uploadId: string;
  number: number;
  firstIndex: number;
  members: number;
  /** JSON array of the members' lines. */
  lineNumbers: string;
  /** Sealed JSON of the members; null once the queue has them. */
  sealed: string | null;
  /** Read as 0 or 1. */
  isPublished: boolean | 0 | 1;
  /** Of all its messages, fixed when it is first taken; of the first portion where `portions` says more. */
  acceptedAt: Date | null;
  /** JSON array of its portions; null: it has one, which is all of it. */
  portions: string | null;
  /** JSON array of the places whose person was erased; null: nobody was. */
  erased: string | null;
  /** JSON array of its chunks, fixed before anything of it is published. */
  chunks: string | null;
}

export interface FaultsRow {
  uploadId: string;
  number: number;
  sealed: string;
}

export const batchRows = (on: Database | Transaction) => on<BatchRow>('batches');
export const blockRows = (on: Database | Transaction) => on<BlockRow>('batch_blocks');
export const faultsRows = (on: Database | Transaction) => on<FaultsRow>('batch_faults');
export const uploadRows = (on: Database | Transaction) =>
  on<{ id: string; batchId: string; createdAt: Date }>('batch_uploads');

const requestValidator = createValidator(PostBatchSchema);

export function requestOf(row: Pick<BatchRow, 'id' | 'request'>): PostBatch {
  return readJson(row.request, requestValidator, `batch ${row.id}`);
}

const placesValidator = createValidator(Type.Array(Type.Integer()));

/** Places of a block whose person was erased. */
export function erasedPlaces({
  uploadId,
  number,
  erased,
}: Pick<BlockRow, 'uploadId' | 'number' | 'erased'>): readonly number[] {
  return erased === null
    ? []
    : readJson(erased, placesValidator, `erased places of block ${number} of ${uploadId}`);
}

/** The rows as batches, by the stops in force now. */
export async function toBatches(
  on: Database | Transaction,
  rows: readonly BatchRow[],
): Promise<Batch[]> {
  const stops = await stopsInForce(on, rows);
  return rows.map((row) => toBatch(row, verdictOfBatch(stops, row)));
}

/** What the stops say of a batch's messages that are still in it: they count as accepted when it was started. */
export function verdictOfBatch(
  stops: readonly Stop[],
  { id, tenantId, template, startedAt }: BatchRow,
): Verdict['verdict'] {
  if (startedAt === null) return 'go';
  const acceptedAt = startedAt.toISOString();
  const target = { tenantId, template, batch: id, accountId: '', recipientHash: '', acceptedAt };
  return verdictOf(stops, target).verdict;
}

export async function stopsInForce(
  on: Database | Transaction,
  rows: readonly BatchRow[],
): Promise<Stop[]> {
  const started = rows.filter(({ state }) => state === 'running');
  if (started.length === 0) return [];
  const found = on<StopRow>('stops')
    .whereNull('endedAt')
    .whereIn('tenantId', [...new Set(started.map(({ tenantId }) => tenantId))])
    .where((scope) => {
      void scope.where({ scopeKind: 'tenant' });
      for (const [scopeKind, values] of [
        ['template', started.map(({ template }) => template)],
        ['batch', started.map(({ id }) => id)],
      ] as const)
        void scope.orWhere((one) => one.where({ scopeKind }).whereIn('scopeValue', values));
    });
  return (await found).map(toStop);
}

function toBatch(row: BatchRow, verdict: Verdict['verdict']): Batch {
  const { startAt: _, ...request } = requestOf(row);
  const state = stateOf(row, verdict);
  return {
    id: row.id,
    tenantId: row.tenantId,
    ...request,
    ...(row.startAt !== null && { startAt: row.startAt.toISOString() }),
    state,
    total: row.members,
    faults: row.faults,
    published: row.published,
    erased: row.erased,
    ...(state === 'running' && row.waitingFor !== null && { waitingFor: row.waitingFor }),
    createdAt: row.createdAt.toISOString(),
    updatedAt: row.updatedAt.toISOString(),
    ...(row.startedAt !== null && { startedAt: row.startedAt.toISOString() }),
    ...(row.endedAt !== null && { endedAt: row.endedAt.toISOString() }),
  };
}

function stateOf(row: BatchRow, verdict: Verdict['verdict']): BatchState {
  if (row.state === 'running') {
    if (verdict === 'recalled') return 'stopped';
    if (verdict === 'paused') return 'paused';
    return row.startAt !== null && row.startAt.getTime() > Date.now() ? 'scheduled' : 'running';
  }
  return isUploading(row) ? 'uploading' : row.state;
}

/** Whether an upload is under way; one whose process died is not any more after a while. */
export function isUploading({ uploadingId, uploadingUntil }: BatchRow): boolean {
  return uploadingId !== null && (uploadingUntil?.getTime() ?? 0) > Date.now();
}
