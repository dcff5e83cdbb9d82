/** Process: lanes, retries and results → Elasticsearch. */
import { createNames, priorities } from '../contracts/topics.ts';
import { loadConfig, redactedConfig } from '../platform/config.ts';
import { createElasticsearch, pingElasticsearch } from '../platform/elasticsearch.ts';
import { createApp, listen } from '../platform/http.ts';
import { runProcess, untilReady } from '../platform/lifecycle.ts';
import { createLogger } from '../platform/logger.ts';
import { createMetrics } from '../platform/metrics.ts';
import { createPublisher, createReceiver, longAwaitMs } from '../platform/rocketmq.ts';
import { createMessageIndex } from '../store/message-index.ts';
import { createHold } from './hold.ts';
import { createIndexResults } from './index-results.ts';
import { receiveTopics } from './receive-topics.ts';

const config = loadConfig(process.env);
const logger = createLogger('indexer', config.logLevel);

await runProcess(logger, async (life) => {
  logger.info({ config: redactedConfig(config) }, 'process.starting');
  const names = createNames(config.prefix);
  const metrics = createMetrics();
  const hold = createHold();
  const client = createElasticsearch({ url: config.elasticsearchUrl });
  life.add('elasticsearch', () => client.close());
  const index = createMessageIndex({ client, names, logger });

  const waitingFor = new Set(['Elasticsearch', 'RocketMQ']);
  let isQueueDown = () => false;
  const app = createApp({
    routes: [],
    authenticate: async () => undefined,
    logger,
    metrics,
    notReady: async () => {
      const down = new Set(waitingFor);
      if (isQueueDown()) down.add('RocketMQ');
      const answers = await pingElasticsearch(client).then(
        () => true,
        () => false,
      );
      if (!answers || hold.isHeld) down.add('Elasticsearch');
      return [...down];
    },
  });
  const server = await listen(app, config.host, config.indexerPort);
  life.add('http', () => server.close());

  await untilReady('Elasticsearch', logger, () => index.install());
  waitingFor.delete('Elasticsearch');

  const { rocketmqEndpoint: endpoint, invisibleSeconds } = config;
  const publisher = await untilReady('RocketMQ', logger, () =>
    createPublisher({ endpoint, logger }),
  );
  life.add('publisher', () => publisher.close());
  const lanes = Array.from({ length: config.slots }, (_, slot) =>
    priorities.map((priority) => names.lane(slot, priority)),
  );
  const topics = [names.results, names.retries, names.order, ...lanes.flat()];
  const receiver = await untilReady('RocketMQ', logger, () =>
    createReceiver({
      endpoint,
      group: names.group('indexer'),
      topics,
      invisibleSeconds,
      awaitMs: longAwaitMs,
      logger,
    }),
  );
  life.add('receiver', () => receiver.close());
  waitingFor.delete('RocketMQ');

  const indexResults = createIndexResults({ index, publisher, names, hold, logger, metrics });
  const receiving = receiveTopics({ receiver, topics, indexResults, hold, logger });
  isQueueDown = () => receiving.isQueueDown;
  life.add('topics', () => receiving.stop());
});
