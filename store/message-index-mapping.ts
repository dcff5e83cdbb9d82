/** Index templates of the daily indices. What is not mapped here is kept in the document and cannot be searched. */
import type { estypes } from '@elastic/elasticsearch';
import type { Names } from '../contracts/topics.ts';

// A longer word is kept but not found, rather than refusing the document (Lucene takes 32,766 bytes at most).
const longestTerm = 512;
const listed = { type: 'keyword', ignore_above: longestTerm } as const;
/** Found by its exact value; never sorted or counted by. */
const matched = { ...listed, doc_values: false } as const;
const date = { type: 'date', format: 'strict_date_optional_time' } as const;

const messageMappings = {
  dynamic: false,
  properties: {
    messageId: listed,
    tenantId: listed,
    status: listed,
    kind: listed,
    template: listed,
    locale: listed,
    channel: listed,
    connector: listed,
    accountId: listed,
    priority: listed,
    batch: listed,
    orderingKey: listed,
    recipientHash: matched,
    providerId: matched,
    reason: { properties: { code: listed } },
    attemptOutcomes: listed,
    providerCodes: listed,
    metadata: { type: 'flattened', ignore_above: longestTerm },
    acceptedAt: date,
    updatedAt: date,
    nextAttemptAt: date,
    attempts: { type: 'integer' },
    // The standard analyzer splits Chinese by character; phrases put the words together again.
    content: { type: 'text', norms: false },
  },
} as const satisfies estypes.MappingTypeMapping;

/** Attempts, and beside them the sealed request of each message, in which nothing can be searched. */
const attemptMappings = {
  dynamic: false,
  properties: {
    messageId: listed,
    tenantId: listed,
    redrive: { type: 'integer' },
    number: { type: 'integer' },
    connector: listed,
    channel: listed,
    accountId: listed,
    outcome: listed,
    providerCode: listed,
    providerId: matched,
    startedAt: date,
    durationMs: { type: 'integer' },
  },
} as const satisfies estypes.MappingTypeMapping;

/** The template of each kind of index: name → body. `shards`: per daily index. */
export function indexTemplates(names: Names, shards: number) {
  const template = (pattern: string, mappings: estypes.MappingTypeMapping) => ({
    name: pattern.replace('-*', ''),
    index_patterns: [pattern],
    priority: 500,
    template: {
      settings: {
        number_of_shards: shards,
        // None on a single node, one as soon as there are two.
        auto_expand_replicas: '0-1',
        refresh_interval: '1s',
      },
      mappings,
    },
  });
  return [
    template(names.messageIndices, messageMappings),
    template(names.attemptIndices, attemptMappings),
  ];
}
