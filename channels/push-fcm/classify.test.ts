import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import type { SendOutcome } from '../../contracts/outcome.ts';
import { classifyAnswer, errorCodes } from './classify.ts';

const to = { deviceToken: 'token-0001' };
const context = { to, nowMs: Date.parse('2026-01-31T17:30:00Z'), jitter: 0.5 };
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
const fcm = (errorCode: string) => ({
  '@type': 'type.googleapis.com/google.firebase.fcm.v1.FcmError',
  errorCode,
});
const badRequest = (field: string) => ({
  '@type': 'type.googleapis.com/google.rpc.BadRequest',
  fieldViolations: [{ field, description: 'wrong' }],
});
const error = (
  status: number,
  rpc: string,
  more: { details?: readonly object[]; message?: string; headers?: Record<string, string> } = {},
) =>
  answer(
    status,
    { error: { code: status, message: more.message ?? 'm', status: rpc, details: more.details } },
    more.headers,
  );

/** Every documented code, written out so that a change of the table shows here. */
const documented: readonly [string, SendOutcome, Partial<SendOutcome>][] = [
  [
    'UNREGISTERED',
    error(404, 'NOT_FOUND', { details: [fcm('UNREGISTERED')] }),
    { class: 'recipient-invalid' },
  ],
  [
    'SENDER_ID_MISMATCH',
    error(403, 'PERMISSION_DENIED', { details: [fcm('SENDER_ID_MISMATCH')] }),
    { class: 'recipient-invalid' },
  ],
  [
    'INVALID_ARGUMENT (token)',
    error(400, 'INVALID_ARGUMENT', {
      message: 'The registration token is not a valid FCM registration token',
      details: [fcm('INVALID_ARGUMENT')],
    }),
    { class: 'recipient-invalid' },
  ],
  [
    'INVALID_ARGUMENT (token)',
    error(400, 'INVALID_ARGUMENT', {
      details: [fcm('INVALID_ARGUMENT'), badRequest('message.token')],
    }),
    { class: 'recipient-invalid' },
  ],
  [
    'INVALID_ARGUMENT',
    error(400, 'INVALID_ARGUMENT', {
      message: 'Android message is too big',
      details: [fcm('INVALID_ARGUMENT')],
    }),
    { class: 'content-rejected' },
  ],
  [
    'INVALID_ARGUMENT',
    error(400, 'INVALID_ARGUMENT', { details: [badRequest('message.data[0].value')] }),
    { class: 'content-rejected' },
  ],
  [
    'QUOTA_EXCEEDED (device)',
    error(429, 'RESOURCE_EXHAUSTED', {
      details: [
        fcm('QUOTA_EXCEEDED'),
        { violations: [{ subject: 'x', description: 'Device message rate exceeded' }] },
      ],
    }),
    { class: 'rate-limited', scope: 'recipient', retryAfterMs: 60_000 },
  ],
  [
    'QUOTA_EXCEEDED',
    error(429, 'RESOURCE_EXHAUSTED', { details: [fcm('QUOTA_EXCEEDED')] }),
    { class: 'rate-limited', scope: 'account', retryAfterMs: 60_000 },
  ],
  [
    'RESOURCE_EXHAUSTED',
    error(429, 'RESOURCE_EXHAUSTED', { headers: { 'retry-after': '7' } }),
    { class: 'rate-limited', scope: 'account', retryAfterMs: 7000 },
  ],
  [
    'THIRD_PARTY_AUTH_ERROR',
    error(401, 'UNAUTHENTICATED', { details: [fcm('THIRD_PARTY_AUTH_ERROR')] }),
    { class: 'auth-invalid' },
  ],
  ['PERMISSION_DENIED', error(403, 'PERMISSION_DENIED'), { class: 'auth-invalid' }],
  ['NOT_FOUND', error(404, 'NOT_FOUND'), { class: 'auth-invalid' }],
  ['FAILED_PRECONDITION', error(400, 'FAILED_PRECONDITION'), { class: 'auth-invalid' }],
  ['UNIMPLEMENTED', error(501, 'UNIMPLEMENTED'), { class: 'auth-invalid' }],
  ['UNAUTHENTICATED', error(401, 'UNAUTHENTICATED'), { class: 'auth-expired' }],
  ['UNAVAILABLE', error(503, 'UNAVAILABLE'), { class: 'transient' }],
  [
    'UNAVAILABLE',
    error(503, 'UNAVAILABLE', {
      headers: { 'retry-after': 'Sat, 31 Jan 2026 17:30:09 GMT' },
    }),
    { class: 'transient', retryAfterMs: 9000 },
  ],
  ['INTERNAL', error(500, 'INTERNAL'), { class: 'ambiguous' }],
  [
    'UNSPECIFIED_ERROR',
    error(500, 'INTERNAL', { details: [fcm('UNSPECIFIED_ERROR')] }),
    { class: 'ambiguous' },
  ],
  ['UNKNOWN', error(500, 'UNKNOWN'), { class: 'ambiguous' }],
  ['ABORTED', error(409, 'ABORTED'), { class: 'ambiguous' }],
  ['CANCELLED', error(499, 'CANCELLED'), { class: 'ambiguous' }],
  ['DEADLINE_EXCEEDED', error(504, 'DEADLINE_EXCEEDED'), { class: 'ambiguous' }],
];

