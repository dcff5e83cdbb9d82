/** What became of a batch's messages, from Elasticsearch. Errors of all: the problem search-unavailable. */
import type { Client } from '@elastic/elasticsearch';
import { Type } from 'typebox';
import { ReasonSchema, type Reason } from '../contracts/result.ts';
import { statuses, type Status } from '../contracts/status.ts';
import type { Names } from '../contracts/topics.ts';
import { orSearchProblem } from '../platform/elasticsearch.ts';
import { createValidator } from '../platform/validate.ts';

export type StatusCounts = Readonly<Partial<Record<Status, number>>>;

export interface MemberStatus {
  readonly status: Status;
  readonly reason?: Reason;
}

export interface BatchIndex {
  /** Messages of each batch by status; up to a second old. */
  counts(tenantId: string, batchIds: readonly string[]): Promise<ReadonlyMap<string, StatusCounts>>;
  /** The status of each message that is known, without refresh lag; all were accepted at this time. */
  statuses(ids: readonly string[], acceptedAt: string): Promise<ReadonlyMap<string, MemberStatus>>;
}

const memberValidator = createValidator(
  Type.Object({ status: Type.Enum([...statuses]), reason: Type.Optional(ReasonSchema) }),
);

interface Buckets {
  readonly buckets: readonly { readonly key: string; readonly doc_count: number }[];
}

/** Makes the reads over one client. */
export function createBatchIndex(deps: {
  readonly client: Client;
  readonly names: Pick<Names, 'messageIndex' | 'messageIndices'>;
}): BatchIndex {
  const { client, names } = deps;
  return {
    counts: async (tenantId, batchIds) => {
      if (batchIds.length === 0) return new Map();
      const { aggregations } = await orSearchProblem(
        client.search<
          unknown,
          { batches?: { buckets: (Buckets['buckets'][0] & { statuses: Buckets })[] } }
        >({
          index: names.messageIndices,
          size: 0,
          query: {
            bool: { filter: [{ term: { tenantId } }, { terms: { batch: [...batchIds] } }] },
          },
          aggs: {
            batches: {
              terms: { field: 'batch', size: batchIds.length },
              aggs: { statuses: { terms: { field: 'status', size: statuses.length } } },
            },
          },
        }),
      );
      return new Map(
        aggregations?.batches?.buckets.map(({ key, statuses: { buckets } }) => [
          key,
          Object.fromEntries(buckets.map(({ key: status, doc_count }) => [status, doc_count])),
        ]),
      );
    },
    statuses: async (ids, acceptedAt) => {
      const { docs } = await orSearchProblem(
        client.mget({
          index: names.messageIndex(acceptedAt),
          ids: [...ids],
          _source_includes: ['status', 'reason'],
        }),
      );
      return new Map(
        docs.flatMap((doc) =>
          'found' in doc && doc.found && memberValidator.check(doc._source)
            ? [[doc._id, doc._source]]
            : [],
        ),
      );
    },
  };
}
