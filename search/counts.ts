/** `GET /v1/messages/counts`: how many messages, by what they have in common and over time. */
import type { estypes } from '@elastic/elasticsearch';
import { Type, type Static } from 'typebox';
import { orSearchProblem } from '../platform/elasticsearch.ts';
import { route, type Route } from '../platform/http.ts';
import { messageQuery, type AnyOf, type MessageFilter } from '../store/message-index.ts';
import { tenantQuery, type SearchDeps } from './audience.ts';
import { filterQuery, queryFault, toFilter } from './filter.ts';

/** What may be counted by: parameter → field of the document. */
export const countedBy = {
  status: 'status',
  reason: 'reason.code',
  kind: 'kind',
  template: 'template',
  locale: 'locale',
  channel: 'channel',
  connector: 'connector',
  account: 'accountId',
  priority: 'priority',
  batch: 'batch',
  attemptOutcome: 'attemptOutcomes',
  providerCode: 'providerCodes',
} as const;
type CountedBy = keyof typeof countedBy;
const names = Object.keys(countedBy) as CountedBy[];

const intervalSeconds = { s: 1, m: 60, h: 3600, d: 86_400 } as const;
const mostIntervals = 1500;
const mostGroups = 5000;
const defaultIntervals = 60;
const mostGroupBy = 3;

const optionalName = Type.Optional(
  Type.Union([Type.String(), Type.Null()], { description: 'null: the message has none.' }),
);
export const CountsSchema = Type.Object({
  total: Type.Integer({ description: 'All that match.' }),
  from: Type.Optional(Type.String({ format: 'date-time' })),
  until: Type.Optional(Type.String({ format: 'date-time' })),
  groups: Type.Array(
    Type.Object({
      at: Type.Optional(
        Type.String({
          format: 'date-time',
          description: 'Where the interval begins; intervals without messages are left out.',
        }),
      ),
      ...(Object.fromEntries(names.map((name) => [name, optionalName])) as Record<
        CountedBy,
        typeof optionalName
      >),
      count: Type.Integer(),
      perSecond: Type.Optional(Type.Number({ description: 'Over the whole interval.' })),
    }),
  ),
});
export type Counts = Static<typeof CountsSchema>;

interface CountRequest {
  readonly filter: MessageFilter & AnyOf;
  readonly by?: readonly CountedBy[];
  readonly time?: 'acceptedAt' | 'updatedAt';
  readonly every?: string | undefined;
}

/** The route. */
export function countsRoute<Caller>(deps: SearchDeps<Caller>): Route<Caller> {
  const QuerySchema = Type.Object(
    {
      ...tenantQuery(deps.audience),
      ...filterQuery,
      groupBy: Type.Optional(
        Type.String({
          pattern: `^(${names.join('|')})(,(${names.join('|')})){0,${mostGroupBy - 1}}$`,
          description: `Up to ${mostGroupBy} of ${names.join(', ')}, with commas between them. A message counts under each attemptOutcome and providerCode that it has.`,
          examples: ['status,channel'],
        }),
      ),
      interval: Type.Optional(
        Type.String({
          pattern: '^[1-9][0-9]{0,3}[smhd]$',
          description: `A number of seconds, minutes, hours or days (30s, 1m, 6h, 1d); at most ${mostIntervals} of them. Without from, the last ${defaultIntervals}.`,
          examples: ['1m'],
        }),
      ),
      time: Type.Optional(
        Type.Enum(['acceptedAt', 'updatedAt'], {
          description:
            'Which time the intervals are of: when messages were accepted, or when they became what they are. Default acceptedAt. from and until are always times of acceptance.',
        }),
      ),
    },
    { additionalProperties: false },
  );
  return route<Caller, never, typeof QuerySchema>({
    method: 'get',
    path: '/v1/messages/counts',
    operationId: 'countMessages',
    summary: 'Count messages, by group and over time',
    description:
      'All parameters of the search select what is counted. As the index shows it, about a second late.',
    tag: 'messages',
    query: QuerySchema,
    responses: { 200: { description: 'Counts.', schema: CountsSchema } },
    problems: ['search-unavailable'],
    handle: async (input) => {
      const { groupBy, interval, time = 'acceptedAt', ...query } = input.query;
      const tenantId = await deps.tenantOf(input);
      const span = interval === undefined ? query : spanOf(query, interval);
      const filter = toFilter(span, tenantId, deps.hashRecipient);
      const by = (groupBy?.split(',') ?? []) as CountedBy[];
      if (new Set(by).size < by.length) throw queryFault('groupBy', 'must name each one once');
      return {
        status: 200,
        body: await countMessages(deps, { filter, by, time, every: interval }),
      };
    },
  });
}

const secondsOf = (interval: string) =>
  Number(interval.slice(0, -1)) *
  intervalSeconds[interval.slice(-1) as keyof typeof intervalSeconds];

/** The times of a histogram: bounded, and as long as a chart is wide unless they were given. */
function spanOf<Query extends { readonly from?: string; readonly until?: string }>(
  query: Query,
  interval: string,
) {
  const everyMs = secondsOf(interval) * 1000;
  const untilMs = query.until === undefined ? Date.now() : Date.parse(query.until);
  const fromMs =
    query.from === undefined ? untilMs - defaultIntervals * everyMs : Date.parse(query.from);
  if ((untilMs - fromMs) / everyMs > mostIntervals)
    throw queryFault(
      'interval',
      `is too short for that time: more than ${mostIntervals} intervals; ask for longer ones, or a later from`,
    );
  return {
    ...query,
    from: new Date(fromMs).toISOString(),
    until: new Date(untilMs).toISOString(),
  };
}

/** Counts. Errors: search-unavailable; validation-failed for more groups than are answered. */
export async function countMessages(
  { client, names: { messageIndices } }: Pick<SearchDeps<unknown>, 'client' | 'names'>,
  { filter, by = [], time = 'acceptedAt', every }: CountRequest,
): Promise<Counts> {
  const sources: Record<string, estypes.AggregationsCompositeAggregationSource>[] = [
    ...(every === undefined
      ? []
      : [{ at: { date_histogram: { field: time, fixed_interval: every } } }]),
    ...by.map((name) => ({ [name]: { terms: { field: countedBy[name], missing_bucket: true } } })),
  ];
  const { hits, aggregations } = await orSearchProblem(
    client.search<unknown, { groups?: estypes.AggregationsCompositeAggregate }>({
      index: messageIndices,
      query: messageQuery(filter),
      size: 0,
      track_total_hits: true,
      ...(sources.length > 0 && {
        // One more than is shown tells whether there are too many.
        aggs: { groups: { composite: { size: mostGroups + 1, sources } } },
      }),
    }),
  );
  const buckets = (aggregations?.groups?.buckets ?? []) as estypes.AggregationsCompositeBucket[];
  if (buckets.length > mostGroups)
    throw queryFault(
      every === undefined ? 'groupBy' : 'interval',
      `comes to more than ${mostGroups} groups; count fewer messages, or group by less`,
    );
  const { total } = hits;
  return {
    total: typeof total === 'object' ? total.value : (total ?? 0),
    ...(filter.from !== undefined && { from: filter.from }),
    ...(filter.until !== undefined && { until: filter.until }),
    groups: buckets.map(({ key: { at, ...key }, doc_count: count }) => ({
      ...(every !== undefined && { at: new Date(Number(at)).toISOString() }),
      ...(key as Record<CountedBy, string | null>),
      count,
      ...(every !== undefined && { perSecond: count / secondsOf(every) }),
    })),
  };
}
