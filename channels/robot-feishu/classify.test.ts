import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import type { OutcomeClass, SendOutcome } from '../../contracts/outcome.ts';
import type { ProviderAnswer } from '../../platform/provider-http.ts';
import { answerCodes, classifyAnswer } from './classify.ts';

const context = { to: { group: 'ops-eu' }, deliveryKey: 'key', nowMs: 0, random: 0.5 };
const answer = (status: number, body: unknown, headers: Record<string, string> = {}) =>
  classifyAnswer(
    {
      kind: 'answer',
      status,
      headers,
      body: typeof body === 'string' ? body : JSON.stringify(body),
    },
    context,
  );

/** Every code, with a text as it was seen or is documented, and what it must come to. */
const known: readonly [number, string, OutcomeClass, Partial<Record<string, unknown>>?][] = [
  [0, 'success', 'accepted', { providerId: 'key' }],
  [9499, 'Bad Request', 'content-rejected'],
  [9499, 'too many request', 'rate-limited', { scope: 'recipient' }],
  [
    11232,
    'frequency limited psm[lark.oapi.app_platform_runtime]appID[1500]',
    'rate-limited',
    { scope: 'recipient', retryAfterMs: 15_000 },
  ],
  [19001, 'param invalid: incoming webhook access token invalid', 'auth-invalid'],
  [19002, 'params error, msg_type need', 'content-rejected'],
  [19007, 'Bot Not Enabled', 'auth-invalid'],
  [19021, 'sign match fail or timestamp is not within one hour from current time', 'auth-invalid'],
  [19022, 'Ip Not Allowed', 'auth-invalid'],
  [19024, 'Key Words Not Found', 'content-rejected'],
  [987654, 'something new', 'transient'],
];
for (const [code, msg, outcome, more = {}] of known)
  test(`${code} ${msg} is ${outcome}, also where StatusCode says 0`, () => {
    for (const old of [{}, { StatusCode: 0, StatusMessage: '' }]) {
      const got: Record<string, unknown> = { ...answer(200, { ...old, code, msg, data: {} }) };
      assert.equal(got['class'], outcome);
      assert.equal(got['providerCode'], String(code));
      for (const [field, value] of Object.entries(more)) assert.equal(got[field], value, field);
    }
  });

test('every row of the table is tried above', () => {
  const tried = new Set(known.map(([code]) => String(code)));
  for (const row of Object.keys(answerCodes)) assert.ok(tried.has(row), row);
});

test('answers of the first version are read by StatusCode', () => {
  assert.equal(answer(200, { StatusCode: 0, StatusMessage: 'success' }).class, 'accepted');
  const limited = { StatusCode: 9499, StatusMessage: 'too many request' };
  assert.equal(answer(200, limited).class, 'rate-limited');
});

test('too many requests come with 400 and 429 as well', () => {
  const body = { code: 9499, msg: 'too many request', data: {} };
  const waitMs = (outcome: SendOutcome) =>
    outcome.class === 'rate-limited' ? outcome.retryAfterMs : undefined;
  assert.equal(waitMs(answer(400, body)), 15_000);
  assert.equal(waitMs(answer(429, { code: 1, msg: 'm' }, { 'retry-after': '3' })), 3000);
});

test('a server error is ambiguous unless its code is a refusal', () => {
  const of = (status: number, code: number) => answer(status, { code, msg: 'm' }).class;
  assert.deepEqual([of(500, 0), of(503, 500), of(502, 987654)], Array(3).fill('ambiguous'));
  assert.equal(of(500, 19024), 'content-rejected');
});

test('what is not the API is judged by its status', () => {
  const expected: Record<number, OutcomeClass> = {
    200: 'ambiguous',
    302: 'auth-invalid',
    400: 'transient',
    404: 'auth-invalid',
    429: 'rate-limited',
    500: 'ambiguous',
    502: 'ambiguous',
  };
  for (const [status, outcome] of Object.entries(expected))
    for (const body of ['<html></html>', '', '{}', '{"code":"0"}', 'null', '{"code":0'])
      assert.equal(answer(Number(status), body).class, outcome, `${status} ${body}`);
});

test('not sent is transient, lost is ambiguous', () => {
  const classes = (['not-sent', 'lost'] as const).map((kind) => {
    const lost: ProviderAnswer = { kind, cause: 'x' };
    return classifyAnswer(lost, context).class;
  });
  assert.deepEqual(classes, ['transient', 'ambiguous']);
});

test("the group's name does not come through", () => {
  const { providerMessage } = answer(200, { code: 19001, msg: 'no ops-eu' });
  assert.equal(providerMessage, 'no ***');
});

test('the document shows every code as classify.ts has it', () => {
  const page = readFileSync(
    new URL('../../docs/channels/robot-feishu.md', import.meta.url),
    'utf8',
  );
  const table = page.split('<!-- answer codes -->')[1]?.split('<!-- end -->')[0] ?? '';
  const rows = [...table.matchAll(/^\| `([^`]+)`\s+\| (.+?)\s+\| .+ \|$/gm)];
  assert.deepEqual(
    Object.fromEntries(rows.map(([, code = '', outcome = '']) => [code, outcome])),
    answerCodes,
  );
});
