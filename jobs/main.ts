/** Process: work beside the way of a message. Limits controller, receipts matched and asked for, housekeeping. */
import { randomUUID } from 'node:crypto';
import { createConnectors } from '../channels/registry.ts';
import type { SealedRequest } from '../contracts/message.ts';
import { createNames } from '../contracts/topics.ts';
import { loadConfig, redactedConfig } from '../platform/config.ts';
import { createElasticsearch } from '../platform/elasticsearch.ts';
import { serveHealth } from '../platform/http.ts';
import { runProcess, untilReady } from '../platform/lifecycle.ts';
import { createLogger } from '../platform/logger.ts';
import { messageIdTimeMs } from '../platform/message-id.ts';
import { createMetrics } from '../platform/metrics.ts';
import { createPublisher, createReceiver } from '../platform/rocketmq.ts';
import { createSealer } from '../platform/seal.ts';
import { connectTemporalClient } from '../platform/temporal-client.ts';
import { createStore, openDirectory } from '../store/index.ts';
import { createMessageIndex } from '../store/message-index.ts';
import { askReceipts } from './ask-receipts.ts';
import { keepHouse } from './housekeeping.ts';
import { controlLimits } from './limits-controller.ts';
import { tryCircuits } from './try-circuits.ts';
import { matchReceipts } from './match-receipts.ts';

const config = loadConfig(process.env);
const logger = createLogger('jobs', config.logLevel);
const leaseMs = 5000;

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
  const store = createStore({ mysqlUrl, sealer, slots, logger });
  const directory = await openDirectory(life, { store, logger });
  waitingFor.delete('MySQL');

  const temporal = connectTemporalClient({
    address: config.temporalAddress,
    namespace: config.temporalNamespace,
    sealer,
  });
  life.add('temporal', () => temporal.close());
  const holder = randomUUID();
  const holdsLease = async (name: string) =>
    (await store.leases.renew(name, holder, leaseMs)) ||
    (await store.leases.acquire(name, holder, leaseMs)) !== undefined;
  const limits = controlLimits({
    client: temporal.client,
    namespace: temporal.namespace,
    names,
    logger,
    accounts: () => directory.allAccounts(),
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
    parked: store.parkedReceipts,
    recordOptOut: (notice) => store.optOuts.record(notice),
  });
  life.add('receipt matching', () => receipts.stop());

  const { allowPrivateProviders, askReceiptsEverySeconds } = config;
  const connectors = createConnectors({ allowPrivateProviders, ...store.connectorState });
  const asking = askReceipts({
    connectors,
    accounts: () => directory.allAccounts(),
    access: (accountId) => directory.access(accountId),
    awaitingReceipt: (accountId, span) => index.awaitingReceipt(accountId, span),
    recipientOf: async ({ messageId, acceptedAt }) => {
      const sealed = await index.sealedRequest(messageId, acceptedAt);
      if (sealed === undefined) return undefined;
      const request = sealer.open(sealed, messageId).toString('utf8');
      return (JSON.parse(request) as SealedRequest).to;
    },
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
    connectors,
    accountOf: (accountId) => directory.account(accountId),
    access: (accountId) => directory.access(accountId),
    publisher,
    names,
    holdsLease: () => holdsLease('circuits'),
    logger,
  });
  life.add('circuits', () => circuits.stop());
  const house = keepHouse({
    purges: {
      'recipient counters': (limit) => store.recipientCounters.purge(Date.now(), limit),
      'provider tokens': (limit) => store.providerTokens.purge(Date.now() - 86_400_000, limit),
      inboxes: (limit) => store.inbox.purge(Date.now(), limit),
    },
    dropIndicesBefore: (day) => index.dropOlderThan(day),
    indexDays: config.indexDays,
    holdsLease: () => holdsLease('housekeeping'),
    logger,
  });
  life.add('housekeeping', () => house.stop());
});
