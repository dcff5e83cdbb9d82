import assert from 'node:assert/strict';
import { createPrivateKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { after, before, beforeEach, test } from 'node:test';
import type { HttpListener } from '../sandbox/http-listener.ts';
import { listenHttp } from '../sandbox/http-listener.ts';
import { sandboxFcmPrivateKey, sandboxPushFcm } from './demo.ts';
import { makeGrant } from './grant.ts';
import { createPushFcmSimulator } from './simulator.ts';

const simulator = createPushFcmSimulator(sandboxPushFcm);
const [clientEmail = ''] = Object.keys(sandboxPushFcm.serviceAccounts);
const key = createPrivateKey(sandboxFcmPrivateKey);
let listener: HttpListener;
before(async () => {
  listener = await listenHttp((request, response) => simulator.handle(request, response), {
    host: '127.0.0.1',
    port: 0,
  });
});
beforeEach(() => simulator.reset());
after(() => listener.close());

async function token(
  wrong: { key?: KeyObject; email?: string; aud?: string; nowMs?: number } = {},
): Promise<{ status: number; access_token?: string; error?: string }> {
  const account = {
    clientEmail: wrong.email ?? clientEmail,
    key: wrong.key ?? key,
    tokenUri: wrong.aud ?? `${listener.url}/token`,
  };
  const answer = await fetch(`${listener.url}/token`, {
    method: 'POST',
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
    body: new URLSearchParams({
      grant_type: 'urn:ietf:params:oauth:grant-type:jwt-bearer',
      assertion: makeGrant(account, wrong.nowMs ?? Date.now()),
    }),
  });
  return { status: answer.status, ...((await answer.json()) as object) };
}

async function send(bearer: string, message: object, project = 'message-center-sandbox') {
  const answer = await fetch(`${listener.url}/v1/projects/${project}/messages:send`, {
    method: 'POST',
    headers: { authorization: `Bearer ${bearer}`, 'content-type': 'application/json' },
    body: JSON.stringify({ message }),
  });
  const body = (await answer.json()) as { error?: { status: string; message: string } };
  return {
    status: answer.status,
    code: body.error?.status,
    retryAfter: answer.headers.get('retry-after'),
  };
}

const good = { token: 'device-0001', notification: { title: 't', body: 'b' } };

test('a grant must be signed by the account, for this endpoint, within its time', async () => {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const cases = [
    { key: privateKey },
    { email: 'nobody@example.com' },
    { aud: 'https://oauth2.googleapis.com/token' },
    { aud: 'nonsense' },
    { nowMs: Date.now() - 2 * 3_600_000 },
    { nowMs: Date.now() + 600_000 },
  ];
  for (const wrong of cases) {
    const { status, error } = await token(wrong);
    assert.deepEqual({ status, error }, { status: 400, error: 'invalid_grant' });
  }
  assert.equal(simulator.tokensGiven(), 0);
  assert.equal((await token()).status, 200);
});

test('an unknown, a revoked and an expired bearer are 401', async () => {
  assert.deepEqual(await send('nonsense', good), {
    status: 401,
    code: 'UNAUTHENTICATED',
    retryAfter: null,
  });
  const { access_token: revoked = '' } = await token();
  assert.equal((await send(revoked, good)).status, 200);
  simulator.revokeTokens();
  assert.equal((await send(revoked, good)).status, 401);
  simulator.configure({ clockScale: 100_000, tokenLifeSeconds: 1 });
  const { access_token: short = '' } = await token();
  assert.equal((await send(short, good)).status, 401);
});

test('a message must be of the API: fields, types, reserved names, size, project', async () => {
  const { access_token: bearer = '' } = await token();
  const cases: [object, number][] = [
    [{ ...good, extra: 1 }, 400],
    [{ ...good, data: { count: 12 } }, 400],
    [{ ...good, data: { from: 'me' } }, 400],
    [{ ...good, android: { priority: 'URGENT' } }, 400],
    [{ ...good, android: { ttl: '60' } }, 400],
    [{ ...good, android: { ttl: '2419201s' } }, 400],
    [{ ...good, apns: { headers: { 'apns-collapse-id': 'x'.repeat(65) } } }, 400],
    [{ ...good, data: { long: '长'.repeat(1400) } }, 400],
    [{ ...good, topic: 'both' }, 400],
    [{ notification: good.notification }, 400],
    [{ ...good, token: 'short' }, 400],
    [{ ...good, data: { long: 'x'.repeat(4000) } }, 200],
  ];
  for (const [message, status] of cases)
    assert.equal(
      (await send(bearer, message)).status,
      status,
      JSON.stringify(message).slice(0, 99),
    );
  assert.equal((await send(bearer, good, 'another-project')).status, 403);
  assert.equal(simulator.accepted.total(), 1);
});

test('the quota counts refusals too and comes back after a minute', async () => {
  simulator.configure({ perMinute: 2, tokenLifeSeconds: 10 ** 9 });
  const { access_token: bearer = '' } = await token();
  assert.equal((await send(bearer, good)).status, 200);
  assert.equal((await send(bearer, { ...good, token: 'sandbox-unregistered' })).status, 404);
  const over = await send(bearer, good);
  assert.equal(over.status, 429);
  assert.equal(over.code, 'RESOURCE_EXHAUSTED');
  assert.ok(Number(over.retryAfter) > 0 && Number(over.retryAfter) <= 60);
  simulator.configure({ clockScale: 1_000_000 });
  assert.equal((await send(bearer, good)).status, 200);
});

test('a device shows a tag once, and messages without one side by side', async () => {
  const { access_token: bearer = '' } = await token();
  const tagged = (tag: string, ref: string) => ({
    ...good,
    data: { mcRef: ref },
    android: { notification: { tag } },
  });
  for (const message of [tagged('a', 'r1'), tagged('a', 'r1'), tagged('b', 'r2'), good, good])
    assert.equal((await send(bearer, message)).status, 200);
  const visible = simulator.device.find({ order: 'oldest' }).entries;
  assert.deepEqual(
    visible.map(({ ref, shown, isGone }) => [ref, shown, isGone]),
    [
      ['r1', 2, false],
      ['r2', 1, false],
      ['', 1, false],
      ['', 1, false],
    ],
  );
  await send(bearer, tagged('a', 'r3'));
  assert.equal(simulator.device.find({ where: { ref: 'r1' } }).entries[0]?.isGone, true);
  assert.equal(simulator.accepted.total(), 6);
});
