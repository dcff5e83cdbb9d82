/** Process: HTTP in. Messages, status, search for services; receipts from providers. */
import { createConnectors } from '../channels/registry.ts';
import type { SealedRequest } from '../contracts/message.ts';
import { problem } from '../contracts/problems.ts';
import type { Snapshot } from '../contracts/result.ts';
import { createNames } from '../contracts/topics.ts';
import { loadConfig, redactedConfig } from '../platform/config.ts';
import { createElasticsearch } from '../platform/elasticsearch.ts';
import { createApp, listen } from '../platform/http.ts';
import { runProcess, untilReady } from '../platform/lifecycle.ts';
import { createLogger } from '../platform/logger.ts';
import { createMessageIds } from '../platform/message-id.ts';
import { createMetrics } from '../platform/metrics.ts';
import { createDocsPage } from '../platform/openapi.ts';
import { openPublisher } from '../platform/rocketmq.ts';
import { createSealer } from '../platform/seal.ts';
import { connectTemporalClient } from '../platform/temporal-client.ts';
import { createDirectory, createStore } from '../store/index.ts';
import { createMessageIndex } from '../store/message-index.ts';
import { checkVariables } from '../templates/index.ts';
import { acceptMessage } from './accept-message.ts';
import { deviceRoutes } from './devices.ts';
import { createEventStreams } from './inbox/event-streams.ts';
import { createTellRead } from './inbox/read-receipts.ts';
import { inboxRoutes } from './inbox/routes.ts';
import { createUserTokens } from './inbox/user-tokens.ts';
import { getMessageStatus } from './get-message-status.ts';
import { recallRoute } from './recall-message.ts';
import { createReceiveReceipt } from './receive-receipt.ts';
import { hashRecipient } from './recipient.ts';
import { runStatus } from './run-status.ts';
import { searchRoute } from './search-messages.ts';
import { ingestOpenapi, ingestRoutes, type Caller } from './server.ts';

const config = loadConfig(process.env);
const logger = createLogger('ingest', config.logLevel);

await runProcess(logger, async (life) => {
  logger.info({ config: redactedConfig(config) }, 'process.starting');
  const names = createNames(config.prefix);
  const sealer = createSealer(config.masterKeys);
  const metrics = createMetrics();
  const ids = createMessageIds(sealer);
  const { mysqlUrl, slots, allowPrivateProviders } = config;
  const store = createStore({ mysqlUrl, sealer, slots, logger });
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

  const accepting = {
    ids,
    sealer,
    publisher,
    names,
    logger,
    connectors,
    template: (tenantId: string, name: string) => directory.template(tenantId, name),
    accountsOf: (tenantId: string) => directory.accountsOf(tenantId),
    checkVariables,
  };
  const search = searchRoute<Caller>({
    index,
    hashRecipient: (tenantId, to) => hashRecipient(sealer, tenantId, to),
  });
  const devices = deviceRoutes<Caller>({
    devices: store.devices,
    connectors,
    accountsOf: (tenantId) => directory.accountsOf(tenantId),
  });
  const callerOfKey = async ({ authorization }: Readonly<Record<string, string | undefined>>) => {
    const key = /^Bearer (\S{20,200})$/.exec(authorization ?? '')?.[1];
    const caller = key === undefined ? undefined : await directory.findCaller(key);
    if (caller === undefined)
      throw problem('unauthorized', {
        detail: 'Send an API key that is not revoked: Authorization: Bearer mck_…',
      });
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
    open: (sealed, messageId) =>
      JSON.parse(sealer.open(sealed, messageId).toString('utf8')) as SealedRequest,
    access: (accountId) => directory.access(accountId),
    devicesOf: async ({ tenantId, userId, accountId }) =>
      (await store.devices.list({ tenantId, userId }, accountId)).map(
        ({ deviceToken }) => deviceToken,
      ),
  });
  const others = [
    search,
    recall,
    ...devices,
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
      status: (request) => getMessageStatus(asking, request),
      receipt: receiveReceipt,
      others,
    }),
    authenticate: callerOfKey,
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
  logger.info({ port: server.port }, 'ingest.listening');

  await untilReady('MySQL', logger, () => store.ping());
  waitingFor.delete('MySQL');
  await untilReady('RocketMQ', logger, () => publisher.connect());
  waitingFor.delete('RocketMQ');
});
