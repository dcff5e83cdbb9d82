import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import mysql from 'mysql2/promise';
import { Problem } from '../contracts/problems.ts';
import { keepDayKeys } from '../jobs/keep-day-keys.ts';
import { DataExpired, dayKeyIdOf, utcDay } from '../platform/day-key.ts';
import { createLogger } from '../platform/logger.ts';
import { createSealer } from '../platform/seal.ts';
import { createLine } from '../tests/line.ts';
import { testMysqlUrl, until } from '../tests/stack.ts';
import { createDayKeyRing } from './day-key-ring.ts';
import { createDirectory, createStore, type Directory, type Store } from './index.ts';

const [old, next] = ['old', 'next'].map(
  (name) => `${name}:${randomBytes(32).toString('base64')}`,
) as [string, string];
const sealer = createSealer([old]);
const mysqlUrl = await testMysqlUrl();
const logger = createLogger('test', 'silent');
const keyDays = 133;
const dayMs = 86_400_000;
const stores: Store[] = [];
const directories: Directory[] = [];

function open(url = mysqlUrl, keyring: readonly string[] = [old]): Store {
  const store = createStore({
    mysqlUrl: url,
    sealer: createSealer(keyring),
    slots: 1,
    keyDays,
    logger,
  });
  stores.push(store);
  return store;
}
async function follow(store: Store): Promise<Directory> {
  const directory = createDirectory({ store, logger, pollMs: 50 });
  directories.push(directory);
  await directory.start();
  return directory;
}
/** A ring of its own over a store, as another process has one, with a clock that the test sets. */
const ringOf = (store: Store, now: () => number) =>
  createDayKeyRing({ dayKeys: store.dayKeys, sealer, keyDays, now });
async function query<Row>(sql: string, values: unknown[] = []): Promise<Row[]> {
  const connection = await mysql.createConnection(mysqlUrl);
  try {
    const [rows] = await connection.query(sql, values);
    return rows as Row[];
  } finally {
    await connection.end();
  }
}
const keysOf = (tenantId: string) =>
  query<{ id: string; day: string; sealed: string; destroyed_at: Date | null }>(
    'select * from day_keys where tenant_id = ? order by day',
    [tenantId],
  );
const isUnavailable = (error: unknown) =>
  error instanceof Problem && error.code === 'store-unavailable';
/** The last moment of a day far from the real one, so that nothing depends on when the test runs. */
const lateMs = Date.parse('2031-05-06T23:59:59.900Z');

const store = open();
before(() => store.migrate());
after(async () => {
  await Promise.all(directories.map((directory) => directory.close()));
  await Promise.all(stores.map((each) => each.close()));
});

