/**
 * Messages in Elasticsearch: one document per message, its newest snapshot, in the index of the day of acceptance; beside
 * it, in the attempts index of that day, one document per attempt and one with the sealed request, written once.
 */
import type { Client } from '@elastic/elasticsearch';
import { Type } from 'typebox';
import {
  AttemptSchema,
  documentVersion,
  SnapshotSchema,
  type Attempt,
  type Snapshot,
} from '../contracts/result.ts';
import type { Names } from '../contracts/topics.ts';
import { orSearchProblem, searchUnavailable } from '../platform/elasticsearch.ts';
import type { Logger } from '../platform/logger.ts';
import { messageIdTimeMs } from '../platform/message-id.ts';
import { createValidator } from '../platform/validate.ts';
import { createErasing, type FindOfRecipients } from './message-index-erase.ts';
import {
  createChangedBetween,
  type ChangesPage,
  type MessageChanges,
} from './message-index-changes.ts';
import { indexTemplates } from './message-index-mapping.ts';
import {
  createScan,
  createSearch,
  type MessagePage,
  type MessageScan,
  type MessageSearch,
  type ScanPage,
  type ScanPlace,
} from './message-index-search.ts';
import { createReadRequests, type KeptRequest } from './message-index-requests.ts';
import { createWriteEvents, requestId, type WriteResult } from './message-index-write.ts';

export { cursorAfter, messageQuery, scanQuery } from './message-index-search.ts';
export type { KeptRequest } from './message-index-requests.ts';
export { redriveScan } from './redrive-scan.ts';
export type {
  AnyOf,
  MessageFilter,
  MessagePage,
  MessageScan,
  MessageSearch,
  ScanPage,
  ScanPlace,
} from './message-index-search.ts';
export {
  createBatchIndex,
  type BatchIndex,
  type MemberStatus,
  type StatusCounts,
} from './batch-index.ts';
export type { WriteResult } from './message-index-write.ts';
export { changeKey, type ChangesPage, type MessageChanges } from './message-index-changes.ts';

/** An attempt as it is kept; `redrive` says which delivery run it belongs to. */
export type IndexedAttempt = Attempt & { readonly redrive: number };

export interface FirstRequest {
  readonly sealed: string;
  /** Milliseconds from acceptance, or from sendAt; missing where it was not kept yet. */
  readonly lifeMs?: number;
}

export interface MessageIndexDeps {
  readonly client: Client;
  readonly names: Names;
  readonly logger: Logger;
  /** Shards of each daily index. Default 1. */
  readonly shards?: number;
}

/** Every reader's errors: the problem `search-unavailable`. */
export interface MessageIndex {
  /** Puts the index templates; harmless to repeat and from several processes at once. */
  install(): Promise<void>;
  /** Writes snapshots in one bulk call; a result for each, in their order. Never throws. */
  writeEvents(snapshots: readonly Snapshot[]): Promise<readonly WriteResult[]>;
  /**
   * The newest snapshot, without refresh lag. `acceptedAtMs`: when the message was accepted, or its id made, in epoch
   * milliseconds; without it, and for an id that does not tell it, all days are looked through.
   */
  get(messageId: string, acceptedAtMs?: number): Promise<Snapshot | undefined>;
  /** Attempts in order, up to the first 1,000. Seen a second after they were written. */
  attempts(messageId: string, acceptedAt: string): Promise<readonly IndexedAttempt[]>;
  /** The sealed request with which the message was accepted. */
  sealedRequest(messageId: string, acceptedAt: string): Promise<string | undefined>;
  /** The request as it was accepted: sealed, and the life that it had. */
  firstRequest(messageId: string, acceptedAt: string): Promise<FirstRequest | undefined>;
  /** The sealed requests of some messages, in their order. */
  requests(
    messages: readonly Pick<Snapshot, 'messageId' | 'acceptedAt'>[],
  ): Promise<readonly KeptRequest[]>;
  search(search: MessageSearch): Promise<MessagePage>;
  /** A page of ids in the order of acceptance; `after`: `next` of the page before. */
  scan(
    scan: MessageScan,
    page: { readonly after?: ScanPlace | undefined; readonly limit: number },
  ): Promise<ScanPage>;
  /** Newest snapshots whose status became what it is in a span of time, oldest first. */
  changedBetween(changes: MessageChanges, page: ChangesPage): Promise<readonly Snapshot[]>;
  /** The tenant's message that a channel's provider knows by this id; seen a second after it was written. */
  byProviderId(of: {
    readonly tenantId: string;
    readonly channel: string;
    readonly providerId: string;
  }): Promise<Snapshot | undefined>;
  /** An account's messages that became `sent` within a span of epoch milliseconds and have no receipt yet, oldest first. */
  awaitingReceipt(
    accountId: string,
    span: { readonly fromMs: number; readonly untilMs: number; readonly limit: number },
  ): Promise<readonly Snapshot[]>;
  /** Takes the document of a repeat out of the day on which it was accepted again; only a bare acceptance can be. */
  remove(messageId: string, acceptedAt: string): Promise<void>;
  /** Messages to any of these recipients that are not erased yet, oldest first; seen a second after they were written. */
  findOfRecipients(of: FindOfRecipients): Promise<readonly Snapshot[]>;
  /** Takes out of a message, its attempts and its request what tells of its person. May be repeated. */
  erase(snapshot: Snapshot, erasedAt: string): Promise<void>;
  /** Deletes the indices of all days before this one (`2026-11-21`); resolves with their names. */
  dropOlderThan(day: string): Promise<readonly string[]>;
}

