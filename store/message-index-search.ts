/** Search over all days: newest first for people, in the order of acceptance for jobs. */
import type { Client, estypes } from '@elastic/elasticsearch';
import type { Kind } from '../contracts/message.ts';
import { problem } from '../contracts/problems.ts';
import type { Snapshot } from '../contracts/result.ts';
import type { Status } from '../contracts/status.ts';
import type { Names, Priority } from '../contracts/topics.ts';
import { orSearchProblem } from '../platform/elasticsearch.ts';

/** Which messages; every given part must match. */
export interface MessageFilter {
  readonly tenantId: string;
  readonly messageId?: string | undefined;
  readonly status?: Status | undefined;
  readonly kind?: Kind | undefined;
  readonly channel?: string | undefined;
  readonly connector?: string | undefined;
  readonly template?: string | undefined;
  readonly locale?: string | undefined;
  readonly accountId?: string | undefined;
  readonly batch?: string | undefined;
  readonly orderingKey?: string | undefined;
  readonly providerId?: string | undefined;
  readonly priority?: Priority | undefined;
  readonly recipientHash?: string | undefined;
  readonly metadata?: { readonly key: string; readonly value: string } | undefined;
  /** A phrase in the content, where the template lets it be kept. */
  readonly text?: string | undefined;
  /** Code of the reason. */
  readonly reason?: string | undefined;
  /** What any of its attempts came to, and the provider's code of any. */
  readonly attemptOutcome?: string | undefined;
  readonly providerCode?: string | undefined;
  /** ISO times of acceptance: from (with it) until (without it). */
  readonly from?: string | undefined;
  readonly until?: string | undefined;
}

/** One of several, beside what the filter says. */
export interface AnyOf {
  readonly statuses?: readonly Status[] | undefined;
  readonly reasons?: readonly string[] | undefined;
}

export interface MessageSearch extends MessageFilter, AnyOf {
  readonly limit: number;
  /** `nextCursor` of the page before. */
  readonly cursor?: string | undefined;
}

export interface MessagePage {
  readonly items: readonly Snapshot[];
  /** Missing on the last page. */
  readonly nextCursor?: string;
  /** Counted exactly up to 10,000; then `gte`. */
  readonly total: { readonly value: number; readonly relation: 'eq' | 'gte' };
}

/**
 * Makes the search. A cursor is a place in (acceptedAt, messageId), which never changes for a message, so what arrives
 * while somebody turns pages moves nothing. Errors: problems `validation-failed` (query/cursor), `search-unavailable`.
 */
export function createSearch(deps: {
  readonly client: Client;
  readonly names: Names;
  readonly read: (source: unknown) => Snapshot | undefined;
}) {
  return async (search: MessageSearch): Promise<MessagePage> => {
    const after = search.cursor === undefined ? undefined : readCursor(search.cursor);
    const { hits } = await orSearchProblem(
      deps.client.search({
        index: deps.names.messageIndices,
        query: messageQuery(search),
        sort: [{ acceptedAt: 'desc' }, { messageId: 'desc' }],
        // One more than asked for tells whether there is a next page.
        size: search.limit + 1,
        track_total_hits: 10_000,
        ...(after !== undefined && { search_after: after }),
      }),
    );
    const page = hits.hits.slice(0, search.limit);
    const last = page.at(-1);
    const total = hits.total;
    return {
      items: page.flatMap((hit) => deps.read(hit._source) ?? []),
      ...(hits.hits.length > search.limit &&
        last?.sort !== undefined && { nextCursor: writeCursor(last.sort) }),
      total:
        typeof total === 'object'
          ? { value: total.value, relation: total.relation }
          : { value: total ?? 0, relation: 'eq' },
    };
  };
}

/** What a job goes through; every given part must match. */
export interface MessageScan {
  readonly tenantId?: string | undefined;
  readonly statuses: readonly Status[];
  readonly template?: string | undefined;
  readonly channel?: string | undefined;
  readonly accountId?: string | undefined;
  readonly batch?: string | undefined;
  readonly reason?: string | undefined;
  /** ISO times of acceptance: from (with it) until (without it). */
  readonly from?: string | undefined;
  readonly until?: string | undefined;
  /** ISO time: only what has had its status since then or longer. */
  readonly unchangedSince: string;
}

/** A place in (acceptedAt in ms, id), which never changes for a message. */
export type ScanPlace = readonly [number, string];

export interface ScanPage {
  readonly ids: readonly string[];
  /** Missing on the last page. */
  readonly next?: ScanPlace;
}

