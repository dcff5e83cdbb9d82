/** A query that was understood → its rows. The tenant's filter stands outside of everything that the query says. */
import type { Client, estypes } from '@elastic/elasticsearch';
import { problem } from '../../contracts/problems.ts';
import { orSearchProblem } from '../../platform/elasticsearch.ts';
import { valueIn, type ColumnType } from './columns.ts';
import { sqlLimits } from './limits.ts';
import {
  sqlFault,
  termKey,
  termsOf,
  type Aggregate,
  type Key,
  type Select,
  type Term,
} from './select.ts';
import { compare, holds, toQuery } from './to-query.ts';

export type Cell = string | number | null;
export interface SqlAnswer {
  readonly columns: readonly { readonly name: string; readonly type: ColumnType }[];
  readonly rows: readonly (readonly Cell[])[];
}

export interface RunDeps {
  readonly client: Client;
  /** Pattern of the messages' indices. */
  readonly index: string;
  /** Default 5. */
  readonly seconds?: number;
}

/** The answer's transport waits this much longer than the search may take. */
const marginMs = 1000;
const unitMs = { minute: 60_000, hour: 3_600_000, day: 86_400_000 } as const;

/** Runs it. Errors: query-too-slow, search-unavailable; validation-failed for more groups than are allowed. */
export async function runSelect(
  deps: RunDeps,
  tenantId: string,
  select: Select,
): Promise<SqlAnswer> {
  const query: estypes.QueryDslQueryContainer = {
    bool: {
      filter: [
        { term: { tenantId: { value: tenantId } } },
        ...(select.where === undefined ? [] : [toQuery(select.where)]),
      ],
    },
  };
  return {
    columns: select.items.map(({ name, term }) => ({ name, type: typeOf(term) })),
    rows: select.isGrouped ? await groups(deps, query, select) : await rows(deps, query, select),
  };
}

async function search(
  { client, index, seconds = sqlLimits.seconds }: RunDeps,
  request: estypes.SearchRequest,
): Promise<estypes.SearchResponse<unknown, Record<string, unknown>>> {
  const found = await orSearchProblem(
    client.search<unknown, Record<string, unknown>>(
      { index, timeout: `${seconds}s`, ...request },
      // When this runs out the call is aborted, which ends the search in the index, too.
      { requestTimeout: seconds * 1000 + marginMs, maxRetries: 0 },
    ),
  );
  if (found.timed_out)
    throw problem('query-too-slow', {
      detail: `It took more than ${seconds} s; ask for less time (acceptedAt) or fewer groups.`,
    });
  if (found._shards.failed > 0)
    throw problem('search-unavailable', {
      detail: 'A part of the index does not answer.',
      retryAfterSeconds: 2,
    });
  return found;
}

async function rows(
  deps: RunDeps,
  query: estypes.QueryDslQueryContainer,
  select: Select,
): Promise<Cell[][]> {
  if (select.limit === 0) return [];
  const order = select.orderBy.map(({ term, direction, nulls }) => {
    const { field, type } = (term as Key).column;
    const unmapped = { text: 'keyword', number: 'integer', time: 'date' } as const;
    return { [field]: { order: direction, missing: `_${nulls}`, unmapped_type: unmapped[type] } };
  });
  const keys = select.items.map(({ term }) => term as Key);
  const { hits } = await search(deps, {
    query,
    sort: [
      ...order,
      ...(order.length === 0 ? [{ acceptedAt: 'desc' as const }] : []),
      { messageId: 'asc' },
    ],
    from: select.offset,
    size: select.limit,
    track_total_hits: false,
  });
  return hits.hits.map(({ _source }) =>
    keys.map((key) => keyOf(key, valueIn(_source, key.column))),
  );
}

function keyOf(key: Key, value: unknown): Cell {
  if (typeof value !== 'string' && typeof value !== 'number') return null;
  if (key.kind === 'column') return value;
  const ms = Date.parse(String(value));
  return new Date(ms - (ms % unitMs[key.unit])).toISOString();
}

type Bucket = Record<string, unknown> & {
  readonly doc_count: number;
  readonly key?: Record<string, unknown>;
};

