import assert from 'node:assert/strict';
import { test } from 'node:test';
import { problem } from '../../contracts/problems.ts';
import type { Receipt } from '../../contracts/result.ts';
import { createNames } from '../../contracts/topics.ts';
import { createLogger } from '../../platform/logger.ts';
import { createMetrics } from '../../platform/metrics.ts';
import { PublishError } from '../../platform/queue.ts';
import { createTellRead } from './read-receipts.ts';

const names = createNames('t');
const items = Array.from({ length: 1200 }, (_, index) => ({
  itemId: `msg_${index}.0.1`,
  accountId: 'acc_1',
}));

/** What becomes of 1200 items when broker and database are as said. */
async function read(is: { readonly brokerAway: boolean; readonly databaseAway: boolean }) {
  const published: { topic: string; receipt: Receipt }[] = [];
  const parked: Receipt[] = [];
  const metrics = createMetrics();
  let asked = 0;
  const tellRead = createTellRead({
    publisher: {
      publish: async (topic, { body }) => {
        asked += 1;
        if (is.brokerAway) throw new PublishError('away', 'no');
        published.push({ topic, receipt: JSON.parse(String(body)) as Receipt });
      },
    },
    park: async (receipt) => {
      if (is.databaseAway) throw problem('store-unavailable');
      parked.push(receipt);
    },
    names,
    logger: createLogger('test', 'fatal'),
    metrics,
  });
  await tellRead('demo', items);
  const text = await metrics.text();
  const counts = Object.fromEntries(
    [...text.matchAll(/inbox_read_receipts_total\{result="(\w+)"\} (\d+)/g)].map(
      ([, name, count]) => [name, Number(count)],
    ),
  );
  return { published, parked, asked, counts };
}

test('every item read for the first time is a receipt on the receipts topic', async () => {
  const { published, counts } = await read({ brokerAway: false, databaseAway: false });
  assert.equal(published.length, 1200);
  const [first] = published;
  assert.equal(first?.topic, names.receipts);
  const { receivedAt, occurredAt, ...receipt } = first.receipt;
  assert.equal(receivedAt, occurredAt);
  assert.deepEqual(receipt, {
    version: 1,
    connector: 'inbox-builtin',
    accountId: 'acc_1',
    tenantId: 'demo',
    deliveryKey: 'msg_0.0.1',
    providerId: 'msg_0.0.1',
    status: 'read',
  });
  assert.deepEqual(counts, { published: 1200, parked: 0, lost: 0 });
});

test('while the broker is away they are parked, and it is not asked for each of them', async () => {
  const { parked, asked, counts } = await read({ brokerAway: true, databaseAway: false });
  assert.equal(new Set(parked.map(({ deliveryKey }) => deliveryKey)).size, 1200);
  assert.equal(asked, 500);
  assert.deepEqual(counts, { published: 0, parked: 1200, lost: 0 });
});

test('with both away nothing fails for the reader, and the loss is counted', async () => {
  const { counts } = await read({ brokerAway: true, databaseAway: true });
  assert.deepEqual(counts, { published: 0, parked: 0, lost: 1200 });
});
