import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import type { OutcomeClass } from '../../contracts/outcome.ts';
import { classifyPush, codes } from './classify.ts';

const context = { to: [{ deviceToken: '1507bfd3a7c568d4761' }], jitter: 0.5 };
const answer = (status: number, body: unknown, headers: Record<string, string> = {}) =>
  classifyPush(
    {
      kind: 'answer',
      status,
      headers,
      body: typeof body === 'string' ? body : JSON.stringify(body),
    },
    context,
  );
const refused = (status: number, code: number, message = 'm', headers = {}) =>
  answer(status, { error: { code, message } }, headers);

/** Every documented code with its status, and what it must come to. */
const documented: readonly [number, number, OutcomeClass, string?][] = [
  [500, 10, 'transient'],
  [500, 1000, 'ambiguous'],
  [405, 1001, 'auth-invalid'],
  [400, 1002, 'content-rejected'],
  [400, 1003, 'content-rejected'],
  [401, 1004, 'auth-invalid'],
  [400, 1005, 'content-rejected'],
  [400, 1008, 'auth-invalid'],
  [400, 1009, 'content-rejected'],
  [400, 1011, 'recipient-invalid'],
  [400, 1012, 'rate-limited', 'account'],
  [404, 1020, 'auth-invalid'],
  [503, 1030, 'ambiguous'],
  [429, 2002, 'rate-limited', 'account'],
  [403, 2003, 'auth-invalid'],
  [403, 2004, 'auth-invalid'],
  [403, 2005, 'rate-limited', 'recipient'],
  [403, 2006, 'auth-invalid'],
  [403, 2007, 'auth-invalid'],
  [401, 3001, 'auth-invalid'],
];

for (const [status, code, outcome, scope] of documented)
  test(`${status} ${code} is ${outcome}`, () => {
    const got: Record<string, unknown> = { ...refused(status, code) };
    assert.deepEqual(
      [got['class'], got['providerCode'], got['scope']],
      [outcome, String(code), scope],
    );
  });

test('every row of the table is tried above', () => {
  assert.deepEqual(
    documented.map(([, code]) => String(code)).toSorted(),
    Object.keys(codes).toSorted(),
  );
});

test('the document shows every code as classify.ts has it', () => {
  const page = readFileSync(new URL('../../docs/channels/push-jpush.md', import.meta.url), 'utf8');
  const table = page.split('<!-- codes -->')[1]?.split('<!-- end -->')[0] ?? '';
  const rows = table.matchAll(/^\| `([^`]+)`\s+\| (.+?)\s+\| .+ \|$/gm);
  assert.deepEqual(
    Object.fromEntries([...rows].map(([, code = '', text = '']) => [code, text])),
    codes,
  );
});

test('1003 is judged by the parameter that it names', () => {
  const said = (message: string) => refused(400, 1003, message).class;
  assert.equal(said('The registration_id 1507bfd3a7c568d4761 is invalid!'), 'recipient-invalid');
  assert.equal(said('The cid is invalid!'), 'ambiguous');
  assert.equal(said('cid has expired'), 'ambiguous');
  assert.equal(said('time_to_live is invalid'), 'content-rejected');
});

test('accepted with the msg_id to its last digit, as text or number', () => {
  const id = '18103083292408631';
  assert.deepEqual(answer(200, `{"sendno":"0","msg_id":"${id}"}`), {
    class: 'accepted',
    providerId: id,
  });
  assert.deepEqual(answer(200, `{"sendno":"0","msg_id":${id}}`), {
    class: 'accepted',
    providerId: id,
  });
  assert.equal(answer(200, '{"sendno":"0"}').class, 'ambiguous');
});

test('a limit waits until the reset that the header names', () => {
  const waits = (headers: object) => {
    const outcome = refused(429, 2002, 'm', headers);
    return outcome.class === 'rate-limited' && outcome.retryAfterMs;
  };
  assert.equal(waits({ 'x-rate-limit-reset': '17' }), 17_000);
  assert.equal(waits({ 'x-rate-limit-reset': '0' }), 1000);
  assert.equal(waits({ 'x-rate-limit-reset': '999999999' }), 3_600_000);
  assert.equal(waits({ 'x-rate-limit-reset': 'soon' }), 60_000);
  assert.equal(waits({}), 60_000);
});

test('a code that is not in the table is judged by its status', () => {
  const byStatus = { 400: 'transient', 401: 'auth-invalid', 403: 'auth-invalid' };
  for (const [status, outcome] of Object.entries({
    ...byStatus,
    429: 'rate-limited',
    500: 'ambiguous',
  }))
    assert.equal(refused(Number(status), 9999).class, outcome, status);
});

test('what is not the API is judged by its status; no answer by how far the call got', () => {
  for (const body of ['<html></html>', '', 'null', '5'])
    for (const [status, outcome] of [
      [200, 'ambiguous'],
      [502, 'ambiguous'],
      [404, 'auth-invalid'],
    ] as const)
      assert.equal(answer(status, body).class, outcome, `${status} ${body}`);
  assert.equal(classifyPush({ kind: 'not-sent', cause: 'x' }, context).class, 'transient');
  assert.equal(classifyPush({ kind: 'lost', cause: 'x' }, context).class, 'ambiguous');
});
