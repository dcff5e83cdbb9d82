import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import mysql from 'mysql2/promise';
import type { Person } from '../contracts/people.ts';
import type { Problem } from '../contracts/problems.ts';
import { createLogger } from '../platform/logger.ts';
import { hashRecipient } from '../platform/recipient-hash.ts';
import { createSealer } from '../platform/seal.ts';
import { testMysqlUrl, until } from '../tests/stack.ts';
import { createDirectory, createStore, everyChannel, type Store } from './index.ts';

const sealer = createSealer([`test:${Buffer.alloc(32, 7).toString('base64')}`]);
const mysqlUrl = await testMysqlUrl();
const logger = createLogger('test', 'silent');
let store: Store;
before(async () => {
  store = createStore({ mysqlUrl, sealer, slots: 4, logger });
  await store.migrate();
});
after(() => store.close());

describe('people', () => {
  const li = { tenantId: 'ten_1', userId: 'u-li-lei-1001' };
  const known: Person = {
    addresses: { phone: '13900001111', email: 'li.lei@example.com' },
    timeZone: 'Asia/Shanghai',
    preferences: { channels: { sms: false }, kinds: { marketing: false } },
  };

  it('are as they were put last, in their own tenant, until they are removed', async () => {
    assert.equal(await store.people.get(li), undefined);
    await store.people.put(li, known);
    assert.deepEqual(await store.people.get(li), known);
    assert.equal(await store.people.get({ ...li, tenantId: 'ten_2' }), undefined);
    await store.people.put(li, { addresses: { email: 'li@example.com' } });
    assert.deepEqual(await store.people.get(li), { addresses: { email: 'li@example.com' } });
    assert.equal(await store.people.remove(li), true);
    assert.equal(await store.people.remove(li), false);
    assert.equal(await store.people.get(li), undefined);
  });
  it('are found by the hash of a message to them, and lie there sealed, for their own row alone', async () => {
    await store.people.put(li, known);
    const connection = await mysql.createConnection(mysqlUrl);
    const [rows] = await connection.query('select * from people');
    const [row] = rows as { user_hash: string }[];
    const dump = JSON.stringify(rows);
    for (const secret of [li.userId, '13900001111', 'li.lei', 'Shanghai', 'marketing'])
      assert.ok(!dump.includes(secret), secret);
    assert.equal(row?.user_hash, hashRecipient(sealer, li.tenantId, { userId: li.userId }));
    const han = { tenantId: 'ten_1', userId: 'han' };
    await connection.query('update people set user_hash = ?', [
      hashRecipient(sealer, han.tenantId, { userId: han.userId }),
    ]);
    await connection.end();
    await assert.rejects(store.people.get(han), /authenticate/);
  });
});

describe('suppressions', () => {
  it('are found by any of a recipient’s hashes, and removed one by one', async () => {
    const put = (recipientHash: string, channel: string, reason: string) =>
      store.suppressions.put('ten_1', { recipientHash, channel, reason });
    await put('a', everyChannel, 'complaint');
    await put('a', 'sms', 'bounce');
    await put('b', 'email', 'bounce');
    await put('c', 'email', 'bounce');
    const again = await put('a', 'sms', 'by-hand');
    const found = await store.suppressions.of('ten_1', ['a', 'b', 'none']);
    assert.deepEqual(
      found.map(({ recipientHash, channel, reason }) => [recipientHash, channel, reason]),
      [
        ['a', '*', 'complaint'],
        ['b', 'email', 'bounce'],
        ['a', 'sms', 'by-hand'],
      ],
    );
    assert.deepEqual(found[2], again);
    assert.deepEqual(await store.suppressions.of('ten_2', ['a', 'b']), []);
    const everywhere = { recipientHash: 'a', channel: everyChannel };
    assert.equal(await store.suppressions.remove('ten_2', everywhere), false);
    assert.equal(await store.suppressions.remove('ten_1', everywhere), true);
    assert.equal(await store.suppressions.remove('ten_1', everywhere), false);
    assert.equal((await store.suppressions.of('ten_1', ['a'])).length, 1);
  });
});

describe('policies of tenants', () => {
  it('begin as the default at version 1, and of two edits of one version the second is refused', async () => {
    const first = await store.tenantPolicies.get('ten_1');
    assert.deepEqual(first, { timeZone: 'Asia/Shanghai', weight: 1, version: 1 });
    const edits = await Promise.allSettled(
      [2, 3].map((weight) =>
        store.tenantPolicies.put('ten_1', 1, { timeZone: 'Europe/Berlin', weight }),
      ),
    );
    const refused = edits.flatMap((edit) =>
      edit.status === 'rejected' ? [(edit.reason as Problem).code] : [],
    );
    assert.deepEqual(refused, ['version-conflict']);
    const { version, weight, timeZone } = await store.tenantPolicies.get('ten_1');
    assert.deepEqual([version, timeZone], [2, 'Europe/Berlin']);
    assert.ok(weight === 2 || weight === 3);
    // What is left out is the default again.
    const third = await store.tenantPolicies.put('ten_1', 2, { timeZone: 'UTC' });
    assert.deepEqual(third, { timeZone: 'UTC', weight: 1, version: 3 });
  });
  it('are in force in every process within 2 s', async () => {
    const directory = createDirectory({ store, logger });
    assert.equal((await directory.policy('ten_9')).version, 1, 'before it follows');
    await directory.start();
    try {
      assert.equal((await directory.policy('ten_1')).timeZone, 'UTC');
      const quietHours = { from: '22:00', to: '08:00', kinds: ['marketing' as const] };
      await store.tenantPolicies.put('ten_9', 1, { timeZone: 'Asia/Shanghai', quietHours });
      const policy = await until(
        'the edit is in force',
        async () => {
          const found = await directory.policy('ten_9');
          return found.version === 2 ? found : undefined;
        },
        { timeoutMs: 2000, everyMs: 20 },
      );
      assert.deepEqual(policy.quietHours, quietHours);
      assert.equal((await directory.policy('ten_none')).version, 1);
    } finally {
      await directory.close();
    }
  });
});
