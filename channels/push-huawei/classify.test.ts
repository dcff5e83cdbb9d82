import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import type { SendOutcome } from '../../contracts/outcome.ts';
import { answerCodes, classifyAnswer, tokenReasons } from './classify.ts';
import { receiptCodes } from './receipts.ts';

const context = { nowMs: Date.parse('2026-01-31T17:30:00Z'), jitter: 0.5 };
const tokens = ['token-0001', 'token-0002', 'token-0003'];
const answer = (status: number, body: unknown, headers: Record<string, string> = {}) =>
  classifyAnswer(
    {
      kind: 'answer',
      status,
      headers,
      body: typeof body === 'string' ? body : JSON.stringify(body),
    },
    tokens,
    context,
  );
const code = (value: string, msg: string | object = 'm', status = 400) =>
  answer(status, {
    code: value,
    msg: typeof msg === 'string' ? msg : JSON.stringify(msg),
    requestId: 'R1',
  });

/** Every documented code that means one thing, written out so that a change of the table shows here. */
const documented: readonly [string, Partial<SendOutcome>, number?][] = [
  ['80000000', { class: 'accepted', providerId: 'R1' }, 200],
  ['80100001', { class: 'content-rejected' }],
  ['80100003', { class: 'content-rejected' }],
  ['80100004', { class: 'content-rejected' }],
  ['80100013', { class: 'content-rejected' }],
  ['80100016', { class: 'content-rejected' }],
  ['80100018', { class: 'content-rejected' }],
  ['80100022', { class: 'content-rejected' }],
  ['80300008', { class: 'content-rejected' }],
  ['80300010', { class: 'content-rejected' }],
  ['80300030', { class: 'content-rejected' }],
  ['80100017', { class: 'rate-limited', scope: 'account', retryAfterMs: 1500 }],
  ['80300029', { class: 'rate-limited', scope: 'account', retryAfterMs: 1500 }],
  ['80200003', { class: 'auth-expired' }, 401],
  ['80200005', { class: 'auth-expired' }, 401],
  ['80200001', { class: 'auth-invalid' }, 401],
  ['80300002', { class: 'auth-invalid' }],
  ['80300011', { class: 'auth-invalid' }],
  ['80300013', { class: 'auth-invalid' }],
  ['80300036', { class: 'auth-invalid' }],
  ['80300037', { class: 'auth-invalid' }],
  ['80600003', { class: 'auth-invalid' }],
  ['81000001', { class: 'ambiguous' }, 500],
];

for (const [value, wanted, status] of documented)
  test(`${value} is ${wanted.class}`, () => {
    const { providerCode, providerMessage: _, ...rest } = code(value, 'm', status).outcome;
    assert.deepEqual(rest, wanted);
    assert.equal(providerCode, wanted.class === 'accepted' ? undefined : value);
  });

test('every code of the table is tried here', () => {
  const tried = [...documented.map(([value]) => value), '80100000', '80300007'];
  assert.deepEqual(new Set(tried), new Set(Object.keys(answerCodes)));
});

/** Every reason for which a token is refused. */
const reasons: readonly [string, SendOutcome['class']][] = [
  ['tokenFormatError', 'recipient-invalid'],
  ['tokenPlatformNotSupport', 'recipient-invalid'],
  ['noRight', 'recipient-invalid'],
  ['countryNotSupport', 'recipient-refused'],
  ['noPushTypeRight', 'auth-invalid'],
  ['noRightToSendThisLiveNotificationEvent', 'auth-invalid'],
  ['disableSendHuaweiMsgBecauseOfPenalty', 'auth-invalid'],
  ['appinfoError', 'auth-invalid'],
  ['atomicUnableSendUnsubscribedMsg', 'content-rejected'],
  ['differentImgVerifyPolicy', 'content-rejected'],
  ['notSupportPlayVoice', 'content-rejected'],
  ['news', 'recipient-invalid'],
];

