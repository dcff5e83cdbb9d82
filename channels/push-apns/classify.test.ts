import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import type { OutcomeClass } from '../../contracts/outcome.ts';
import { classifyAnswer, endsSession, reasons } from './classify.ts';

const apnsId = 'eabeae54-14a8-81f1-9000-000000000001';
const context = { apnsId, nowMs: Date.parse('2026-01-31T17:30:00Z'), jitter: 0.5 };
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

/** Every documented reason with its status, and what it must come to. */
const documented: readonly [number, string, OutcomeClass, string?][] = [
  [400, 'BadCollapseId', 'content-rejected'],
  [400, 'BadDeviceToken', 'recipient-invalid'],
  [400, 'BadExpirationDate', 'content-rejected'],
  [400, 'BadMessageId', 'content-rejected'],
  [400, 'BadPriority', 'content-rejected'],
  [400, 'BadTopic', 'auth-invalid'],
  [400, 'DeviceTokenNotForTopic', 'recipient-invalid'],
  [400, 'DuplicateHeaders', 'content-rejected'],
  [400, 'IdleTimeout', 'transient'],
  [400, 'InvalidPushType', 'content-rejected'],
  [400, 'MissingDeviceToken', 'content-rejected'],
  [400, 'MissingTopic', 'auth-invalid'],
  [400, 'PayloadEmpty', 'content-rejected'],
  [400, 'TopicDisallowed', 'auth-invalid'],
  [403, 'BadCertificate', 'auth-invalid'],
  [403, 'BadCertificateEnvironment', 'auth-invalid'],
  [403, 'BadEnvironmentKeyIdInToken', 'auth-invalid'],
  [403, 'UnrelatedKeyIdInToken', 'auth-invalid'],
  [403, 'ExpiredProviderToken', 'auth-expired'],
  [403, 'Forbidden', 'auth-invalid'],
  [403, 'InvalidProviderToken', 'auth-invalid'],
  [403, 'MissingProviderToken', 'auth-invalid'],
  [404, 'BadPath', 'auth-invalid'],
  [405, 'MethodNotAllowed', 'auth-invalid'],
  [410, 'Unregistered', 'recipient-invalid'],
  [410, 'ExpiredToken', 'recipient-invalid'],
  [413, 'PayloadTooLarge', 'content-rejected'],
  [429, 'TooManyProviderTokenUpdates', 'rate-limited', 'account'],
  [429, 'TooManyRequests', 'rate-limited', 'recipient'],
  [500, 'InternalServerError', 'ambiguous'],
  [503, 'ServiceUnavailable', 'transient'],
  [503, 'Shutdown', 'transient'],
];

for (const [status, reason, outcome, scope] of documented)
  test(`${status} ${reason} is ${outcome}`, () => {
    const got: Record<string, unknown> = { ...answer(status, { reason }) };
    assert.deepEqual([got['class'], got['providerCode'], got['scope']], [outcome, reason, scope]);
  });

test('every row of the table is tried above', () => {
  assert.deepEqual(
    documented.map(([, reason]) => reason).toSorted(),
    Object.keys(reasons).toSorted(),
  );
});

test('the document shows every reason as classify.ts has it', () => {
  const page = readFileSync(new URL('../../docs/channels/push-apns.md', import.meta.url), 'utf8');
  const table = page.split('<!-- reasons -->')[1]?.split('<!-- end -->')[0] ?? '';
  const rows = table.matchAll(/^\| `([^`]+)`\s+\| (.+?)\s+\| .+ \|$/gm);
  assert.deepEqual(
    Object.fromEntries([...rows].map(([, code = '', text = '']) => [code, text])),
    reasons,
  );
});

test('200 is accepted only when it is empty and repeats our apns-id', () => {
  assert.deepEqual(answer(200, '', { 'apns-id': apnsId.toUpperCase() }), {
    class: 'accepted',
    providerId: apnsId,
  });
  assert.equal(answer(200, '').class, 'ambiguous');
  assert.equal(answer(200, '', { 'apns-id': 'other' }).class, 'ambiguous');
  assert.equal(answer(200, '<html></html>', { 'apns-id': apnsId }).class, 'ambiguous');
  assert.equal(answer(200, { reason: 'BadTopic' }, { 'apns-id': apnsId }).class, 'ambiguous');
});

test('the time since when a token is dead is told', () => {
  const { providerMessage } = answer(410, { reason: 'Unregistered', timestamp: 1_454_948_015_990 });
  assert.equal(providerMessage, 'dead since 2016-02-08T16:13:35.990Z');
  assert.equal(answer(410, { reason: 'Unregistered', timestamp: 1e30 }).providerMessage, undefined);
});

test('a reason that is not in the table is judged by its status', () => {
  const byStatus = { 400: 'transient', 403: 'auth-invalid', 410: 'recipient-invalid' };
  const more = { 413: 'content-rejected', 500: 'ambiguous', 503: 'ambiguous' };
  for (const [status, outcome] of Object.entries({ ...byStatus, ...more }))
    for (const reason of ['SomethingNew', 'constructor'])
      assert.equal(answer(Number(status), { reason }).class, outcome, `${status} ${reason}`);
});

test('Retry-After is believed', () => {
  for (const [headers, wanted] of [
    [{ 'retry-after': '7' }, 7000],
    [{}, 60_000],
  ] as const) {
    const outcome = answer(429, { reason: 'TooManyRequests' }, headers);
    assert.equal(outcome.class === 'rate-limited' && outcome.retryAfterMs, wanted);
  }
});

test('what is not the API is judged by its status; no answer by how far the call got', () => {
  for (const [status, outcome] of [
    [200, 'ambiguous'],
    [502, 'ambiguous'],
    [404, 'auth-invalid'],
  ] as const)
    assert.equal(answer(status, '<html></html>').class, outcome);
  assert.equal(classifyAnswer({ kind: 'not-sent', cause: 'x' }, context).class, 'transient');
  assert.equal(classifyAnswer({ kind: 'lost', cause: 'x' }, context).class, 'ambiguous');
});

test('a session is given up after what concerns it, not after what concerns a message', () => {
  const ends = (reason: string) => endsSession({ body: JSON.stringify({ reason }) });
  assert.ok(ends('Shutdown') && ends('TooManyProviderTokenUpdates') && ends('IdleTimeout'));
  assert.ok(!ends('Unregistered') && !ends('ExpiredProviderToken') && !endsSession({ body: '' }));
});
