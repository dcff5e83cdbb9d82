import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { createLogger } from '../platform/logger.ts';
import { createSealer } from '../platform/seal.ts';
import { testMysqlUrl } from '../tests/stack.ts';
import { createStore } from './index.ts';

const store = createStore({
  mysqlUrl: await testMysqlUrl(),
  sealer: createSealer([`test:${randomBytes(32).toString('base64')}`]),
  slots: 1,
  logger: createLogger('test', 'error'),
});
before(() => store.migrate());
after(() => store.close());

const members = (count: number) =>
  Array.from({ length: count }, (_, place) => ({ place, id: `msg_${place}` }));

describe('a chunk and the recall of its members', () => {
  it('a recall before the call leaves the member out; after it, it comes too late for this call', async () => {
    const { chunkClaims } = store;
    const chunkId = 'chk_a';
    const recall = (messageId: string) =>
      chunkClaims.recall({ chunkId, messageId, nowMs: Date.now() });
    assert.equal(await recall('msg_1'), 'recalled');
    assert.equal(await recall('msg_1'), 'recalled', 'again the same');
    const begin = () => chunkClaims.begin({ chunkId, members: members(3), nowMs: 1000 });
    assert.deepEqual(await begin(), [1]);
    assert.deepEqual(await chunkClaims.find(chunkId), { begunAtMs: 1000, places: [0, 2] });
    assert.equal(await recall('msg_2'), 'under-way');
    await chunkClaims.callOff(chunkId);
    assert.equal(await chunkClaims.find(chunkId), undefined);
    assert.equal(await recall('msg_0'), 'recalled', 'nothing was taken: there is time again');
    assert.deepEqual(await begin(), [0, 1, 2]);
    assert.deepEqual(await chunkClaims.recalled(chunkId), new Set(['msg_0', 'msg_1', 'msg_2']));
  });

  it('of a call and a recall at one time, one comes first, and both know which', async () => {
    for (let round = 0; round < 20; round += 1) {
      const chunkId = `chk_race_${round}`;
      const [gone, answer] = await Promise.all([
        store.chunkClaims.begin({ chunkId, members: members(1), nowMs: Date.now() }),
        store.chunkClaims.recall({ chunkId, messageId: 'msg_0', nowMs: Date.now() }),
      ]);
      assert.equal(gone.length === 1, answer === 'recalled', `${gone.length} ${answer}`);
    }
  });

  it('what is old is purged', async () => {
    const { chunkClaims } = store;
    await chunkClaims.begin({ chunkId: 'chk_old', members: members(1), nowMs: 1000 });
    await chunkClaims.recall({ chunkId: 'chk_old', messageId: 'msg_0', nowMs: 1000 });
    assert.ok((await chunkClaims.purge(2000, 100)) >= 2);
    assert.equal(await chunkClaims.find('chk_old'), undefined);
    assert.equal((await chunkClaims.recalled('chk_old')).size, 0);
  });
});

describe('limits of many recipients at once', () => {
  it('admit each once, as one by one', async () => {
    const of = { accountId: 'acc', windows: [{ count: 1, windowSeconds: 60 }], nowMs: 1_000_000 };
    const one = (n: number, key: string) => ({ recipientHash: `h${n}`, deliveryKey: key });
    const { recipientCounters } = store;
    const admitted = async (...asked: ReturnType<typeof one>[]) =>
      (await recipientCounters.admitAll(of, asked)).map((each) => each.admitted);
    assert.deepEqual(await admitted(one(1, 'a'), one(2, 'b')), [true, true]);
    assert.deepEqual(
      await admitted(one(1, 'a'), one(2, 'c'), one(3, 'd')),
      [true, false, true],
      'a repeat is counted once, another delivery is one too many',
    );
    const same = await admitted(one(4, 'e'), one(4, 'f'));
    assert.equal(same.filter(Boolean).length, 1, 'two to one recipient at once');
    const again = await recipientCounters.admit({ ...of, ...one(3, 'g') });
    assert.equal(again.admitted, false);
  });
});
