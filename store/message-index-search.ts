/** Search over all days, newest first. */
import type { Client, estypes } from '@elastic/elasticsearch';
import { problem } from '../contracts/problems.ts';
import type { Snapshot } from '../contracts/result.ts';
import type { Status } from '../contracts/status.ts';
import type { Names, Priority } from '../contracts/topics.ts';
import { orSearchProblem } from '../platform/elasticsearch.ts';

export interface MessageSearch {
  readonly tenantId: string;
  readonly status?: Status | undefined;
  readonly channel?: string | undefined;
  readonly template?: string | undefined;
  readonly accountId?: string | undefined;
  readonly priority?: Priority | undefined;
  readonly recipientHash?: string | undefined;
  readonly metadata?: { readonly key: string; readonly value: string } | undefined;
  /** A phrase in the content, where the template lets it be kept. */
  readonly text?: string | undefined;
  /** Code of the reason. */
  readonly reason?: string | undefined;
  /** ISO times of acceptance: from (with it) until (without it). */
  readonly from?: string | undefined;
  readonly until?: string | undefined;
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
        query: { bool: { filter: filters(search) } },
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

function filters(search: MessageSearch): estypes.QueryDslQueryContainer[] {
  const { metadata, text, from, until } = search;
  const terms: Record<string, string | undefined> = {
    tenantId: search.tenantId,
    status: search.status,
    channel: search.channel,
    template: search.template,
    accountId: search.accountId,
    priority: search.priority,
    recipientHash: search.recipientHash,
    'reason.code': search.reason,
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
