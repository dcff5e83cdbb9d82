import assert from 'node:assert/strict';
import { test } from 'node:test';
import { pause } from '../platform/lifecycle.ts';
import { createPace } from './redrive.ts';

test('turns are even, however many wait for one, and a stall is not made up for', async () => {
  const turn = createPace(100, new AbortController().signal);
  const times: number[] = [];
  const take = async (count: number) => {
    await Promise.all(
      Array.from({ length: count }, () => turn().then(() => times.push(performance.now()))),
    );
  };
  await take(20);
  await pause(500);
  await take(20);
  const most = Math.max(
    ...times.map((from) => times.filter((at) => at >= from && at < from + 100).length),
  );
  // Ten in 100 ms, and five more for the 50 ms that a late timer may make up for.
  assert.ok(most <= 17, `${most} turns within 100 ms`);
  assert.ok((times.at(-1) ?? 0) - (times[0] ?? 0) >= 190 + 450, 'all of it was too fast');
});

test('whoever waits for a turn is let go when it ends', async () => {
  const stop = new AbortController();
  const turn = createPace(0.1, stop.signal);
  await turn();
  const waiting = assert.rejects(turn(), { name: 'AbortError' });
  stop.abort();
  await waiting;
});
