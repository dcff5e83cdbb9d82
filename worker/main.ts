/** Process: the send activities of every channel account. */
import { createClients, createOpenRequest, createSend, createTell } from '../activities/index.ts';
import { createConnectors } from '../channels/registry.ts';
import { addressAs } from '../contracts/message.ts';
import { createNames } from '../contracts/topics.ts';
import { loadConfig, redactedConfig } from '../platform/config.ts';
import { serveHealth } from '../platform/http.ts';
import { runProcess, untilReady } from '../platform/lifecycle.ts';
import { createLogger } from '../platform/logger.ts';
import { createMetrics } from '../platform/metrics.ts';
import { createPublisher } from '../platform/rocketmq.ts';
import { createSealer } from '../platform/seal.ts';
import { connectTemporalWorker, installTemporalRuntime } from '../platform/temporal-worker.ts';
import { createStore, openDirectory } from '../store/index.ts';
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
  const { host, workerPort: port } = config;
  const server = await serveHealth({ host, port, logger, metrics, waitingFor });
  life.add('http', () => server.close());

  const { mysqlUrl, slots } = config;
  const store = createStore({ mysqlUrl, sealer, slots, logger });
  const directory = await openDirectory(life, { store, logger });
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
    connectors: createConnectors({
      allowPrivateProviders: config.allowPrivateProviders,
      ...store.connectorState,
    }),
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
    isOptedOut: ({ tenantId, channel, recipientHash }) =>
      store.optOuts.isOut({ tenantId, channel, recipientHash }),
    devicesOf: async ({ tenantId, userId, accountId }) =>
      (await store.devices.list({ tenantId, userId }, accountId)).map(
        ({ deviceToken }) => deviceToken,
      ),
    forgetDevice: async (accountId, to, asOf) => {
      const deviceToken = addressAs('deviceToken', to);
      if (deviceToken === undefined) return;
      await store.devices.invalidate(accountId, deviceToken, asOf).catch((error: unknown) =>
        // It is called dead again at the next message.
        logger.warn({ accountId, error }, 'device.not-forgotten'),
      );
    },
    tell: createTell({
      publisher,
      names,
      logger,
      openCircuit: (circuit) => store.circuits.open(circuit),
    }),
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
