import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { Problem } from '../contracts/problems.ts';
import { createLogger } from '../platform/logger.ts';
import { pause } from '../platform/lifecycle.ts';
import { createSealer } from '../platform/seal.ts';
import { testMysqlUrl, until } from '../tests/stack.ts';
import { createStore, openStops, untilConfirmed, type Store } from './index.ts';

const sealer = createSealer([`test:${Buffer.alloc(32, 7).toString('base64')}`]);
const mysqlUrl = await testMysqlUrl();
const logger = createLogger('test', 'fatal');
const store = createStore({ mysqlUrl, sealer, slots: 4, logger });
before(() => store.migrate());
after(() => store.close());

const startedAtMs = Date.now();
const scope = (value: string) => ({ kind: 'batch' as const, value });
const stop = (action: 'recall' | 'pause', value: string) =>
  store.stops.create({ action, scope: scope(value), tenantId: 'shop', reason: 'test' });
/** Accepted when the tests began, unless it is said. */
const message = (batch: string, acceptedAt = new Date(startedAtMs)) => ({
  tenantId: 'shop',
  template: 'offer',
  accountId: 'acc_1',
  batch,
  recipientHash: 'h',
  acceptedAt: acceptedAt.toISOString(),
});
const open = (instanceId: string, of: Pick<Store, 'stops' | 'members'> = store) =>
  openStops({ store: of, role: 'worker', instanceId, logger });

/** The store as a process sees it that hangs from `hang` to `wake`: its calls wait, and go on where they were. */
function hanging() {
  let awake = Promise.resolve();
  let wake = () => {};
  const late = <T extends object>(part: T): T =>
    new Proxy(part, {
      get: (target, name) => {
        const method = Reflect.get(target, name) as (...args: unknown[]) => Promise<unknown>;
        return async (...args: unknown[]) => {
          await awake;
          return method(...args);
        };
      },
    });
  return {
    store: { stops: late(store.stops), members: late(store.members) },
    hang: () => {
      awake = new Promise((resolve) => {
        wake = resolve;
      });
    },
    wake: () => wake(),
  };
}

describe('stops in the store', () => {
  it('keep one pause a scope, end it once, and never end a recall', async () => {
    const first = await stop('pause', 'one');
    assert.equal((await stop('pause', 'one')).id, first.id);
    assert.equal((await store.stops.pauseOf('shop', scope('one')))?.id, first.id);
    const ended = await store.stops.resume(first.id);
    assert.ok(ended.endedAt !== undefined && ended.revision > first.revision);
    assert.deepEqual(await store.stops.resume(first.id), ended, 'again the same');
    assert.equal(await store.stops.pauseOf('shop', scope('one')), undefined);
    assert.notEqual((await stop('pause', 'one')).id, first.id);
    const recall = await stop('recall', 'one');
    assert.equal(recall.acceptedBefore, recall.createdAt);
    const code = (error: unknown) => error instanceof Problem && error.code;
    await assert.rejects(store.stops.resume(recall.id), (error) => code(error) === 'recall-final');
    await assert.rejects(store.stops.resume('stp_none'), (error) => code(error) === 'not-found');
  });

  it('are swept once: recalls and ended pauses; the old that were swept are purged', async () => {
    const [paused, recalled] = [await stop('pause', 'two'), await stop('recall', 'two')];
    const unswept = async () => (await store.stops.listUnswept()).map(({ id }) => id);
    assert.ok((await unswept()).includes(recalled.id) && !(await unswept()).includes(paused.id));
    await store.stops.resume(paused.id);
    assert.ok((await unswept()).includes(paused.id));
    await store.stops.markSwept(paused.id);
    assert.ok(!(await unswept()).includes(paused.id));
    assert.equal(await store.stops.purge(Date.now() - 60_000, 10), 0);
    assert.equal(await store.stops.purge(Date.now() + 60_000, 10), 1, 'only what was swept');
  });

  it('are listed in pages, newest first', async () => {
    const made = [await stop('recall', 'page-1'), await stop('recall', 'page-2')];
    const [newest, next] = await store.stops.list({ tenantId: 'shop', limit: 2 });
    assert.deepEqual([newest?.id, next?.id], [made[1]?.id, made[0]?.id]);
    const [older] = await store.stops.list({ tenantId: 'shop', after: made[1]?.id, limit: 1 });
    assert.equal(older?.id, made[0]?.id);
    assert.deepEqual(await store.stops.list({ tenantId: 'nobody', limit: 1 }), []);
  });
});