const dayMs = 86_400_000;
/** How long after its id was made a message may have been accepted: decides whether the next day is looked at, too. */
const acceptWithinMs = 3_600_000;
const mostAttempts = 1000;

const snapshotValidator = createValidator(SnapshotSchema);
const attemptValidator = createValidator(AttemptSchema);
const requestValidator = createValidator(
  Type.Object({
    sealed: Type.String(),
    expiresAt: Type.Optional(Type.String()),
    sendAt: Type.Optional(Type.String()),
  }),
);

/** Makes the index's reads and writes over one client. */
export function createMessageIndex(deps: MessageIndexDeps): MessageIndex {
  const { client, names, logger, shards = 1 } = deps;

  const read = (source: unknown): Snapshot | undefined => {
    if (snapshotValidator.check(source)) return source;
    if (!isRemoved(source))
      logger.error({ faults: snapshotValidator.faults(source) }, 'index.document-unreadable');
    return undefined;
  };

  const getFromDays = async (messageId: string, timesMs: readonly number[]) => {
    const indices = timesMs.map((ms) => names.messageIndex(new Date(ms).toISOString()));
    const sources = await getDocuments(
      client,
      indices.map((_index) => ({ _index, _id: messageId })),
    );
    return newest(sources.flatMap((source) => read(source) ?? []));
  };

  const getFromAllDays = async (messageId: string) => {
    const { hits } = await orSearchProblem(
      client.search({
        index: names.messageIndices,
        query: { ids: { values: [messageId] } },
        size: 100,
      }),
    );
    return newest(hits.hits.flatMap((hit) => read(hit._source) ?? []));
  };

  const readRequest = async (messageId: string, acceptedAt: string) => {
    const [source] = await getDocuments(client, [
      { _index: names.attemptIndex(acceptedAt), _id: requestId(messageId) },
    ]);
    return requestValidator.check(source) ? source : undefined;
  };

  return {
    install: async () => {
      for (const template of indexTemplates(names, shards)) {
        await client.indices.putIndexTemplate(template);
        // In the days that are there, what is written from now on is found by new fields, too.
        const { index_patterns: index, template: inside } = template;
        await client.indices.putMapping({ index, ...inside.mappings, allow_no_indices: true });
      }
    },
    writeEvents: createWriteEvents({ client, names }),
    get: async (messageId, acceptedAtMs = idTimeMs(messageId)) => {
      if (acceptedAtMs !== undefined)
        return getFromDays(messageId, daysFrom(acceptedAtMs, acceptedAtMs + acceptWithinMs));
      const now = Date.now();
      const recent = await getFromDays(messageId, [now, now - dayMs]);
      // A bare acceptance may be a repeat of a message of an earlier day, which then is the one asked for.
      if (recent !== undefined && documentVersion(recent) > 0) return recent;
      return (await getFromAllDays(messageId)) ?? recent;
    },
    attempts: async (messageId, acceptedAt) => {
      const { hits } = await orSearchProblem(
        client.search<Record<string, unknown>>({
          index: names.attemptIndex(acceptedAt),
          ignore_unavailable: true,
          query: { term: { messageId: { value: messageId } } },
          sort: [{ redrive: 'asc' }, { number: 'asc' }],
          size: mostAttempts,
        }),
      );
      return hits.hits.flatMap(({ _source }) => readAttempt(_source) ?? []);
    },
    sealedRequest: async (messageId, acceptedAt) =>
      (await readRequest(messageId, acceptedAt))?.sealed,
    firstRequest: async (messageId, acceptedAt) => {
      const request = await readRequest(messageId, acceptedAt);
      if (request === undefined) return undefined;
      const { sealed, expiresAt, sendAt = acceptedAt } = request;
      return {
        sealed,
        ...(expiresAt !== undefined && { lifeMs: Date.parse(expiresAt) - Date.parse(sendAt) }),
      };
    },
    requests: createReadRequests({ client, names }),
    search: createSearch({ client, names, read }),
    scan: createScan({ client, names }),
    ...createErasing({ client, names, read }),
    changedBetween: createChangedBetween({ client, names, read }),
    byProviderId: async ({ tenantId, channel, providerId }) => {
      const { hits } = await orSearchProblem(
        client.search({
          index: names.messageIndices,
          query: {
            bool: {
              filter: [{ term: { tenantId } }, { term: { channel } }, { term: { providerId } }],
            },
          },
          size: 2,
        }),
      );
      return newest(hits.hits.flatMap((hit) => read(hit._source) ?? []));
    },
    awaitingReceipt: async (accountId, { fromMs, untilMs, limit }) => {
      const { hits } = await orSearchProblem(
        client.search({
          index: names.messageIndices,
          query: {
            bool: {
              filter: [
                { term: { accountId } },
                { term: { status: 'sent' } },
                {
                  range: {
                    updatedAt: {
                      gte: new Date(fromMs).toISOString(),
                      lt: new Date(untilMs).toISOString(),
                    },
                  },
                },
              ],
            },
          },
          sort: [{ updatedAt: 'asc' }, { messageId: 'asc' }],
          size: limit,
        }),
      );
      return hits.hits.flatMap((hit) => read(hit._source) ?? []);
    },
    remove: async (messageId, acceptedAt) => {
      // A deleted document could be brought back by its accepted event coming late. One that is emptied, and so belongs to
      // no tenant, at version 1, refuses that event (version 0), and itself gives way to a run's snapshots (1 and more).
      const emptied = await orSearchProblem(
        client.index(
          {
            index: names.messageIndex(acceptedAt),
            id: messageId,
            version: 1,
            version_type: 'external',
            document: { removed: true },
          },
          { ignore: [409] },
        ),
      );
      if (emptied.result === undefined) return;
      await orSearchProblem(
        client.index({
          index: names.attemptIndex(acceptedAt),
          id: requestId(messageId),
          document: { removed: true },
        }),
      );
    },
    dropOlderThan: async (day) => {
      const found = await orSearchProblem(
        client.indices.get({
          index: [names.messageIndices, names.attemptIndices],
          filter_path: '*.settings.index.uuid',
        }),
      );
      const oldest = [names.messageIndex(day), names.attemptIndex(day)];
      const old = Object.keys(found).filter((name) =>
        oldest.some(
          (first) => name.length === first.length && sameKind(name, first) && name < first,
        ),
      );
      for (const name of old)
        await orSearchProblem(client.indices.delete({ index: name, ignore_unavailable: true }));
      return old;
    },
  };
}