for (const [reason, wanted] of reasons)
  test(`a token refused for ${reason} is ${wanted}, the others are taken`, () => {
    const msg = { illegalTokens: { [reason]: ['token-0002'] }, success: 2, failure: 1 };
    const { outcome, refused } = code('80100000', msg, 200);
    assert.deepEqual(outcome, { class: 'accepted', providerId: 'R1' });
    assert.deepEqual([...refused.keys()], ['token-0002']);
    const own = refused.get('token-0002');
    assert.equal(own?.class, wanted);
    assert.equal(own?.providerCode, '80100000');
    assert.equal(own?.providerMessage, reason === 'news' ? 'token refused' : reason);
  });

test('every reason of the table is tried above', () => {
  const tried = reasons.map(([reason]) => (reason === 'news' ? '*' : reason));
  assert.deepEqual(new Set(tried), new Set(Object.keys(tokenReasons)));
});

test('the list of the older API is read as well', () => {
  const msg = { success: 2, failure: 1, illegal_tokens: ['token-0003'] };
  const { outcome, refused } = code('80100000', msg, 200);
  assert.equal(outcome.class, 'accepted');
  assert.equal(refused.get('token-0003')?.class, 'recipient-invalid');
});

test('partly taken, but not told for whom: ambiguous, except for those that are named', () => {
  for (const msg of [
    'some',
    { success: 2, failure: 1 },
    { failure: 1, illegalTokens: { noRight: ['****'] } },
  ]) {
    const { outcome, refused } = code('80100000', msg, 200);
    assert.equal(outcome.class, 'ambiguous');
    assert.equal(refused.size, 0);
  }
  const { outcome, refused } = code(
    '80100000',
    { failure: 2, illegalTokens: { noRight: ['token-0001', '****'] } },
    200,
  );
  assert.equal(outcome.class, 'ambiguous');
  assert.equal(refused.get('token-0001')?.class, 'recipient-invalid');
});

test('all tokens invalid: by their reason where one is named', () => {
  assert.equal(code('80300007', 'All the tokens are invalid').outcome.class, 'recipient-invalid');
  const msg = { illegalTokens: { noPushTypeRight: tokens } };
  assert.equal(code('80300007', msg).refused.get('token-0001')?.class, 'auth-invalid');
});

test('503 is flow control whatever it says, 502 may have taken the message', () => {
  for (const body of ['', '<html>', { code: '81000001' }]) {
    const { outcome } = answer(503, body, { 'retry-after': '3' });
    assert.ok(outcome.class === 'rate-limited' && outcome.scope === 'account');
    assert.equal(outcome.retryAfterMs, 3000);
  }
  assert.equal(answer(502, '<html>').outcome.class, 'ambiguous');
  assert.equal(answer(200, '<html>').outcome.class, 'ambiguous');
  assert.equal(answer(401, '').outcome.class, 'auth-invalid');
  assert.equal(code('89999999', 'm', 200).outcome.class, 'transient');
  assert.equal(code('89999999', 'm', 500).outcome.class, 'ambiguous');
});

test('no token comes through, neither one of ours nor what looks like one', () => {
  const strange = 'M'.repeat(64);
  const { outcome } = code('80100003', `bad token-0002 and ${strange}`);
  assert.equal(outcome.providerMessage, 'bad *** and ***');
  const inverted = code('80300007', { illegalTokens: { [strange]: ['noRight'] } });
  assert.ok(!JSON.stringify(inverted.outcome).includes(strange));
});

const page = readFileSync(new URL('../../docs/channels/push-huawei.md', import.meta.url), 'utf8');
for (const [title, table] of [
  ['answer codes', answerCodes],
  ['token reasons', tokenReasons],
  ['receipt codes', receiptCodes],
] as const)
  test(`the document shows the ${title} as the code has them`, () => {
    const text = page.split(`<!-- ${title} -->`)[1]?.split('<!-- end -->')[0] ?? '';
    const rows = text.matchAll(/^\| `([^`]+)`\s+\| (.+?)\s+\| .+ \|$/gm);
    assert.deepEqual(
      Object.fromEntries([...rows].map(([, key = '', outcome = '']) => [key, outcome])),
      table,
    );
  });
