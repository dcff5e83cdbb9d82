import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import mysql from 'mysql2/promise';
import type { FetchedToken } from '../contracts/channel.ts';
import { createLogger } from '../platform/logger.ts';
import { createProviderTokens, TokenRefused } from '../platform/provider-tokens.ts';
import { createSealer } from '../platform/seal.ts';
import { testMysqlUrl } from '../tests/stack.ts';
import { createStore, type Store } from './index.ts';

const sealer = createSealer([`test:${Buffer.alloc(32, 7).toString('base64')}`]);
const mysqlUrl = await testMysqlUrl();
const logger = createLogger('test', 'silent');
let store: Store;
before(async () => {
  store = createStore({ mysqlUrl, sealer, slots: 4, logger });
  await store.migrate();
});
after(() => store.close());

describe('provider tokens of several processes', () => {
  /** Processes over one store, and a provider that gives out t1, t2, …, slowly. */
  const processes = (count: number, expiresInMs = 7_200_000) => {
    let fetched = 0;
    const fetch = async (): Promise<FetchedToken> => {
      fetched += 1;
      const token = `t${fetched}`;
      await new Promise((resolve) => setTimeout(resolve, 50));
      return { token, expiresInMs };
    };
    const caches = Array.from({ length: count }, () =>
      createProviderTokens({ shelf: store.providerTokens }),
    );
    return { caches, fetch, fetched: () => fetched };
  };

  it('fetch once, however many callers ask at once', async () => {
    const { caches, fetch, fetched } = processes(4);
    const key = { accountId: 'acc_1', name: 'once' };
    const tokens = await Promise.all(
      Array.from({ length: 100 }, (_, index) =>
        (caches[index % 4] ?? assert.fail()).current(key, fetch),
      ),
    );
    assert.deepEqual([...new Set(tokens)], ['t1']);
    assert.equal(fetched(), 1);
  });
  it('make one new token when many calls failed with the old one', async () => {
    const { caches, fetch, fetched } = processes(3);
    const key = { accountId: 'acc_1', name: 'revoked' };
    for (const cache of caches) assert.equal(await cache.current(key, fetch), 't1');
    const renewed = await Promise.all(
      Array.from({ length: 60 }, async (_, index) => {
        const cache = caches[index % 3] ?? assert.fail();
        await cache.expire(key, 't1');
        return cache.current(key, fetch);
      }),
    );
    assert.deepEqual([...new Set(renewed)], ['t2']);
    // A late failure with the first token must not cost the second one.
    await caches[0]?.expire(key, 't1');
    assert.equal(await caches[0]?.current(key, fetch), 't2');
    assert.equal(fetched(), 2);
  });
  it('renew before the end, and go on with the old one when the provider gives none', async () => {
    const { caches, fetch } = processes(1, 1000);
    const key = { accountId: 'acc_1', name: 'renewed' };
    const [cache] = caches;
    assert.equal(await cache?.current(key, fetch), 't1');
    await new Promise((resolve) => setTimeout(resolve, 920));
    const down = () => Promise.reject(new TokenRefused({ class: 'transient' }));
    assert.equal(await cache?.current(key, down), 't1');
    assert.equal(await cache?.current(key, fetch), 't2');
  });
  it('leave a provider alone for a while that refuses the credentials', async () => {
    const { caches } = processes(1);
    let asked = 0;
    const refused = () => {
      asked += 1;
      return Promise.reject(new TokenRefused({ class: 'auth-invalid' }));
    };
    const key = { accountId: 'acc_1', name: 'refused' };
    for (let call = 0; call < 20; call += 1)
      await assert.rejects(() => caches[0]?.current(key, refused) ?? assert.fail(), TokenRefused);
    assert.equal(asked, 1);
  });
  it('are had without the store when it is away', async () => {
    const away = createStore({
      mysqlUrl: 'mysql://root@127.0.0.1:1/none',
      sealer,
      slots: 1,
      logger,
    });
    const { fetch } = processes(0);
    const key = { accountId: 'acc_1', name: 'away' };
    assert.equal(await away.connectorState.tokens.current(key, fetch), 't1');
    await away.close();
  });
  it('lie sealed, and go when they are old', async () => {
    const { caches, fetch } = processes(1, 50);
    const secret = async () => ({ ...(await fetch()), token: 'very-secret-token' });
    await caches[0]?.current({ accountId: 'acc_1', name: 'sealed' }, secret);
    const connection = await mysql.createConnection(mysqlUrl);
    const [rows] = await connection.query('select * from provider_tokens');
    await connection.end();
    assert.ok(!JSON.stringify(rows).includes('very-secret-token'));
    assert.ok((await store.providerTokens.purge(Date.now() + 1000, 100)) >= 1);
  });
});

