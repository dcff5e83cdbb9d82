import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import mysql from 'mysql2/promise';
import { Problem } from '../contracts/problems.ts';
import { createLogger } from '../platform/logger.ts';
import { createSealer } from '../platform/seal.ts';
import { testMysqlUrl } from '../tests/stack.ts';
import type { InboxChanges } from './inbox.ts';
import { createStore, type Store } from './index.ts';

const sealer = createSealer([`test:${Buffer.alloc(32, 7).toString('base64')}`]);
const mysqlUrl = await testMysqlUrl();
const logger = createLogger('test', 'error');
const tenantId = 'demo';
let stores: Store[];
let store: Store;
let users = 0;
let keys = 0;

const newUser = () => `u-${(users += 1)}`;
const newKey = () => `msg_${String((keys += 1)).padStart(26, '0')}.0.${'0'.repeat(16)}`;
const content = { title: '您的订单已发货', body: '包裹 😀', data: { icon: 'parcel' }, url: '/o/1' };
const ownerOf = (userId: string) => store.inbox.ownerOf(tenantId, userId);

async function put(userId: string, id = newKey(), of = store): Promise<string> {
  await of.inbox.put({ tenantId, userId, id, accountId: 'acc_1', content, keepDays: 90 });
  return id;
}
async function idsOf(owner: string, filter: 'all' | 'unread' | 'archived' = 'all') {
  const { items } = await store.inbox.list(owner, { filter, limit: 100 });
  return items.map(({ id }) => id);
}
function eventsOf(changes: InboxChanges) {
  assert.ok(changes.result === 'events');
  return changes.events;
}
async function query(sql: string, values: unknown[] = []) {
  const connection = await mysql.createConnection(mysqlUrl);
  const [rows] = await connection.query(sql, values);
  await connection.end();
  return rows;
}

before(async () => {
  stores = [1, 2, 3, 4].map(() => createStore({ mysqlUrl, sealer, slots: 4, logger }));
  [store] = stores as [Store];
  await store.migrate();
});
after(() => Promise.all(stores.map((one) => one.close())));