describe('day keys', () => {
  it('many processes that need a key at once end with one for each day', async () => {
    const rings = Array.from({ length: 4 }, () => ringOf(open(), () => lateMs));
    const keys = await Promise.all(
      rings.flatMap((ring) => Array.from({ length: 10 }, () => ring.sealing('crowd'))),
    );
    assert.equal(new Set(keys.map(({ id }) => id)).size, 1);
    const rows = await keysOf('crowd');
    assert.deepEqual(
      rows.map(({ day }) => day),
      ['2031-05-06', '2031-05-07', '2031-05-08'],
    );
    const [first, second] = rings;
    const sealed = (await first?.sealing('crowd'))?.seal('您好', 'msg_1') ?? '';
    assert.equal((await second?.open(sealed, 'msg_1'))?.toString(), '您好');
    assert.equal((await ringOf(open(), () => lateMs).open(sealed, 'msg_1')).toString(), '您好');
    await assert.rejects(async () => second?.open(sealed, 'msg_2'));
    await assert.rejects(async () => second?.open(`${sealed.slice(0, -2)}AA`, 'msg_1'));
  });

  it('tenants share no key, and values from before there were day keys still open', async () => {
    const ring = ringOf(store, () => lateMs);
    const [one, other] = await Promise.all([ring.sealing('one'), ring.sealing('other')]);
    assert.notEqual(one.id, other.id);
    assert.throws(() => other.open(one.seal('x', 'c'), 'c'));
    assert.equal((await ring.open(sealer.seal('before', 'c'), 'c')).toString(), 'before');
    assert.equal(await ring.isReadable(sealer.seal('before', 'c')), true);
  });

  it('at midnight the next key is taken, and what was sealed before opens', async () => {
    let nowMs = lateMs;
    const ring = ringOf(store, () => nowMs);
    const before = await ring.sealing('midnight');
    const sealed = before.seal('late', 'c');
    nowMs += 200;
    const next = await ring.sealing('midnight');
    assert.deepEqual([before.day, next.day], ['2031-05-06', '2031-05-07']);
    assert.equal((await ring.open(sealed, 'c')).toString(), 'late');
    assert.equal(next.destroyAfterMs - before.destroyAfterMs, dayMs);
    assert.equal(before.destroyAfterMs, Date.parse('2031-05-07') + keyDays * dayMs);
  });

  it('while MySQL is away what is known seals for two more days and opens, then nothing is taken', async () => {
    const url = new URL(mysqlUrl);
    const line = await createLine(url.hostname, Number(url.port || 3306));
    url.host = `127.0.0.1:${line.port}`;
    let nowMs = lateMs;
    const ring = ringOf(open(url.toString()), () => nowMs);
    const sealed = (await ring.sealing('away')).seal('kept', 'c');
    await line.cut();
    for (const day of ['2031-05-07', '2031-05-08']) {
      nowMs += dayMs;
      assert.equal((await ring.sealing('away')).day, day);
      assert.equal((await ring.open(sealed, 'c')).toString(), 'kept');
    }
    nowMs += dayMs;
    await assert.rejects(ring.sealing('away'), isUnavailable);
    await assert.rejects(ring.sealing('unknown'), isUnavailable);
  });

  it('are made ahead for every tenant, and known to who has never used them when MySQL goes away', async () => {
    const url = new URL(mysqlUrl);
    const line = await createLine(url.hostname, Number(url.port || 3306));
    url.host = `127.0.0.1:${line.port}`;
    const reader = open(url.toString());
    const directory = await follow(reader);
    await store.tenants.create('quiet', 'Quiet');
    const jobs = keepDayKeys({ dayKeys: store.dayKeys, holdsLease: async () => true, logger });
    const days = [0, 1, 2].map((ahead) => utcDay(Date.now(), ahead));
    await until('they are made', async () =>
      (await keysOf('quiet')).length === days.length ? true : undefined,
    );
    await jobs.stop();
    assert.deepEqual(
      (await keysOf('quiet')).map(({ day }) => day),
      days,
    );
    const [row] = await keysOf('quiet');
    // By a look that began after they were made.
    const since = Date.now();
    await until('it is followed', async () =>
      (directory.lastReadAt() ?? 0) > since ? true : undefined,
    );
    await line.cut();
    assert.equal((await reader.dayKeyRing.sealing('quiet')).id, row?.id);
  });

  it('once destroyed nothing opens in any process, with every master key in hand', async () => {
    const other = open();
    await follow(other);
    const key = await store.dayKeyRing.sealing('doomed');
    const sealed = key.seal('secret', 'msg_1');
    assert.equal((await other.dayKeyRing.open(sealed, 'msg_1')).toString(), 'secret');
    assert.equal(await store.dayKeys.destroy(key.destroyAfterMs - 1, 1000), 0);
    await query('update day_keys set destroy_after = ? where id = ?', ['2020-01-01', key.id]);
    const nowMs = Date.now();
    const jobs = keepDayKeys({ dayKeys: store.dayKeys, holdsLease: async () => true, logger });
    // Who reads the row early sees that its time is over, and would stop the jobs before they have destroyed it.
    await until('it is destroyed', async () =>
      (await keysOf('doomed')).some((row) => row.destroyed_at !== null) ? true : undefined,
    );
    await jobs.stop();
    await until('every process has learned it', async () =>
      (await other.dayKeyRing.isReadable(sealed)) ? undefined : true,
    );
    for (const each of [other, open()])
      await assert.rejects(each.dayKeyRing.open(sealed, 'msg_1'), DataExpired);
    const row = (await keysOf('doomed')).find(({ id }) => id === key.id);
    assert.equal(row?.sealed, '');
    assert.ok(Number(row.destroyed_at) >= nowMs - 1000);
    assert.throws(() => sealer.open(sealed, 'msg_1'));
    // The others of the tenant are there.
    assert.equal((await keysOf('doomed')).filter((each) => each.sealed !== '').length, 2);
    assert.equal(await store.dayKeys.purge(Date.now() + 1000, 10), 1);
    assert.equal(await store.dayKeys.find(key.id), undefined);
  });

  it('open nothing past their time though nobody has destroyed them, and say so when a row is lost', async () => {
    let nowMs = lateMs;
    const ring = ringOf(store, () => nowMs);
    const key = await ring.sealing('late');
    const sealed = key.seal('secret', 'c');
    nowMs = key.destroyAfterMs;
    await assert.rejects(ring.open(sealed, 'c'), DataExpired);
    assert.equal(await ring.isReadable(sealed), false);
    nowMs = lateMs;
    await query('delete from day_keys where id = ?', [key.id]);
    await assert.rejects(ringOf(store, () => nowMs).open(sealed, 'c'), /old backup/);
    nowMs = key.destroyAfterMs;
    await assert.rejects(ringOf(store, () => nowMs).open(sealed, 'c'), DataExpired);
  });

  it('move to a new master key, after which the old one opens nothing and is not needed', async () => {
    const sealed = (await store.dayKeyRing.sealing('rotated')).seal('kept', 'c');
    const both = open(mysqlUrl, [next, old]);
    const { unreadable, isDone } = await both.secrets.rewrap(30_000);
    assert.deepEqual([unreadable, isDone], [0, true]);
    const alone = open(mysqlUrl, [next]);
    assert.equal((await alone.dayKeyRing.open(sealed, 'c')).toString(), 'kept');
    const { counts } = await alone.secrets.count();
    const ofDayKeys = counts.filter(({ what }) => what === 'day keys');
    assert.deepEqual(
      ofDayKeys.map(({ key }) => key),
      ['next'],
    );
  });

  it('seals cost microseconds, as under a master key', async (t) => {
    const key = await ringOf(store, () => lateMs).sealing('speed');
    const text = JSON.stringify({ to: { phone: '13900001111' }, variables: { code: '493817' } });
    const measure = (seal: () => string) => {
      for (let turn = 0; turn < 1000; turn += 1) seal();
      const rounds = 3000;
      const startedAt = performance.now();
      for (let turn = 0; turn < rounds; turn += 1) seal();
      return ((performance.now() - startedAt) * 1000) / rounds;
    };
    const master = measure(() => sealer.seal(text, 'msg_1'));
    const day = measure(() => key.seal(text, 'msg_1'));
    t.diagnostic(
      `a seal under a master key ${master.toFixed(1)} µs, under a day key ${day.toFixed(1)} µs`,
    );
    assert.equal(dayKeyIdOf(key.seal(text, 'msg_1')), key.id);
  });
});
