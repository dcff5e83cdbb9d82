/** Ingest in the test's own process, on the real database: one "process" each call. What it publishes is kept in a list. */
import type { AcceptedMessage } from '../contracts/message.ts';
import { problem } from '../contracts/problems.ts';
import { createNames } from '../contracts/topics.ts';
import { acceptBatch } from '../ingest/accept-batch.ts';
import { acceptMessage } from '../ingest/accept-message.ts';
import { createKeyUses } from '../ingest/key-uses.ts';
import { createQuotas, type Admission } from '../ingest/quotas.ts';
import { authorize } from '../ingest/scopes.ts';
import { ingestRoutes, type Caller } from '../ingest/server.ts';
import { createApp, listen } from '../platform/http.ts';
import type { Logger } from '../platform/logger.ts';
import { createMessageIds } from '../platform/message-id.ts';
import { createMetrics } from '../platform/metrics.ts';
import { PublishError } from '../platform/queue.ts';
import { createSealer } from '../platform/seal.ts';
import { createDirectory, createStore } from '../store/index.ts';
import { checkVariables } from '../templates/index.ts';
import { plainConnector } from './plain-connector.ts';

export interface IngestApp {
  readonly published: AcceptedMessage[];
  /** Version of a tenant's quotas that is in force here. */
  quotasVersion(tenantId: string): Promise<number>;
  /** While true nothing is stored. */
  isBrokerDown: boolean;
  call(
    key: string,
    path: string,
    options?: { body?: unknown; headers?: Record<string, string>; method?: string },
  ): Promise<{ status: number; headers: Headers; body: Record<string, unknown> }>;
  close(): Promise<void>;
}

export interface IngestAppOptions {
  readonly mysqlUrl: string;
  readonly keyring: readonly string[];
  readonly logger: Logger;
  readonly instanceId: string;
  /** Days for which the store's day keys live. */
  readonly keyDays?: number;
  /** Of the quotas. Default: the clock. */
  readonly now?: () => number;
}

/** Starts it. Its directory follows the database as ingest's does. */
export async function startIngestApp(options: IngestAppOptions): Promise<IngestApp> {
  const { mysqlUrl, keyring, logger, instanceId, now, keyDays } = options;
  const sealer = createSealer(keyring);
  const store = createStore({
    mysqlUrl,
    sealer,
    slots: 1,
    ...(keyDays !== undefined && { keyDays }),
    logger,
  });
  const directory = createDirectory({ store, logger });
  await directory.start();
  const published: AcceptedMessage[] = [];
  const quotas = createQuotas({
    quotasOf: (tenantId) => directory.quotas(tenantId),
    counters: store.quotaCounters,
    instanceId,
    logger,
    // The test's machine may be slow; that is not what is tried here.
    patienceMs: 9000,
    ...(now !== undefined && { now }),
  });
  const keyUses = createKeyUses({
    record: (uses) => store.apiKeys.recordUses(uses),
    logger,
    writeEveryMs: 100,
  });
  const none = () => Promise.reject(new Error('not in this test'));
  const accepting = {
    ids: createMessageIds(sealer),
    sealer,
    sealing: (tenantId: string) => store.dayKeyRing.sealing(tenantId),
    publisher: {
      publish: async (_topic: string, { body }: { body: string | Uint8Array }) => {
        if (ingest.isBrokerDown) throw new PublishError('down', 'no');
        published.push(JSON.parse(String(body)) as AcceptedMessage);
      },
      close: async () => {},
    },
    names: createNames('test'),
    logger,
    connectors: new Map([[plainConnector.name, plainConnector]]),
    template: (tenantId: string, name: string) => directory.template(tenantId, name),
    accountsOf: (tenantId: string) => directory.accountsOf(tenantId),
    admitScheduled: async () => {},
    checkVariables,
    admit: (admission: Admission) => quotas.admit(admission),
  };
  const app = createApp<Caller>({
    routes: ingestRoutes({
      accept: (request) => acceptMessage(accepting, request),
      acceptBatch: (common, items) => acceptBatch(accepting, common, items),
      quotaHeaders: (tenantId) => quotas.headersOf(tenantId),
      status: async ({ messageId }) => ({ id: messageId, status: 'accepted', timeline: [] }),
      receipt: none,
      others: [],
    }),
    authenticate: async ({ authorization }) => {
      const caller = await directory.findCaller(authorization?.replace('Bearer ', '') ?? '');
      if (caller === undefined) throw problem('unauthorized');
      keyUses.note(caller.keyId);
      return caller;
    },
    authorize,
    logger,
    metrics: createMetrics(),
    notReady: () => [],
  });
  const server = await listen(app, '127.0.0.1', 0);
  const ingest: IngestApp = {
    published,
    isBrokerDown: false,
    quotasVersion: async (tenantId) => (await directory.quotas(tenantId)).version,
    call: async (key, path, { body, headers = {}, method } = {}) => {
      const response = await fetch(`http://127.0.0.1:${server.port}${path}`, {
        method: method ?? (body === undefined ? 'GET' : 'POST'),
        headers: {
          authorization: `Bearer ${key}`,
          ...(body !== undefined && { 'content-type': 'application/json' }),
          ...headers,
        },
        ...(body !== undefined && { body: JSON.stringify(body) }),
      });
      return {
        status: response.status,
        headers: response.headers,
        body: (await response.json()) as Record<string, unknown>,
      };
    },
    close: async () => {
      await server.close();
      await quotas.close();
      await keyUses.close();
      await directory.close();
      await store.close();
    },
  };
  return ingest;
}
