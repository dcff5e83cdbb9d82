/** What an installation needs before its first message: topics, groups with start offsets, tables, index templates. */
import { createNames, priorities, type Names } from '../contracts/topics.ts';
import type { Config } from '../platform/config.ts';
import { createElasticsearch } from '../platform/elasticsearch.ts';
import type { Logger } from '../platform/logger.ts';
import { createRocketmqAdmin, type TopicType } from '../platform/rocketmq-admin.ts';
import { createSealer } from '../platform/seal.ts';
import { createStore } from '../store/index.ts';
import { createMessageIndex } from '../store/message-index.ts';

/** A healthy message must never reach a dead-letter queue because a server of ours was away: practically without end. */
const maxRetries = 1_000_000;
const laneQueues = 4;
const sharedQueues = 8;
/** A queue that is given back blocks the keys that share it. */
const orderQueues = 16;

/** Topics of an installation with the groups that read them. */
export function topicsOf(
  names: Names,
  slots: number,
): { name: string; queues: number; groups: string[]; type?: TopicType }[] {
  const lanes = Array.from({ length: slots }, (_, slot) => slot).flatMap((slot) =>
    priorities.map((priority) => ({
      name: names.lane(slot, priority),
      queues: laneQueues,
      groups: [names.group('bridge'), names.group('indexer')],
    })),
  );
  return [
    ...lanes,
    {
      name: names.order,
      queues: orderQueues,
      groups: [names.group('order'), names.group('indexer')],
      type: 'FIFO' as const,
    },
    { name: names.recalled, queues: sharedQueues, groups: [names.group('recalled')] },
    {
      name: names.results,
      queues: sharedQueues,
      groups: [names.group('indexer'), names.group('webhooks'), names.group('result-topics')],
    },
    { name: names.retries, queues: sharedQueues, groups: [names.group('indexer')] },
    { name: names.receipts, queues: sharedQueues, groups: [names.group('jobs')] },
    { name: names.parked, queues: 1, groups: [] },
    { name: names.alerts, queues: 1, groups: [] },
  ];
}

/** Installs, or brings up to date; may be repeated at any time. Errors: a server does not answer. */
export async function install(config: Config, logger: Logger): Promise<void> {
  await Promise.all([
    installTopics(config),
    installTables(config, logger),
    installIndices(config, logger),
  ]);
}

async function installTopics(config: Config): Promise<void> {
  const names = createNames(config.prefix);
  const admin = createRocketmqAdmin({ nameServer: config.rocketmqNameServer, timeoutMs: 10_000 });
  try {
    const topics = topicsOf(names, config.slots);
    await admin.createTopics(
      topics.map(({ name, queues, type = 'NORMAL' }) => ({ name, queues, type })),
    );
    await admin.createGroups(
      (
        ['bridge', 'order', 'recalled', 'indexer', 'jobs', 'webhooks', 'result-topics'] as const
      ).map((role) => ({
        name: names.group(role),
        ordered: role === 'order',
        maxRetries,
      })),
    );
    // A group without an offset starts at the newest message and loses what was sent before its first consumer.
    for (const { name, groups } of topics)
      for (const group of groups) await admin.setOffsetsToStart(group, name);
  } finally {
    admin.close();
  }
}

async function installTables(config: Config, logger: Logger): Promise<void> {
  const sealer = createSealer(config.masterKeys);
  const store = createStore({ mysqlUrl: config.mysqlUrl, sealer, slots: config.slots, logger });
  try {
    await store.migrate();
  } finally {
    await store.close();
  }
}

async function installIndices(config: Config, logger: Logger): Promise<void> {
  const client = createElasticsearch({ url: config.elasticsearchUrl });
  try {
    await createMessageIndex({ client, names: createNames(config.prefix), logger }).install();
  } finally {
    await client.close();
  }
}
