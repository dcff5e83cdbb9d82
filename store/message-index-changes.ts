/** A tenant's messages by when their status changed: for telling again what was told then. */
import type { Client } from '@elastic/elasticsearch';
import type { Snapshot } from '../contracts/result.ts';
import type { Status } from '../contracts/status.ts';
import type { Names } from '../contracts/topics.ts';
import { orSearchProblem } from '../platform/elasticsearch.ts';

export interface MessageChanges {
  readonly tenantId: string;
  readonly statuses: readonly Status[];
  /** ISO times: from (with it) until (without it). */
  readonly from: string;
  readonly until: string;
}

export interface ChangesPage {
  /** `changeKey` of the last one of the page before. */
  readonly after?: string | undefined;
  readonly limit: number;
}

/** What a page goes on from. */
export const changeKey = ({ updatedAt, messageId }: Snapshot): string =>
  `${Date.parse(updatedAt)}.${messageId}`;

/**
 * Makes the look: newest snapshots whose status became what it is in a span of time, oldest first. The first page sees
 * everything that was written before. Errors: the problem search-unavailable.
 */
export function createChangedBetween(deps: {
  readonly client: Client;
  readonly names: Names;
  readonly read: (source: unknown) => Snapshot | undefined;
}) {
  const index = deps.names.messageIndices;
  return async (
    { tenantId, statuses, from, until }: MessageChanges,
    { after, limit }: ChangesPage,
  ): Promise<readonly Snapshot[]> => {
    const [, ms, messageId] = /^(\d{1,15})\.(.+)$/.exec(after ?? '') ?? [];
    if (after === undefined) await orSearchProblem(deps.client.indices.refresh({ index }));
    const { hits } = await orSearchProblem(
      deps.client.search({
        index,
        query: {
          bool: {
            filter: [
              { term: { tenantId } },
              { terms: { status: [...statuses] } },
              { range: { updatedAt: { gte: from, lt: until } } },
            ],
          },
        },
        sort: [{ updatedAt: 'asc' }, { messageId: 'asc' }],
        size: limit,
        track_total_hits: false,
        ...(messageId !== undefined && { search_after: [Number(ms), messageId] }),
      }),
    );
    return hits.hits.flatMap((hit) => deps.read(hit._source) ?? []);
  };
}
