/** Process: the send activities of every channel account. */
import proto from '@temporalio/proto';
import {
  createAccountHealth,
  createClients,
  createOpenRequest,
  createSend,
  createSendChunk,
  createTell,
} from '../activities/index.ts';
import { createConnectors } from '../channels/registry.ts';
import { addressAs } from '../contracts/message.ts';
import { createNames } from '../contracts/topics.ts';
import { loadConfig, redactedConfig } from '../platform/config.ts';
import { dayKeyDays } from '../platform/day-key.ts';
import { serveHealth } from '../platform/http.ts';
import { createInstanceId, runProcess, untilReady } from '../platform/lifecycle.ts';
import { createLogger } from '../platform/logger.ts';
import { createMetrics } from '../platform/metrics.ts';
import { hashRecipient } from '../platform/recipient-hash.ts';
import { createPublisher } from '../platform/rocketmq.ts';
import { createSealer } from '../platform/seal.ts';
import { connectTemporalWorker, installTemporalRuntime } from '../platform/temporal-worker.ts';
import { createStore, openDirectory, openStops, type ConsentPlace } from '../store/index.ts';
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
  const store = createStore({ mysqlUrl, sealer, slots, keyDays: dayKeyDays(config), logger });
  const directory = await openDirectory(life, { store, logger });
  const stops = await openStops({ store, role: 'worker', instanceId: createInstanceId(), logger });
  life.add('stops', () => stops.close());
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

  const connectors = createConnectors({
    allowPrivateProviders: config.allowPrivateProviders,
    ...store.connectorState,
  });
  const clients = createClients({
    connectors,
    connectorOf: async (accountId) => (await directory.account(accountId))?.connector,
    access: (accountId) => directory.access(accountId),
  });
  life.add('provider clients', () => clients.close());
  const sending = {
    clients,
    health: createAccountHealth(),
    templateVersion: (tenantId: string, name: string, version: number) =>
      directory.templateVersion(tenantId, name, version),
    openRequest: createOpenRequest(store.dayKeyRing),
    stopOf: stops.stopOf,
    policy: (tenantId: string) => directory.policy(tenantId),
    consentsOf: (place: ConsentPlace, hashes: readonly string[]) =>
      store.consents.newest(place, hashes),
    tell: createTell({
      publisher,
      names,
      logger,
      openCircuit: (circuit) => store.circuits.open(circuit),
    }),
    logger,
  };
  const send = createSend({
    ...sending,
    admitRecipient: (request) => store.recipientCounters.admit(request),
    isOptedOut: ({ tenantId, channel, recipientHash }) =>
      store.optOuts.isOut({ tenantId, channel, recipientHash }),
    devicesOf: async ({ tenantId, userId, accountId }) =>
      (await store.devices.list({ tenantId, userId }, accountId)).map(
        ({ deviceToken }) => deviceToken,
      ),
    personOf: (key) => store.people.get(key),
    hash: (tenantId, to) => hashRecipient(sealer, tenantId, to),
    forgetDevice: async (accountId, to, asOf) => {
      const deviceToken = addressAs('deviceToken', to);
      if (deviceToken === undefined) return;
      await store.devices.invalidate(accountId, deviceToken, asOf).catch((error: unknown) =>
        // It is called dead again at the next message.
        logger.warn({ accountId, error }, 'device.not-forgotten'),
      );
    },
  });
  const sendChunk = createSendChunk({
    ...sending,
    claims: store.chunkClaims,
    admitRecipients: (of, deliveries) => store.recipientCounters.admitAll(of, deliveries),
    optedOut: (of, recipientHashes) => store.optOuts.outOf(of, recipientHashes),
  });
  const { connection, namespace, dataConverter } = temporal;
  const workers = serveAccounts({
    connection,
    namespace,
    dataConverter,
    names,
    logger,
    activities: { send },
    chunkActivities: { sendChunk },
    hasChunks: ({ connector }) => connectors.get(connector)?.capabilities.batch !== undefined,
    isLimited: async (taskQueue) => {
      const { config: limits } = await temporal.client.workflowService.describeTaskQueue({
        namespace,
        taskQueue: { name: taskQueue },
        taskQueueType: proto.temporal.api.enums.v1.TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY,
        reportConfig: true,
      });
      return limits?.queueRateLimit?.rateLimit != null;
    },
    accounts: () => directory.allAccounts(),
  });
  life.add('account workers', () => workers.stop());
});
