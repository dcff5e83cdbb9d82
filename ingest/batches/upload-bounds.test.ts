/** An upload that is too long, or whose sender falls silent, with bounds small enough to reach. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { request } from 'node:http';
import { after, before, describe, it } from 'node:test';
import mysql from 'mysql2/promise';
import { createApp, listen, type RunningServer } from '../../platform/http.ts';
import { createLogger } from '../../platform/logger.ts';
import { createMessageIds } from '../../platform/message-id.ts';
import { createMetrics } from '../../platform/metrics.ts';
import { createSealer } from '../../platform/seal.ts';
import { createStore } from '../../store/index.ts';
import { checkVariables } from '../../templates/index.ts';

import { testMysqlUrl, until } from '../../tests/stack.ts';
import { batchRoutes } from './routes.ts';
import { plainConnector } from '../../tests/plain-connector.ts';

const mostBytes = 20_000;
const silenceMs = 1500;
const tenantId = 'shop';

const logger = createLogger('test', 'silent');
const mysqlUrl = await testMysqlUrl();
const sealer = createSealer([`test:${Buffer.alloc(32, 7).toString('base64')}`]);
const store = createStore({ mysqlUrl, sealer, slots: 1, logger });
const connection = await mysql.createConnection(mysqlUrl);
let server: RunningServer;
let batchId = '';
before(async () => {
  await store.migrate();
  await store.tenants.create(tenantId, tenantId);
  await store.templates.create(tenantId, {
    name: 'offer',
    kind: 'marketing',
    variables: {},
    contents: { 'sms-test': { text: 'sale' } },
  });
  const { name: connector, channel } = plainConnector;
  const edit = { name: 'sms', connector, settings: {}, secrets: {}, ratePerSecond: 10 };
  await store.channelAccounts.create({ tenantId, channel, edit });
  const app = createApp<{ readonly tenantId: string }>({
    routes: batchRoutes({
      batches: store.batches,
      index: { counts: async () => new Map(), statuses: async () => new Map() },
      ids: createMessageIds(sealer),
      sealer,
      connectors: new Map([[connector, plainConnector]]),
      checkVariables,
      template: async (_tenantId, name) =>
        (await store.templates.findByName(tenantId, name))?.template,
      accountsOf: async () => store.channelAccounts.list(tenantId, { limit: 10 }),
      logger,
      mostBytes,
    }),
    authenticate: async () => ({ tenantId }),
    logger,
    metrics: createMetrics(),
    notReady: () => [],
    silenceMs,
  });
  server = await listen(app, '127.0.0.1', 0);
  batchId = (await store.batches.create(tenantId, { template: 'offer' })).id;
});
after(async () => {
  await server.close();
  await connection.end();
  await store.close();
});

const linesOf = (from: number, count: number) =>
  Array.from({ length: count }, (_, at) => `139${String(from + at).padStart(8, '0')}\n`).join('');
/** The parts as they come, each `everyMs` after the one before; then nothing, and no end unless it `ends`. */
async function upload(parts: readonly string[], { everyMs = 0, ends = true, length = 0 } = {}) {
  const sending = request({
    port: server.port,
    host: '127.0.0.1',
    method: 'PUT',
    path: `/v1/batches/${batchId}/recipients`,
    headers: {
      authorization: 'x',
      'content-type': 'text/csv',
      ...(length > 0 && { 'content-length': String(length) }),
    },
  });
  const answered = new Promise<{ status: number; text: string } | 'cut off'>((resolve) => {
    sending.on('error', () => resolve('cut off'));
    sending.on('response', (response) => {
      response.toArray().then(
        (chunks: Buffer[]) =>
          resolve({ status: response.statusCode ?? 0, text: Buffer.concat(chunks).toString() }),
        () => resolve('cut off'),
      );
    });
  });
  for (const part of parts) {
    if (sending.destroyed) break;
    if (!sending.write(part)) await Promise.race([once(sending, 'drain'), answered]);
    if (everyMs > 0) await new Promise((resolve) => setTimeout(resolve, everyMs));
  }
  if (ends) sending.end();
  const answer = await answered;
  sending.destroy();
  return answer;
}
const totalOf = async () => (await store.batches.get(batchId))?.total;
/** Nothing of an upload that broke stays. */
const untilClean = () =>
  until('what was stored of it is gone', async () => {
    const [rows] = await connection.query('select distinct upload_id from batch_blocks');
    return (rows as unknown[]).length === 1 || undefined;
  });

describe('an upload of recipients', () => {
  it('counts while its sender goes on sending, however slowly', async () => {
    const parts = ['phone\n', ...Array.from({ length: 5 }, (_, at) => linesOf(at * 30, 30))];
    const answer = await upload(parts, { everyMs: 400 });
    assert.ok(answer !== 'cut off');
    assert.equal(answer.status, 200, answer.text);
    assert.equal(await totalOf(), 150);
  });

  it('ends when its sender falls silent, and changes nothing', async () => {
    const startedMs = Date.now();
    const answer = await upload(['phone\n', linesOf(1000, 300)], { ends: false });
    assert.equal(answer, 'cut off');
    assert.ok(Date.now() - startedMs >= silenceMs);
    await untilClean();
    assert.equal(await totalOf(), 150);
  });

  it('is refused over its bound, announced or not, and changes nothing', async () => {
    const announced = await upload(['phone\n'], { length: mostBytes + 1, ends: false });
    const parts = Array.from({ length: 20 }, (_, at) => linesOf(2000 + at * 100, 100));
    for (const answer of [announced, await upload(['phone\n', ...parts])]) {
      assert.ok(answer !== 'cut off');
      assert.equal(answer.status, 413, answer.text);
      assert.match(answer.text, /urn:message-center:problem:body-too-large/);
      assert.match(answer.text, new RegExp(`${mostBytes} bytes`));
    }
    await untilClean();
    assert.equal(await totalOf(), 150);
  });
});
