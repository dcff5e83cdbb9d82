/** Takes out of the index what tells of a person: their messages stay as counts, without recipient, request and content. */
import type { Client, estypes } from '@elastic/elasticsearch';
import type { Snapshot } from '../contracts/result.ts';
import type { Names } from '../contracts/topics.ts';
import { orSearchProblem } from '../platform/elasticsearch.ts';
import { requestId } from './message-index-write.ts';

/** Above every version of a snapshot: what comes late changes nothing any more. */
const erasedVersion = 2 ** 52;
const mostAttempts = 1000;

/** What may tell of a person, in a message and in its attempts; providers repeat numbers in what they say. */
const personal = ['sealed', 'providerId', 'providerMessage', 'content', 'orderingKey', 'attempt'];

const without = <Fields extends object>(fields: Fields, names: readonly string[]): Fields =>
  Object.fromEntries(Object.entries(fields).filter(([name]) => !names.includes(name))) as Fields;

export interface FindOfRecipients {
  readonly tenantId: string;
  readonly recipientHashes: readonly string[];
  /** ISO time: those accepted up to then. */
  readonly until: string;
  readonly limit: number;
}

export interface ErasingDeps {
  readonly client: Client;
  readonly names: Names;
  /** Reads a document; undefined when it is none of ours. */
  readonly read: (source: unknown) => Snapshot | undefined;
}

/** Makes both calls. Errors: the problem `search-unavailable`. */
export function createErasing({ client, names, read }: ErasingDeps) {
  return {
    /** Messages to any of these recipients that are not erased yet, oldest first. Seen a second after they were written. */
    findOfRecipients: async ({ tenantId, recipientHashes, until, limit }: FindOfRecipients) => {
      const { hits } = await orSearchProblem(
        client.search({
          index: names.messageIndices,
          query: {
            bool: {
              filter: [
                { term: { tenantId } },
                { terms: { recipientHash: [...recipientHashes] } },
                { range: { acceptedAt: { lte: until } } },
              ],
            },
          },
          sort: [{ acceptedAt: 'asc' }],
          size: limit,
        }),
      );
      return hits.hits.flatMap(({ _source }) => read(_source) ?? []);
    },
    /** Overwrites a message, its attempts and its request. May be repeated. */
    erase: async (snapshot: Snapshot, erasedAt: string): Promise<void> => {
      const { messageId, acceptedAt, reason } = snapshot;
      const kept = without(snapshot, personal);
      const external = { version: erasedVersion, version_type: 'external_gte' } as const;
      const index = names.attemptIndex(acceptedAt);
      const found = await orSearchProblem(
        client.search<Record<string, unknown>>({
          index,
          ignore_unavailable: true,
          query: { term: { messageId } },
          size: mostAttempts,
        }),
      );
      const attempts = found.hits.hits.flatMap(({ _id, _source }) => {
        if (_id === undefined || _source === undefined) return [];
        return [{ index, id: _id, document: { ...without(_source, personal), erasedAt } }];
      });
      const documents = [
        // Kept as a mark, so that a late acceptance cannot write it again.
        { index, id: requestId(messageId), document: { erasedAt } },
        ...attempts,
        // Last: until it is written the message is found again.
        {
          index: names.messageIndex(acceptedAt),
          id: messageId,
          document: {
            ...kept,
            ...(reason !== undefined && { reason: { code: reason.code } }),
            recipientHash: '',
            recipientMasked: '',
            metadata: {},
            erasedAt,
          } satisfies Snapshot,
        },
      ];
      for (const { index: _index, id: _id, document } of documents) {
        const action: estypes.IndexRequest = { index: _index, id: _id, document, ...external };
        await orSearchProblem(client.index(action));
      }
    },
  };
}