const dateLength = '2026.11.21'.length;
const sameKind = (name: string, other: string) =>
  name.slice(0, -dateLength) === other.slice(0, -dateLength);

/** Realtime read of some documents in one call; what is not there, or has no index, is left out. */
async function getDocuments(
  client: Client,
  docs: { _index: string; _id: string }[],
): Promise<unknown[]> {
  const response = await orSearchProblem(client.mget({ docs }));
  return response.docs.flatMap((doc) => {
    if (!('error' in doc)) return doc.found ? [doc._source] : [];
    if (doc.error.type === 'index_not_found_exception') return [];
    throw searchUnavailable(new Error(`${doc.error.type}: ${doc.error.reason ?? ''}`));
  });
}

function newest(snapshots: readonly Snapshot[]): Snapshot | undefined {
  return snapshots.toSorted(
    (a, b) => documentVersion(b) - documentVersion(a) || a.acceptedAt.localeCompare(b.acceptedAt),
  )[0];
}

/** One time in each day that the span touches. */
function daysFrom(firstMs: number, lastMs: number): number[] {
  return Math.floor(firstMs / dayMs) === Math.floor(lastMs / dayMs) ? [firstMs] : [firstMs, lastMs];
}

function idTimeMs(messageId: string): number | undefined {
  return /^msg_[0-9a-z]{26}$/.test(messageId) ? messageIdTimeMs(messageId) : undefined;
}

function isRemoved(source: unknown): boolean {
  return typeof source === 'object' && source !== null && 'removed' in source;
}

/** The attempt without what it was only indexed with. */
function readAttempt(source: unknown): IndexedAttempt | undefined {
  const hasRedrive = typeof source === 'object' && source !== null && 'redrive' in source;
  if (!attemptValidator.check(source) || !hasRedrive || typeof source.redrive !== 'number')
    return undefined;
  const { number, startedAt, durationMs, accountId, outcome } = source;
  const { providerCode, providerMessage, providerId, nextAttemptAt } = source;
  return {
    redrive: source.redrive,
    number,
    startedAt,
    durationMs,
    accountId,
    outcome,
    ...(providerCode !== undefined && { providerCode }),
    ...(providerMessage !== undefined && { providerMessage }),
    ...(providerId !== undefined && { providerId }),
    ...(nextAttemptAt !== undefined && { nextAttemptAt }),
  };
}
