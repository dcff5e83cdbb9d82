/** Tenants' own topics on real RocketMQ and MariaDB: names, order, and what is told. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { toEvent } from '../../contracts/result.ts';
import { createNames } from '../../contracts/topics.ts';
import { createLogger } from '../../platform/logger.ts';
import { createMetrics } from '../../platform/metrics.ts';
import { createPublisher, createReceiver } from '../../platform/rocketmq.ts';
import { createRocketmqAdmin } from '../../platform/rocketmq-admin.ts';
import { createSealer } from '../../platform/seal.ts';
import { createStore } from '../../store/index.ts';
import { sampleSnapshot } from '../../tests/message-samples.ts';
import { freshPrefix, testMysqlUrl, testServers, until } from '../../tests/stack.ts';
import { runResultTopics } from './run-result-topics.ts';

const { rocketmqEndpoint: endpoint, rocketmqNameServer: nameServer } = testServers();
const names = createNames(freshPrefix());
const logger = createLogger('test', 'silent');
const sealer = createSealer([`test:${Buffer.alloc(32, 7).toString('base64')}`]);
const store = createStore({ mysqlUrl: await testMysqlUrl(), sealer, slots: 4, logger });
const broker = createRocketmqAdmin({ nameServer, timeoutMs: 10_000 });
/** As long as an id can be, with dots, which RocketMQ does not take. */
const tenantId = `shop.cn.${'x'.repeat(56)}`;
const topic = names.tenantResults(tenantId);
const toClose: (() => Promise<unknown>)[] = [];

const receiverOf = async (group: string, from: string) => {
  const receiver = await createReceiver({
    endpoint,
    group,
    topics: [from],
    invisibleSeconds: 10,
    logger,
  });
  toClose.unshift(() => receiver.close());
  return receiver;
};

before(async () => {
  await store.migrate();
  await store.tenants.create(tenantId, 'Shop');
  await broker.createTopics([{ name: names.results, queues: 2, type: 'NORMAL' }]);
  const group = names.group('result-topics');
  await broker.createGroups([{ name: group, maxRetries: 1000 }]);
  await broker.setOffsetsToStart(group, names.results);
});
after(async () => {
  for (const close of toClose) await close();
  await broker.deleteTopics([names.results, topic]);
  broker.close();
  await store.close();
});

test("a tenant's topic is made, has what it asks for, each message's in order, and nobody else's", async () => {
  const publisher = await createPublisher({ endpoint, logger });
  toClose.push(() => publisher.close());
  const running = await runResultTopics({
    receiver: await receiverOf(names.group('result-topics'), names.results),
    publisher,
    names,
    store,
    nameServer,
    logger,
    metrics: createMetrics(),
  });
  toClose.unshift(() => running.stop());
  await store.tenantResultTopics.put(tenantId, 1, {
    isEnabled: true,
    statuses: ['sending', 'sent', 'delivered'],
  });
  await until('the topic is there', async () => (await broker.topicExists(topic)) || undefined);

  const events: { readonly type: string; readonly subject: string }[] = [];
  const consumer = await until('its group is there', () =>
    receiverOf(topic, topic).catch(() => undefined),
  );
  const stopped = new AbortController();
  const consuming = (async () => {
    while (!stopped.signal.aborted) {
      const deliveries = await consumer.receive(topic, 32).catch(() => []);
      events.push(...deliveries.map(({ body }) => JSON.parse(body.toString('utf8'))));
      if (deliveries.length > 0) await consumer.acknowledge(deliveries);
    }
  })();
  toClose.push(() => {
    stopped.abort();
    return consuming;
  });
  const of = (messageId: string) =>
    events.filter(({ subject }) => subject === messageId).map(({ type }) => type);
  const tell = (snapshot: ReturnType<typeof sampleSnapshot>) =>
    publisher.publish(
      names.results,
      { key: snapshot.messageId, body: JSON.stringify(toEvent(snapshot)) },
      { isPackable: true },
    );
  const messages = Array.from({ length: 5 }, () => sampleSnapshot({ tenantId }));
  const stranger = sampleSnapshot({ tenantId: 'other', status: 'sent', sequence: 3 });
  await tell(stranger);
  for (const [place, status] of (['sending', 'held', 'sent', 'delivered'] as const).entries()) {
    await Promise.all(messages.map((message) => tell({ ...message, status, sequence: place + 1 })));
    if (status !== 'held')
      await until(
        `${status} is told`,
        () =>
          messages.every(({ messageId }) => of(messageId).includes(`message.${status}`)) ||
          undefined,
        { seen: () => events.length },
      );
  }
  for (const { messageId } of messages)
    assert.deepEqual(
      [...new Set(of(messageId))],
      ['message.sending', 'message.sent', 'message.delivered'],
    );
  assert.deepEqual(of(stranger.messageId), []);
});