/**
 * Makes the scan: ids in the order of acceptance, a page at a time; messages that change meanwhile move no other. The
 * first page sees everything that was written before. Errors: the problem search-unavailable.
 */
export function createScan(deps: { readonly client: Client; readonly names: Names }) {
  const index = deps.names.messageIndices;
  return async (
    scan: MessageScan,
    { after, limit }: { readonly after?: ScanPlace | undefined; readonly limit: number },
  ): Promise<ScanPage> => {
    if (after === undefined) await orSearchProblem(deps.client.indices.refresh({ index }));
    const { hits } = await orSearchProblem(
      deps.client.search({
        index,
        query: scanQuery(scan),
        sort: [{ acceptedAt: 'asc' }, { messageId: 'asc' }],
        size: limit,
        _source: false,
        track_total_hits: false,
        ...(after !== undefined && { search_after: [...after] }),
      }),
    );
    const places = hits.hits.map(({ sort }) => sort as [number, string]);
    const last = places.at(-1);
    return {
      ids: places.map(([, id]) => id),
      ...(places.length === limit && last !== undefined && { next: last }),
    };
  };
}

/** The query of a scan. */
export function scanQuery(scan: MessageScan): estypes.QueryDslQueryContainer {
  return {
    bool: {
      filter: [
        ...filters(scan),
        { terms: { status: [...scan.statuses] } },
        { range: { updatedAt: { lte: scan.unchangedSince } } },
      ],
    },
  };
}

/** What search and scan have in common, any part of it. */
type Filters = {
  readonly [Part in keyof MessageFilter]?: (MessageFilter & MessageScan)[Part] | undefined;
};

/** The query of a filter. */
export function messageQuery(filter: MessageFilter & AnyOf): estypes.QueryDslQueryContainer {
  const { statuses, reasons } = filter;
  return {
    bool: {
      filter: [
        ...filters(filter),
        ...(statuses === undefined ? [] : [{ terms: { status: [...statuses] } }]),
        ...(reasons === undefined ? [] : [{ terms: { 'reason.code': [...reasons] } }]),
      ],
    },
  };
}

function filters(search: Filters): estypes.QueryDslQueryContainer[] {
  const { metadata, text, from, until } = search;
  const terms: Record<string, string | undefined> = {
    tenantId: search.tenantId,
    messageId: search.messageId,
    status: search.status,
    kind: search.kind,
    channel: search.channel,
    connector: search.connector,
    template: search.template,
    locale: search.locale,
    accountId: search.accountId,
    batch: search.batch,
    orderingKey: search.orderingKey,
    providerId: search.providerId,
    priority: search.priority,
    recipientHash: search.recipientHash,
    'reason.code': search.reason,
    attemptOutcomes: search.attemptOutcome,
    providerCodes: search.providerCode,
    ...(metadata !== undefined && { [`metadata.${metadata.key}`]: metadata.value }),
  };
  const found: estypes.QueryDslQueryContainer[] = Object.entries(terms).flatMap(([field, value]) =>
    value === undefined ? [] : [{ term: { [field]: { value } } }],
  );
  if (text !== undefined) found.push({ match_phrase: { content: text } });
  if (from !== undefined || until !== undefined)
    found.push({
      range: {
        acceptedAt: {
          ...(from !== undefined && { gte: from }),
          ...(until !== undefined && { lt: until }),
        },
      },
    });
  return found;
}

/** The cursor with which a search goes on after this message. */
export function cursorAfter({
  acceptedAt,
  messageId,
}: Pick<Snapshot, 'acceptedAt' | 'messageId'>): string {
  return writeCursor([Date.parse(acceptedAt), messageId]);
}

function writeCursor(sort: estypes.SortResults): string {
  return Buffer.from(JSON.stringify(sort)).toString('base64url');
}

function readCursor(cursor: string): estypes.SortResults {
  try {
    const value: unknown = JSON.parse(Buffer.from(cursor, 'base64url').toString('utf8'));
    if (Array.isArray(value) && value.length === 2) {
      const [acceptedAtMs, messageId] = value as unknown[];
      if (Number.isSafeInteger(acceptedAtMs) && typeof messageId === 'string')
        return [acceptedAtMs as number, messageId];
    }
  } catch {
    // Not JSON: told below, like every text that we did not write.
  }
  const detail = 'is not a cursor of this search; start again without it';
  throw problem('validation-failed', {
    detail: `query/cursor ${detail}`,
    errors: [{ pointer: 'query/cursor', detail }],
  });
}
