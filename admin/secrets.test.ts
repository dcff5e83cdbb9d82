import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import mysql from 'mysql2/promise';
import type { Receipt } from '../contracts/result.ts';
import { listen, type RunningServer } from '../platform/http.ts';
import { createLogger } from '../platform/logger.ts';
import { createMetrics } from '../platform/metrics.ts';
import { createSealer, hashEntry } from '../platform/seal.ts';
import { createDirectory, createStore, type Directory, type Store } from '../store/index.ts';

import { testMysqlUrl } from '../tests/stack.ts';
import { createAdminApp } from './server.ts';
import { plainConnector } from '../tests/plain-connector.ts';

const mysqlUrl = await testMysqlUrl();
const logger = createLogger('test', 'silent');
const keyOf = (name: string) => `${name}:${randomBytes(32).toString('base64')}`;
// An underscore is a wildcard to SQL's like.
const [old, next, stranger] = [keyOf('old_1'), keyOf('old_2'), keyOf('stranger')] as const;
const hash = hashEntry([old]);
const adminToken = 'test-token-of-24-characters';
const person = { tenantId: 'demo', userId: 'u-1001' };
const stores: Store[] = [];
const directories: Directory[] = [];
const servers: RunningServer[] = [];
const secretsOf = (name: string) => ({ accessKeySecret: `secret of ${name} 密` });
const accountIds: string[] = [];

function open(keyring: readonly string[]): Store {
  const store = createStore({ mysqlUrl, sealer: createSealer(keyring), slots: 1, logger });
  stores.push(store);
  return store;
}
async function follow(store: Store): Promise<Directory> {
  const directory = createDirectory({ store, logger });
  directories.push(directory);
  await directory.start();
  return directory;
}
async function startAdmin(keyring: readonly string[]) {
  const connectors = new Map([[plainConnector.name, plainConnector]]);
  const app = createAdminApp({
    store: open(keyring),
    connectors,
    logger,
    metrics: createMetrics(),
    adminToken,
  });
  const server = await listen(app, '127.0.0.1', 0);
  servers.push(server);
  return async (method: string, path: string): Promise<Answer> => {
    const headers = { authorization: `Bearer ${adminToken}` };
    const response = await fetch(`http://127.0.0.1:${server.port}${path}`, { method, headers });
    assert.equal(response.status, 200);
    return (await response.json()) as Answer;
  };
}
interface Answer {
  readonly sealingKey: string;
  readonly keys: { name: string; isKnown: boolean; count: number }[];
  readonly rewrapped: number;
  readonly unreadable: number;
  readonly isDone: boolean;
}
async function query<Row>(sql: string, values: unknown[] = []): Promise<Row[]> {
  const connection = await mysql.createConnection(mysqlUrl);
  try {
    const [rows] = await connection.query(sql, values);
    return rows as Row[];
  } finally {
    await connection.end();
  }
}
async function assertAllOpens(store: Store): Promise<void> {
  for (const id of accountIds)
    assert.deepEqual((await store.channelAccounts.access(id))?.secrets, secretsOf(id));
  assert.deepEqual((await store.people.get(person))?.addresses, { phone: '13900001111' });
  const [device] = await store.devices.list(person);
  assert.equal(device?.deviceToken, 'device-token-1');
  const owner = store.inbox.ownerOf(person.tenantId, person.userId);
  const page = await store.inbox.list(await owner, { filter: 'all', limit: 10 });
  assert.equal(page.items[0]?.title, 'Notice');
  const token = await store.providerTokens.read({ accountId: accountIds[0] ?? '', name: 't' });
  assert.equal(token?.token, 'provider-token');
  assert.equal((await store.parkedReceipts.expired(Date.now() + 1000, 10)).length, 1);
}