async function groups(
  deps: RunDeps,
  query: estypes.QueryDslQueryContainer,
  select: Select,
): Promise<Cell[][]> {
  const { items, groupBy, having, orderBy, limit, offset } = select;
  const terms = [
    ...items.map(({ term }) => term),
    ...orderBy.map(({ term }) => term),
    ...(having === undefined ? [] : termsOf(having)),
  ];
  const aggregates = new Map(
    terms.flatMap((term) => (term.kind === 'aggregate' ? [[termKey(term), term] as const] : [])),
  );
  // Names of our own: what stands in the query never names anything in the request.
  const names = new Map([...aggregates.keys()].map((key, place) => [key, `a${place}`]));
  const aggs = Object.fromEntries(
    [...aggregates].flatMap(([key, aggregate]) => {
      const agg = toAggregation(aggregate);
      return agg === undefined ? [] : [[names.get(key) ?? '', agg]];
    }),
  );
  const buckets =
    groupBy.length === 0
      ? await oneGroup(deps, query, aggs)
      : await allGroups(deps, query, { groupBy, aggs });
  const places = new Map(groupBy.map((key, place) => [termKey(key), place]));
  const valueOf = (bucket: Bucket, term: Term): Cell => {
    if (term.kind === 'aggregate') return aggregateIn(bucket, term, names.get(termKey(term)) ?? '');
    const value = bucket.key?.[`k${places.get(termKey(term))}`];
    if (value === null || value === undefined) return null;
    return term.column.type === 'time' ? new Date(Number(value)).toISOString() : (value as Cell);
  };
  return buckets
    .filter(
      (bucket) => having === undefined || holds(having, (term) => valueOf(bucket, term)) === true,
    )
    .map((bucket) => ({ bucket, by: orderBy.map(({ term }) => valueOf(bucket, term)) }))
    .toSorted((a, b) => {
      for (const [place, { direction, nulls }] of orderBy.entries()) {
        const order = compareCells(a.by[place] ?? null, b.by[place] ?? null, { direction, nulls });
        if (order !== 0) return order;
      }
      return 0;
    })
    .slice(offset, offset + limit)
    .map(({ bucket }) => items.map(({ term }) => valueOf(bucket, term)));
}

async function oneGroup(
  deps: RunDeps,
  query: estypes.QueryDslQueryContainer,
  aggs: Record<string, estypes.AggregationsAggregationContainer>,
): Promise<Bucket[]> {
  const { hits, aggregations } = await search(deps, {
    query,
    aggs,
    size: 0,
    track_total_hits: true,
  });
  const total = typeof hits.total === 'object' ? hits.total.value : (hits.total ?? 0);
  return [{ ...aggregations, doc_count: total }];
}

async function allGroups(
  deps: RunDeps,
  query: estypes.QueryDslQueryContainer,
  {
    groupBy,
    aggs,
  }: {
    readonly groupBy: readonly Key[];
    readonly aggs: Record<string, estypes.AggregationsAggregationContainer>;
  },
): Promise<readonly Bucket[]> {
  const sources = groupBy.map((key, place) => ({ [`k${place}`]: toSource(key) }));
  const { aggregations } = await search(deps, {
    query,
    size: 0,
    track_total_hits: false,
    aggs: { groups: { composite: { size: sqlLimits.groups + 1, sources }, aggs } },
  });
  const { buckets = [] } = (aggregations?.['groups'] ?? {}) as { buckets?: Bucket[] };
  if (buckets.length > sqlLimits.groups)
    throw sqlFault(`comes to more than ${sqlLimits.groups} groups; narrow WHERE, or group by less`);
  return buckets;
}

function toSource(key: Key): estypes.AggregationsCompositeAggregationSource {
  const { field } = key.column;
  return key.kind === 'trunc'
    ? { date_histogram: { field, calendar_interval: key.unit, missing_bucket: true } }
    : { terms: { field, missing_bucket: true } };
}

/** undefined: the number of documents says it. */
function toAggregation({
  name,
  column,
}: Aggregate): estypes.AggregationsAggregationContainer | undefined {
  if (column === undefined) return undefined;
  if (name === 'count') return { value_count: { field: column.field } };
  if (name === 'count distinct') return { cardinality: { field: column.field } };
  return { stats: { field: column.field } };
}

function aggregateIn(bucket: Bucket, aggregate: Aggregate, name: string): Cell {
  const { column } = aggregate;
  if (column === undefined) return bucket.doc_count;
  const found = (bucket[name] ?? {}) as { value?: number } & Partial<
    Record<'count' | 'min' | 'max' | 'avg' | 'sum', number>
  >;
  if (aggregate.name === 'count' || aggregate.name === 'count distinct') return found.value ?? 0;
  // Of nothing there is no sum either.
  const value = (found.count ?? 0) === 0 ? undefined : found[aggregate.name];
  if (value === undefined) return null;
  return column.type === 'time' ? new Date(value).toISOString() : value;
}

function compareCells(
  a: Cell,
  b: Cell,
  { direction, nulls }: { direction: 'asc' | 'desc'; nulls: 'first' | 'last' },
): number {
  if (a === null || b === null) return a === b ? 0 : (a === null) === (nulls === 'first') ? -1 : 1;
  return direction === 'asc' ? compare(a, b) : compare(b, a);
}

function typeOf(term: Term): ColumnType {
  if (term.kind === 'trunc') return 'time';
  if (term.kind === 'column') return term.column.type;
  return term.name === 'min' || term.name === 'max' ? (term.column?.type ?? 'number') : 'number';
}
