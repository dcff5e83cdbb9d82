import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { OutcomeClass, SendOutcome } from '../../contracts/outcome.ts';
import type { ProviderAnswer } from '../../platform/provider-http.ts';
import { answerCodes, classifyAnswer } from './classify.ts';

const context = { nowMs: Date.parse('2026-01-31T17:30:00Z'), jitter: 0.5 };
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
const code = (Code: string, Message = 'm', status = 200) => answer(status, { Code, Message });

/** Every documented code, with what it must come to; written out so that a change of the table shows here. */
const documented: readonly [string, OutcomeClass, Partial<Record<string, unknown>>?][] = [
  ['isv.BUSINESS_LIMIT_CONTROL', 'rate-limited', { scope: 'recipient' }],
  ['Throttling', 'rate-limited', { scope: 'account' }],
  ['Throttling.User', 'rate-limited', { scope: 'account' }],
  ['Throttling.Api', 'rate-limited', { scope: 'account' }],
  ['isv.DAY_LIMIT_CONTROL', 'quota-exhausted', { resumeAt: '2026-02-01T16:00:00.000Z' }],
  ['isv.MONTH_LIMIT_CONTROL', 'quota-exhausted', { resumeAt: '2026-02-28T16:00:00.000Z' }],
  ['isv.AMOUNT_NOT_ENOUGH', 'quota-exhausted', { resumeAt: undefined }],
  ['isv.OUT_OF_SERVICE', 'quota-exhausted'],
  ['isv.ACCOUNT_ABNORMAL', 'quota-exhausted'],
  ['isv.PRODUCT_UN_SUBSCRIPT', 'auth-invalid'],
  ['isv.PRODUCT_UNSUBSCRIBE', 'auth-invalid'],
  ['isv.ACCOUNT_NOT_EXISTS', 'auth-invalid'],
  ['isp.RAM_PERMISSION_DENY', 'auth-invalid'],
  ['isv.DENY_IP_RANGE', 'auth-invalid'],
  ['InvalidAccessKeyId.NotFound', 'auth-invalid'],
  ['InvalidAccessKeyId.Inactive', 'auth-invalid'],
  ['SignatureDoesNotMatch', 'auth-invalid'],
  ['IncompleteSignature', 'auth-invalid'],
  ['InvalidSecurityToken.Expired', 'auth-invalid'],
  ['InvalidTimeStamp.Expired', 'auth-invalid'],
  ['Forbidden.RAM', 'auth-invalid'],
  ['NoPermission', 'auth-invalid'],
  ['SignatureNonceUsed', 'ambiguous'],
  ['isv.MOBILE_NUMBER_ILLEGAL', 'recipient-invalid'],
  ['isv.SMS_TEMPLATE_ILLEGAL', 'template-invalid'],
  ['isv.SMS_SIGNATURE_ILLEGAL', 'template-invalid'],
  ['isv.SMS_SIGN_ILLEGAL', 'template-invalid'],
  ['isv.SIGN_STATE_ILLEGAL', 'template-invalid'],
  ['isv.SMS_SIGNATURE_SCENE_ILLEGAL', 'template-invalid'],
  ['isv.EXTEND_CODE_ERROR', 'template-invalid'],
  ['isv.TEMPLATE_MISSING_PARAMETERS', 'template-invalid'],
  ['isv.DOMESTIC_NUMBER_NOT_SUPPORTED', 'template-invalid'],
  ['isv.SMS_CONTENT_ILLEGAL', 'content-rejected'],
  ['isv.BLACK_KEY_CONTROL_LIMIT', 'content-rejected'],
  ['isv.PARAM_NOT_SUPPORT_URL', 'content-rejected'],
  ['isv.PARAM_LENGTH_LIMIT', 'content-rejected'],
  ['isv.INVALID_PARAMETERS', 'content-rejected'],
  ['isv.INVALID_JSON_PARAM', 'content-rejected'],
  ['isv.MOBILE_COUNT_OVER_LIMIT', 'content-rejected'],
  ['isv.SOMETHING_NEW', 'content-rejected'],
  ['isp.SYSTEM_ERROR', 'transient'],
  ['isp.SOMETHING_NEW', 'transient'],
  ['MissingPhoneNumbers', 'content-rejected'],
  ['InvalidVersion', 'content-rejected'],
  ['SomethingNew', 'transient'],
];

for (const [providerCode, outcome, more = {}] of documented)
  test(`${providerCode} is ${outcome}`, () => {
    const got: Record<string, unknown> = { ...code(providerCode) };
    assert.equal(got['class'], outcome);
    assert.equal(got['providerCode'], providerCode);
    for (const [field, value] of Object.entries(more)) assert.equal(got[field], value, field);
  });

