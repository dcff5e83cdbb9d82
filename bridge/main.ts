/** Process: lanes → workflows, and the workflow worker, on one connection, which eager start needs. */
import { Worker } from '@temporalio/worker';
import {
  createOpenRequest,
  createPermit,
  createLanguageOf,
  createRender,
  createRenderChunk,
  createReport,
  createReportChunk,
  type PermitDeps,
} from '../activities/index.ts';
import type { RenderInput } from '../contracts/activities.ts';
import type { ChunkMessage } from '../contracts/chunk.ts';
import type { Snapshot } from '../contracts/result.ts';
import { createConnectors } from '../channels/registry.ts';
import { createNames, priorities } from '../contracts/topics.ts';
import { loadConfig, redactedConfig } from '../platform/config.ts';
import { dayKeyDays } from '../platform/day-key.ts';
import { createElasticsearch } from '../platform/elasticsearch.ts';
import { serveHealth } from '../platform/http.ts';
import { createInstanceId, runProcess, untilReady } from '../platform/lifecycle.ts';
import { createLogger } from '../platform/logger.ts';
import { createMessageIds } from '../platform/message-id.ts';
import { createMetrics } from '../platform/metrics.ts';
import { hashRecipient } from '../platform/recipient-hash.ts';
import { createPublisher, createReceiver } from '../platform/rocketmq.ts';
import { createSealer } from '../platform/seal.ts';
import {
  connectTemporalWorker,
  installTemporalRuntime,
  versioningOf,
} from '../platform/temporal-worker.ts';
import { workflowCode } from '../platform/workflow-code.ts';
import { createStore, openDirectory, openStops } from '../store/index.ts';
import { createMessageIndex } from '../store/message-index.ts';
import { createPace } from './pace.ts';
import { createSettleRepeat, receiveOrder } from './receive-order.ts';
import { receiveLanes } from './receive-lanes.ts';
import { createGoAlone, isChunkDelivery, startChunk, type StartChunkDeps } from './start-chunk.ts';
import { startRecalled, startWorkflow } from './start-workflow.ts';

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
  const store = createStore({ mysqlUrl, sealer, slots, keyDays: dayKeyDays(config), logger });
  const directory = await openDirectory(life, { store, logger });
  const stops = await openStops({ store, role: 'bridge', instanceId: createInstanceId(), logger });
  life.add('stops', () => stops.close());
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
  const orderReceiver = await untilReady('RocketMQ', logger, () =>
    createReceiver({
      endpoint,
      group: names.group('order'),
      topics: [names.order],
      invisibleSeconds: config.invisibleSeconds,
      awaitMs: 5000,
      logger,
    }),
  );
  life.add('order receiver', () => orderReceiver.close());
  const recalledReceiver = await untilReady('RocketMQ', logger, () =>
    createReceiver({
      endpoint,
      group: names.group('recalled'),
      topics: [names.recalled],
      invisibleSeconds: config.invisibleSeconds,
      logger,
    }),
  );
  life.add('recalled receiver', () => recalledReceiver.close());
  waitingFor.delete('RocketMQ');

  const temporal = await untilReady('Temporal', logger, () =>
    connectTemporalWorker({
      address: config.temporalAddress,
      namespace: config.temporalNamespace,
      sealer,
    }),
  );
  life.add('temporal', () => temporal.close());
  const connectors = createConnectors({
    allowPrivateProviders: config.allowPrivateProviders,
    ...store.connectorState,
  });
  const pace = createPace({
    client: temporal.client,
    namespace: temporal.namespace,
    names,
    logger,
    accounts: () => directory.allAccounts(),
    hasChunks: ({ connector }) => connectors.get(connector)?.capabilities.batch !== undefined,
    paceSeconds: config.paceSeconds,
    openRuns: config.paceOpenRuns,
  });
  life.add('pace', () => pace.stop());
  const openRequest = createOpenRequest(store.dayKeyRing);
  const permits: PermitDeps = {
    connectors,
    policy: (tenantId) => directory.policy(tenantId),
    personOf: (key) => store.people.get(key),
    suppressionsOf: (tenantId, hashes) => store.suppressions.of(tenantId, hashes),
    isOptedOut: (person) => store.optOuts.isOut(person),
    consentsOf: (place, hashes) => store.consents.newest(place, hashes),
    admitRecipient: (request) => store.recipientCounters.admit(request),
    hash: (tenantId, to) => hashRecipient(sealer, tenantId, to),
    logger,
  };
  const rendering = {
    connectors,
    hasAccount: async (accountId: string) => (await directory.account(accountId)) !== undefined,
    currentTemplate: (tenantId: string, name: string) => directory.lastTemplate(tenantId, name),
    openRequest,
    stopOf: stops.stopOf,
    languageOf: createLanguageOf(permits),
    permit: createPermit(permits),
  };
  const render = createRender(rendering);
  const renderChunk = createRenderChunk({
    ...rendering,
    account: (accountId) => directory.account(accountId),
    permits,
    optedOut: (of, recipientHashes) => store.optOuts.outOf(of, recipientHashes),
  });
  const elasticsearch = createElasticsearch({ url: config.elasticsearchUrl });
  life.add('elasticsearch', () => elasticsearch.close());
  const index = createMessageIndex({ client: elasticsearch, names, logger });
  const ids = createMessageIds(sealer);
  const start: StartChunkDeps = {
    client: temporal.client,
    publisher,
    names,
    logger,
    pace,
    stopOf: stops.stopOf,
    isHeld: async (accountId) => (await directory.account(accountId))?.limitInForce === 0,
    weightOf: async (tenantId) => (await directory.policy(tenantId)).weight,
    retentionDays: config.temporalRetentionDays,
    isEager: config.temporalBuildId === '',
    createId: (tenantId) => ids.create(tenantId),
    forgetRepeat: (messageId, acceptedAt) => index.remove(messageId, acceptedAt),
    recalledOf: (chunkId) => store.chunkClaims.recalled(chunkId),
  };
  const report = createReport({ publisher, names, logger });
  const worker = await untilReady('Temporal', logger, () =>
    Worker.create({
      connection: temporal.connection,
      namespace: temporal.namespace,
      dataConverter: temporal.dataConverter,
      ...versioningOf(config),
      taskQueue: names.deliverQueue,
      ...workflowCode(),
      activities: {
        render: async (input: RenderInput) => {
          const rendered = await render(input);
          if (rendered.next === 'send') pace.rendered(input.message.id);
          else pace.notStarted(input.message.id);
          return rendered;
        },
        report: async (snapshot: Snapshot) => {
          await report(snapshot);
          // Nothing else tells of a run that was recalled before it began.
          pace.notStarted(snapshot.messageId);
        },
        settleRepeat: createSettleRepeat(start),
        renderChunk: async (input: { readonly chunk: ChunkMessage }) => {
          const rendered = await renderChunk(input);
          if (rendered.open.length > 0) pace.rendered(input.chunk.id);
          else pace.notStarted(input.chunk.id);
          return rendered;
        },
        reportChunk: createReportChunk({
          connectors,
          templateVersion: (tenantId, name, version) =>
            directory.templateVersion(tenantId, name, version),
          openRequest,
          report,
        }),
        goAlone: createGoAlone(start),
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

  const lanes = receiveLanes({
    receiver,
    start: (delivery) =>
      isChunkDelivery(delivery) ? startChunk(start, delivery) : startWorkflow(start, delivery),
    recalledReceiver,
    startRecalled: (delivery) => startRecalled(start, delivery),
    pace,
    isBlind: () => stops.isBlind,
    names,
    logger,
    metrics,
    slots: config.slots,
    loopsPerLane: config.bridgeLoops,
  });
  const order = receiveOrder({
    receiver: orderReceiver,
    start,
    pace,
    isBlind: () => stops.isBlind,
    metrics,
  });
  life.add('lanes', () => Promise.all([lanes.stop(), order.stop()]));
});
