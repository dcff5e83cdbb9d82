/** Process: work beside the way of a message. Limits controller, receipts, batches, redrives, erasures, result webhooks, housekeeping. */
import { randomUUID } from 'node:crypto';
import { WorkflowNotFoundError } from '@temporalio/client';
import { createConnectors } from '../channels/registry.ts';
import { longestScheduleMs, type SealedRequest } from '../contracts/message.ts';
import { receiptSignal } from '../contracts/workflows.ts';
import type { Snapshot } from '../contracts/result.ts';
import { createNames } from '../contracts/topics.ts';
import { loadConfig, redactedConfig } from '../platform/config.ts';
import { dayKeyDays } from '../platform/day-key.ts';
import { createElasticsearch } from '../platform/elasticsearch.ts';
import { serveHealth } from '../platform/http.ts';
import { runProcess, untilReady } from '../platform/lifecycle.ts';
import { createLogger } from '../platform/logger.ts';
import { createMessageIds, messageIdTimeMs } from '../platform/message-id.ts';
import { createMetrics } from '../platform/metrics.ts';
import { redriveMessage } from '../platform/redrive-message.ts';
import { createPublisher, createReceiver, longAwaitMs } from '../platform/rocketmq.ts';
import { createSealer } from '../platform/seal.ts';
import { connectTemporalClient } from '../platform/temporal-client.ts';
import { batchesLease, createLeaseHolder, createStore, openDirectory } from '../store/index.ts';
import { createBatchIndex, createMessageIndex } from '../store/message-index.ts';
import { checkVariables } from '../templates/index.ts';
import { askReceipts } from './ask-receipts.ts';
import { erasePeople } from './erase-people.ts';
import { keepDayKeys } from './keep-day-keys.ts';
import { keepHouse } from './housekeeping.ts';
import { controlLimits } from './limits-controller.ts';
import { sweepStops } from './sweep-stops.ts';
import { runBatches } from './run-batches.ts';
import { runRedrives } from './redrive.ts';
import { tryCircuits } from './try-circuits.ts';
import { matchReceipts } from './match-receipts.ts';
import { recordOptOut } from './record-opt-out.ts';
import { runResultTopics } from './result-topics/run-result-topics.ts';
import { purgeAttempts, runWebhooks } from './webhooks/run-webhooks.ts';

const config = loadConfig(process.env);
const logger = createLogger('jobs', config.logLevel);
const leaseMs = 5000;
/** Counts of quotas are of no use after their day; clocks differ. */
const keptCountDays = 2;
const daysAgo = (days: number) =>
  new Date(Date.now() - days * 86_400_000).toISOString().slice(0, 10);
/** Longer than an upload may take. */
const uploadMs = 2 * 3_600_000;
/** Longest that a message can wait for its time, and then for its turn. */
const longestWaitMs = longestScheduleMs + 30 * 86_400_000;

/** A chunk lives six days at most, and its broker message as long. */
const longestChunkMs = 14 * 86_400_000;

