import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createPace, limitsOf, quotaWait } from './batch-pace.ts';

describe('what quotas mean for batches', () => {
  const quotas = {
    version: 2,
    total: { perSecond: 40, perDay: 1000 },
    lanes: { bulk: { perSecond: 10 }, normal: { perDay: 50 } },
  };
  it('are those of all lanes and of their own', () => {
    const bulk = limitsOf({}, quotas);
    assert.deepEqual(bulk, {
      lane: 'bulk',
      perDay: [{ counter: 'total', most: 1000 }],
      perSecond: [
        { counter: 'total', most: 40 },
        { counter: 'bulk', most: 10 },
      ],
    });
    const normal = limitsOf({ priority: 'normal' }, quotas);
    assert.deepEqual(normal.perDay, [
      { counter: 'total', most: 1000 },
      { counter: 'normal', most: 50 },
    ]);
    assert.match(
      quotaWait(normal, Date.parse('2026-11-21T23:59:59Z')),
      /\(day, normal-day\): it goes on at 2026-11-22T00:00:00\.000Z/,
    );
    assert.deepEqual(limitsOf({}, { version: 1 }), { lane: 'bulk', perDay: [], perSecond: [] });
  });

  it('pace all batches of a tenant together, with the share that ingest leaves', () => {
    let nowMs = 10_000;
    let processes = 1;
    const pace = createPace(
      () => processes,
      () => nowMs,
    );
    const bulk = limitsOf({}, quotas);
    const normal = limitsOf({ priority: 'normal' }, quotas);
    assert.equal(pace.room('shop', bulk), 5, 'half of ten');
    let gone = 0;
    for (const endMs = nowMs + 20_000; nowMs < endMs; nowMs += 50) {
      const room = pace.room('shop', bulk);
      if (room > 0) pace.took('shop', bulk, room);
      gone += room;
    }
    assert.ok(gone >= 100 && gone <= 110, `${gone} in 20 s`);
    // The total has room for more than the lane lets go.
    assert.ok(pace.room('shop', normal) >= 5);
    pace.took('shop', normal, 100);
    assert.equal(pace.room('shop', bulk), 0, 'the total is everybody’s');
    assert.equal(pace.room('other', bulk), 5, 'but of one tenant');
    processes = 3;
    assert.equal(pace.room('other', normal), 10, 'a quarter of forty');
    assert.equal(pace.room('other', limitsOf({}, { version: 1 })), 100, 'a block');
  });
});
