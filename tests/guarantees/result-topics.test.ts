/** A tenant's results are in its own topic, too: and stay so through kill -9 of jobs. */
import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { createLogger } from '../../platform/logger.ts';
import { createReceiver } from '../../platform/rocketmq.ts';
import { createRocketmqAdmin } from '../../platform/rocketmq-admin.ts';
import { until } from '../stack.ts';
import { startSystem } from '../system.ts';

const system = await startSystem({
  // What a killed process had in hand comes again after this time.
  env: { MC_INVISIBLE_SECONDS: '10' },
  sandbox: { smsAliyun: { settings: { windows: null, receiptsPaused: true } } },
});
const { config, tenantId } = system;
const logger = createLogger('test', 'error');
const broker = createRocketmqAdmin({ nameServer: config.rocketmqNameServer, timeoutMs: 5000 });
after(() => broker.close());

interface Event {
  readonly id: string;
  readonly type: string;
  readonly subject: string;
  readonly sequence: string;
  readonly data: Record<string, unknown>;
}

/** A service's own consumer. */
async function consume(topic: string) {
  const events: Event[] = [];
  const receiver = await createReceiver({
    endpoint: config.rocketmqEndpoint,
    group: topic,
    topics: [topic],
    invisibleSeconds: 10,
    logger,
  });
  const stopped = new AbortController();
  const loop = (async () => {
    while (!stopped.signal.aborted) {
      const deliveries = await receiver.receive(topic, 32).catch(() => []);
      events.push(...deliveries.map(({ body }) => JSON.parse(body.toString('utf8')) as Event));
      if (deliveries.length > 0) await receiver.acknowledge(deliveries);
    }
  })();
  after(async () => {
    stopped.abort();
    await receiver.close();
    await loop;
    await broker.deleteTopics([topic]);
  });
  return events;
}
async function turnOn(id: string, edit: object = { isEnabled: true }) {
  const path = `/v1/tenants/${id}/result-topic`;
  const before = await system.admin('GET', path);
  assert.equal(before.body['isEnabled'], false);
  const etag = before.headers.get('etag') ?? '';
  const put = await system.admin('PUT', path, edit, { 'if-match': etag });
  assert.equal(put.status, 200, JSON.stringify(put.body));
  assert.equal((await system.admin('PUT', path, edit, { 'if-match': etag })).status, 412);
  const topic = String(put.body['topic']);
  await until(`${topic} is there`, async () => (await broker.topicExists(topic)) || undefined);
  return topic;
}
async function post(count: number, first: number): Promise<string[]> {
  const messages = Array.from({ length: count }, (_, index) => ({
    to: { phone: `153${String(first + index).padStart(8, '0')}` },
    template: 'order-shipped',
    variables: { orderId: `T-${first + index}` },
  }));
  const { body } = await system.call('POST', '/v1/messages/batch', { messages });
  assert.equal(body['accepted'], count, JSON.stringify(body));
  return (body['results'] as { id: string }[]).map(({ id }) => id);
}

describe("a tenant's own result topic", () => {
  it('has every end of its messages, as a webhook would bring it, through kill -9 of jobs', async () => {
    const topic = await turnOn(tenantId);
    const events = await consume(topic);
    const told = () => new Set(events.map(({ subject }) => subject)).size;
    const ids = await post(60, 0);
    await until('some are there', () => told() >= 10 || undefined);
    await system.services.jobs.kill();
    ids.push(...(await post(40, 1000)));
    await until('all are there', () => told() >= ids.length || undefined, {
      timeoutMs: 60_000,
      seen: told,
    });
    assert.deepEqual([...new Set(events.map(({ subject }) => subject))].toSorted(), ids.toSorted());
    assert.equal(new Set(events.map(({ id }) => id)).size, ids.length, 'one id for each event');
    const [event] = events;
    assert.deepEqual(
      [event?.type, event?.data['status'], event?.data['id']],
      ['message.sent', 'sent', event?.subject],
    );
    assert.doesNotMatch(JSON.stringify(events), /15300000/, 'the recipient is masked');
  });
});
