/** The result file of a batch: a row for each of its messages, in the order of the uploaded lines, a few blocks at a time. */
import { stringify } from 'csv-stringify/sync';
import { batchKey, type Batch } from '../../contracts/batch.ts';
import type { MessageIds } from '../../platform/message-id.ts';
import type { Batches } from '../../store/index.ts';
import type { BatchIndex, MemberStatus } from '../../store/message-index.ts';

export interface ResultsDeps {
  readonly ids: Pick<MessageIds, 'derive'>;
  readonly batches: Pick<Batches, 'blocks'>;
  readonly index: Pick<BatchIndex, 'statuses'>;
}

/** waiting: not handed over yet. */
interface ResultRow {
  readonly line: number;
  /** Of what was never handed over there is no message. */
  readonly id?: string;
  readonly status: string;
  readonly reason?: string | undefined;
  readonly detail?: string | undefined;
}

export const resultFormats = ['csv', 'ndjson'] as const;
type ResultFormat = (typeof resultFormats)[number];

const blocksAtOnce = 10;
const columns = ['line', 'id', 'status', 'reason', 'detail'] as const;

/** The file, a piece at a time. Errors: search-unavailable, store-unavailable. */
export async function* resultFile(
  deps: ResultsDeps,
  batch: Batch,
  format: ResultFormat,
): AsyncGenerator<string> {
  if (format === 'csv') yield toCsv([columns]);
  for await (const rows of readRows(deps, batch))
    yield format === 'csv'
      ? toCsv(rows.map((row) => columns.map((column) => row[column] ?? '')))
      : rows.map((row) => `${JSON.stringify(row)}\n`).join('');
}

async function* readRows(deps: ResultsDeps, batch: Batch): AsyncGenerator<ResultRow[]> {
  const { id: batchId, tenantId, state } = batch;
  const isStopped = state === 'stopped';
  for (let from = 0; ; from += blocksAtOnce) {
    const blocks = await deps.batches.blocks(batchId, { from, limit: blocksAtOnce });
    for (const { firstIndex, lines, isPublished, portions, erased } of blocks) {
      const members = lines.map((line, offset) => ({
        line,
        id: deps.ids.derive(tenantId, batchKey(batchId), firstIndex + offset),
      }));
      const found = new Map<string, MemberStatus>();
      for (const [at, { until, acceptedAt }] of portions.entries()) {
        const accepted = members.slice(portions[at - 1]?.until ?? 0, until);
        const accepting = await deps.index.statuses(
          accepted.map(({ id }) => id),
          acceptedAt,
        );
        for (const [id, status] of accepting) found.set(id, status);
      }
      yield members.map(({ line, id }, place): ResultRow => {
        const known = found.get(id);
        if (known !== undefined)
          return {
            line,
            id,
            status: known.status,
            reason: known.reason?.code,
            detail: known.reason?.detail,
          };
        if (erased.includes(place))
          return {
            line,
            status: 'recalled',
            reason: 'erased',
            detail: 'the person was erased before it was handed over',
          };
        if (isPublished) return { line, id, status: 'accepted' };
        return isStopped
          ? {
              line,
              status: 'recalled',
              reason: 'batch-stopped',
              detail: 'it was never handed over',
            }
          : { line, status: 'waiting' };
      });
    }
    if (blocks.length < blocksAtOnce) return;
  }
}

/** A text that a spreadsheet would take for a formula gets an apostrophe in front. */
function toCsv(rows: readonly (readonly (string | number)[])[]): string {
  return stringify(
    rows.map((row) => [...row]),
    { escape_formulas: true, record_delimiter: 'windows' },
  );
}
