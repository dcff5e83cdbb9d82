import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { toEvent, type Parked } from '../contracts/result.ts';
import { createNames } from '../contracts/topics.ts';
import { createElasticsearch } from '../platform/elasticsearch.ts';
import { createLogger } from '../platform/logger.ts';
import { createMetrics } from '../platform/metrics.ts';
import { PublishError, type Delivery, type Publisher } from '../platform/queue.ts';
import { createMessageIndex, type MessageIndex } from '../store/message-index.ts';
import {
  delivery,
  eventDelivery,
  laneDelivery,
  sampleAccepted,
  sampleSnapshot,
  sampleStory,
  shuffled,
} from '../tests/message-samples.ts';
import { freshPrefix, testElasticsearchUrl, until } from '../tests/stack.ts';
import { createHold } from './hold.ts';
import { createIndexResults } from './index-results.ts';

const names = createNames(freshPrefix());
const client = createElasticsearch({ url: await testElasticsearchUrl() });
const logger = createLogger('test', 'silent');
const index = createMessageIndex({ client, names, logger });
const lane = names.lane(3, 'critical');
const never = new AbortController().signal;

before(() => index.install());
after(async () => {
  await index.dropOlderThan('2999-01-01');
  for (const pattern of [names.messageIndices, names.attemptIndices])
    await client.indices.deleteIndexTemplate({ name: pattern.replace('-*', '') });
  await client.close();
});

/** The verb on the real index; what it parks is collected, or refused as by a broker that is away. */
function setUp(options: { index?: Pick<MessageIndex, 'writeEvents'>; isBrokerAway?: true } = {}) {
  const parked: Parked[] = [];
  const publisher: Pick<Publisher, 'publish'> = {
    publish: async (topic, { body }) => {
      if (options.isBrokerAway) throw new PublishError('away', 'no');
      assert.equal(topic, names.parked);
      parked.push(JSON.parse(String(body)) as Parked);
    },
  };
  const hold = createHold();
  const metrics = createMetrics();
  const indexResults = createIndexResults({
    index: options.index ?? index,
    publisher,
    names,
    hold,
    logger,
    metrics,
  });
  return { indexResults, parked, hold, metrics };
}

test('a lane message becomes an accepted document with its sealed request beside it', async () => {
  const { indexResults, parked } = setUp();
  const message = sampleAccepted();
  const taken = laneDelivery(lane, message);
  assert.deepEqual(await indexResults([taken], never), [taken]);
  const found = await index.get(message.id);
  assert.equal(found?.status, 'accepted');
  assert.equal(found.updatedAt, message.acceptedAt);
  assert.equal(found.sealed, undefined);
  assert.equal(await index.sealedRequest(message.id, message.acceptedAt), message.sealed);
  assert.deepEqual(parked, []);
});

test('all deliveries are acknowledged in whatever order and number they come, and the newest state stays', async () => {
  const { indexResults, metrics } = setUp();
  for (let seed = 1; seed <= 20; seed++) {
    const message = sampleAccepted();
    const { requestHash: _requestHash, sealed, id, ...fixed } = message;
    const accepted = sampleSnapshot({ ...fixed, messageId: id });
    const [, ...told] = sampleStory(accepted);
    const topics = [names.results, names.retries];
    const all: Delivery[] = [
      laneDelivery(lane, message),
      ...told.map((event, i) => eventDelivery(topics[i % 2] ?? names.results, event)),
    ];
    const order = shuffled([...all, ...all], seed);
    const middle = seed % order.length;
    for (const part of [order.slice(0, middle), order.slice(middle)])
      assert.equal((await indexResults(part, never)).length, part.length);
    const found = await index.get(id);
    assert.equal(found?.redrive, 1);
    assert.equal(found.status, 'sent');
    assert.equal(await index.sealedRequest(id, message.acceptedAt), sealed);
  }
  assert.match(await metrics.text(), /events_indexed_total\{result="older"\} [1-9]/);
});