for (const [row, outcome, wanted] of documented)
  test(`${row} is ${wanted.class}`, () => {
    const { providerCode, providerMessage: _, ...rest } = outcome;
    assert.deepEqual(rest, wanted);
    assert.equal(providerCode, row.replace(/ \(.*/, ''));
  });

test('every row of the table is tried above', () => {
  assert.deepEqual(new Set(documented.map(([row]) => row)), new Set(Object.keys(errorCodes)));
});

test('a taken message has the name FCM gave it', () => {
  assert.deepEqual(answer(200, { name: 'projects/p/messages/0:15%31' }), {
    class: 'accepted',
    providerId: 'projects/p/messages/0:15%31',
  });
});

test('unknown codes: a refusal may be tried again, a server error took it perhaps', () => {
  assert.equal(error(400, 'NEWS').class, 'transient');
  assert.equal(error(500, 'NEWS').class, 'ambiguous');
});

test('what is no answer of FCM: a page, an empty object, details of another form', () => {
  assert.equal(answer(200, '<html>').class, 'ambiguous');
  assert.equal(answer(200, {}).class, 'ambiguous');
  assert.equal(answer(502, '<html>').class, 'ambiguous');
  assert.equal(answer(404, '<html>').class, 'auth-invalid');
  assert.equal(error(400, 'INVALID_ARGUMENT', { details: [{ odd: 1 }] }).class, 'content-rejected');
});

test('neither the token nor a quoted value comes through', () => {
  const quoting = error(400, 'INVALID_ARGUMENT', {
    message: 'Invalid value at \'message.data[0].value\' (TYPE_STRING), "my secret"',
  });
  assert.equal(quoting.providerMessage, "Invalid value at 'message.data[0].value' (TYPE_STRING)");
  const naming = error(404, 'NOT_FOUND', { message: 'token-0001 is gone' });
  assert.equal(naming.providerMessage, '*** is gone');
});

test('the document shows every code as classify.ts has it', () => {
  const page = readFileSync(new URL('../../docs/channels/push-fcm.md', import.meta.url), 'utf8');
  const table = page.split('<!-- answer codes -->')[1]?.split('<!-- end -->')[0] ?? '';
  const rows = table.matchAll(/^\| `([^`]+)`\s+\| (.+?)\s+\| .+ \|$/gm);
  assert.deepEqual(
    Object.fromEntries([...rows].map(([, code = '', outcome = '']) => [code, outcome])),
    errorCodes,
  );
});
