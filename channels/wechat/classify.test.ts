import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import type { OutcomeClass } from '../../contracts/outcome.ts';
import type { ProviderAnswer } from '../../platform/provider-http.ts';
import { TokenRefused } from '../../platform/provider-tokens.ts';
import { answerCodes, classifyAnswer, classifyReceipt } from './classify.ts';
import { templateStatuses } from './events.ts';
import { readToken } from './token.ts';

const context = { nowMs: Date.parse('2026-01-31T17:30:00Z'), jitter: 0.5 };
const answerOf = (status: number, body: unknown): ProviderAnswer => ({
  kind: 'answer',
  status,
  headers: {},
  body: typeof body === 'string' ? body : JSON.stringify(body),
});
const answer = (status: number, body: unknown) => classifyAnswer(answerOf(status, body), context);
const code = (errcode: number, errmsg = 'm', status = 200) => answer(status, { errcode, errmsg });

/** Every code of the table, with what it must come to; written out so that a change of the table shows here. */
const documented: readonly [number, OutcomeClass, Partial<Record<string, unknown>>?][] = [
  [0, 'duplicate'],
  [-1, 'transient'],
  [61450, 'transient'],
  [43108, 'transient'],
  [40001, 'auth-expired'],
  [40014, 'auth-expired'],
  [41001, 'auth-expired'],
  [42001, 'auth-expired'],
  [40002, 'auth-invalid'],
  [40013, 'auth-invalid'],
  [40125, 'auth-invalid'],
  [40164, 'auth-invalid'],
  [40243, 'auth-invalid'],
  [41002, 'auth-invalid'],
  [41004, 'auth-invalid'],
  [43107, 'auth-invalid'],
  [48001, 'auth-invalid'],
  [48004, 'auth-invalid'],
  [48008, 'auth-invalid'],
  [50001, 'auth-invalid'],
  [50002, 'auth-invalid'],
  [76021, 'auth-invalid'],
  [76022, 'auth-invalid'],
  [89501, 'auth-invalid'],
  [89503, 'auth-invalid'],
  [89506, 'auth-invalid'],
  [89507, 'auth-invalid'],
  [45009, 'quota-exhausted', { resumeAt: '2026-02-01T16:00:00.000Z' }],
  [45011, 'rate-limited', { scope: 'account', retryAfterMs: 62_500 }],
  [43117, 'rate-limited', { scope: 'recipient', retryAfterMs: 600_000 }],
  [40241, 'duplicate'],
  [40003, 'recipient-invalid'],
  [46004, 'recipient-invalid'],
  [43004, 'recipient-refused'],
  [43019, 'recipient-refused'],
  [43101, 'recipient-refused'],
  [48002, 'recipient-refused'],
  [50005, 'recipient-refused'],
  [40036, 'template-invalid'],
  [40037, 'template-invalid'],
  [41030, 'template-invalid'],
  [43116, 'template-invalid'],
  [40033, 'content-rejected'],
  [40035, 'content-rejected'],
  [40039, 'content-rejected'],
  [43002, 'content-rejected'],
  [44002, 'content-rejected'],
  [45002, 'content-rejected'],
  [45168, 'content-rejected'],
  [47001, 'content-rejected'],
  [47003, 'content-rejected'],
  [61451, 'content-rejected'],
  [99999, 'transient'],
];

for (const [errcode, outcome, more = {}] of documented)
  test(`${errcode} is ${outcome}`, () => {
    const got: Record<string, unknown> = { ...code(errcode) };
    assert.equal(got['class'], outcome);
    assert.equal(got['providerCode'], String(errcode));
    for (const [field, value] of Object.entries(more)) assert.equal(got[field], value, field);
  });

test('every row of the table is tried above', () => {
  const tried = documented.map(([each]) => String(each));
  assert.deepEqual(
    Object.keys(answerCodes).filter((row) => !tried.includes(row)),
    [],
  );
});

test('success is accepted with an id of all its digits', () => {
  for (const msgid of ['1988810812324364291', '"1988810812324364291"'])
    assert.deepEqual(answer(200, `{"errcode":0,"errmsg":"ok","msgid":${msgid}}`), {
      class: 'accepted',
      providerId: '1988810812324364291',
      providerCode: '0',
      providerMessage: 'taken',
    });
});

test('a refusal is believed at any status, success and "busy" are not', () => {
  assert.equal(answer(502, '{"errcode":0,"msgid":1}').class, 'ambiguous');
  assert.equal(code(-1, 'm', 500).class, 'ambiguous');
  assert.equal(code(99_999, 'm', 503).class, 'ambiguous');
  assert.equal(code(43_101, 'm', 500).class, 'recipient-refused');
});

