import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { Type } from 'typebox';
import { until } from '../tests/stack.ts';
import { createApp, listen, route } from './http.ts';
import { createLogger } from './logger.ts';
import { createMetrics } from './metrics.ts';

const mostBodyBytes = 1_000_000;
let release: () => void = () => {};
let held = new Promise<void>((resolve) => (release = resolve));
let handled = 0;
const app = createApp({
  routes: [
    route({
      method: 'post',
      path: '/v1/texts',
      operationId: 'postText',
      summary: 'Takes a text.',
      tag: 'test',
      maxBodyBytes: mostBodyBytes,
      body: Type.Object({ text: Type.String() }),
      responses: { 202: { description: 'Taken.' } },
      problems: [],
      handle: async () => {
        handled += 1;
        await held;
        return { status: 202 };
      },
    }),
  ],
  authenticate: async () => ({}),
  logger: createLogger('test', 'silent'),
  metrics: createMetrics(),
  notReady: () => [],
  mostBodyBytes,
});
const server = await listen(app, '127.0.0.1', 0);
after(async () => {
  const startedAt = Date.now();
  await server.close();
  assert.ok(Date.now() - startedAt < 30_000, 'no connection is held by a body that was refused');
});

const post = (bytes: number, headers: Record<string, string> = {}) =>
  fetch(`http://127.0.0.1:${server.port}/v1/texts`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify({ text: 'x'.repeat(bytes) }),
  });
const inHand = (count: number) =>
  until(`${count} are in hand`, () => handled >= count || undefined, { everyMs: 5 });

test('large bodies have room together for so much; what does not fit is refused unread, and small ones pass', async () => {
  const first = post(600_000);
  await inHand(1);
  const refused = await post(600_000);
  assert.deepEqual([refused.status, refused.headers.get('retry-after')], [503, '1']);
  const { type, detail } = (await refused.json()) as Record<string, string>;
  assert.equal(type, 'urn:message-center:problem:too-busy');
  assert.match(detail ?? '', /^Requests with 6000\d\d bytes of body are in hand/);
  // Nobody knows how much a packed one has.
  assert.equal((await post(100, { 'content-encoding': 'gzip' })).status, 503);
  const others = [post(300_000), post(100), post(60_000)];
  await inHand(4);
  release();
  for (const answer of [first, ...others]) assert.equal((await answer).status, 202);

  // What has been answered takes no room, nor does what was broken off.
  held = Promise.resolve();
  assert.equal((await post(600_000)).status, 202);
  assert.equal((await post(999_000)).status, 202);
  held = new Promise((resolve) => (release = resolve));
  const broken = new AbortController();
  const gone = fetch(`http://127.0.0.1:${server.port}/v1/texts`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ text: 'x'.repeat(900_000) }),
    signal: broken.signal,
  });
  await inHand(7);
  broken.abort();
  await assert.rejects(gone);
  release();
  held = Promise.resolve();
  await until('its room is free', async () => (await post(900_000)).status === 202 || undefined);
});
