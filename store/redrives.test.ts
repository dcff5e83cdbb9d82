import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { PostRedrive } from '../contracts/redrive.ts';
import { createLogger } from '../platform/logger.ts';
import { createSealer } from '../platform/seal.ts';
import { testMysqlUrl } from '../tests/stack.ts';
import { createStore, redriveListKey, type RunningRedrive } from './index.ts';

const store = createStore({
  mysqlUrl: await testMysqlUrl(),
  sealer: createSealer([`test:${Buffer.alloc(32, 7).toString('base64')}`]),
  slots: 1,
  logger: createLogger('test', 'error'),
});
const { redrives } = store;
before(() => store.migrate());
after(() => store.close());

const byFilter: PostRedrive = {
  tenantId: 'shop',
  filter: { status: ['unknown'], template: 'login-code' },
  ratePerSecond: 0.5,
  expiresIn: 60,
  reason: '换了签名',
};
const id = (last: string) => `msg_${last.padStart(26, '0')}`;
const byIds: PostRedrive = { ids: [id('1'), id('2')], ratePerSecond: 10, reason: 'x' };
const running = async (wanted: string): Promise<RunningRedrive> => {
  const found = (await redrives.listRunning()).find(({ redrive }) => redrive.id === wanted);
  assert.ok(found !== undefined);
  return found;
};

test('keeps what was asked, and begins with the ids in hand or with the first page', async () => {
  const filtered = await redrives.create(byFilter);
  const listed = await redrives.create(byIds);
  const { id: filteredId, state, found, createdAt, updatedAt, ...asked } = filtered;
  assert.deepEqual(asked, { ...byFilter, started: 0, alreadyOpen: 0, skipped: {} });
  assert.deepEqual([state, found, createdAt], ['running', 0, updatedAt]);
  assert.deepEqual(await redrives.get(filteredId), filtered);
  assert.equal(await redrives.get('rdr_none'), undefined);
  assert.equal(listed.found, 2);
  assert.deepEqual((await running(filteredId)).place, { page: [], isLastPage: false });
  assert.deepEqual((await running(listed.id)).place, { page: byIds.ids, isLastPage: true });
});

test('of two that run it only one may write; what it wrote is where the next goes on', async () => {
  const { id: redriveId } = await redrives.create(byFilter);
  const [one, other] = [await running(redriveId), await running(redriveId)];
  const progress = { found: 3, started: 1, alreadyOpen: 1, skipped: { sent: 1 } };
  const place = {
    page: [id('3')],
    after: [1_700_000_000_000, id('3')] as [number, string],
    isLastPage: false,
  };
  const saved = await redrives.save(one, { progress, place, isDone: false });
  assert.equal(await redrives.save(other, { progress, place, isDone: true }), undefined);
  assert.deepEqual(await running(redriveId), saved);
  const { found, started, alreadyOpen, skipped } = saved?.redrive ?? {};
  assert.deepEqual({ found, started, alreadyOpen, skipped }, progress);
  assert.ok(saved !== undefined);
  const done = await redrives.save(saved, { progress, place, isDone: true });
  assert.deepEqual(await redrives.get(redriveId), done?.redrive);
  assert.equal(done?.redrive.endedAt, done?.redrive.updatedAt);
  await assert.rejects(running(redriveId));
});

test('a cancel takes it from whoever runs it, and leaves one that is done', async () => {
  const { id: redriveId } = await redrives.create(byIds);
  const before = await running(redriveId);
  const cancelled = await redrives.cancel(redriveId);
  assert.equal(cancelled?.state, 'cancelled');
  const { place } = before;
  const progress = { found: 2, started: 2, alreadyOpen: 0, skipped: {} };
  assert.equal(await redrives.save(before, { progress, place, isDone: true }), undefined);
  assert.deepEqual(await redrives.cancel(redriveId), cancelled);

  const { id: doneId } = await redrives.create(byIds);
  const done = await redrives.save(await running(doneId), { progress, place, isDone: true });
  assert.deepEqual(await redrives.cancel(doneId), done?.redrive);
  assert.equal(await redrives.cancel('rdr_none'), undefined);
});

test('lists the newest first, page by page, of a tenant or in a state', async () => {
  const made: string[] = [];
  for (let count = 0; count < 5; count += 1)
    made.push((await redrives.create({ ...byFilter, tenantId: 'listed' })).id);
  await redrives.cancel(made[0] ?? '');
  const seen: string[] = [];
  let after: string | undefined;
  do {
    const page = await redrives.list({ tenantId: 'listed', limit: 2, after });
    seen.push(...page.map((entry) => entry.id));
    const last = page.at(-1);
    after = last === undefined ? undefined : redriveListKey(last);
  } while (after !== undefined);
  // Several may have been made within a millisecond; the id decides then.
  assert.deepEqual(seen.toSorted(), made.toSorted());
  const times = await Promise.all(seen.map(async (one) => (await redrives.get(one))?.createdAt));
  const newestFirst = times.toSorted((a = '', b = '') => b.localeCompare(a));
  assert.deepEqual(times, newestFirst);
  const state = 'cancelled' as const;
  const found = await redrives.list({ tenantId: 'listed', state, limit: 10 });
  assert.deepEqual(
    found.map((entry) => entry.id),
    [made[0]],
  );
});
