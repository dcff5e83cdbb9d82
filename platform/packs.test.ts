import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createPacks } from './packs.ts';
import { PublishError, type Outgoing } from './queue.ts';

interface Sent {
  readonly pack: Outgoing;
  readonly deadline: number;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/** Packs whose sends end when the test says so. */
function setUp(limits?: Parameters<typeof createPacks>[1]) {
  const sent: Sent[] = [];
  const packs = createPacks(
    (pack, deadline) =>
      new Promise<void>((resolve, reject) => sent.push({ pack, deadline, resolve, reject })),
    limits,
  );
  return { packs, sent };
}
const message = (key: string, size = 1) => ({ key, body: JSON.stringify('x'.repeat(size)) });
const linger = () => new Promise((resolve) => setTimeout(resolve, 30));

test('one alone goes as it is, several as an array with all their keys', async () => {
  const { packs, sent } = setUp();
  void packs.add(message('a'), 1000);
  await linger();
  assert.deepEqual(sent[0]?.pack, message('a'));
  const both = Promise.all([packs.add(message('b'), 2000), packs.add(message('c'), 1500)]);
  await linger();
  assert.deepEqual(sent[1]?.pack, { key: ['b', 'c'], body: '["x","x"]' });
  assert.equal(sent[1].deadline, 1500, 'nobody waits longer than asked');
  sent[1].resolve();
  await both;
});

test('packs are bounded in count and bytes, and one large message still goes', async () => {
  const { packs, sent } = setUp();
  for (let place = 0; place < 130; place += 1) void packs.add(message(String(place)), 1000);
  for (let place = 0; place < 3; place += 1) void packs.add(message('large', 100_000), 1000);
  void packs.add(message('huge', 500_000), 1000);
  void packs.drain();
  assert.deepEqual(
    sent.map(({ pack }) => (JSON.parse(`[${String(pack.body)}]`) as unknown[]).flat().length),
    [64, 64, 3, 1, 1, 1],
  );
});

test('what becomes of a pack becomes of each message in it', async () => {
  const { packs, sent } = setUp();
  const all = Promise.allSettled([packs.add(message('a'), 1000), packs.add(message('b'), 1000)]);
  void packs.drain();
  const error = new PublishError('away', 'unknown');
  sent[0]?.reject(error);
  for (const result of await all) assert.deepEqual(result, { status: 'rejected', reason: error });
});

test('above the bound it is refused at once as not stored, and there is room again when a pack ends', async () => {
  const { packs, sent } = setUp({ mostInHand: 2 });
  const first = [packs.add(message('a'), 1000), packs.add(message('b'), 1000)];
  await assert.rejects(
    packs.add(message('c'), 1000),
    (error) => error instanceof PublishError && error.stored === 'no',
  );
  void packs.drain();
  sent[0]?.resolve();
  await Promise.all(first);
  void packs.add(message('d'), 1000);
});

test('draining sends what waits and ends when all is stored', async () => {
  const { packs, sent } = setUp();
  const added = packs.add(message('a'), 1000);
  let isDrained = false;
  const drained = packs.drain().then(() => (isDrained = true));
  await linger();
  assert.equal(isDrained, false);
  sent[0]?.resolve();
  await Promise.all([added, drained]);
});