describe('stops in force', () => {
  it('are confirmed by every member before they are answered', async (t) => {
    const members = await Promise.all([open('a'), open('b')]);
    const waiting = message('three');
    for (const member of members) assert.equal(member.stopOf(waiting).verdict, 'go');
    const startedAt = performance.now();
    const paused = await stop('pause', 'three');
    assert.deepEqual((await untilConfirmed(store.members, paused)).missing, []);
    t.diagnostic(`two members confirmed within ${Math.round(performance.now() - startedAt)} ms`);
    for (const member of members) assert.equal(member.stopOf(waiting).verdict, 'paused');
    const recalled = await stop('recall', 'three');
    await untilConfirmed(store.members, recalled);
    for (const member of members) {
      assert.equal(member.stopOf(waiting).verdict, 'recalled');
      const later = message('three', new Date(Date.now() + 60_000));
      assert.equal(member.stopOf(later).verdict, 'paused', 'accepted after the recall');
      assert.equal(member.stopOf(message('four')).verdict, 'go');
    }
    await untilConfirmed(store.members, await store.stops.resume(paused.id));
    const later = message('three', new Date(Date.now() + 60_000));
    for (const member of members) assert.equal(member.stopOf(later).verdict, 'go');
    await Promise.all(members.map((member) => member.close()));
    assert.deepEqual(await store.members.live(), [], 'who leaves is waited for no more');
  });

  it('wait for a member that hangs no longer than its lease; it is blind when it wakes', async (t) => {
    const process = hanging();
    const [healthy, hung] = await Promise.all([open('healthy'), open('hung', process.store)]);
    process.hang();
    const startedAt = performance.now();
    const recall = await stop('recall', 'five');
    assert.deepEqual((await untilConfirmed(store.members, recall)).missing, []);
    const tookMs = performance.now() - startedAt;
    t.diagnostic(`answered after ${Math.round(tookMs)} ms`);
    assert.ok(tookMs > 1000 && tookMs < 3500, `its lease was waited for: ${tookMs} ms`);
    assert.equal(healthy.stopOf(message('five')).verdict, 'recalled');
    assert.equal(hung.stopOf(message('five')).verdict, 'blind', 'it may send nothing');
    // It goes on with what it had read before: that counts for nothing.
    process.wake();
    const seen = new Set<string>();
    await until('it sees again', () => {
      const { verdict } = hung.stopOf(message('five'));
      seen.add(verdict);
      return verdict === 'recalled' || undefined;
    });
    assert.ok(!seen.has('go'), [...seen].join());
    await Promise.all([healthy.close(), hung.close()]);
  });

  it('do not count what was read before a stop that was answered without the member', async () => {
    // It reads, hangs until its lease is over, and confirms then: between the two a stop was answered.
    const process = hanging();
    let hangs = false;
    const confirm: Store['members']['confirm'] = async (member) => {
      if (hangs) await pause(60);
      return process.store.members.confirm(member);
    };
    const late = { ...process.store, members: { ...store.members, confirm } };
    const member = await open('late', late);
    process.hang();
    await until(
      'its lease has run out',
      async () => (await store.members.live()).length === 0 || undefined,
    );
    hangs = true;
    process.wake();
    await pause(20);
    const recall = await stop('recall', 'six');
    const { missing } = await untilConfirmed(store.members, recall);
    assert.deepEqual(missing, []);
    const seen = new Set<string>();
    await until(
      'it sees again',
      () => {
        const { verdict } = member.stopOf(message('six'));
        seen.add(verdict);
        return verdict === 'recalled' || undefined;
      },
      { everyMs: 5 },
    );
    assert.ok(!seen.has('go'), [...seen].join());
    await member.close();
  });

  it('wait at the start for the first read, and are blind while the database is away', async () => {
    const process = hanging();
    process.hang();
    let isOpen = false;
    const opening = open('patient', process.store).then((stops) => {
      isOpen = true;
      return stops;
    });
    await pause(500);
    assert.equal(isOpen, false);
    process.wake();
    const member = await opening;
    assert.equal(member.isBlind, false);
    process.hang();
    await until('it is blind', () => member.isBlind || undefined, { timeoutMs: 3000 });
    process.wake();
    await until('it sees again', () => !member.isBlind || undefined, { timeoutMs: 3000 });
    await member.close();
  });
});
