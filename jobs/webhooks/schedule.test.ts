import assert from 'node:assert/strict';
import { test } from 'node:test';
import { giveUpAfterMs, nextTryAtMs, retryDelaysMs } from './schedule.ts';

test('ten tries over three days, each delay up to a tenth longer', () => {
  for (const random of [0, 1]) {
    let nowMs = 0;
    let tries = 1;
    for (;;) {
      const next = nextTryAtMs({ tries, sinceMs: 0, nowMs, random });
      if (next === undefined) break;
      const delayMs = retryDelaysMs[tries - 1] ?? 0;
      assert.equal(next - nowMs, Math.round(delayMs * (1 + random / 10)));
      nowMs = next;
      tries += 1;
    }
    assert.equal(tries, 10);
    assert.ok(nowMs >= giveUpAfterMs && nowMs < giveUpAfterMs * 1.2);
  }
});

test('a receiver that asks for more time gets it; one that asks for less does not', () => {
  const failed = { tries: 2, sinceMs: 0, nowMs: 1000, random: 0 };
  assert.equal(nextTryAtMs({ ...failed, retryAfterMs: 3_600_000 }), 3_601_000);
  assert.equal(nextTryAtMs({ ...failed, retryAfterMs: 1000 }), 301_000);
});

test('what was tried sooner than planned is not given up sooner', () => {
  const next = nextTryAtMs({ tries: 50, sinceMs: 0, nowMs: giveUpAfterMs - 1, random: 0 });
  assert.equal(next, giveUpAfterMs - 1 + 24 * 3_600_000);
});
