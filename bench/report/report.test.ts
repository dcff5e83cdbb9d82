import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { XMLValidator } from 'fast-xml-parser';
import { isReached, type Figure } from '../bench.ts';
import { capacityTables, cores, shards } from './capacity.ts';
import { drawChart, linesOf } from './chart.ts';
import { replaceBetween } from './documents.ts';
import type { Report } from './report.ts';
import { formatNumber, markdownTable, reportTables } from './table.ts';

const figure: Figure = {
  what: 'accepted',
  value: 8123.4,
  unit: '/s',
  limit: { what: 'raw', value: 10_000 },
  goals: [
    { of: 'value', atLeast: 10_000 },
    { of: 'ratio', atLeast: 0.8 },
  ],
};
const report: Report = {
  version: 1,
  machine: {
    cores: 2,
    cpu: 'Some CPU',
    memoryGb: 8,
    kernel: '6.1',
    node: '20.19.0',
    loadAverage: [0.5, 0.4, 0.3],
    hasSharedServers: false,
    at: '2026-11-21T10:00:00.000Z',
  },
  benches: [
    {
      name: 'one',
      result: {
        figures: [
          figure,
          { id: 'transitions', what: 'transitions', value: 6, unit: '' },
          { id: 'index-bytes', what: 'a message', value: 1000, unit: 'bytes' },
        ],
        costs: [
          {
            step: 'accept-batch',
            what: 'accepted in a batch',
            messages: 1000,
            cpuPerMessageUs: { ingest: 60, load: 10 },
          },
        ],
      },
    },
  ],
  peakBytes: { ingest: 310e6 },
};

describe('goals', () => {
  it('all of them must be reached, of the value and of the ratio', () => {
    assert.equal(isReached(figure), false);
    assert.equal(isReached({ ...figure, value: 10_000 }), true);
    assert.equal(isReached({ ...figure, value: 10_000, ratio: 0.79 }), false);
    assert.equal(isReached({ what: 'x', value: 5, unit: 'ms' }), undefined);
    assert.equal(
      isReached({ what: 'x', value: 5, unit: 'ms', goals: [{ of: 'value', atMost: 4 }] }),
      false,
    );
  });

  it('a ratio without a limit is not reached', () => {
    const goals = [{ of: 'ratio', atLeast: 0.1 }] as const;
    assert.equal(isReached({ what: 'x', value: 5, unit: 'ms', goals }), false);
  });
});

describe('tables', () => {
  it('numbers have three digits that matter', () => {
    assert.deepEqual([0, 0.01234, 1.2345, 12.345, 123.45, 12_345.6].map(formatNumber), [
      '0',
      '0.012',
      '1.23',
      '12.3',
      '123',
      '12,346',
    ]);
  });

  it('columns stand under one another', () => {
    assert.equal(
      markdownTable(['a', 'long title'], [['value', 'x']]),
      '| a     | long title |\n| ----- | ---------- |\n| value | x          |',
    );
  });

  it('a report shows value, limit, ratio, goal, and whether it is reached', () => {
    const text = reportTables(report);
    assert.match(
      text,
      /\| accepted +\| 8,123\/s +\| 10,000\/s \(raw\) +\| 0\.81 +\| ≥ 10,000\/s, ≥ 0\.8 of it +\| no +\|/,
    );
    assert.match(text, /2 cores \(Some CPU\), 8 GB, Node 20\.19\.0/);
    assert.match(text, /\| accepted in a batch \| 60 +\| 10 +\|/);
    assert.match(text, /\| ingest +\| 310 MB \| ≤ 300 MB \| no +\|/);
  });
});

describe('documents', () => {
  const document = 'Before.\n\n<!-- bench:table -->\n\nold\n\n<!-- /bench:table -->\n\nAfter.\n';

  it('only what stands between the markers is replaced, again and again', () => {
    const wanted = document.replace('old', 'new');
    assert.equal(replaceBetween(document, 'table', 'new'), wanted);
    assert.equal(replaceBetween(wanted, 'table', 'new'), wanted);
  });

  it('markers that are missing or doubled are an error', () => {
    assert.throws(() => replaceBetween('nothing', 'table', 'new'), /once each/);
    assert.throws(() => replaceBetween(document + document, 'table', 'new'), /once each/);
  });
});

describe('capacity', () => {
  it('cores are planned six tenths busy', () => {
    assert.equal(cores(60, 10_000), 1);
  });

  it('shards are the busy ones times four, as a power of two', () => {
    assert.equal(shards(6, 1000, 10), 256);
    assert.equal(shards(7, 1000, 20), 1024);
  });

  it('has a table of what was measured, and none of what was not', () => {
    const text = capacityTables(report);
    assert.match(text, /### To accept, in batches[^]*\| ingest +\| 60 +\| 0\.1 +\| 1 +\|/);
    assert.doesNotMatch(text, /one POST each|\| load/);
    assert.match(text, /\| 10 ms +\| 256 +\|/);
    assert.match(text, /documents in Elasticsearch, 30 days \| 1,000 bytes \| 2,592 GB/);
    assert.doesNotMatch(text, /lane message/);
  });
});

describe('the plot', () => {
  const points = [1, 2, 3].map((atSecond) => ({
    atSecond,
    perSecond: 100 * atSecond,
    p50Ms: 5,
    p99Ms: 9,
  }));

  it('is well-formed SVG with every line and both axes named', () => {
    const svg = drawChart({
      title: 'accept <batch>',
      series: linesOf('ours', points),
      x: 'seconds',
    });
    assert.equal(XMLValidator.validate(svg), true);
    for (const text of ['accept &lt;batch&gt;', 'ours, /s', 'ours, p99, ms', 'seconds'])
      assert.ok(svg.includes(text), text);
  });

  it('a run without latencies has a line for its rate alone', () => {
    const bare = points.map(({ atSecond, perSecond }) => ({ atSecond, perSecond }));
    assert.deepEqual(
      linesOf('ours', bare).map(({ unit }) => unit),
      ['/s'],
    );
  });
});
