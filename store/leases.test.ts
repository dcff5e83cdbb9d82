import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { createLogger } from '../platform/logger.ts';
import { pause } from '../platform/lifecycle.ts';
import { createSealer } from '../platform/seal.ts';
import { testMysqlUrl, until } from '../tests/stack.ts';
import { createLeaseHolder, createStore } from './index.ts';

const logger = createLogger('test', 'silent');
const sealer = createSealer([`test:${Buffer.alloc(32, 7).toString('base64')}`]);
const store = createStore({ mysqlUrl: await testMysqlUrl(), sealer, slots: 1, logger });
before(() => store.migrate());
after(() => store.close());

const ttlMs = 2000;

test('one holds a lease at a time, the other once it has run out; the store is asked twice in its life', async () => {
  let asked = 0;
  const counted = {
    ...store.leases,
    renew: (...of: Parameters<typeof store.leases.renew>) => {
      asked += 1;
      return store.leases.renew(...of);
    },
  };
  const one = createLeaseHolder(counted, { holder: 'one', ttlMs });
  const other = createLeaseHolder(store.leases, { holder: 'other', ttlMs });
  const startedAt = performance.now();
  while (performance.now() - startedAt < 2 * ttlMs) {
    assert.equal(await one('work'), true);
    assert.equal(await other('work'), false);
    assert.equal(await other('other work'), true, 'each lease is its own');
    await pause(20);
  }
  const lives = (performance.now() - startedAt) / ttlMs;
  assert.ok(asked <= 2 * lives + 1, `${asked} times in ${lives.toFixed(1)} lives`);

  const lastAt = performance.now();
  await until('it has run out', async () => (await other('work')) || undefined, { everyMs: 10 });
  assert.equal(await one('work'), false, 'who has lost it knows');
  assert.ok(performance.now() - lastAt < 2 * ttlMs);
});
