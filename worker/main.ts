/** Process: the send activities of every channel account. */
import { createClients, createOpenRequest, createSend } from '../activities/index.ts';
import { createConnectors } from '../channels/registry.ts';
import { createNames } from '../contracts/topics.ts';
import { loadConfig, redactedConfig } from '../platform/config.ts';
import { createApp, listen } from '../platform/http.ts';
import { runProcess, untilReady } from '../platform/lifecycle.ts';
import { createLogger } from '../platform/logger.ts';
import { createMetrics } from '../platform/metrics.ts';
import { createPublisher } from '../platform/rocketmq.ts';
import { createSealer } from '../platform/seal.ts';
import { connectTemporalWorker, installTemporalRuntime } from '../platform/temporal-worker.ts';
import { createDirectory, createStore } from '../store/index.ts';
import { serveAccounts } from './account-workers.ts';

const config = loadConfig(process.env);
const logger = createLogger('worker', config.logLevel);

await runProcess(logger, async (life) => {
  logger.info({ config: redactedConfig(config) }, 'process.starting');
  installTemporalRuntime(logger);
  const names = createNames(config.prefix);
  const sealer = createSealer(config.masterKeys);
  const metrics = createMetrics();
  const waitingFor = new Set(['MySQL', 'RocketMQ', 'Temporal']);
  const app = createApp({
    routes: [],
    authenticate: async () => undefined,
    logger,
    metrics,
    notReady: () => [...waitingFor],
  });
  const server = await listen(app, config.host, config.workerPort);
  life.add('http', () => server.close());

  const store = createStore({ mysqlUrl: config.mysqlUrl, sealer, slots: config.slots, logger });
  life.add('store', () => store.close());
  const directory = createDirectory({ store, logger });
  life.add('directory', () => directory.close());
  await untilReady('MySQL', logger, () => store.ping());
  await directory.start();
  waitingFor.delete('MySQL');

  const publisher = await untilReady('RocketMQ', logger, () =>
    createPublisher({ endpoint: config.rocketmqEndpoint, topic: names.results, logger }),
  );
  life.add('publisher', () => publisher.close());
  waitingFor.delete('RocketMQ');

  const temporal = await untilReady('Temporal', logger, () =>
    connectTemporalWorker({
      address: config.temporalAddress,
      namespace: config.temporalNamespace,
      sealer,
    }),
  );
  life.add('temporal', () => temporal.close());
  waitingFor.delete('Temporal');

  const clients = createClients({
    connectors: createConnectors({ allowPrivateProviders: config.allowPrivateProviders }),
    connectorOf: async (accountId) => (await directory.account(accountId))?.connector,
    access: (accountId) => directory.access(accountId),
  });
  life.add('provider clients', () => clients.close());
  const send = createSend({
    clients,
    templateVersion: (tenantId, name, version) =>
      directory.templateVersion(tenantId, name, version),
    openRequest: createOpenRequest(sealer),
    admitRecipient: (request) => store.recipientCounters.admit(request),
    publisher,
    names,
    logger,
  });
  const { connection, namespace, dataConverter } = temporal;
  const workers = serveAccounts({
    connection,
    namespace,
    dataConverter,
    names,
    logger,
    activities: { send },
    accounts: () => directory.allAccounts(),
  });
  life.add('account workers', () => workers.stop());
});
