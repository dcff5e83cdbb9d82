/** Process: work beside the way of a message. Limits controller, receipt matching. */
import { randomUUID } from 'node:crypto';
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
import { controlLimits } from './limits-controller.ts';
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
  const limits = controlLimits({
    client: temporal.client,
    namespace: temporal.namespace,
    names,
    logger,
    accounts: () => directory.allAccounts(),
    holdsLease: async () =>
      (await store.leases.renew('limits-controller', holder, leaseMs)) ||
      (await store.leases.acquire('limits-controller', holder, leaseMs)) !== undefined,
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
    parked: store.parkedReceipts,
  });
  life.add('receipt matching', () => receipts.stop());
});
