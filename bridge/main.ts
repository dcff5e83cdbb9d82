/** Process: lanes → workflows, and the workflow worker, on one connection, which eager start needs. */
import { fileURLToPath } from 'node:url';
import { Worker } from '@temporalio/worker';
import { createOpenRequest, createRender, createReport } from '../activities/index.ts';
import type { RenderInput } from '../contracts/activities.ts';
import { createConnectors } from '../channels/registry.ts';
import { createNames, priorities } from '../contracts/topics.ts';
import { loadConfig, redactedConfig } from '../platform/config.ts';
import { createElasticsearch } from '../platform/elasticsearch.ts';
import { serveHealth } from '../platform/http.ts';
import { runProcess, untilReady } from '../platform/lifecycle.ts';
import { createLogger } from '../platform/logger.ts';
import { createMessageIds } from '../platform/message-id.ts';
import { createMetrics } from '../platform/metrics.ts';
import { createPublisher, createReceiver } from '../platform/rocketmq.ts';
import { createSealer } from '../platform/seal.ts';
import { connectTemporalWorker, installTemporalRuntime } from '../platform/temporal-worker.ts';
import { createStore, openDirectory } from '../store/index.ts';
import { createMessageIndex } from '../store/message-index.ts';
import { createPace } from './pace.ts';
import { receiveLanes } from './receive-lanes.ts';
import { startWorkflow } from './start-workflow.ts';

const config = loadConfig(process.env);
const logger = createLogger('bridge', config.logLevel);

await runProcess(logger, async (life) => {
  logger.info({ config: redactedConfig(config) }, 'process.starting');
  installTemporalRuntime(logger);
  const names = createNames(config.prefix);
  const sealer = createSealer(config.masterKeys);
  const metrics = createMetrics();
  const waitingFor = new Set(['MySQL', 'RocketMQ', 'Temporal']);
  const { host, bridgePort: port } = config;
  const server = await serveHealth({ host, port, logger, metrics, waitingFor });
  life.add('http', () => server.close());

  const { mysqlUrl, slots } = config;
  const store = createStore({ mysqlUrl, sealer, slots, logger });
  const directory = await openDirectory(life, { store, logger });
  waitingFor.delete('MySQL');

  const { rocketmqEndpoint: endpoint } = config;
  const publisher = await untilReady('RocketMQ', logger, () =>
    createPublisher({ endpoint, logger }),
  );
  life.add('publisher', () => publisher.close());
  const topics = Array.from({ length: config.slots }, (_, slot) =>
    priorities.map((priority) => names.lane(slot, priority)),
  ).flat();
  const receiver = await untilReady('RocketMQ', logger, () =>
    createReceiver({
      endpoint,
      group: names.group('bridge'),
      topics,
      invisibleSeconds: config.invisibleSeconds,
      logger,
    }),
  );
  life.add('receiver', () => receiver.close());
  waitingFor.delete('RocketMQ');

  const temporal = await untilReady('Temporal', logger, () =>
    connectTemporalWorker({
      address: config.temporalAddress,
      namespace: config.temporalNamespace,
      sealer,
    }),
  );
  life.add('temporal', () => temporal.close());
  const pace = createPace({
    client: temporal.client,
    namespace: temporal.namespace,
    names,
    logger,
    accounts: () => directory.allAccounts(),
    paceSeconds: config.paceSeconds,
    openRuns: config.paceOpenRuns,
  });
  life.add('pace', () => pace.stop());
  const openRequest = createOpenRequest(sealer);
  const render = createRender({
    connectors: createConnectors({
      allowPrivateProviders: config.allowPrivateProviders,
      ...store.connectorState,
    }),
    hasAccount: async (accountId) => (await directory.account(accountId)) !== undefined,
    currentTemplate: (tenantId, name) => directory.lastTemplate(tenantId, name),
    openRequest,
  });
  const worker = await untilReady('Temporal', logger, () =>
    Worker.create({
      connection: temporal.connection,
      namespace: temporal.namespace,
      dataConverter: temporal.dataConverter,
      taskQueue: names.deliverQueue,
      workflowsPath: fileURLToPath(
        new URL(`../workflows/index.${import.meta.url.slice(-2)}`, import.meta.url),
      ),
      activities: {
        render: async (input: RenderInput) => {
          const rendered = await render(input);
          pace.rendered(input.message.id);
          return rendered;
        },
        report: createReport({ publisher, names, logger }),
      },
      // They share one thread: what waits for its turn waits better in Temporal's queue, where the urgent overtakes.
      // Each poll holds a place, and an eager start needs a free one.
      maxConcurrentWorkflowTaskExecutions: 16,
      maxConcurrentWorkflowTaskPolls: 4,
      shutdownGraceTime: '8 seconds',
    }),
  );
  const running = worker.run();
  running.catch((error: unknown) => {
    logger.fatal({ error }, 'worker.failed');
    process.exitCode = 1;
    void life.stop().then(() => process.exit(1));
  });
  life.add('workflow worker', async () => {
    worker.shutdown();
    await running;
  });
  waitingFor.delete('Temporal');

  const elasticsearch = createElasticsearch({ url: config.elasticsearchUrl });
  life.add('elasticsearch', () => elasticsearch.close());
  const index = createMessageIndex({ client: elasticsearch, names, logger });
  const ids = createMessageIds(sealer);
  const lanes = receiveLanes({
    receiver,
    start: (delivery) =>
      startWorkflow(
        {
          client: temporal.client,
          publisher,
          names,
          logger,
          pace,
          retentionDays: config.temporalRetentionDays,
          createId: (tenantId) => ids.create(tenantId),
          forgetRepeat: (messageId, acceptedAt) => index.remove(messageId, acceptedAt),
        },
        delivery,
      ),
    pace,
    names,
    logger,
    metrics,
    slots: config.slots,
    loopsPerLane: config.bridgeLoops,
  });
  life.add('lanes', () => lanes.stop());
});