test('what is not the API is judged by its status', () => {
  const byStatus = { 200: 'ambiguous', 302: 'auth-invalid', 400: 'transient', 403: 'auth-invalid' };
  const server = { 408: 'ambiguous', 429: 'rate-limited', 500: 'ambiguous', 502: 'ambiguous' };
  for (const [status, outcome] of Object.entries({ ...byStatus, ...server }))
    for (const body of ['<html></html>', '', '{}', '{"errcode":"0"}', 'null', '[]', '{"errcode":0'])
      assert.equal(answer(Number(status), body).class, outcome, `${status} ${body}`);
});

test('of the text only a field name and the request id are kept', () => {
  const kept = (errmsg: string) => code(47_003, errmsg).providerMessage;
  assert.equal(
    kept('argument invalid! data.thing1.value invalid rid: 5f1a2b3c-4d5e6f70-8192a3b4'),
    'a value does not fit its field, field thing1, rid 5f1a2b3c-4d5e6f70-8192a3b4',
  );
  for (const text of [
    'invalid openid oABCD0123456789abcdefghijklm',
    'to 13900001111: 493817',
    'data.thing1.value13900001111',
    'access_token=70_abc',
  ])
    assert.equal(kept(text), 'a value does not fit its field');
});

test('an inherited property name is no code', () => {
  assert.equal(classifyReceipt('constructor'), 'transient');
  assert.equal(classifyReceipt('__proto__'), 'transient');
});

test('a code in a receipt is never success and never about a token', () => {
  for (const row of Object.keys(answerCodes))
    assert.ok(
      !['accepted', 'duplicate', 'auth-expired', 'ambiguous'].includes(classifyReceipt(row)),
      row,
    );
  assert.equal(classifyReceipt('43101'), 'recipient-refused');
  assert.equal(classifyReceipt('43117'), 'rate-limited');
});

test('no connection is transient, a lost answer is ambiguous', () => {
  const ended = (kind: 'not-sent' | 'lost') => classifyAnswer({ kind, cause: 'c' }, context).class;
  assert.deepEqual([ended('not-sent'), ended('lost')], ['transient', 'ambiguous']);
});

const tokenOutcome = (given: ProviderAnswer) => {
  try {
    readToken(given, context);
  } catch (error) {
    assert.ok(error instanceof TokenRefused);
    return error.outcome;
  }
  assert.fail('a token was read');
};

test('a token is read with its life', () => {
  assert.deepEqual(readToken(answerOf(200, { access_token: 't', expires_in: 7200 }), context), {
    token: 't',
    expiresInMs: 7_200_000,
  });
});

test('a refused token: 40001 is the secret; nothing was sent, so nothing is ambiguous', () => {
  const outcomes = {
    '40001': 'auth-invalid',
    '40125': 'auth-invalid',
    '40164': 'auth-invalid',
    '45009': 'quota-exhausted',
    '45011': 'rate-limited',
    '-1': 'transient',
    '0': 'transient',
  };
  for (const [errcode, outcome] of Object.entries(outcomes))
    assert.equal(tokenOutcome(answerOf(200, { errcode: Number(errcode) })).class, outcome, errcode);
  for (const given of [
    answerOf(200, '<html>'),
    answerOf(502, '<html>'),
    answerOf(200, { access_token: '', expires_in: 7200 }),
    answerOf(500, { access_token: 't', expires_in: 7200 }),
    { kind: 'lost', cause: 'c' } as const,
    { kind: 'not-sent', cause: 'c' } as const,
  ])
    assert.equal(tokenOutcome(given).class, 'transient', JSON.stringify(given));
});

const page = readFileSync(new URL('../../docs/channels/wechat.md', import.meta.url), 'utf8');
/** Rows of the table between `<!-- title -->` and `<!-- end -->`. */
function rowsOf(title: string): readonly (readonly string[])[] {
  const table = page.split(`<!-- ${title} -->`)[1]?.split('<!-- end -->')[0] ?? '';
  return [...table.matchAll(/^\| `([^`]+)`\s*\| (.+?)\s*\| (.+?)\s*\|$/gm)].map((row) =>
    row.slice(1),
  );
}

test('the document shows every code as classify.ts has it', () => {
  const rows = rowsOf('answer codes').map(([row = '', ...rest]) => [row, rest]);
  assert.deepEqual(Object.fromEntries(rows), answerCodes);
});

test('the document shows every status as events.ts has it', () => {
  const rows = rowsOf('template statuses').map(([row = '', outcome]) => [row, outcome]);
  assert.deepEqual(Object.fromEntries(rows), templateStatuses);
});
