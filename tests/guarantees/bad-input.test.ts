/** What bad input gets: a problem document that names the field, and nothing is enqueued. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { startSystem } from '../system.ts';

const system = await startSystem({ isOneProcess: true, processes: ['ingest', 'admin'] });

describe('bad input', () => {
  const good = {
    to: { phone: '13900001111' },
    template: 'login-code',
    variables: { code: '1234' },
  };
  const cases: [string, unknown, number, string, string | undefined][] = [
    ['unknown template', { ...good, template: 'nope' }, 422, 'template-not-found', '/template'],
    ['missing variable', { ...good, variables: {} }, 422, 'variables-invalid', '/variables/code'],
    [
      'no variables at all',
      { to: good.to, template: 'login-code' },
      422,
      'variables-invalid',
      '/variables/code',
    ],
    [
      'extra variable',
      { ...good, variables: { code: '1', other: '2' } },
      422,
      'variables-invalid',
      '/variables/other',
    ],
    [
      'wrong type of variable',
      { ...good, variables: { code: 1234 } },
      422,
      'variables-invalid',
      '/variables/code',
    ],
    [
      'variable too long',
      { ...good, variables: { code: '123456789' } },
      422,
      'variables-invalid',
      '/variables/code',
    ],
    [
      'a number that is no phone',
      { ...good, to: { phone: 'abc' } },
      422,
      'validation-failed',
      '/to/phone',
    ],
    [
      'an unknown kind of address',
      { ...good, to: { fax: '1' } },
      422,
      'validation-failed',
      '/to/fax',
    ],
    [
      'sendAt in the past',
      { ...good, sendAt: '2020-01-01T00:00:00Z' },
      422,
      'validation-failed',
      '/sendAt',
    ],
    [
      'sendAt beyond 90 days',
      { ...good, sendAt: new Date(Date.now() + 91 * 86_400_000).toISOString() },
      422,
      'validation-failed',
      '/sendAt',
    ],
    ['sendAt that is no time', { ...good, sendAt: 'soon' }, 422, 'validation-failed', '/sendAt'],
    [
      'channel and channels',
      { ...good, channel: 'sms', channels: ['sms'] },
      422,
      'validation-failed',
      '/channels',
    ],
    [
      'a channel that the template has not',
      { ...good, channels: ['sms', 'push'] },
      422,
      'channel-unavailable',
      '/channels/1',
    ],
    [
      'fallbackAfter with nothing to fall back on',
      { ...good, fallbackAfter: 30 },
      422,
      'validation-failed',
      '/fallbackAfter',
    ],
    [
      'onOrderFailure without a key',
      { ...good, onOrderFailure: 'stop' },
      422,
      'validation-failed',
      '/onOrderFailure',
    ],
    [
      'an unknown time zone',
      { ...good, timeZone: 'Mars/Olympus' },
      422,
      'validation-failed',
      '/timeZone',
    ],
    ['an unknown field', { ...good, sendLater: true }, 422, 'validation-failed', '/sendLater'],
    ['an unknown channel', { ...good, channel: 'pigeon' }, 422, 'channel-unavailable', '/channel'],
    ['an unknown priority', { ...good, priority: 'urgent' }, 422, 'validation-failed', '/priority'],
    ['a life too short', { ...good, expiresIn: 1 }, 422, 'validation-failed', '/expiresIn'],
    ['no recipient', { template: 'login-code' }, 422, 'validation-failed', '/to'],
    ['not an object', [], 422, 'validation-failed', ''],
    ['malformed JSON', '{"to":', 400, 'malformed-request', ''],
    [
      'a body of 70 KB',
      { ...good, variables: { code: 'x'.repeat(70_000) } },
      413,
      'body-too-large',
      '',
    ],
    [
      'metadata that is no string',
      { ...good, metadata: { a: 1 } },
      422,
      'validation-failed',
      '/metadata/a',
    ],
  ];
  for (const [what, body, status, code, pointer] of cases)
    it(what, async () => {
      const answer = await system.call('POST', '/v1/messages', body);
      assert.equal(answer.status, status, JSON.stringify(answer.body));
      assert.equal(answer.headers.get('content-type'), 'application/problem+json; charset=utf-8');
      assert.equal(answer.body['type'], `urn:message-center:problem:${code}`);
      const pointers = ((answer.body['errors'] ?? []) as { pointer: string }[]).map(
        (fault) => fault.pointer,
      );
      if (pointer !== undefined) assert.ok(pointers.includes(pointer), JSON.stringify(answer.body));
    });

  it('no key, a wrong key, and a revoked key within two seconds: 401', async () => {
    for (const authorization of [
      '',
      'Bearer nonsense',
      `Bearer mck_aaaaaaaaaa_${'x'.repeat(43)}`,
    ]) {
      const answer = await system.call('POST', '/v1/messages', good, { authorization });
      assert.equal(answer.status, 401);
    }
    const { key, id } = await system.store.apiKeys.create(system.tenantId, { name: 'short-lived' });
    const headers = { authorization: `Bearer ${key}` };
    assert.equal((await system.call('GET', '/v1/messages', undefined, headers)).status, 200);
    await system.store.apiKeys.revoke(system.tenantId, id);
    await new Promise((resolve) => setTimeout(resolve, 2000));
    assert.equal((await system.call('POST', '/v1/messages', good, headers)).status, 401);
  });

  it('an Idempotency-Key with spaces or control characters is refused', async () => {
    const answer = await system.call('POST', '/v1/messages', good, { 'Idempotency-Key': 'a b' });
    assert.equal(answer.status, 400);
    assert.match(JSON.stringify(answer.body), /header\/idempotency-key/);
  });

  it('in a batch the bad ones name their place and do not sink the good ones', async () => {
    const { status, body } = await system.call('POST', '/v1/messages/batch', {
      messages: [good, { ...good, template: 'nope' }, 7, good],
    });
    assert.equal(status, 202);
    const results = body['results'] as {
      status: number;
      id?: string;
      problem?: { errors: { pointer: string }[] };
    }[];
    assert.deepEqual(
      results.map((result) => result.status),
      [202, 422, 422, 202],
    );
    assert.equal(results[1]?.problem?.errors[0]?.pointer, '/messages/1/template');
    assert.equal(results[2]?.problem?.errors[0]?.pointer, '/messages/2');
    assert.deepEqual([body['accepted'], body['rejected']], [2, 2]);
  });

  it('a batch of 1,001 and an empty one are refused', async () => {
    for (const count of [0, 1001]) {
      const answer = await system.call('POST', '/v1/messages/batch', {
        messages: Array.from({ length: count }, () => good),
      });
      assert.equal(answer.status, 422);
      assert.match(JSON.stringify(answer.body), /"\/messages"/);
    }
  });

  it('a made-up id, and one of another tenant, are 404', async () => {
    for (const id of ['msg_00000000000000000000000000', 'nonsense', '%00'])
      assert.equal((await system.call('GET', `/v1/messages/${id}`)).status, 404, id);
  });

  it('an unknown address and a wrong method say so', async () => {
    assert.equal((await system.call('GET', '/v1/nothing')).status, 404);
    const answer = await system.call('DELETE', '/v1/messages');
    assert.equal(answer.status, 405);
    assert.match(answer.headers.get('allow') ?? '', /POST/);
  });

  it('receipts: a wrong token is refused, an unknown account is 404, junk is 400, and none changes a status', async () => {
    const path = `/v1/receipts/sms-aliyun/${system.accountId}`;
    assert.equal((await system.call('POST', `${path}?token=wrong`, [])).status, 403);
    assert.equal(
      (await system.call('POST', `${path}?token=${system.receiptToken}`, '{{')).status,
      400,
    );
    assert.equal(
      (await system.call('POST', '/v1/receipts/sms-aliyun/nobody?token=x', [])).status,
      404,
    );
    assert.equal((await system.call('POST', '/v1/receipts/pigeon/x', [])).status, 404);
  });
});
