import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import mysql from 'mysql2/promise';
import type { Receipt } from '../contracts/result.ts';
import { createLogger } from '../platform/logger.ts';
import { createSealer } from '../platform/seal.ts';
import { testMysqlUrl, until } from '../tests/stack.ts';
import { createStore, type Store } from './index.ts';

const sealer = createSealer([`test:${Buffer.alloc(32, 7).toString('base64')}`]);
const mysqlUrl = await testMysqlUrl();
const logger = createLogger('test', 'error');
let stores: Store[];
let store: Store;

before(async () => {
  stores = [1, 2, 3, 4].map(() => createStore({ mysqlUrl, sealer, slots: 4, logger }));
  [store] = stores as [Store];
  await store.migrate();
});
after(() => Promise.all(stores.map((one) => one.close())));

describe('recipient counters', () => {
  const nowMs = Date.parse('2026-11-21T08:00:00Z');
  const windows = [
    { count: 1, windowSeconds: 60 },
    { count: 5, windowSeconds: 3600 },
  ];
  const admit = (
    recipientHash: string,
    deliveryKey: string,
    { atMs = nowMs, of = store, limits = windows } = {},
  ) =>
    of.recipientCounters.admit({
      accountId: 'acc_1',
      recipientHash,
      windows: limits,
      deliveryKey,
      nowMs: atMs,
    });

  it('admit exactly the limit of many that ask at once in several processes', async () => {
    const limits = [{ count: 5, windowSeconds: 60 }];
    for (const recipient of ['many-1', 'many-2', 'many-3']) {
      const admissions = await Promise.all(
        Array.from({ length: 20 }, (_, index) =>
          admit(recipient, `d${index}`, { of: stores[index % 4] ?? store, limits }),
        ),
      );
      assert.equal(admissions.filter((admission) => admission.admitted).length, 5);
    }
  });
  it('say when every window has room again', async () => {
    assert.deepEqual(await admit('b', 'd1'), { admitted: true });
    assert.deepEqual(await admit('b', 'd2', { atMs: nowMs + 1500 }), {
      admitted: false,
      retryAfterMs: 58_500,
    });
    for (const minute of [1, 2, 3, 4])
      assert.equal(
        (await admit('b', `m${minute}`, { atMs: nowMs + minute * 60_000 })).admitted,
        true,
      );
    assert.deepEqual(await admit('b', 'd6', { atMs: nowMs + 300_000 }), {
      admitted: false,
      retryAfterMs: 3_300_000,
    });
    assert.equal((await admit('b', 'd6', { atMs: nowMs + 3_600_000 })).admitted, true);
  });
  it('count a delivery that asks again once', async () => {
    for (const atMs of [nowMs, nowMs + 10, nowMs + 20_000])
      assert.deepEqual(await admit('c', 'same', { atMs }), { admitted: true });
    // The window runs from the latest call to the provider, not from the first.
    assert.deepEqual(await admit('c', 'other', { atMs: nowMs + 60_000 }), {
      admitted: false,
      retryAfterMs: 20_000,
    });
  });
  it('admit without a window, and keep recipients and accounts apart', async () => {
    for (const key of ['x', 'y'])
      assert.deepEqual(await admit('d', key, { limits: [] }), { admitted: true });
    assert.deepEqual(await admit('e', 'x'), { admitted: true });
    assert.deepEqual(await admit('f', 'x'), { admitted: true });
  });
  it('purge what is over, in portions', async () => {
    const later = nowMs + 10 * 86_400_000;
    assert.equal(await store.recipientCounters.purge(nowMs, 100), 0);
    assert.equal(await store.recipientCounters.purge(later, 2), 2);
    assert.ok((await store.recipientCounters.purge(later, 1000)) > 0);
    assert.equal(await store.recipientCounters.purge(later, 1000), 0);
    assert.deepEqual(await admit('e', 'z'), { admitted: true });
  });
});

describe('leases', () => {
  it('have one holder of many that try at once', async () => {
    const held = await Promise.all(
      Array.from({ length: 12 }, (_, index) =>
        (stores[index % 4] ?? store).leases.acquire('limits', `holder-${index}`, 60_000),
      ),
    );
    assert.equal(held.filter((lease) => lease !== undefined).length, 1);
  });
  it('pass on when released or run out, with a growing fence', async () => {
    const { leases } = store;
    const first = await leases.acquire('one', 'a', 60_000);
    assert.equal(await leases.acquire('one', 'b', 60_000), undefined);
    assert.equal(await leases.renew('one', 'b', 60_000), false);
    assert.equal(await leases.renew('one', 'a', 60_000), true);
    await leases.release('one', 'b');
    assert.equal(await leases.acquire('one', 'b', 60_000), undefined);
    await leases.release('one', 'a');
    const second = await leases.acquire('one', 'b', 200);
    assert.ok((second?.fence ?? 0) > (first?.fence ?? 0));
    const third = await until('the lease runs out', () => leases.acquire('one', 'c', 60_000), {
      timeoutMs: 5000,
    });
    assert.ok(third.fence > (second?.fence ?? 0));
    assert.equal(await leases.renew('one', 'b', 60_000), false);
  });
});

describe('parked receipts', () => {
  const nowMs = Date.now();
  const receipt = (providerId: string): Receipt => ({
    version: 1,
    connector: 'sms-test',
    accountId: 'acc_1',
    tenantId: 'demo',
    receivedAt: '2026-11-21T08:00:00.000Z',
    providerId,
    status: 'delivered',
    providerMessage: 'delivered to 13900001111',
    occurredAt: '2026-11-21T08:00:00.000Z',
  });

  it('are due once, for one process, and again if it dies', async () => {
    await store.parkedReceipts.park(receipt('p1'), nowMs);
    await store.parkedReceipts.park(receipt('p1'), nowMs);
    await store.parkedReceipts.park(receipt('p2'), nowMs + 30_000);
    const taken = (
      await Promise.all(stores.map((one) => one.parkedReceipts.due(nowMs, 10)))
    ).flat();
    assert.deepEqual(
      taken.map((parked) => parked.receipt),
      [receipt('p1')],
    );
    assert.equal((await store.parkedReceipts.due(nowMs + 59_000, 10)).length, 1);
    const again = await store.parkedReceipts.due(nowMs + 61_000, 10);
    assert.deepEqual(
      again.map(({ receipt: { providerId }, tries }) => [providerId, tries]),
      [['p1', 1]],
    );
  });
  it('can be postponed, settled, and given up when old', async () => {
    const [old] = await store.parkedReceipts.expired(Date.now() + 1000, 1);
    assert.ok(old !== undefined);
    await store.parkedReceipts.postpone(old.id, nowMs + 900_000);
    assert.ok(
      (await store.parkedReceipts.due(nowMs + 600_000, 10)).every(({ id }) => id !== old.id),
    );
    await store.parkedReceipts.settle(old.id);
    assert.equal((await store.parkedReceipts.expired(Date.now() + 1000, 10)).length, 1);
    assert.equal((await store.parkedReceipts.expired(nowMs - 60_000, 10)).length, 0);
  });
  it('are not readable in the table', async () => {
    const connection = await mysql.createConnection(mysqlUrl);
    const [rows] = await connection.query('select * from parked_receipts');
    await connection.end();
    assert.ok(!JSON.stringify(rows).includes('13900001111'));
  });
});
