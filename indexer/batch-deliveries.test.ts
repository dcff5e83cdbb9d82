import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Delivery } from '../platform/queue.ts';
import { createBatches, type BatchOptions } from './batch-deliveries.ts';

const never = new AbortController().signal;

function some(count: number, bytes = 1): Delivery[] {
  return Array.from({ length: count }, (_, i) => ({
    topic: 't',
    key: String(i),
    body: Buffer.alloc(bytes),
    attempt: 1,
  }));
}

/** Batches whose work ends when the test says so. */
function setUp(changes: Partial<BatchOptions> = {}) {
  const sizes: number[] = [];
  const ends: (() => void)[] = [];
  const batches = createBatches({
    work: (batch) => {
      sizes.push(batch.length);
      return new Promise((resolve) => ends.push(resolve));
    },
    mostDeliveries: 10,
    mostBytes: 1000,
    lingerMs: 5,
    mostInFlight: 2,
    ...changes,
  });
  const endOne = async () => {
    ends.shift()?.();
    await new Promise((resolve) => setImmediate(resolve));
  };
  return { batches, sizes, endOne };
}

test('a full batch starts at once, the rest when it has waited', async () => {
  const { batches, sizes } = setUp();
  batches.add(some(12));
  assert.deepEqual(sizes, [10]);
  await new Promise((resolve) => setTimeout(resolve, 30));
  assert.deepEqual(sizes, [10, 2]);
});

test('a batch is bounded by bytes, and one large delivery still goes', async () => {
  const { batches, sizes } = setUp();
  batches.add([...some(3, 400), ...some(1, 5000)]);
  assert.deepEqual(sizes, [2, 1]);
});

test('no more batches at once than allowed; there is room again when one ends', async () => {
  const { batches, sizes, endOne } = setUp();
  batches.add(some(35));
  assert.deepEqual(sizes, [10, 10]);
  let hasRoom = false;
  const waiting = batches.whenRoom(never).then(() => (hasRoom = true));
  await endOne();
  assert.deepEqual(sizes, [10, 10, 10]);
  await waiting;
  assert.ok(hasRoom);
});

test('waiting for room ends with the signal', async () => {
  const { batches } = setUp();
  batches.add(some(40));
  const stopped = new AbortController();
  const waiting = batches.whenRoom(stopped.signal);
  stopped.abort();
  await waiting;
});

test('drain works off everything', async () => {
  const { batches, sizes, endOne } = setUp({ lingerMs: 60_000 });
  batches.add(some(25));
  let isDrained = false;
  const draining = batches.drain().then(() => (isDrained = true));
  assert.deepEqual(sizes, [10, 10]);
  await endOne();
  await endOne();
  assert.deepEqual(sizes, [10, 10, 5]);
  assert.equal(isDrained, false);
  await endOne();
  await draining;
});
