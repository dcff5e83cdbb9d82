/** Process: HTTP in. Messages, status, search for services; receipts from providers. */
import { availableParallelism } from 'node:os';
import { createConnectors } from '../channels/registry.ts';
import type { SealedRequest } from '../contracts/message.ts';
import { problem } from '../contracts/problems.ts';
import type { Snapshot } from '../contracts/result.ts';
import { createNames } from '../contracts/topics.ts';
import { loadConfig, redactedConfig } from '../platform/config.ts';
import { dayKeyDays } from '../platform/day-key.ts';
import { createElasticsearch } from '../platform/elasticsearch.ts';
import { createApp, listen } from '../platform/http.ts';
import { createInstanceId, untilReady } from '../platform/lifecycle.ts';
import { createLogger, withoutRedaction } from '../platform/logger.ts';
import { createMessageIds } from '../platform/message-id.ts';
import { createMetrics } from '../platform/metrics.ts';
import { createDocsPage } from '../platform/openapi.ts';
import { runPerCore } from '../platform/process-per-core.ts';
import { openPublisher } from '../platform/rocketmq.ts';
import { redriveMessage } from '../platform/redrive-message.ts';
import { createSealer } from '../platform/seal.ts';
import { connectTemporalClient } from '../platform/temporal-client.ts';
import { explainRoute, messageRoutes } from '../search/index.ts';
import { createDirectory, createStore } from '../store/index.ts';
import { createBatchIndex, createMessageIndex } from '../store/message-index.ts';
import { checkVariables } from '../templates/index.ts';
import { acceptBatch } from './accept-batch.ts';
import { acceptMessage } from './accept-message.ts';
import { batchRoutes } from './batches/routes.ts';
import { consentRoutes } from './consents.ts';
import { deviceRoutes } from './devices.ts';
import { erasureRoutes } from './erasures.ts';
import { createEventStreams } from './inbox/event-streams.ts';
import { createTellRead } from './inbox/read-receipts.ts';
import { inboxRoutes } from './inbox/routes.ts';
import { createUserTokens } from './inbox/user-tokens.ts';
import { getMessageStatus } from './get-message-status.ts';
import { peopleRoutes } from './people.ts';
import { resumeRoute } from './ordering-keys.ts';
import { recallRoute } from './recall-message.ts';
import { createKeyUses } from './key-uses.ts';
import { createQuotas, type Admission } from './quotas.ts';
import { redriveRoute } from './redrive-message.ts';
import { createReceiveReceipt } from './receive-receipt.ts';
import { hashRecipient } from '../platform/recipient-hash.ts';
import { runStatus } from '../platform/run-status.ts';
import { createTokenAnswers } from './second-buckets.ts';
import { createScheduledCap } from './scheduled-cap.ts';
import { authorize } from './scopes.ts';
import { stopBatchRoutes } from './stop-batch.ts';
import { ingestOpenapi, ingestRoutes, type Caller } from './server.ts';
import { suppressionRoutes } from './suppressions.ts';
import { webhookAttemptRoutes } from './webhook-attempts.ts';
import { webhookEndpointRoutes } from './webhook-endpoints.ts';

const config = loadConfig(process.env);
const logger = createLogger('ingest', config.logLevel);

const processes = config.ingestProcesses === 0 ? availableParallelism() : config.ingestProcesses;

