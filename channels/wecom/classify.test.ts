import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { OutcomeClass } from '../../contracts/outcome.ts';
import type { ProviderAnswer } from '../../platform/provider-http.ts';
import { answerCodes, classifyAnswer, customerCodes, membersOf, robotCodes } from './classify.ts';

const context = { to: [], random: 0 };
const answer = (status: number, body: unknown): ProviderAnswer => ({
  kind: 'answer',
  status,
  headers: {},
  body: typeof body === 'string' ? body : JSON.stringify(body),
});
const code = (errcode: number, more: object = {}, status = 200) =>
  classifyAnswer(answer(status, { errcode, errmsg: 'm' }), { ...context, ...more }).outcome;

type Row = readonly [number, OutcomeClass, object?];
const documented: readonly Row[] = [
  [-1, 'transient'],
  [6000, 'transient'],
  [40014, 'auth-expired'],
  [41001, 'auth-expired'],
  [42001, 'auth-expired'],
  [40001, 'auth-invalid'],
  [40013, 'auth-invalid'],
  [40056, 'auth-invalid'],
  [40091, 'auth-invalid'],
  [48002, 'auth-invalid'],
  [50003, 'auth-invalid'],
  [60011, 'auth-invalid'],
  [60020, 'auth-invalid'],
  [301002, 'auth-invalid'],
  [45009, 'rate-limited', { scope: 'channel-app', retryAfterMs: 60_000 }],
  [45033, 'rate-limited', { scope: 'channel-app', retryAfterMs: 1000 }],
  [40003, 'recipient-invalid'],
  [46004, 'recipient-invalid'],
  [50002, 'recipient-invalid'],
  [60111, 'recipient-invalid'],
  [81013, 'recipient-invalid'],
  [82001, 'recipient-invalid'],
  [43004, 'recipient-refused'],
  [40007, 'content-rejected'],
  [40008, 'content-rejected'],
  [40035, 'content-rejected'],
  [40058, 'content-rejected'],
  [41011, 'content-rejected'],
  [44004, 'content-rejected'],
  [45002, 'content-rejected'],
  [45004, 'content-rejected'],
  [47001, 'content-rejected'],
  [82002, 'content-rejected'],
  [82003, 'content-rejected'],
  [99999, 'transient'],
];
const ofCustomers: readonly Row[] = [
  [40096, 'recipient-invalid'],
  [41048, 'recipient-invalid'],
  [84061, 'recipient-invalid'],
  [60111, 'content-rejected'],
  [45009, 'rate-limited', { scope: 'channel-app', retryAfterMs: 60_000 }],
];
const ofRobots: readonly Row[] = [
  [93000, 'auth-invalid'],
  [45009, 'rate-limited', { scope: 'recipient', retryAfterMs: 60_000 }],
  [40058, 'content-rejected'],
];

for (const [title, rows, own] of [
  ['', documented, undefined],
  [' of customers', ofCustomers, customerCodes],
  [' of robots', ofRobots, robotCodes],
] as const)
  for (const [errcode, outcome, more = {}] of rows)
    test(`${errcode}${title} is ${outcome}`, () => {
      const got: Record<string, unknown> = { ...code(errcode, { own }) };
      assert.equal(got['class'], outcome);
      assert.equal(got['providerCode'], String(errcode));
      for (const [field, value] of Object.entries(more)) assert.equal(got[field], value, field);
    });

test('every row of the tables is tried above', () => {
  for (const [codes, rows] of [
    [answerCodes, documented],
    [customerCodes, ofCustomers],
    [robotCodes, ofRobots],
  ] as const)
    for (const row of Object.keys(codes).filter((each) => each !== '0'))
      assert.ok(
        rows.some(([each]) => String(each) === row),
        row,
      );
});

test('0 is accepted with the msgid, and ambiguous with an error status', () => {
  const body = { errcode: 0, errmsg: 'ok', msgid: 'M1', invaliduser: 'a|b' };
  const read = classifyAnswer(answer(200, body), context);
  assert.deepEqual(read.outcome, {
    class: 'accepted',
    providerId: 'M1',
    providerCode: '0',
    providerMessage: 'ok',
  });
  assert.equal(read.body?.invaliduser, 'a|b');
  assert.equal(classifyAnswer(answer(502, body), context).outcome.class, 'ambiguous');
});

test('a 5xx is ambiguous unless its code is a refusal', () => {
  assert.equal(code(-1, {}, 500).class, 'ambiguous');
  assert.equal(code(99999, {}, 503).class, 'ambiguous');
  assert.equal(code(45009, {}, 503).class, 'rate-limited');
  assert.equal(code(40014, {}, 500).class, 'auth-expired');
});

test('what is not the API is judged by its status', () => {
  const byStatus = { 200: 'ambiguous', 302: 'auth-invalid', 404: 'auth-invalid', 502: 'ambiguous' };
  for (const [status, outcome] of Object.entries(byStatus))
    for (const body of ['<html></html>', '', '{}', '{"errcode":"0"}', 'null', '[]', '{"errcode":0'])
      assert.equal(
        classifyAnswer(answer(Number(status), body), context).outcome.class,
        outcome,
        `${status} ${body}`,
      );
});

test('not sent is transient, lost is ambiguous', () => {
  const classes = (['not-sent', 'lost'] as const).map(
    (kind) => classifyAnswer({ kind, cause: 'x' }, context).outcome.class,
  );
  assert.deepEqual(classes, ['transient', 'ambiguous']);
});

test('waits are spread by up to a second', () => {
  const outcome = code(45009, { random: 0.5 });
  assert.equal(outcome.class === 'rate-limited' && outcome.retryAfterMs, 60_500);
});

test('no member gets into a text, whatever the case', () => {
  const body = { errcode: 40003, errmsg: 'invalid userid zhang.san, ZhangXsan' };
  const { outcome } = classifyAnswer(answer(200, body), {
    ...context,
    to: [{ wecomUserId: 'Zhang.San' }],
  });
  assert.equal(outcome.providerMessage, 'invalid userid ***, ZhangXsan');
});

test('lists of members are read without regard to case', () => {
  assert.deepEqual([...membersOf('Zhang|li||')], ['zhang', 'li']);
  assert.deepEqual([...membersOf(null)], []);
});

test('an inherited property name is no code', () => {
  assert.equal(Object.hasOwn(answerCodes, 'constructor'), false);
  assert.equal(classifyAnswer(answer(200, '{"errcode":1}'), context).outcome.class, 'transient');
});
