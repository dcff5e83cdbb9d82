import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createLatencies, median } from './latencies.ts';
import { cpuUs, cpuUsOf, residentBytes, residentBytesOf } from './proc.ts';
import { pointsOf, rateBetween } from './progress.ts';
import { perRun, sumsOf } from './transitions.ts';
import { perMessage, watch } from './watch.ts';

/** Uses so much CPU of this process, however long that takes on a busy machine. */
function burn(microseconds: number): void {
  const before = process.cpuUsage();
  for (;;) {
    const { user, system } = process.cpuUsage(before);
    if (user + system >= microseconds) return;
  }
}

describe('latencies', () => {
  it('percentiles are within a thousandth', () => {
    const latencies = createLatencies();
    for (let n = 1; n <= 10_000; n++) latencies.add(n / 10, n / 10);
    const { p50Ms, p99Ms, maxMs } = latencies.all;
    assert.ok(Math.abs(p50Ms - 500) < 1, `${p50Ms}`);
    assert.ok(Math.abs(p99Ms - 990) < 1, `${p99Ms}`);
    assert.ok(Math.abs(maxMs - 1000) < 1, `${maxMs}`);
  });

  it('counts messages, not requests, by whole seconds', () => {
    const latencies = createLatencies();
    for (const atMs of [100, 900, 1500, 2100]) latencies.add(atMs, 20, 100);
    assert.deepEqual(
      latencies.points.map(({ atSecond, perSecond }) => [atSecond, perSecond]),
      [
        [1, 200],
        [2, 100],
      ],
    );
  });

  it('the median of an even number is the mean of the two in the middle', () => {
    assert.equal(median([9, 1, 5]), 5);
    assert.equal(median([1, 2, 10, 4]), 3);
    assert.throws(() => median([]), /no values/);
  });
});

describe('/proc', () => {
  const stat =
    '4200 (node (x) y) S 1 4200 4200 0 -1 4194560 1 2 3 4 150 50 20 5 20 0 11 0 5144936 1 2 3';

  it('a name with spaces and parentheses does not shift the fields', () => {
    assert.equal(cpuUsOf(stat, 100), 2_250_000);
    assert.throws(() => cpuUsOf('1 (x) S', 100), /no text/);
  });

  it('resident memory, and none of a process that has just ended', () => {
    assert.equal(residentBytesOf('Name:\tnode\nVmRSS:\t  2048 kB\nThreads:\t1\n'), 2_097_152);
    assert.equal(residentBytesOf('Name:\tnode\nState:\tZ (zombie)\n'), 0);
  });

  it('this very process is seen, and one that is gone is not', () => {
    burn(50_000);
    assert.ok(cpuUs(process.pid) > 0);
    assert.ok(residentBytes(process.pid) > 10_000_000);
    assert.equal(cpuUs(2 ** 30), 0);
    assert.equal(residentBytes(2 ** 30), 0);
  });

  it('CPU between two moments is told by message', () => {
    const watching = watch([{ name: 'this', pids: () => [process.pid] }]);
    burn(200_000);
    const usage = watching.stop();
    // The kernel counts in steps of 10 ms.
    assert.ok((usage.cpuUs['this'] ?? 0) >= 150_000, JSON.stringify(usage));
    assert.ok((usage.peakBytes['this'] ?? 0) > 10_000_000);
    const [perThousand = 0] = Object.values(perMessage(usage, 1000));
    assert.equal(perThousand, (usage.cpuUs['this'] ?? 0) / 1000);
  });
});

describe('progress', () => {
  const seen = [
    { atMs: 0, count: 0 },
    { atMs: 500, count: 100 },
    { atMs: 1500, count: 300 },
    { atMs: 2500, count: 600 },
  ];

  it('the rate is of the looks that passed the two counts', () => {
    assert.equal(rateBetween(seen, 100, 600), 250);
    assert.throws(() => rateBetween(seen, 100, 601), /too few looks/);
  });

  it('points are a second apart', () => {
    assert.deepEqual(pointsOf(seen), [
      { atSecond: 2, perSecond: 200 },
      { atSecond: 3, perSecond: 300 },
    ]);
  });
});

describe("the server's own count of transitions", () => {
  it('sums all label sets of a histogram, and nothing of its neighbours', () => {
    const text = [
      '# TYPE state_transition_count histogram',
      'state_transition_count_bucket{namespace="a",le="+Inf"} 3',
      'state_transition_count_sum{namespace="a"} 18',
      'state_transition_count_count{namespace="a"} 3',
      'state_transition_count_sum{namespace="b"} 7',
      'state_transition_count_count{namespace="b"} 1',
      'other_state_transition_count_sum 99',
    ].join('\n');
    assert.deepEqual(sumsOf(text, 'state_transition_count'), { count: 4, sum: 25 });
  });

  it('is told by run', () => {
    assert.equal(perRun({ runs: 10, transitions: 60 }, { runs: 14, transitions: 85 }), 6.25);
  });
});
