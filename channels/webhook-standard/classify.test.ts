import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import type { OutcomeClass } from '../../contracts/outcome.ts';
import { answerStatuses, classifyAnswer } from './classify.ts';

const context = { webhookId: 'msg_1_0_a', nowMs: Date.parse('2026-03-01T00:00:00Z') };
const answer = (status: number, headers: Record<string, string> = {}) =>
  classifyAnswer({ kind: 'answer', status, headers, body: '<html>secret</html>' }, context);

const byStatus: readonly [number, OutcomeClass][] = [
  [200, 'accepted'],
  [201, 'accepted'],
  [202, 'accepted'],
  [204, 'accepted'],
  [299, 'accepted'],
  [301, 'transient'],
  [302, 'transient'],
  [304, 'transient'],
  [308, 'transient'],
  [400, 'transient'],
  [401, 'transient'],
  [403, 'transient'],
  [404, 'transient'],
  [405, 'transient'],
  [408, 'transient'],
  [413, 'transient'],
  [422, 'transient'],
  [410, 'recipient-invalid'],
  [429, 'rate-limited'],
  [500, 'ambiguous'],
  [502, 'ambiguous'],
  [503, 'ambiguous'],
  [504, 'ambiguous'],
  [599, 'ambiguous'],
  [600, 'ambiguous'],
];
for (const [status, outcome] of byStatus)
  test(`${status} is ${outcome}, and nothing of the body is kept`, () => {
    const got = answer(status);
    assert.equal(got.class, outcome);
    assert.equal(got.providerCode, `HTTP ${status}`);
    assert.doesNotMatch(JSON.stringify(got), /secret/);
  });

test('every row of the table is tried above', () => {
  const tried = new Set(
    byStatus.flatMap(([status]) => [String(status), `${Math.floor(status / 100)}xx`]),
  );
  for (const row of Object.keys(answerStatuses)) assert.ok(tried.has(row), row);
});

test('a delivery is known by its webhook-id', () => {
  assert.deepEqual(answer(204), {
    class: 'accepted',
    providerId: 'msg_1_0_a',
    providerCode: 'HTTP 204',
  });
});

test('Retry-After is honoured, in seconds and as a date, for a day at most', () => {
  const waitMs = (status: number, value?: string) => {
    const got = answer(status, value === undefined ? {} : { 'retry-after': value });
    assert.ok(got.class === 'rate-limited' && got.scope === 'recipient', got.class);
    return got.retryAfterMs;
  };
  assert.equal(waitMs(429, '120'), 120_000);
  assert.equal(waitMs(503, '7'), 7000);
  assert.equal(waitMs(503, 'Sun, 01 Mar 2026 00:01:00 GMT'), 60_000);
  assert.equal(waitMs(429, '999999999'), 86_400_000);
  assert.equal(waitMs(429), 30_000);
  assert.equal(waitMs(429, 'soon'), 30_000);
});

test('not sent is transient, lost is ambiguous', () => {
  assert.equal(classifyAnswer({ kind: 'not-sent', cause: 'x' }, context).class, 'transient');
  assert.equal(classifyAnswer({ kind: 'lost', cause: 'x' }, context).class, 'ambiguous');
});

test('the document shows every row as classify.ts has it', () => {
  const page = readFileSync(
    new URL('../../docs/channels/webhook-standard.md', import.meta.url),
    'utf8',
  );
  const table = page.split('<!-- answer statuses -->')[1]?.split('<!-- end -->')[0] ?? '';
  const rows = [...table.matchAll(/^\| `([^`]+)`\s+\| (.+?)\s+\| .+ \|$/gm)];
  assert.deepEqual(
    Object.fromEntries(rows.map(([, status = '', outcome = '']) => [status, outcome])),
    answerStatuses,
  );
});