await runPerCore({ logger, processes, answers: createTokenAnswers() }, async (life) => {
  logger.info({ config: redactedConfig(config) }, 'process.starting');
  const names = createNames(config.prefix);
  const sealer = createSealer(config.masterKeys);
  const metrics = createMetrics();
  const ids = createMessageIds(sealer);
  const { mysqlUrl, slots, allowPrivateProviders } = config;
  const store = createStore({ mysqlUrl, sealer, slots, keyDays: dayKeyDays(config), logger });
  const connectors = createConnectors({ allowPrivateProviders, ...store.connectorState });
  life.add('store', () => store.close());
  // Not waited for: without MySQL callers get a problem rather than no answer, and /readyz says what is missing.
  const directory = createDirectory({ store, logger });
  life.add('directory', () => directory.close());
  await directory.start();
  const publisher = openPublisher({
    endpoint: config.rocketmqEndpoint,
    topic: names.results,
    logger,
  });
  life.add('publisher', () => publisher.close());
  const temporal = connectTemporalClient({
    address: config.temporalAddress,
    namespace: config.temporalNamespace,
    sealer,
  });
  life.add('temporal', () => temporal.close());
  const elasticsearch = createElasticsearch({ url: config.elasticsearchUrl });
  life.add('elasticsearch', () => elasticsearch.close());
  const index = createMessageIndex({ client: elasticsearch, names, logger });

  const quotas = createQuotas({
    quotasOf: (tenantId) => directory.quotas(tenantId),
    counters: store.quotaCounters,
    instanceId: createInstanceId(),
    siblings: processes,
    logger,
  });
  life.add('quotas', () => quotas.close());

  const accepting = {
    ids,
    sealer,
    sealing: (tenantId: string) => store.dayKeyRing.sealing(tenantId),
    publisher,
    names,
    // Only for the line of each message.
    logger: withoutRedaction(logger),
    connectors,
    template: (tenantId: string, name: string) => directory.template(tenantId, name),
    accountsOf: (tenantId: string) => directory.accountsOf(tenantId),
    admitScheduled: createScheduledCap({
      client: temporal.client,
      logger,
      most: config.scheduledRuns,
    }),
    checkVariables,
    admit: (admission: Admission) => quotas.admit(admission),
  };
  const stopped = new AbortController();
  const search = messageRoutes<Caller>({
    client: elasticsearch,
    names,
    index,
    logger,
    hashRecipient: (tenantId, to) => hashRecipient(sealer, tenantId, to),
    tenantOf: async ({ caller }) => caller.tenantId,
    audience: 'services',
    stopped: stopped.signal,
  });
  const explain = explainRoute<Caller>({
    index,
    names,
    logger,
    tenantOf: async ({ caller }) => caller.tenantId,
    audience: 'services',
    temporal: temporal.client,
    namespace: temporal.namespace,
    ids,
    store,
    paceSeconds: config.paceSeconds,
  });
  const devices = deviceRoutes<Caller>({
    devices: store.devices,
    connectors,
    accountsOf: (tenantId) => directory.accountsOf(tenantId),
  });
  const channels = new Set([...connectors.values()].map(({ channel }) => channel));
  const people = peopleRoutes<Caller>({ people: store.people, channels });
  const suppressions = suppressionRoutes<Caller>({
    suppressions: store.suppressions,
    hashRecipient: (tenantId, to) => hashRecipient(sealer, tenantId, to),
    channels,
  });
  const consents = consentRoutes<Caller>({
    consents: store.consents,
    hashRecipient: (tenantId, to) => hashRecipient(sealer, tenantId, to),
    channels,
    logger,
  });
  const keyUses = createKeyUses({ record: (uses) => store.apiKeys.recordUses(uses), logger });
  life.add('key uses', () => keyUses.close());
  const callerOfKey = async ({ authorization }: Readonly<Record<string, string | undefined>>) => {
    const key = /^Bearer (\S{20,200})$/.exec(authorization ?? '')?.[1];
    const caller = key === undefined ? undefined : await directory.findCaller(key);
    if (caller === undefined)
      throw problem('unauthorized', {
        detail: 'Send an API key that is neither revoked nor expired: Authorization: Bearer mck_…',
      });
    keyUses.note(caller.keyId);
    return caller;
  };
  const { inbox } = store;
  const streams = createEventStreams({ inbox, logger, metrics });
  const recall = recallRoute<Caller>({
    ids,
    connectors,
    client: temporal.client,
    names,
    publisher,
    logger,
    snapshotOf: (messageId, createdMs) => index.get(messageId, createdMs),
    sealedRequestOf: ({ messageId, acceptedAt }) => index.sealedRequest(messageId, acceptedAt),
    open: async (sealed, messageId) =>
      JSON.parse(
        (await store.dayKeyRing.open(sealed, messageId)).toString('utf8'),
      ) as SealedRequest,
    access: (accountId) => directory.access(accountId),
    devicesOf: async ({ tenantId, userId, accountId }) =>
      (await store.devices.list({ tenantId, userId }, accountId)).map(
        ({ deviceToken }) => deviceToken,
      ),
    personOf: (key) => store.people.get(key),
    recallMember: (of) => store.chunkClaims.recall({ ...of, nowMs: Date.now() }),
  });
  const redrive = redriveRoute<Caller>({
    ids,
    redriveMessage: (of) =>
      redriveMessage(
        {
          client: temporal.client,
          names,
          publisher,
          snapshotOf: (messageId) => index.get(messageId),
          firstRequestOf: ({ messageId, acceptedAt }) => index.firstRequest(messageId, acceptedAt),
          isReadable: (sealed) => store.dayKeyRing.isReadable(sealed),
        },
        of,
      ),
    indexNow: (snapshot) => index.writeEvents([snapshot]),
    logger,
  });
  const others = [
    ...search,
    explain,
    recall,
    ...batchRoutes<Caller>({
      ...accepting,
      logger,
      batches: store.batches,
      index: createBatchIndex({ client: elasticsearch, names }),
    }),
    ...stopBatchRoutes<Caller>({ store, logger }),
    resumeRoute<Caller>({ client: temporal.client, names, logger }),
    redrive,
    ...devices,
    ...people,
    ...suppressions,
    ...consents,
    ...erasureRoutes<Caller>({ store, retentionDays: config.temporalRetentionDays, logger }),
    ...webhookEndpointRoutes<Caller>({ store, allowPrivateProviders, logger }),
    ...webhookAttemptRoutes<Caller>({ store, index, logger }),
    ...inboxRoutes({
      inbox,
      streams,
      tokens: createUserTokens(sealer),
      callerOfKey,
      tellRead: createTellRead({
        publisher,
        park: (receipt) => store.parkedReceipts.park(receipt, Date.now()),
        names,
        logger,
        metrics,
      }),
    }),
  ];
  const asking = {
    ids,
    logger,
    snapshotOf: (messageId: string, createdMs: number | undefined) =>
      index.get(messageId, createdMs),
    attemptsOf: (snapshot: Snapshot) => index.attempts(snapshot.messageId, snapshot.acceptedAt),
    runOf: (messageId: string) => runStatus(temporal.client, messageId),
  };
  const receiveReceipt = createReceiveReceipt({
    connectors,
    account: async (accountId) => {
      const [account, access] = await Promise.all([
        directory.account(accountId),
        directory.access(accountId),
      ]);
      return account === undefined || access === undefined
        ? undefined
        : { connector: account.connector, access };
    },
    hashRecipient: (tenantId, to) => hashRecipient(sealer, tenantId, to),
    publisher,
    names,
    logger,
    metrics,
  });
  const waitingFor = new Set(['MySQL', 'RocketMQ']);
  const app = createApp<Caller>({
    routes: ingestRoutes({
      accept: (request) => acceptMessage(accepting, request),
      quotaHeaders: (tenantId) => quotas.headersOf(tenantId),
      acceptBatch: (common, items) => acceptBatch(accepting, common, items),
      status: (request) => getMessageStatus(asking, request),
      receipt: receiveReceipt,
      others,
    }),
    authenticate: callerOfKey,
    authorize,
    logger,
    metrics,
    notReady: () => [...new Set([...waitingFor, ...(directory.isStale() ? ['MySQL'] : [])])],
    openapi: ingestOpenapi(others),
    docsPage: createDocsPage('Message Center API'),
  });
  const server = await listen(app, config.host, config.ingestPort);
  life.add('http', () => server.close());
  // Stopped before http, which waits for answers under way: a stream is one that never ends by itself.
  life.add('inbox streams', () => streams.close());
  life.add('exports', () => stopped.abort());
  logger.info({ port: server.port }, 'ingest.listening');

  await untilReady('MySQL', logger, () => store.ping());
  waitingFor.delete('MySQL');
  await untilReady('RocketMQ', logger, () => publisher.connect());
  waitingFor.delete('RocketMQ');
});