describe('putting items', () => {
  it('200 at once by four processes get 200 numbers without a gap, and every one is counted', async () => {
    const userId = newUser();
    const ids = await Promise.all(
      Array.from({ length: 200 }, (_, index) => put(userId, newKey(), stores[index % 4])),
    );
    const owner = await ownerOf(userId);
    assert.deepEqual(await store.inbox.position(owner), { number: 200, unread: 200 });
    const events = eventsOf(await store.inbox.changes(owner, 0, 500));
    assert.deepEqual(
      events.map(({ number, unread, kind }) => [number, unread, kind]),
      Array.from({ length: 200 }, (_, index) => [index + 1, index + 1, 'item']),
    );
    const put1 = events.map((event) => (event.kind === 'item' ? event.item.id : ''));
    assert.deepEqual(put1.toSorted(), ids.toSorted());
  });
  it('20 repeats of one at once are one item, and cost no number', async () => {
    const userId = newUser();
    const id = newKey();
    const entry = { tenantId, userId, id, accountId: 'acc_1', content, keepDays: 90 };
    const results = await Promise.all(
      Array.from({ length: 20 }, (_, index) => (stores[index % 4] ?? store).inbox.put(entry)),
    );
    assert.equal(results.filter((result) => result === 'stored').length, 1);
    assert.deepEqual(await store.inbox.position(await ownerOf(userId)), { number: 1, unread: 1 });
    await put(userId);
    assert.equal((await store.inbox.position(await ownerOf(userId))).number, 2);
  });
  it('keep content to the letter, and nothing of it or of its person in clear', async () => {
    const userId = 'zhang.wei@example.com';
    const id = await put(userId);
    const { items } = await store.inbox.list(await ownerOf(userId), { filter: 'all', limit: 1 });
    const [item] = items;
    assert.deepEqual(item, {
      ...content,
      id,
      messageId: id.split('.')[0],
      createdAt: item?.createdAt,
    });
    for (const table of ['inbox_owners', 'inbox_items', 'inbox_events']) {
      const rows = JSON.stringify(await query(`select * from ${table}`));
      assert.ok(rows.length > 100);
      for (const secret of ['zhang.wei', '您的订单', 'parcel', '/o/1'])
        assert.ok(!rows.includes(secret), `${table} holds ${secret}`);
    }
  });
  it('the same user id of another tenant is another inbox', async () => {
    const userId = newUser();
    await put(userId);
    const other = await store.inbox.ownerOf('other', userId);
    assert.deepEqual(await idsOf(other), []);
    assert.deepEqual(await store.inbox.position(other), { number: 0, unread: 0 });
  });
  it('a database that is away has surely not stored it', async () => {
    const url = mysqlUrl.replace(/:\d+\//, ':1/');
    const away = createStore({
      mysqlUrl: url,
      sealer,
      slots: 4,
      logger: createLogger('test', 'fatal'),
    });
    const failing = put(newUser(), newKey(), away);
    await assert.rejects(failing, (error: unknown) => {
      assert.ok(error instanceof Problem);
      assert.equal(error.code, 'store-unavailable');
      assert.equal(error.options.stored, 'no');
      return true;
    });
    await away.close();
  });
  it(
    'one that is given up while it waits for the inbox is not stored later',
    { timeout: 30_000 },
    async () => {
      const userId = newUser();
      await put(userId);
      const owner = await ownerOf(userId);
      const holder = await mysql.createConnection(mysqlUrl);
      await holder.query('begin');
      await holder.query('select * from inbox_owners where owner = ? for update', [owner]);
      await assert.rejects(put(userId), (error: unknown) => {
        assert.ok(error instanceof Problem && error.options.stored === 'no', String(error));
        return true;
      });
      await holder.query('commit');
      await holder.end();
      const id = await put(userId);
      assert.equal((await idsOf(owner))[0], id);
      assert.deepEqual(await store.inbox.position(owner), { number: 2, unread: 2 });
    },
  );
});

describe('lists', () => {
  it('are newest first, in pages that do not shift when something new comes', async () => {
    const userId = newUser();
    const ids: string[] = [];
    for (let count = 0; count < 5; count += 1) ids.unshift(await put(userId));
    const owner = await ownerOf(userId);
    const first = await store.inbox.list(owner, { filter: 'all', limit: 2 });
    assert.deepEqual(first.position, { number: 5, unread: 5 });
    await put(userId);
    const seen = first.items.map(({ id }) => id);
    let before = first.nextBefore;
    while (before !== undefined) {
      const page = await store.inbox.list(owner, { filter: 'all', limit: 2, before });
      seen.push(...page.items.map(({ id }) => id));
      before = page.nextBefore;
    }
    assert.deepEqual(seen, ids);
  });
});

describe('marks', () => {
  it('change once, are logged once, and keep the count', async () => {
    const userId = newUser();
    const [a, b] = [await put(userId), await put(userId)];
    const owner = await ownerOf(userId);
    const first = await store.inbox.mark(owner, a, 'read');
    assert.deepEqual(first?.firstRead, { itemId: a, accountId: 'acc_1' });
    assert.equal(first?.unread, 1);
    assert.ok(first?.item.readAt !== undefined);
    const again = await store.inbox.mark(owner, a, 'read');
    assert.deepEqual(again, { item: first.item, unread: 1 });
    assert.equal((await store.inbox.mark(owner, a, 'unread'))?.unread, 2);
    const reread = await store.inbox.mark(owner, a, 'read');
    assert.equal(reread?.firstRead, undefined);
    assert.equal((await store.inbox.mark(owner, b, 'archive'))?.unread, 0);
    assert.deepEqual([await idsOf(owner), await idsOf(owner, 'archived')], [[a], [b]]);
    assert.equal((await store.inbox.mark(owner, b, 'unarchive'))?.unread, 1);
    assert.deepEqual(await idsOf(owner, 'unread'), [b]);
    const events = eventsOf(await store.inbox.changes(owner, 2, 100));
    assert.deepEqual(
      events.map((event) => [event.number, event.kind, event.unread]),
      [
        [3, 'read', 1],
        [4, 'unread', 2],
        [5, 'read', 1],
        [6, 'archived', 0],
        [7, 'unarchived', 1],
      ],
    );
  });
  it('of an unknown item, or of an inbox that never was, come to nothing', async () => {
    const userId = newUser();
    const owner = await ownerOf(userId);
    assert.equal(await store.inbox.mark(owner, newKey(), 'read'), undefined);
    await put(userId);
    assert.equal(await store.inbox.mark(owner, newKey(), 'archive'), undefined);
    assert.equal((await store.inbox.position(owner)).number, 1);
  });
  it('all up to a number: the later ones stay unread, and it is one change', async () => {
    const userId = newUser();
    const [a, b] = [await put(userId), await put(userId)];
    const owner = await ownerOf(userId);
    await store.inbox.mark(owner, a, 'read');
    await store.inbox.mark(owner, a, 'unread');
    const c = await put(userId);
    const done = await store.inbox.markAllRead(owner, 4);
    assert.deepEqual(done, { count: 2, unread: 1, firstRead: [{ itemId: b, accountId: 'acc_1' }] });
    assert.deepEqual(await idsOf(owner, 'unread'), [c]);
    assert.equal((await store.inbox.markAllRead(owner, 4)).count, 0);
    const events = eventsOf(await store.inbox.changes(owner, 5, 10));
    assert.deepEqual(events, [{ kind: 'read-all', number: 6, upTo: 4, unread: 1 }]);
    assert.equal((await store.inbox.markAllRead(owner)).unread, 0);
  });
  it('by many at once leave the count that a recount finds', async () => {
    const userId = newUser();
    const ids = await Promise.all(Array.from({ length: 20 }, () => put(userId)));
    const owner = await ownerOf(userId);
    const marks = ['read', 'unread', 'archive', 'unarchive'] as const;
    await Promise.all(
      Array.from({ length: 120 }, (_, index) => {
        const { inbox } = stores[index % 4] ?? store;
        const id = ids[(index * 7) % ids.length] ?? '';
        if (index % 30 === 7) return inbox.markAllRead(owner, 10);
        if (index % 30 === 8) return inbox.recall({ tenantId, userId, id });
        return inbox.mark(owner, id, marks[(index * 5 + Math.floor(index / 4)) % 4] ?? 'read');
      }),
    );
    const { number, unread } = await store.inbox.position(owner);
    assert.equal(unread, (await idsOf(owner, 'unread')).length);
    const events = eventsOf(await store.inbox.changes(owner, 0, 500));
    assert.equal(events.at(-1)?.number, number);
    assert.equal(events.at(-1)?.unread, unread);
  });
});

describe('recall', () => {
  it('takes the item and its content away, once, for good', async () => {
    const userId = newUser();
    const id = await put(userId);
    const owner = await ownerOf(userId);
    const before = await store.inbox.position(owner);
    assert.equal(await store.inbox.recall({ tenantId, userId, id }), 'recalled');
    assert.equal(await store.inbox.recall({ tenantId, userId, id }), 'recalled');
    assert.equal(await store.inbox.recall({ tenantId, userId, id: newKey() }), 'absent');
    assert.deepEqual(await idsOf(owner), []);
    assert.deepEqual(await store.inbox.position(owner), { number: 2, unread: 0 });
    const entry = { tenantId, userId, id, accountId: 'acc_1', content, keepDays: 90 };
    assert.equal(await store.inbox.put(entry), 'duplicate');
    assert.equal(await store.inbox.mark(owner, id, 'read'), undefined);
    assert.deepEqual(await query('select content from inbox_items where owner = ?', [owner]), [
      { content: '' },
    ]);
    const told = await store.inbox.changes(owner, before.number, 10);
    assert.deepEqual(eventsOf(told), [{ kind: 'recalled', number: 2, itemId: id, unread: 0 }]);
    // Who had not seen it is told of its end only.
    const late = await store.inbox.changes(owner, 0, 1);
    assert.ok(late.result === 'events' && late.through === 1);
    assert.deepEqual(late.events, []);
  });
});

describe('replay', () => {
  it('tells of a number that is not of this inbox, or too old to be replayed', async () => {
    const userId = newUser();
    const owner = await ownerOf(userId);
    assert.deepEqual(await store.inbox.changes(owner, 0, 10), {
      result: 'events',
      events: [],
      through: 0,
      position: { number: 0, unread: 0 },
    });
    for (let count = 0; count < 3; count += 1) await put(userId);
    assert.equal((await store.inbox.changes(owner, 4, 10)).result, 'gap');
    const old = new Date(Date.now() - 8 * 86_400_000);
    await query('update inbox_events set created_at = ? where owner = ? and number <= 2', [
      old,
      owner,
    ]);
    await store.inbox.purge(Date.now(), 100);
    assert.deepEqual(await store.inbox.changes(owner, 1, 10), {
      result: 'gap',
      position: { number: 3, unread: 3 },
    });
    assert.equal(eventsOf(await store.inbox.changes(owner, 2, 10)).length, 1);
  });
});

describe('time', () => {
  it('removes old items, corrects the count, and tells of it', async () => {
    const userId = newUser();
    const [a, b, c] = [await put(userId), await put(userId), await put(userId)];
    const owner = await ownerOf(userId);
    await store.inbox.mark(owner, a, 'read');
    await query('update inbox_items set expires_at = ? where owner = ? and id in (?)', [
      new Date(Date.now() - 1000),
      owner,
      [a, b],
    ]);
    assert.equal(await store.inbox.purge(Date.now(), 1), 1);
    assert.equal(await store.inbox.purge(Date.now(), 100), 1);
    assert.deepEqual(await idsOf(owner), [c]);
    assert.deepEqual(await store.inbox.position(owner), { number: 6, unread: 1 });
    const told = eventsOf(await store.inbox.changes(owner, 4, 10));
    assert.deepEqual(
      told.map(({ kind }) => kind),
      ['expired', 'expired'],
    );
    assert.equal(told.at(-1)?.unread, 1);
    assert.equal(await store.inbox.purge(Date.now(), 100), 0);
  });
});
