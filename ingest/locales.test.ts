/** Languages as services say them: of a message, of a person, of a batch. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { postOf } from '../contracts/batch.ts';
import { createApp, listen, type RunningServer } from '../platform/http.ts';
import { createLogger } from '../platform/logger.ts';
import { createMetrics } from '../platform/metrics.ts';
import { createSealer } from '../platform/seal.ts';
import { createStore } from '../store/index.ts';
import { startIngestApp, type IngestApp } from '../tests/ingest-app.ts';
import { testMysqlUrl } from '../tests/stack.ts';
import { peopleRoutes } from './people.ts';
import { plainConnector } from '../tests/plain-connector.ts';

const mysqlUrl = await testMysqlUrl();
const logger = createLogger('test', 'silent');
const keyring = [`test:${Buffer.alloc(32, 7).toString('base64')}`];
const store = createStore({ mysqlUrl, sealer: createSealer(keyring), slots: 1, logger });
let ingest: IngestApp;
let people: RunningServer;
let key: string;

before(async () => {
  await store.migrate();
  await store.tenants.create('demo', 'Demo');
  await store.templates.create('demo', {
    name: 'hello',
    kind: 'notice',
    variables: {},
    contents: { 'sms-test': { text: 'Hello' } },
  });
  await store.channelAccounts.create({
    tenantId: 'demo',
    channel: 'sms',
    edit: {
      name: 'sms',
      connector: plainConnector.name,
      settings: {},
      secrets: {},
      ratePerSecond: 10,
    },
  });
  ({ key } = await store.apiKeys.create('demo', { name: 'test' }));
  ingest = await startIngestApp({ mysqlUrl, keyring, logger, instanceId: 'one' });
  const routes = peopleRoutes<{ tenantId: string }>({
    people: store.people,
    channels: new Set(['sms']),
  });
  const app = createApp({
    routes,
    authenticate: async () => ({ tenantId: 'demo' }),
    logger,
    metrics: createMetrics(),
    notReady: () => [],
  });
  people = await listen(app, '127.0.0.1', 0);
});
after(async () => {
  await ingest.close();
  await people.close();
  await store.close();
});

const faults = (body: Record<string, unknown>) =>
  (body['errors'] as { pointer: string }[]).map(({ pointer }) => pointer);

describe('the language of a message', () => {
  const post = (locale: string) =>
    ingest.call(key, '/v1/messages', {
      body: { to: { phone: '13900001111' }, template: 'hello', locale },
    });

  it('travels with it in one spelling', async () => {
    const { status, body } = await post('zh-hant-tw');
    assert.equal(status, 202, JSON.stringify(body));
    assert.equal(ingest.published.find(({ id }) => id === body['id'])?.locale, 'zh-Hant-TW');
  });
  it('is refused when it is none', async () => {
    for (const bad of ['zh_TW', 'x', '*', 'zh-Hant-', 'a'.repeat(36)]) {
      const { status, body } = await post(bad);
      assert.deepEqual([status, faults(body)], [422, ['/locale']], bad);
    }
  });
});

describe('the language of a person', () => {
  const put = async (locale: string) => {
    const response = await fetch(`http://127.0.0.1:${people.port}/v1/users/u-1`, {
      method: 'PUT',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ addresses: {}, locale }),
    });
    return { status: response.status, body: (await response.json()) as Record<string, unknown> };
  };
  it('is kept in one spelling, and refused when it is none', async () => {
    assert.deepEqual(await put('EN-gb'), { status: 200, body: { addresses: {}, locale: 'en-GB' } });
    const bad = await put('english!');
    assert.deepEqual([bad.status, faults(bad.body)], [422, ['/locale']]);
    assert.equal((await store.people.get({ tenantId: 'demo', userId: 'u-1' }))?.locale, 'en-GB');
  });
});

describe('the languages of a batch', () => {
  it("are its lines', else its own", () => {
    const batch = { id: 'bat_1', request: { template: 'hello', locale: 'fr' } };
    const line = { to: { phone: '13900001111' }, variables: {} };
    assert.equal(postOf(batch, line).locale, 'fr');
    assert.equal(postOf(batch, { ...line, locale: 'en' }).locale, 'en');
    assert.ok(!('locale' in postOf({ ...batch, request: { template: 'hello' } }, line)));
  });
});