test('every row of the table is tried above', () => {
  const tried = documented.map(([each]) => each);
  for (const row of Object.keys(answerCodes).filter((each) => each !== 'OK'))
    assert.ok(
      row.endsWith('*')
        ? tried.some((each) => each.startsWith(row.slice(0, -1)))
        : tried.includes(row),
      row,
    );
});

test('OK is accepted with the BizId', () => {
  assert.deepEqual(answer(200, { Code: 'OK', Message: 'OK', BizId: '9^0', RequestId: 'R' }), {
    class: 'accepted',
    providerId: '9^0',
    providerCode: 'OK',
    providerMessage: 'OK',
  });
});

test('OK without any id, or with an error status, is ambiguous', () => {
  assert.equal(answer(200, { Code: 'OK' }).class, 'ambiguous');
  assert.equal(answer(502, { Code: 'OK', BizId: '1' }).class, 'ambiguous');
});

const retryAfterMs = (outcome: SendOutcome) =>
  outcome.class === 'rate-limited' ? outcome.retryAfterMs : undefined;

test('the window of a full recipient comes from the text', () => {
  const waits = [
    '触发分钟级流控Permits:1',
    '触发小时级流控Permits:5',
    '触发天级流控Permits:10',
    '?',
  ];
  assert.deepEqual(
    waits.map((text) => retryAfterMs(code('isv.BUSINESS_LIMIT_CONTROL', text))),
    [60_000, 3_600_000, 86_400_000, 3_600_000],
  );
});

test('throttling waits as long as it is told, else a second and some jitter', () => {
  const throttled = (headers: Record<string, string>) =>
    retryAfterMs(answer(400, { Code: 'Throttling.User' }, headers));
  assert.equal(throttled({ 'x-acs-retry-after': '250' }), 250);
  assert.equal(throttled({ 'x-acs-retry-after': '999999999' }), 3_600_000);
  assert.equal(throttled({ 'x-acs-retry-after': 'soon' }), 1500);
  assert.equal(throttled({}), 1500);
  assert.equal(retryAfterMs(answer(429, '<html>')), 1500);
});

test('5xx is ambiguous unless the code says that nothing was done', () => {
  assert.equal(code('ServiceUnavailable', 'm', 503).class, 'ambiguous');
  assert.equal(code('isp.SYSTEM_ERROR', 'm', 500).class, 'ambiguous');
  assert.equal(code('InternalError', 'm', 500).class, 'ambiguous');
  assert.equal(code('Throttling.User', 'm', 503).class, 'rate-limited');
  assert.equal(code('isv.SMS_TEMPLATE_ILLEGAL', 'm', 500).class, 'template-invalid');
});

test('what is not the API is judged by its status', () => {
  const byStatus = { 200: 'ambiguous', 204: 'ambiguous', 302: 'auth-invalid', 400: 'transient' };
  const more = { 403: 'auth-invalid', 404: 'auth-invalid', 408: 'ambiguous', 413: 'transient' };
  const server = { 500: 'ambiguous', 502: 'ambiguous', 504: 'ambiguous' };
  for (const [status, outcome] of Object.entries({ ...byStatus, ...more, ...server }))
    for (const body of ['<html></html>', '', '{}', '{"Code":5}', 'null', '[]', '{"Code":"O'])
      assert.equal(answer(Number(status), body).class, outcome, `${status} ${body}`);
});

test('not sent is transient, lost is ambiguous', () => {
  const calls: ProviderAnswer[] = [
    { kind: 'not-sent', cause: 'ECONNREFUSED' },
    { kind: 'lost', cause: 'reset' },
  ];
  assert.deepEqual(
    calls.map((call) => classifyAnswer(call, context)),
    [
      { class: 'transient', providerMessage: 'ECONNREFUSED' },
      { class: 'ambiguous', providerMessage: 'reset' },
    ],
  );
});

test('no phone number and no request gets into a message', () => {
  const texts = ['13900001111为非法手机号码', '+8613900001111 refused', 'a%2B8613900001111b'];
  for (const text of texts) {
    const { providerMessage } = code('isv.MOBILE_NUMBER_ILLEGAL', text);
    assert.doesNotMatch(providerMessage ?? '', /\d{7}/);
  }
  assert.equal(code('X', '13900001111为非法').providerMessage, '139******11为非法');
  const mismatch = code(
    'SignatureDoesNotMatch',
    'no match. server string to sign is:TemplateParam=secret',
  );
  assert.equal(mismatch.providerMessage, 'no match.');
});

test('an inherited property name is no code', () => {
  assert.equal(code('constructor').class, 'transient');
  assert.equal(code('__proto__').class, 'transient');
});