test('of events that travel together each is written, and one that nobody can read takes no other with it', async () => {
  const { indexResults, parked } = setUp();
  const all = Array.from({ length: 3 }, () => sampleSnapshot());
  const pack = (events: readonly unknown[]) => delivery(names.results, 'a', JSON.stringify(events));
  const good = pack(all.map(toEvent));
  assert.deepEqual(await indexResults([good], never), [good]);
  for (const { messageId } of all) assert.equal((await index.get(messageId))?.messageId, messageId);
  assert.deepEqual(parked, []);

  const after = sampleSnapshot();
  const mixed = pack([{ not: 'an event' }, toEvent(after)]);
  assert.deepEqual(await indexResults([mixed], never), [mixed]);
  assert.equal((await index.get(after.messageId))?.messageId, after.messageId);
  assert.deepEqual(
    parked.map(({ reason, bodyBase64 }) => [reason, bodyBase64]),
    [['unparsable', mixed.body.toString('base64')]],
  );
  const broken = setUp({ isBrokerAway: true });
  assert.deepEqual(await broken.indexResults([mixed], never), [], 'it comes again');
});

test('what nobody can read is parked with its reason, and the rest is written', async () => {
  const { indexResults, parked } = setUp();
  const good = sampleSnapshot();
  const tooNew = { ...JSON.parse(eventDelivery('', good).body.toString()) };
  tooNew.data = { ...tooNew.data, version: 2 };
  const deliveries = [
    delivery(names.results, 'a', 'not JSON at all'),
    delivery(names.results, 'b', JSON.stringify(tooNew)),
    delivery(names.retries, 'c', '{}'),
    eventDelivery(names.results, { ...good, acceptedAt: '../evil' }),
    eventDelivery(names.results, { ...good, redrive: -1 }),
    eventDelivery(names.results, { ...sampleSnapshot(), nextAttemptAt: 'later' }),
    eventDelivery(names.results, good),
  ];
  const done = await indexResults(deliveries, never);
  assert.equal(done.length, deliveries.length);
  assert.deepEqual(parked.map(({ reason }) => reason).toSorted(), [
    'refused-by-index',
    'too-new',
    ...Array<string>(4).fill('unparsable'),
  ]);
  for (const { by, topic, bodyBase64, detail } of parked) {
    assert.equal(by, 'indexer');
    const body = Buffer.from(bodyBase64, 'base64').toString();
    assert.ok(deliveries.some((one) => one.topic === topic && one.body.toString() === body));
    assert.doesNotMatch(detail, /not JSON at all|evil|later/);
  }
  assert.equal((await index.get(good.messageId))?.status, 'accepted');
});

test('an unusable lane message is left to the bridge to park', async () => {
  const { indexResults, parked } = setUp();
  const deliveries = [
    delivery(lane, 'a', '{'),
    delivery(lane, 'b', JSON.stringify({ ...sampleAccepted(), version: 2 })),
  ];
  assert.deepEqual(await indexResults(deliveries, never), deliveries);
  assert.deepEqual(parked, []);
});

test('what could not be parked is not acknowledged', async () => {
  const { indexResults } = setUp({ isBrokerAway: true });
  const bad = delivery(names.results, 'a', '{');
  const good = eventDelivery(names.results, sampleSnapshot());
  assert.deepEqual(await indexResults([bad, good], never), [good]);
});

test('while Elasticsearch is away deliveries are held and receiving stops; then all of them are written', async () => {
  const lost = createElasticsearch({ url: 'http://127.0.0.1:9' });
  const away = createMessageIndex({ client: lost, names, logger });
  let isAway = true;
  const { indexResults, hold } = setUp({
    index: { writeEvents: (events) => (isAway ? away : index).writeEvents(events) },
  });
  const accepted = sampleSnapshot();
  const taken = eventDelivery(names.results, accepted);
  const working = indexResults([taken], never);
  await until('receiving is held', () => hold.isHeld || undefined);
  isAway = false;
  assert.deepEqual(await working, [taken]);
  assert.equal(hold.isHeld, false);
  assert.equal((await index.get(accepted.messageId))?.messageId, accepted.messageId);
  await lost.close();
});

test('stopped while Elasticsearch is away, it lets go without acknowledging', async () => {
  const lost = createElasticsearch({ url: 'http://127.0.0.1:9' });
  const { indexResults, hold } = setUp({
    index: createMessageIndex({ client: lost, names, logger }),
  });
  const stopped = new AbortController();
  const working = indexResults([eventDelivery(names.results, sampleSnapshot())], stopped.signal);
  await until('receiving is held', () => hold.isHeld || undefined);
  stopped.abort();
  assert.deepEqual(await working, []);
  assert.equal(hold.isHeld, false);
  await lost.close();
});
