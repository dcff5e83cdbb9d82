import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { SendOutcome } from '../contracts/outcome.ts';
import { listen, type RunningServer } from '../platform/http.ts';
import { createLogger } from '../platform/logger.ts';
import { createMetrics } from '../platform/metrics.ts';
import { createSealer } from '../platform/seal.ts';
import { createStore } from '../store/index.ts';

import { testMysqlUrl } from '../tests/stack.ts';
import { createAdminApp } from './server.ts';
import { plainConnector } from '../tests/plain-connector.ts';

const mysqlUrl = await testMysqlUrl();
const logger = createLogger('test', 'silent');
const sealer = createSealer([`test:${Buffer.alloc(32, 7).toString('base64')}`]);
const store = createStore({ mysqlUrl, sealer, slots: 1, logger });
const adminToken = 'test-token-of-24-characters';
const edit = { name: 'a', connector: 'sms-test', settings: {}, secrets: {}, ratePerSecond: 20 };
let verdict: SendOutcome = { class: 'accepted', providerId: 'p' };
let server: RunningServer;
let accountId = '';

async function call(method: string, path: string, status = 200) {
  const headers = { authorization: `Bearer ${adminToken}` };
  const url = `http://127.0.0.1:${server.port}/v1/channel-accounts/${path}`;
  const response = await fetch(url, { method, headers });
  assert.equal(response.status, status);
  return (await response.json()) as Record<string, unknown>;
}
const health = () => call('GET', `${accountId}/health`);

before(async () => {
  await store.migrate();
  await store.tenants.create('demo', 'Demo');
  ({ id: accountId } = await store.channelAccounts.create({
    tenantId: 'demo',
    channel: 'sms',
    edit,
  }));
  const connector = {
    ...plainConnector,
    createClient: () => ({
      send: async () => verdict,
      verify: async () => verdict,
      close: async () => {},
    }),
  };
  const connectors = new Map([[connector.name, connector]]);
  const metrics = createMetrics();
  const app = createAdminApp({ store, connectors, logger, metrics, adminToken });
  server = await listen(app, '127.0.0.1', 0);
});
after(async () => {
  await server.close();
  await store.close();
});

describe('health of a channel account', () => {
  it('tells the limit, and that it is not in force yet', async () => {
    assert.deepEqual(await health(), {
      accountId,
      tenantId: 'demo',
      state: 'settling',
      limit: { configured: 20, inForce: null },
      causes: [],
    });
    await store.channelAccounts.setLimitInForce(accountId, 20);
    assert.equal((await health())['state'], 'serving');
    await call('GET', 'acc_none/health', 404);
  });

  it('tells every cause that holds it, each by itself', async () => {
    const reason = { code: 'auth-invalid', detail: 'denied' };
    const nowMs = Date.now();
    await store.circuits.open({ accountId, tenantId: 'demo', reason, nowMs });
    const scope = { kind: 'account', value: accountId } as const;
    const pause = { action: 'pause', scope, tenantId: 'demo', reason: 'looking' } as const;
    const { id: stopId, createdAt } = await store.stops.create(pause);
    await store.channelAccounts.update(accountId, 1, { ...edit, isStopped: true });
    assert.equal((await health())['state'], 'settling');
    await store.channelAccounts.setLimitInForce(accountId, 0);
    const { state, causes, limit } = await health();
    assert.deepEqual([state, limit], ['held', { configured: 20, inForce: 0 }]);
    const openedAt = new Date(nowMs).toISOString();
    const nextTryAt = new Date(nowMs + 5000).toISOString();
    assert.deepEqual(causes, [
      { cause: 'stopped' },
      { cause: 'circuit', reason, openedAt, nextTryAt, tries: 0 },
      { cause: 'paused', stopId, reason: 'looking', createdAt },
    ]);
    await store.channelAccounts.update(accountId, 2, edit);
    await store.circuits.close(accountId, Date.now());
    await store.channelAccounts.setLimitInForce(accountId, 20);
    const paused = await health();
    assert.deepEqual([paused['state'], (paused['causes'] as unknown[]).length], ['held', 1]);
    await store.stops.resume(stopId);
    assert.equal((await health())['state'], 'serving');
  });

  it('tells what the last verify came to', async () => {
    assert.equal((await health())['lastVerify'], undefined);
    await call('POST', `${accountId}/verify`);
    verdict = { class: 'quota-exhausted', providerCode: 'isv.AMOUNT', providerMessage: 'empty' };
    const { works, outcome, durationMs } = await call('POST', `${accountId}/verify`);
    const { verifiedAt, ...last } = (await health())['lastVerify'] as Record<string, unknown>;
    assert.deepEqual(last, { works, outcome, durationMs });
    assert.deepEqual([works, outcome], [false, verdict]);
    assert.ok(Math.abs(Date.parse(String(verifiedAt)) - Date.now()) < 10_000);
  });
});
