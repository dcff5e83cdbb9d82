import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { createNames } from '../contracts/topics.ts';
import { createElasticsearch } from '../platform/elasticsearch.ts';
import { createApp, listen, type RunningServer } from '../platform/http.ts';
import { createLogger } from '../platform/logger.ts';
import { createMetrics } from '../platform/metrics.ts';
import { createValidator } from '../platform/validate.ts';
import { createMessageIndex } from '../store/message-index.ts';
import { sampleSnapshot } from '../tests/message-samples.ts';
import { freshPrefix, testElasticsearchUrl } from '../tests/stack.ts';
import { addressOf } from '../contracts/message.ts';
import { listRoute, MessagePageSchema } from './list-messages.ts';

const names = createNames(freshPrefix());
const client = createElasticsearch({ url: await testElasticsearchUrl() });
const logger = createLogger('test', 'silent');
const index = createMessageIndex({ client, names, logger });
let server: RunningServer;

const mine = sampleSnapshot({
  tenantId: 'ten_a',
  recipientHash: 'ten_a/13900001111',
  metadata: { orderId: 'SO-1', note: 'a:b' },
  content: '您的验证码是493817',
  acceptedAt: '2026-11-12T08:00:00.000Z',
});
const theirs = sampleSnapshot({ tenantId: 'ten_b', recipientHash: 'ten_b/13900001111' });

before(async () => {
  await index.install();
  await index.writeEvents([mine, theirs]);
  await client.indices.refresh({ index: names.messageIndices });
  const app = createApp({
    routes: [
      listRoute<{ tenantId: string }>({
        index,
        hashRecipient: (tenantId, to) => `${tenantId}/${addressOf(to).value}`,
        tenantOf: async ({ caller }) => caller.tenantId,
        audience: 'services',
      }),
    ],
    authenticate: async (headers) => ({ tenantId: headers['authorization'] ?? '' }),
    logger,
    metrics: createMetrics(),
    notReady: () => [],
  });
  server = await listen(app, '127.0.0.1', 0);
});
after(async () => {
  await server.close();
  await index.dropOlderThan('2999-01-01');
  for (const pattern of [names.messageIndices, names.attemptIndices])
    await client.indices.deleteIndexTemplate({ name: pattern.replace('-*', '') });
  await client.close();
});

interface Answer {
  readonly status: number;
  readonly body: {
    items: { id: string; to: string }[];
    errors?: { pointer: string; detail: string }[];
  };
}
async function search(query: Record<string, string>, tenantId = 'ten_a'): Promise<Answer> {
  const url = `http://127.0.0.1:${server.port}/v1/messages?${new URLSearchParams(query).toString()}`;
  const response = await fetch(url, { headers: { authorization: tenantId } });
  return { status: response.status, body: (await response.json()) as Answer['body'] };
}

test('answers public views that fit the documented schema, and nothing of another tenant', async () => {
  const { status, body } = await search({});
  assert.equal(status, 200);
  assert.deepEqual(createValidator(MessagePageSchema).faults(body), []);
  assert.deepEqual(
    body.items.map((item) => item.id),
    [mine.messageId],
  );
  assert.equal(body.items[0]?.to, '139****1111');
  assert.doesNotMatch(JSON.stringify(body), /recipientHash|sealed|验证码|13900001111/);
});

test('a recipient is found by the whole number, within the tenant', async () => {
  for (const [tenantId, found] of [
    ['ten_a', mine.messageId],
    ['ten_b', theirs.messageId],
    ['ten_c', undefined],
  ] as const) {
    const { body } = await search({ to: '13900001111' }, tenantId);
    assert.deepEqual(
      body.items.map((item) => item.id),
      found === undefined ? [] : [found],
    );
  }
});

test('finds by metadata, text and time together', async () => {
  const query = {
    metadata: 'orderId:SO-1',
    text: '验证码',
    status: 'accepted',
    account: 'acc_1',
    from: '2026-11-12T08:00:00Z',
    until: '2026-11-12T08:00:01Z',
  };
  assert.equal((await search(query)).body.items.length, 1);
  assert.equal((await search({ metadata: 'note:a:b' })).body.items.length, 1);
  assert.equal((await search({ ...query, metadata: 'orderId:SO-2' })).body.items.length, 0);
});

test('every wrong value is named', async () => {
  const wrong = {
    status: 'gone',
    priority: 'urgent',
    to: '139****1111',
    metadata: 'orderId',
    from: 'yesterday',
    until: '2026-11-21',
    limit: '101',
    cursor: 'nonsense',
    text: '',
    colour: 'red',
  };
  for (const [name, value] of Object.entries(wrong)) {
    const { status, body } = await search({ [name]: value });
    assert.equal(status, 422, name);
    assert.deepEqual(
      body.errors?.map((fault) => fault.pointer),
      [`query/${name}`],
    );
  }
  const { body } = await search({ from: '2026-11-12T08:00:00Z', until: '2026-11-12T08:00:00Z' });
  assert.equal(body.errors?.[0]?.pointer, 'query/until');
  const two = await search({ limit: 'many', status: 'gone' });
  assert.equal(two.body.errors?.length, 2);
});
