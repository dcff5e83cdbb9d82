import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createLogger } from '../platform/logger.ts';
import { until } from '../tests/stack.ts';
import { keepHouse } from './housekeeping.ts';

test('purges in portions until nothing is left, drops old days, and goes on after a failure', async () => {
  const rows = { counters: 2500, tokens: 10 };
  const dropped: string[] = [];
  let calls = 0;
  const house = keepHouse({
    purges: {
      counters: async (limit) => {
        calls += 1;
        if (calls === 1) throw new Error('the database is away');
        const removed = Math.min(limit, rows.counters);
        rows.counters -= removed;
        return removed;
      },
      tokens: async (limit) => {
        const removed = Math.min(limit, rows.tokens);
        rows.tokens -= removed;
        return removed;
      },
    },
    dropIndicesBefore: async (day) => {
      dropped.push(day);
      return [];
    },
    indexDays: 30,
    holdsLease: async () => true,
    logger: createLogger('test', 'silent'),
    everyMs: 10,
  });
  await until('the house is clean', async () => rows.counters + rows.tokens === 0 || undefined);
  await until('old days are dropped', async () => dropped.length > 0 || undefined);
  await house.stop();
  const ageDays = (Date.now() - Date.parse(dropped[0] ?? '')) / 86_400_000;
  assert.ok(ageDays >= 30 && ageDays < 31, `${ageDays}`);
});

test('leaves the work to whoever holds the lease', async () => {
  let asked = 0;
  const house = keepHouse({
    purges: { rows: () => assert.fail('another process does it') },
    dropIndicesBefore: () => assert.fail('another process does it'),
    indexDays: 30,
    holdsLease: async () => {
      asked += 1;
      return false;
    },
    logger: createLogger('test', 'silent'),
    everyMs: 5,
  });
  await until('it asked for the lease', async () => asked > 2 || undefined);
  await house.stop();
});
