import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createLedger } from './ledger.ts';

interface Entry {
  readonly at: number;
  readonly phone: string;
  readonly outId: string;
}
const keys = { phone: (entry: Entry) => entry.phone, outId: (entry: Entry) => entry.outId };
const create = (capacity?: number) =>
  createLedger<Entry, 'phone' | 'outId'>({ keys, ...(capacity === undefined ? {} : { capacity }) });

test('finds by one key, by several, by time, newest or oldest first', () => {
  const ledger = create();
  for (let at = 0; at < 10; at += 1) ledger.add({ at, phone: `p${at % 2}`, outId: `o${at % 5}` });
  const times = (query: Parameters<typeof ledger.find>[0]) =>
    ledger.find(query).entries.map(({ at }) => at);
  assert.deepEqual(times({ where: { phone: 'p1' }, limit: 2 }), [9, 7]);
  assert.deepEqual(times({ where: { phone: 'p1' }, order: 'oldest', limit: 2 }), [1, 3]);
  assert.deepEqual(times({ where: { phone: 'p1', outId: 'o3' } }), [3]);
  assert.deepEqual(times({ sinceMs: 8 }), [9, 8]);
  assert.equal(ledger.find({ where: { phone: 'p1' }, sinceMs: 5, limit: 1 }).matched, 3);
  assert.deepEqual(ledger.find({ where: { phone: 'nobody' } }), { matched: 0, entries: [] });
  assert.equal(ledger.count('outId', 'o3'), 2);
  assert.equal(ledger.distinct('outId'), 5);
  assert.equal(ledger.repeated('outId').length, 5);
  ledger.clear();
  assert.equal(ledger.total() + ledger.distinct('phone'), 0);
});

test('forgets the oldest beyond its capacity, in the indexes too', () => {
  const ledger = create(100);
  for (let at = 0; at < 150; at += 1) ledger.add({ at, phone: 'p', outId: `o${at}` });
  assert.ok(ledger.total() <= 100);
  assert.equal(ledger.count('outId', 'o0'), 0);
  assert.equal(ledger.count('outId', 'o149'), 1);
  assert.equal(ledger.count('phone', 'p'), ledger.total());
});

test('a limit of 0 lists nothing and still counts', () => {
  const ledger = create();
  ledger.add({ at: 1, phone: 'p', outId: 'o' });
  assert.deepEqual(ledger.find({ limit: 0 }), { matched: 1, entries: [] });
});
