/**
 * Writes snapshots. Every document carries the snapshot's external version, so late, doubled and reordered events never
 * turn a newer state back. "Create-only" for accepted events is version 0: Elasticsearch refuses an external version
 * with op_type create, and a plain create would store version 1 and so refuse the first snapshot after it.
 */
import { errors, type Client, type estypes } from '@elastic/elasticsearch';
import { documentVersion, type Snapshot } from '../contracts/result.ts';
import type { Names } from '../contracts/topics.ts';

/** What became of one snapshot. */
export type WriteResult =
  | { readonly result: 'written' }
  /** The index already had this state or a newer one. */
  | { readonly result: 'older' }
  /** Not written for now: nothing is wrong with the snapshot. */
  | { readonly result: 'retry'; readonly reason: string }
  /** This snapshot can never be written. */
  | { readonly result: 'refused'; readonly reason: string };

const bulkTimeoutMs = 60_000;

/** What Elasticsearch says of a document that it will never take. Any other failure is its own, and passes. */
const refusals = new Set([
  'document_parsing_exception',
  'mapper_parsing_exception',
  'strict_dynamic_mapping_exception',
  'action_request_validation_exception',
  'invalid_index_name_exception',
]);

interface Operation {
  readonly action: estypes.BulkOperationContainer;
  readonly document: object;
}

/** Id of the sealed request of a message, in the attempts index. */
export const requestId = (messageId: string) => `${messageId}.request`;

/** Makes the bulk write: one call for all snapshots given, one result for each, in their order. Never throws. */
export function createWriteEvents(deps: { readonly client: Client; readonly names: Names }) {
  const { client, names } = deps;

  return async function writeEvents(
    snapshots: readonly Snapshot[],
  ): Promise<readonly WriteResult[]> {
    if (snapshots.length === 0) return [];
    const operations = snapshots.map((snapshot) => toOperations(names, snapshot));
    let response: estypes.BulkResponse;
    try {
      response = await client.bulk(
        {
          operations: operations.flat().flatMap(({ action, document }) => [action, document]),
          filter_path: 'items.*.status,items.*.error.type,items.*.error.reason',
        },
        { requestTimeout: bulkTimeoutMs, maxRetries: 0 },
      );
    } catch (error) {
      const reason = describe(error);
      if (!isRefusedAsAWhole(error)) return snapshots.map(() => ({ result: 'retry', reason }));
      if (snapshots.length === 1) return [{ result: 'refused', reason }];
      const half = snapshots.length >> 1;
      return [
        ...(await writeEvents(snapshots.slice(0, half))),
        ...(await writeEvents(snapshots.slice(half))),
      ];
    }
    let next = 0;
    return operations.map((own) =>
      own
        .map(() => itemResult(response.items[next++]))
        .reduce((worst, result) =>
          severity[result.result] > severity[worst.result] ? result : worst,
        ),
    );
  };
}

/** A snapshot is written as soon as none of its documents failed; its own document comes first, and names the result. */
const severity = { written: 0, older: 0, retry: 1, refused: 2 } as const;

function toOperations(names: Names, snapshot: Snapshot): Operation[] {
  const { sealed, attempt, ...state } = snapshot;
  const { messageId, tenantId, acceptedAt, expiresAt, sendAt, redrive, connector, channel } =
    snapshot;
  const external = { version: documentVersion(snapshot), version_type: 'external' } as const;
  const _index = names.attemptIndex(acceptedAt);
  const operations: Operation[] = [
    {
      action: { index: { _index: names.messageIndex(acceptedAt), _id: messageId, ...external } },
      document: state,
    },
  ];
  // A document of its own, since the next snapshot replaces the message's document and does not carry it.
  if (sealed !== undefined)
    operations.push({
      action: { create: { _index, _id: requestId(messageId) } },
      // With its first life, which a redrive gives it again.
      document: { acceptedAt, expiresAt, ...(sendAt !== undefined && { sendAt }), sealed },
    });
  if (attempt !== undefined)
    operations.push({
      action: { index: { _index, _id: `${messageId}.${redrive}.${attempt.number}`, ...external } },
      document: { messageId, tenantId, acceptedAt, redrive, connector, channel, ...attempt },
    });
  return operations;
}

function itemResult(
  item: Partial<Record<estypes.BulkOperationType, estypes.BulkResponseItem>> | undefined,
): WriteResult {
  const [answer] = Object.values(item ?? {});
  if (answer === undefined) return { result: 'retry', reason: 'the answer lacks this document' };
  const { status, error } = answer;
  if (status === 409) return { result: 'older' };
  if (status >= 200 && status < 300) return { result: 'written' };
  const reason = describeCause(error?.type ?? `status ${status}`, error?.reason);
  return { result: refusals.has(error?.type ?? '') ? 'refused' : 'retry', reason };
}

/** The bulk request was refused before any document of it was looked at: one of them is malformed, or all are too much. */
function isRefusedAsAWhole(error: unknown): boolean {
  if (!(error instanceof errors.ResponseError)) return false;
  return error.statusCode === 413 || refusals.has(typeOf(error));
}

function typeOf(error: errors.ResponseError): string {
  const body = error.body as { error?: { type?: unknown } } | string | undefined;
  const type = typeof body === 'object' ? body.error?.type : undefined;
  return typeof type === 'string' ? type : '';
}

function describe(error: unknown): string {
  return error instanceof Error ? describeCause(error.name, error.message) : String(error);
}

/** The preview quotes the document, which may be personal. */
function describeCause(type: string, reason?: string | null): string {
  return `${type}: ${reason ?? ''}`.replace(/ Preview of field's value:.*$/s, '').slice(0, 500);
}