await runProcess(logger, async (life) => {
  logger.info({ config: redactedConfig(config) }, 'process.starting');
  const names = createNames(config.prefix);
  const sealer = createSealer(config.masterKeys);
  const metrics = createMetrics();
  const waitingFor = new Set(['MySQL', 'RocketMQ']);
  const { host, jobsPort: port } = config;
  const server = await serveHealth({ host, port, logger, metrics, waitingFor });
  life.add('http', () => server.close());

  const { mysqlUrl, slots } = config;
  const store = createStore({ mysqlUrl, sealer, slots, keyDays: dayKeyDays(config), logger });
  const directory = await openDirectory(life, { store, logger });
  waitingFor.delete('MySQL');

  const temporal = connectTemporalClient({
    address: config.temporalAddress,
    namespace: config.temporalNamespace,
    sealer,
  });
  life.add('temporal', () => temporal.close());
  const holder = randomUUID();
  const holdsLease = createLeaseHolder(store.leases, { holder, ttlMs: leaseMs });
  const { allowPrivateProviders, askReceiptsEverySeconds } = config;
  const connectors = createConnectors({ allowPrivateProviders, ...store.connectorState });
  const limits = controlLimits({
    client: temporal.client,
    namespace: temporal.namespace,
    names,
    logger,
    accounts: () => directory.allAccounts(),
    hasChunks: ({ connector }) => connectors.get(connector)?.capabilities.batch !== undefined,
    openCircuits: async () =>
      new Set((await store.circuits.listOpen()).map(({ accountId }) => accountId)),
    holdsLease: () => holdsLease('limits-controller'),
    setLimitInForce: (accountId, ratePerSecond) =>
      store.channelAccounts.setLimitInForce(accountId, ratePerSecond),
  });
  life.add('limits controller', async () => {
    await limits.stop();
    await store.leases.release('limits-controller', holder);
  });

  const { rocketmqEndpoint: endpoint } = config;
  const publisher = await untilReady('RocketMQ', logger, () =>
    createPublisher({ endpoint, logger }),
  );
  life.add('publisher', () => publisher.close());
  const receiver = await untilReady('RocketMQ', logger, () =>
    createReceiver({
      endpoint,
      group: names.group('jobs'),
      topics: [names.receipts],
      invisibleSeconds: config.invisibleSeconds,
      logger,
    }),
  );
  life.add('receiver', () => receiver.close());
  waitingFor.delete('RocketMQ');

  const elasticsearch = createElasticsearch({ url: config.elasticsearchUrl });
  life.add('elasticsearch', () => elasticsearch.close());
  const index = createMessageIndex({ client: elasticsearch, names, logger });
  const receipts = matchReceipts({
    receiver,
    publisher,
    names,
    logger,
    metrics,
    snapshotOf: (messageId) => index.get(messageId, messageIdTimeMs(messageId)),
    snapshotByProviderId: (of) => index.byProviderId(of),
    tellRun: async (messageId, news) => {
      try {
        await temporal.client.withDeadline(Date.now() + 5000, () =>
          temporal.client.workflow.getHandle(messageId).signal(receiptSignal, news),
        );
        return true;
      } catch (error) {
        if (error instanceof WorkflowNotFoundError) return false;
        throw error;
      }
    },
    parked: store.parkedReceipts,
    recordOptOut: (notice) => recordOptOut(store, notice),
  });
  life.add('receipt matching', () => receipts.stop());

  const asking = askReceipts({
    connectors,
    accounts: () => directory.allAccounts(),
    access: (accountId) => directory.access(accountId),
    awaitingReceipt: (accountId, span) => index.awaitingReceipt(accountId, span),
    recipientOf: async ({ messageId, acceptedAt }) => {
      const sealed = await index.sealedRequest(messageId, acceptedAt);
      if (sealed === undefined || !(await store.dayKeyRing.isReadable(sealed))) return undefined;
      const request = (await store.dayKeyRing.open(sealed, messageId)).toString('utf8');
      return (JSON.parse(request) as SealedRequest).to;
    },
    personOf: (key) => store.people.get(key),
    publisher,
    names,
    holdsLease: () => holdsLease('receipt-asking'),
    logger,
    metrics,
    everyMs: askReceiptsEverySeconds * 1000,
  });
  life.add('receipt asking', () => asking.stop());
  const circuits = tryCircuits({
    circuits: store.circuits,
    record: (accountId, verification) => store.accountVerifications.record(accountId, verification),
    connectors,
    accountOf: (accountId) => directory.account(accountId),
    access: (accountId) => directory.access(accountId),
    publisher,
    names,
    holdsLease: () => holdsLease('circuits'),
    logger,
  });
  life.add('circuits', () => circuits.stop());
  const sweeping = sweepStops({
    stops: store.stops,
    members: store.members,
    client: temporal.client,
    names,
    holdsLease: () => holdsLease('stops'),
    logger,
  });
  life.add('stop sweeping', () => sweeping.stop());
  const redriving = {
    client: temporal.client,
    names,
    publisher,
    snapshotOf: (messageId: string) => index.get(messageId),
    firstRequestOf: ({ messageId, acceptedAt }: Snapshot) =>
      index.firstRequest(messageId, acceptedAt),
    isReadable: (sealed: string) => store.dayKeyRing.isReadable(sealed),
  };
  const redrives = runRedrives({
    redrives: store.redrives,
    scan: (scan, page) => index.scan(scan, page),
    redriveMessage: (of) => redriveMessage(redriving, of),
    holdsLease: () => holdsLease('redrives'),
    logger,
  });
  life.add('redrives', () => redrives.stop());
  const erasing = erasePeople({
    erasures: store.erasures,
    batches: store.batches,
    index,
    client: temporal.client,
    holdsLease: () => holdsLease('erasures'),
    logger,
  });
  life.add('erasures', () => erasing.stop());
  const resultReceiver = await untilReady('RocketMQ', logger, () =>
    createReceiver({
      endpoint,
      group: names.group('webhooks'),
      topics: [names.results],
      invisibleSeconds: config.invisibleSeconds,
      awaitMs: longAwaitMs,
      logger,
    }),
  );
  life.add('result receiver', () => resultReceiver.close());
  const webhooks = await runWebhooks({
    receiver: resultReceiver,
    publisher,
    names,
    store,
    allowPrivate: allowPrivateProviders,
    logger,
    metrics,
  });
  life.add('webhooks', () => webhooks.stop());
  const topicReceiver = await untilReady('RocketMQ', logger, () =>
    createReceiver({
      endpoint,
      group: names.group('result-topics'),
      topics: [names.results],
      invisibleSeconds: config.invisibleSeconds,
      awaitMs: longAwaitMs,
      logger,
    }),
  );
  life.add('result topic receiver', () => topicReceiver.close());
  const resultTopics = await untilReady('MySQL', logger, () =>
    runResultTopics({
      receiver: topicReceiver,
      publisher,
      names,
      store,
      nameServer: config.rocketmqNameServer,
      logger,
      metrics,
    }),
  );
  life.add('result topics', () => resultTopics.stop());
  const batches = runBatches({
    batches: store.batches,
    index: createBatchIndex({ client: elasticsearch, names }),
    ids: createMessageIds(sealer),
    sealer,
    sealing: (tenantId) => store.dayKeyRing.sealing(tenantId),
    connectors,
    checkVariables,
    publisher,
    names,
    template: (tenantId, name) => directory.lastTemplate(tenantId, name),
    accountsOf: (tenantId) => directory.accountsOf(tenantId),
    quotasOf: (tenantId) => directory.quotas(tenantId),
    counters: store.quotaCounters,
    holder,
    holdsLease: () => holdsLease(batchesLease),
    logger,
  });
  life.add('batches', () => batches.stop());
  const dayKeys = keepDayKeys({
    dayKeys: store.dayKeys,
    holdsLease: () => holdsLease('day-keys'),
    logger,
  });
  life.add('day keys', () => dayKeys.stop());
  const house = keepHouse({
    purges: {
      'recipient counters': (limit) => store.recipientCounters.purge(Date.now(), limit),
      'provider tokens': (limit) => store.providerTokens.purge(Date.now() - 86_400_000, limit),
      'day counts': (limit) => store.quotaCounters.purge(daysAgo(keptCountDays), limit),
      chunks: (limit) => store.chunkClaims.purge(Date.now() - longestChunkMs, limit),
      stops: (limit) => store.stops.purge(Date.now() - longestWaitMs, limit),
      batches: (limit) =>
        store.batches.purgeBatches(Date.now() - config.indexDays * 86_400_000, limit),
      'batch uploads': (limit) => store.batches.purgeUploads(Date.now() - uploadMs, limit),
      inboxes: (limit) => store.inbox.purge(Date.now(), limit),
      'webhook deliveries': (limit) =>
        store.webhookDeliveries.purge(Date.now() - 7 * 86_400_000, limit),
      'webhook endpoints': (limit) =>
        store.webhookEndpoints.purge(Date.now() - 30 * 86_400_000, limit),
      'webhook attempts': (limit) => purgeAttempts(store.webhookAttempts, limit),
      ...(config.auditDays > 0 && {
        'audit log': (limit: number) =>
          store.audit.purge(Date.now() - config.auditDays * 86_400_000, limit),
      }),
    },
    dropIndicesBefore: (day) => index.dropOlderThan(day),
    indexDays: config.indexDays,
    holdsLease: () => holdsLease('housekeeping'),
    logger,
  });
  life.add('housekeeping', () => house.stop());
});
