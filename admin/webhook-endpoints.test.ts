import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { listen, type RunningServer } from '../platform/http.ts';
import { createLogger } from '../platform/logger.ts';
import { createMetrics } from '../platform/metrics.ts';
import { createSealer } from '../platform/seal.ts';
import { createStore } from '../store/index.ts';
import { testMysqlUrl } from '../tests/stack.ts';
import { createAdminApp } from './server.ts';

const adminToken = 'test-token-of-24-characters';
const logger = createLogger('test', 'fatal');
const sealer = createSealer([`test:${Buffer.alloc(32, 7).toString('base64')}`]);
const store = createStore({ mysqlUrl: await testMysqlUrl(), sealer, slots: 4, logger });

let server: RunningServer;
before(async () => {
  await store.migrate();
  const metrics = createMetrics();
  const app = createAdminApp({ store, connectors: new Map(), logger, metrics, adminToken });
  server = await listen(app, '127.0.0.1', 0);
});
after(async () => {
  await server.close();
  await store.close();
});

async function call(method: string, path: string, body?: unknown) {
  const response = await fetch(`http://127.0.0.1:${server.port}${path}`, {
    method,
    headers: {
      authorization: `Bearer ${adminToken}`,
      ...(body !== undefined && { 'content-type': 'application/json' }),
    },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });
  return { status: response.status, body: (await response.json()) as Record<string, unknown> };
}

test("an administrator sees a tenant's webhook endpoints without secrets, disables and enables them", async () => {
  await store.tenants.create('shop', 'Shop');
  const url = 'https://shop.example/hooks';
  const { endpoint, secret } = await store.webhookEndpoints.create('shop', { url });
  const path = `/v1/webhook-endpoints/${endpoint.id}`;
  const listed = await call('GET', '/v1/webhook-endpoints?tenantId=shop');
  assert.deepEqual(listed.body, { items: [endpoint] });
  assert.ok(!JSON.stringify(listed.body).includes(secret));
  const disabled = await call('POST', `${path}/disable`, { reason: 'it leaks' });
  assert.equal(disabled.body['isEnabled'], false);
  const { code, detail } = disabled.body['disabled'] as Record<string, unknown>;
  assert.deepEqual([code, detail], ['by-administrator', 'it leaks']);
  assert.equal((await call('POST', `${path}/enable`)).body['isEnabled'], true);
  for (const [method, at, body, status] of [
    ['GET', '/v1/webhook-endpoints?tenantId=nobody', undefined, 422],
    ['POST', `${path}/disable`, { reason: ' ' }, 422],
    ['POST', '/v1/webhook-endpoints/whe_none/disable', { reason: 'x' }, 404],
    ['POST', '/v1/webhook-endpoints/whe_none/enable', undefined, 404],
  ] as const)
    assert.equal((await call(method, at, body)).status, status, at);
});
