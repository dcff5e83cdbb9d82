import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sharesOf } from './chunk-share.ts';

const idle = { hasChunks: true, singlesWaiting: 0, singlesPerSecond: 0 };

test('chunks get what single messages leave; together they never have more than the limit', () => {
  assert.deepEqual(sharesOf(1000, { ...idle, hasChunks: false }), { singles: 1000, chunks: 0 });
  assert.deepEqual(sharesOf(1000, idle), { singles: 200, chunks: 800 });
  assert.deepEqual(sharesOf(1000, { ...idle, singlesPerSecond: 600 }), {
    singles: 600,
    chunks: 400,
  });
  assert.deepEqual(sharesOf(1000, { ...idle, singlesPerSecond: 600, singlesWaiting: 5000 }), {
    singles: 1000,
    chunks: 0,
  });
  assert.deepEqual(sharesOf(0, idle), { singles: 0, chunks: 0 }, 'stopped: both are held');
  for (const limit of [0.5, 7, 333])
    for (const singlesPerSecond of [0, 1, 100, 1000]) {
      const { singles, chunks } = sharesOf(limit, { ...idle, singlesPerSecond });
      assert.equal(singles + chunks, limit);
      assert.ok(singles >= 0 && chunks >= 0);
    }
});

test('a small change is not written, a new limit is', () => {
  const before = { singles: 600, chunks: 400 };
  assert.equal(sharesOf(1000, { ...idle, singlesPerSecond: 620 }, before), before);
  assert.deepEqual(sharesOf(2000, { ...idle, singlesPerSecond: 620 }, before), {
    singles: 620,
    chunks: 1380,
  });
});
