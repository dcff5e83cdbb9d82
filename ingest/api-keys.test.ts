import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { createAdminApp } from '../admin/server.ts';
import { apiScopes } from '../contracts/api-scopes.ts';
import { listen, type RunningServer } from '../platform/http.ts';
import { createLogger } from '../platform/logger.ts';
import { createMetrics } from '../platform/metrics.ts';
import { createSealer } from '../platform/seal.ts';
import { createStore } from '../store/index.ts';
import { startIngestApp, type IngestApp } from '../tests/ingest-app.ts';
import { testMysqlUrl, until } from '../tests/stack.ts';
import { plainConnector } from '../tests/plain-connector.ts';

const mysqlUrl = await testMysqlUrl();
const logger = createLogger('test', 'silent');
const keyring = [`test:${Buffer.alloc(32, 7).toString('base64')}`];
const store = createStore({ mysqlUrl, sealer: createSealer(keyring), slots: 1, logger });
const adminToken = 'test-token-of-24-characters';
const inForce = { timeoutMs: 2000, everyMs: 20 };
let admin: RunningServer;
let ingests: IngestApp[] = [];

interface Made {
  readonly status: number;
  readonly id: string;
  readonly key: string;
  readonly body: Record<string, unknown> & { errors?: { pointer: string }[] };
}
async function askAdmin(method: string, path: string, body?: unknown): Promise<Made> {
  const response = await fetch(`http://127.0.0.1:${admin.port}/v1/tenants/demo/api-keys${path}`, {
    method,
    headers: { authorization: `Bearer ${adminToken}`, 'content-type': 'application/json' },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });
  const text = await response.text();
  const answer = (text === '' ? {} : JSON.parse(text)) as Made['body'];
  return {
    status: response.status,
    id: String(answer['id']),
    key: String(answer['key']),
    body: answer,
  };
}
const make = (body: object) => askAdmin('POST', '', body);
const listed = async (id: string) =>
  ((await askAdmin('GET', '')).body['items'] as Record<string, unknown>[]).find(
    (each) => each['id'] === id,
  );
const read = async (key: string, ingest = ingests[0]) =>
  ingest?.call(key, '/v1/messages/msg_00000000000000000000000000');

before(async () => {
  await store.migrate();
  await store.tenants.create('demo', 'Demo');
  const connectors = new Map([[plainConnector.name, plainConnector]]);
  const metrics = createMetrics();
  const app = createAdminApp({ store, connectors, logger, metrics, adminToken });
  admin = await listen(app, '127.0.0.1', 0);
  ingests = await Promise.all(
    ['one', 'two'].map((instanceId) => startIngestApp({ mysqlUrl, keyring, logger, instanceId })),
  );
});
after(async () => {
  await Promise.all(ingests.map((ingest) => ingest.close()));
  await admin.close();
  await store.close();
});

describe('API keys', () => {
  it('of one name are two at most, so that one can take the place of the other', async () => {
    const old = await make({ name: 'shop' });
    const next = await make({ name: 'shop' });
    assert.deepEqual([old.status, next.status], [201, 201]);
    const third = await make({ name: 'shop' });
    assert.deepEqual([third.status, third.body.errors?.[0]?.pointer], [409, '/name']);
    assert.equal((await make({ name: 'another' })).status, 201);
    for (const { key } of [old, next]) assert.equal((await read(key))?.status, 200);
    assert.equal((await askAdmin('DELETE', `/${old.id}`)).status, 204);
    assert.equal((await make({ name: 'shop' })).status, 201);
    assert.equal((await read(next.key))?.status, 200);
  });

  it('made at once are two at most', async () => {
    const made = await Promise.all([1, 2, 3, 4, 5].map(() => make({ name: 'raced' })));
    assert.deepEqual(
      made.map(({ status }) => status).toSorted((a, b) => a - b),
      [201, 201, 409, 409, 409],
    );
  });

  it('that are revoked are refused by every process within two seconds', async () => {
    const { id, key } = await make({ name: 'revoked' });
    for (const ingest of ingests) assert.equal((await read(key, ingest))?.status, 200);
    await askAdmin('DELETE', `/${id}`);
    for (const ingest of ingests)
      await until(
        'refused',
        async () => (await read(key, ingest))?.status === 401 || undefined,
        inForce,
      );
  });

  it('end when they say, and make room for others', async () => {
    const expiresAt = new Date(Date.now() + 4000).toISOString();
    const { body, key } = await make({ name: 'short', expiresAt });
    assert.equal(body['expiresAt'], expiresAt);
    await make({ name: 'short', expiresAt });
    assert.equal((await make({ name: 'short' })).status, 409);
    assert.equal((await read(key))?.status, 200);
    await until('ended', async () => (await read(key))?.status === 401 || undefined);
    assert.ok(Date.now() >= Date.parse(expiresAt));
    assert.equal((await make({ name: 'short' })).status, 201);
    const past = await make({ name: 'past', expiresAt: '2020-01-01T00:00:00Z' });
    assert.deepEqual([past.status, past.body.errors?.[0]?.pointer], [422, '/expiresAt']);
  });

  it('open what their scopes say, and a refusal names the one that is needed', async () => {
    const { key, body } = await make({ name: 'reader', scopes: ['messages:read'] });
    assert.deepEqual(body['scopes'], ['messages:read']);
    assert.equal((await read(key))?.status, 200);
    // Refused before the body is looked at.
    for (const path of ['/v1/messages', '/v1/messages/batch']) {
      const refused = await ingests[0]?.call(key, path, { body: {} });
      assert.equal(refused?.status, 403);
      assert.match(String(refused?.body['detail']), /"messages:send"/);
    }
    const all = await make({ name: 'all' });
    assert.deepEqual(all.body['scopes'], apiScopes);
    assert.equal((await ingests[0]?.call(all.key, '/v1/messages', { body: {} }))?.status, 422);
    for (const scopes of [[], ['everything'], ['inbox', 'inbox']])
      assert.equal((await make({ name: 'bad', scopes })).status, 422, String(scopes));
  });

  it('from before there were scopes may do everything', async () => {
    const { id, key } = await store.apiKeys.create('demo', { name: 'old' });
    assert.deepEqual((await listed(id))?.['scopes'], apiScopes);
    assert.equal((await read(key))?.status, 200);
  });

  it('tell when they were used last, to the minute', async () => {
    const { id, key } = await make({ name: 'used' });
    assert.equal((await listed(id))?.['lastUsedAt'], undefined);
    const before = Date.now();
    await read(key);
    const usedAt = await until('noted', async () => (await listed(id))?.['lastUsedAt']);
    assert.ok(Math.abs(Date.parse(String(usedAt)) - before) < 5000);
    // Another process notes its own first use; the row is written once a minute over all.
    await read(key, ingests[1]);
    const later = new Date(Date.parse(String(usedAt)) + 59_000);
    await store.apiKeys.recordUses([{ keyId: id, usedAt: later }]);
    assert.equal((await listed(id))?.['lastUsedAt'], usedAt);
    const next = new Date(Date.parse(String(usedAt)) + 61_000);
    await store.apiKeys.recordUses([{ keyId: id, usedAt: next }]);
    assert.equal((await listed(id))?.['lastUsedAt'], next.toISOString());
  });
});
