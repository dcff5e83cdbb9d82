/** What a redrive would go through, counted before anything is done. */
import type { estypes } from '@elastic/elasticsearch';
import { Type, type Static } from 'typebox';
import { defaultRedrivenStatuses, type PostRedrive } from '../contracts/redrive.ts';
import { orSearchProblem } from '../platform/elasticsearch.ts';
import { redriveScan, scanQuery } from '../store/message-index.ts';
import type { SearchDeps } from './audience.ts';

const sampleSize = 20;

export const RedriveCountSchema = Type.Object({
  dryRun: Type.Literal(true),
  matching: Type.Integer({
    description:
      'Messages that it would look at now. A few may be left alone all the same: those that a delivery is open for, were sent after all, or whose request is no longer kept.',
  }),
  byStatus: Type.Record(Type.String(), Type.Integer()),
  sample: Type.Array(Type.String(), { description: `Ids, up to ${sampleSize}, oldest first.` }),
});

/** Counts, and does nothing. Errors: search-unavailable. */
export async function countRedrive(
  { client, names: { messageIndices: index } }: Pick<SearchDeps<unknown>, 'client' | 'names'>,
  request: PostRedrive,
): Promise<Static<typeof RedriveCountSchema>> {
  const { ids, tenantId, filter } = request;
  const createdAt = new Date().toISOString();
  const scan = scanQuery(
    redriveScan({
      createdAt,
      ...(tenantId !== undefined && { tenantId }),
      filter: { status: [...defaultRedrivenStatuses], ...filter },
    }),
  );
  const query: estypes.QueryDslQueryContainer =
    ids === undefined ? scan : { bool: { filter: [scan, { terms: { messageId: [...ids] } }] } };
  await orSearchProblem(client.indices.refresh({ index }));
  const { hits, aggregations } = await orSearchProblem(
    client.search<unknown, { byStatus?: estypes.AggregationsStringTermsAggregate }>({
      index,
      query,
      sort: [{ acceptedAt: 'asc' }, { messageId: 'asc' }],
      size: sampleSize,
      _source: false,
      track_total_hits: true,
      aggs: { byStatus: { terms: { field: 'status' } } },
    }),
  );
  const { total } = hits;
  const buckets = (aggregations?.byStatus?.buckets ??
    []) as estypes.AggregationsStringTermsBucket[];
  return {
    dryRun: true,
    matching: typeof total === 'object' ? total.value : (total ?? 0),
    byStatus: Object.fromEntries(buckets.map(({ key, doc_count }) => [String(key), doc_count])),
    sample: hits.hits.flatMap(({ _id }) => _id ?? []),
  };
}