before(async () => {
  const store = open([old]);
  await store.migrate();
  await store.tenants.create('demo', 'Demo');
  for (let number = 0; number < 120; number += 1) {
    const { id } = await store.channelAccounts.create({
      tenantId: 'demo',
      channel: 'sms',
      edit: {
        name: `account-${number}`,
        connector: 'sms-test',
        settings: {},
        secrets: {},
        ratePerSecond: 1,
      },
    });
    accountIds.push(id);
  }
  const sealer = createSealer([old]);
  for (const [place, id] of accountIds.entries()) {
    const text = JSON.stringify(secretsOf(id));
    // Some are from before there were envelopes.
    await query('update channel_accounts set secrets = ? where id = ?', [
      place % 3 === 0
        ? sealer.seal(text, `account:${id}`)
        : sealer.sealEnvelope(text, `account:${id}`),
      id,
    ]);
  }
  const [accountId = ''] = accountIds;
  await store.people.put(person, { addresses: { phone: '13900001111' } });
  await store.devices.register(person, { accountId, deviceToken: 'device-token-1' });
  const item = { ...person, id: `msg_${'0'.repeat(26)}.0.x`, accountId, keepDays: 9 };
  await store.inbox.put({ ...item, content: { title: 'Notice', body: 'body' } });
  const token = { accountId, name: 't' };
  await store.providerTokens.lease(token, 1000);
  const laterMs = Date.now() + 3_600_000;
  await store.providerTokens.write(token, {
    token: 'provider-token',
    renewAtMs: laterMs,
    expiresAtMs: laterMs,
  });
  const receipt: Receipt = {
    version: 1,
    connector: 'sms-test',
    accountId,
    tenantId: 'demo',
    providerId: 'p-1',
    status: 'delivered',
    occurredAt: new Date().toISOString(),
    receivedAt: new Date().toISOString(),
  };
  await store.parkedReceipts.park(receipt, laterMs);
});
after(async () => {
  await Promise.all(servers.map((server) => server.close()));
  await Promise.all(directories.map((directory) => directory.close()));
  await Promise.all(stores.map((store) => store.close()));
});

describe('rotation of master keys', () => {
  it('moves everything to the new key beside all reads, and the old one is taken out', async () => {
    // While processes restart one by one, some hold the new key only to open.
    const early = open([old, next, hash]);
    const call = await startAdmin([next, old, hash]);
    const before = await call('GET', '/v1/secrets');
    assert.equal(before.sealingKey, 'old_2');
    const total = accountIds.length + 5;
    assert.deepEqual(
      before.keys.map(({ name, isKnown, count }) => [name, isKnown, count]),
      [
        ['old_2', true, 0],
        ['old_1', true, total],
      ],
    );

    let reads = 0;
    const over = new AbortController();
    const readers = [early, open([next, old, hash])].map(async (store) => {
      const directory = await follow(store);
      while (!over.signal.aborted)
        for (const id of accountIds.slice(0, 50)) {
          const cold = await store.channelAccounts.access(id);
          assert.deepEqual(cold?.secrets, secretsOf(id));
          assert.deepEqual((await directory.access(id))?.secrets, secretsOf(id));
          reads += 1;
        }
    });
    // A slow machine needs more than one call: it goes on where it was broken off.
    let done = await call('POST', '/v1/secrets/rewrap');
    let { rewrapped } = done;
    while (!done.isDone) {
      done = await call('POST', '/v1/secrets/rewrap');
      rewrapped += done.rewrapped;
    }
    over.abort();
    await Promise.all(readers);
    assert.deepEqual([rewrapped, done.unreadable], [total, 0]);
    assert.ok(reads > 0);
    assert.deepEqual(
      done.keys.map(({ name, count }) => [name, count]),
      [
        ['old_2', total],
        ['old_1', 0],
      ],
    );
    const again = await call('POST', '/v1/secrets/rewrap');
    assert.deepEqual([again.rewrapped, again.isDone], [0, true]);
    await assertAllOpens(early);
    await assertAllOpens(open([next, hash]));
    const versions = await query<{ version: number }>(
      'select distinct version from channel_accounts',
    );
    assert.deepEqual(versions, [{ version: 1 }], 'it is no edit');
  });

  it('looks at every sealed column there is', async () => {
    const call = await startAdmin([next, hash]);
    const counted = (await call('GET', '/v1/secrets')).keys.reduce(
      (sum, key) => sum + key.count,
      0,
    );
    const columns = await query<{ t: string; c: string }>(
      "select table_name as t, column_name as c from information_schema.columns where table_schema = database() and data_type in ('longtext', 'text', 'varchar')",
    );
    let sealed = 0;
    for (const { t, c } of columns) {
      const [row] = await query<{ n: number }>(
        "select count(*) as n from ?? where ?? regexp '^v[12][.][A-Za-z0-9_-]+[.]'",
        [t, c],
      );
      sealed += row?.n ?? 0;
    }
    assert.equal(sealed, counted);
  });

  it('goes on past what it cannot open, and says so', async () => {
    const [id = ''] = accountIds;
    const lost = createSealer([stranger]).sealEnvelope('{}', `account:${id}`);
    await query('update channel_accounts set secrets = ? where id = ?', [lost, id]);
    const call = await startAdmin([next, hash]);
    const { rewrapped, unreadable, isDone, keys } = await call('POST', '/v1/secrets/rewrap');
    assert.deepEqual([rewrapped, unreadable, isDone], [0, 1, true]);
    assert.deepEqual(
      keys.map(({ name, isKnown, count }) => [name, isKnown, count]),
      [
        ['old_2', true, accountIds.length + 4],
        ['stranger', false, 1],
      ],
    );
  });
});