describe('devices', () => {
  const li = { tenantId: 'ten_1', userId: 'li' };
  const han = { tenantId: 'ten_1', userId: 'han' };

  it('are listed by user and account, the newest first; registered again they move up', async () => {
    for (const deviceToken of ['token-aaaa', 'token-bbbb', 'token-aaaa'])
      await store.devices.register(li, { accountId: 'acc_1', deviceToken });
    await store.devices.register(li, { accountId: 'acc_2', deviceToken: 'token-cccc' });
    const tokens = async (accountId?: string) =>
      (await store.devices.list(li, accountId)).map(({ deviceToken }) => deviceToken);
    assert.deepEqual(await tokens('acc_1'), ['token-aaaa', 'token-bbbb']);
    assert.equal((await tokens()).length, 3);
    assert.deepEqual(await store.devices.list({ ...li, tenantId: 'ten_2' }), []);
  });
  it('change hands: who registered last has it', async () => {
    await store.devices.register(han, { accountId: 'acc_1', deviceToken: 'token-aaaa' });
    assert.equal((await store.devices.list(li, 'acc_1')).length, 1);
    assert.equal((await store.devices.list(han, 'acc_1')).length, 1);
  });
  it('go on the provider’s word, unless they came back after it', async () => {
    const before = new Date();
    await new Promise((resolve) => setTimeout(resolve, 5));
    await store.devices.register(han, { accountId: 'acc_1', deviceToken: 'token-back' });
    await store.devices.invalidate('acc_1', 'token-back', before);
    assert.equal((await store.devices.list(han, 'acc_1')).length, 2);
    await store.devices.invalidate('acc_1', 'token-back', new Date());
    assert.equal((await store.devices.list(han, 'acc_1')).length, 1);
  });
  it('are removed by their owner alone, and twenty are kept', async () => {
    const [device] = await store.devices.list(han, 'acc_1');
    assert.ok(device !== undefined);
    assert.equal(await store.devices.remove(li, device.id), false);
    assert.equal(await store.devices.remove(han, device.id), true);
    for (let serial = 0; serial < 25; serial += 1)
      await store.devices.register(han, { accountId: 'acc_1', deviceToken: `token-${serial}` });
    assert.equal((await store.devices.list(han, 'acc_1')).length, 20);
  });
});

describe('circuits', () => {
  it('are tried later and later: to five minutes, and to half a minute while the provider is away', async () => {
    const nowMs = Date.UTC(2026, 10, 21);
    for (const [code, longestMs] of [
      ['auth-invalid', 300_000],
      ['provider-down', 30_000],
    ] as const) {
      const accountId = `acc_${code}`;
      await store.circuits.open({ accountId, tenantId: 'ten_1', reason: { code }, nowMs });
      const waits: number[] = [];
      for (let tries = 0; tries < 9; tries += 1) {
        const open = (await store.circuits.listOpen()).find((each) => each.accountId === accountId);
        waits.push(Date.parse(open?.nextTryAt ?? '') - nowMs);
        await store.circuits.postpone(accountId, nowMs);
      }
      assert.deepEqual(waits.slice(0, 2), [5000, 10_000]);
      assert.equal(Math.max(...waits), longestMs);
      assert.ok(await store.circuits.close(accountId, nowMs));
    }
  });
});

describe('opt-outs', () => {
  it('the newest word of a person counts, in whatever order the words come', async () => {
    const key = { tenantId: 'ten_1', channel: 'sms', recipientHash: 'h' };
    const say = (isOut: boolean, minute: number) =>
      store.optOuts.record({
        ...key,
        isOut,
        how: 'reply-td',
        occurredAt: new Date(Date.UTC(2026, 10, 21, 8, minute)).toISOString(),
      });
    assert.equal(await store.optOuts.isOut(key), false);
    await say(true, 1);
    assert.equal(await store.optOuts.isOut(key), true);
    await say(false, 3);
    await say(true, 2);
    assert.equal(await store.optOuts.isOut(key), false);
    assert.equal(await store.optOuts.isOut({ ...key, tenantId: 'ten_2' }), false);
  });
});
