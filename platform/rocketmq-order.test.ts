/** FIFO topics on the real broker: what one group has published comes in that order, and again in that order. */
import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { freshPrefix, testServers, until } from '../tests/stack.ts';
import { createLogger } from './logger.ts';
import { PublishError, type Delivery } from './queue.ts';
import { createRocketmqAdmin } from './rocketmq-admin.ts';
import { createPublisher, createReceiver } from './rocketmq.ts';

const { rocketmqEndpoint: endpoint, rocketmqNameServer: nameServer } = testServers();
const logger = createLogger('test', 'error');
const topic = `${freshPrefix()}-order`;
const admin = createRocketmqAdmin({ nameServer, timeoutMs: 10_000 });
await admin.createTopics([{ name: topic, queues: 16, type: 'FIFO' }]);
await admin.createGroups([{ name: topic, ordered: true, maxRetries: 1000 }]);
await admin.setOffsetsToStart(topic, topic);
const publisher = await createPublisher({ endpoint, topic, logger });
const receiver = await createReceiver({
  endpoint,
  group: topic,
  topics: [topic],
  invisibleSeconds: 60,
  awaitMs: 5000,
  logger,
});
after(async () => {
  await publisher.close();
  await receiver.close();
  await admin.deleteTopics([topic]);
  admin.close();
});

const numbers = (count: number) => Array.from({ length: count }, (_, number) => number);
/** Publishes without waiting for one before the next. */
const publish = (group: string, count: number) =>
  Promise.all(
    numbers(count).map((number) =>
      publisher.publish(
        topic,
        { key: `${group}-${number}`, body: `${group} ${number}` },
        { orderingGroup: group },
      ),
    ),
  );
const groupOf = ({ key }: Delivery) => key.slice(0, key.lastIndexOf('-'));
const numberOf = ({ key }: Delivery) => Number(key.slice(key.lastIndexOf('-') + 1));

describe('a FIFO topic', () => {
  it('keeps the order of calls within a group, and gives back what is not acknowledged in the same order', async () => {
    const groups = numbers(6).map((number) => `alpha${number}`);
    await Promise.all(groups.map((group) => publish(group, 30)));
    const seen = new Map(groups.map((group) => [group, [] as number[]]));
    const givenBack = new Set<string>();
    await until(
      'all have come',
      async () => {
        const deliveries = await receiver.receive(topic, 32);
        const done: Delivery[] = [];
        const holding = new Set<string>();
        for (const delivery of deliveries) {
          const group = groupOf(delivery);
          // Number 7 of each group is given back once, and what came behind it in this receive.
          if (numberOf(delivery) === 7 && !givenBack.has(group)) holding.add(group);
          if (holding.has(group)) continue;
          done.push(delivery);
          seen.get(group)?.push(numberOf(delivery));
        }
        for (const group of holding) givenBack.add(group);
        await receiver.acknowledge(done);
        for (const delivery of deliveries)
          if (!done.includes(delivery)) await receiver.retryLater(delivery, 1000);
        const isComplete = groups.every((group) => new Set(seen.get(group)).size === 30);
        return isComplete || undefined;
      },
      { seen: () => Object.fromEntries(seen) },
    );
    assert.equal(givenBack.size, groups.length);
    for (const group of groups)
      assert.deepEqual([...new Set(seen.get(group))], numbers(30), `${group} in order`);
  });

  it('holds one group back without the others', async () => {
    await publish('held', 3);
    const held = await until('it has come', async () => {
      const deliveries = await receiver.receive(topic, 32);
      return deliveries.length > 0 ? deliveries : undefined;
    });
    // Not acknowledged: its queue gives nothing more.
    await publish('held', 3);
    const others = numbers(8).map((number) => `other${number}`);
    await Promise.all(others.map((group) => publish(group, 5)));
    const came: Delivery[] = [];
    await until(
      'most of the others have come',
      async () => {
        const deliveries = await receiver.receive(topic, 32);
        await receiver.acknowledge(deliveries);
        came.push(...deliveries);
        return new Set(came.map(groupOf)).size >= 5 || undefined;
      },
      { seen: () => came.map(({ key }) => key) },
    );
    assert.deepEqual(
      came.filter((delivery) => groupOf(delivery) === 'held'),
      [],
    );
    assert.deepEqual(held.map(numberOf), numbers(held.length));
  });

  it('refuses as not stored what waits for its group past its deadline', async () => {
    const away = await createPublisher({ endpoint, topic, logger });
    const first = away.publish(topic, { key: 'late-0', body: '0' }, { orderingGroup: 'late' });
    const second = away.publish(
      topic,
      { key: 'late-1', body: '1' },
      { orderingGroup: 'late', deadlineMs: 0 },
    );
    await assert.rejects(second, (error) => error instanceof PublishError && error.stored === 'no');
    await first;
    await away.close();
  });
});
