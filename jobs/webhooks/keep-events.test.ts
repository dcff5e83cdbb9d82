import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createLogger } from '../../platform/logger.ts';
import type { WebhookToKeep } from '../../store/index.ts';
import { createKeepEvents } from './keep-events.ts';

const logger = createLogger('test', 'silent');
const event = (number: number): WebhookToKeep => ({
  endpointId: 'whe_1',
  event: { eventId: `e${number}`, type: 'message.sent', body: '{}' },
  tries: 0,
  nextTryAtMs: 0,
});

test('many events are few writes, one at a time, tried again until the database answers', async () => {
  const written: string[][] = [];
  let underWay = 0;
  let calls = 0;
  const keep = createKeepEvents({
    deliveries: {
      keep: async (events) => {
        underWay += 1;
        assert.equal(underWay, 1);
        await new Promise((resolve) => setTimeout(resolve, 5));
        underWay -= 1;
        calls += 1;
        if (calls === 2) throw new Error('the database is away');
        written.push(events.map(({ event: { eventId } }) => eventId));
      },
    },
    logger,
    signal: new AbortController().signal,
  });
  const results = await Promise.all(
    Array.from({ length: 1000 }, (_, number) => keep(event(number))),
  );
  assert.ok(results.every(Boolean));
  assert.ok(written.length <= 7, `${written.length} writes`);
  assert.equal(new Set(written.flat()).size, 1000);
  assert.equal(await keep(event(1000)), true);
});

test('a process that stops says that nothing is kept', async () => {
  const stopped = new AbortController();
  const keep = createKeepEvents({
    deliveries: { keep: () => Promise.reject(new Error('the database is away')) },
    logger,
    signal: stopped.signal,
  });
  const kept = keep(event(1));
  stopped.abort();
  assert.equal(await kept, false);
  assert.equal(await keep(event(2)), false);
});
