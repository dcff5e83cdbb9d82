import assert from 'node:assert/strict';
import { createPrivateKey, generateKeyPairSync } from 'node:crypto';
import { after, before, beforeEach, test } from 'node:test';
import type { HttpListener } from '../sandbox/http-listener.ts';
import { listenHttp } from '../sandbox/http-listener.ts';
import { sandboxHuaweiPrivateKey, sandboxPushHuawei } from './demo.ts';
import { makeJwt } from './jwt.ts';
import { createPushHuaweiSimulator } from './simulator.ts';

const simulator = createPushHuaweiSimulator(sandboxPushHuawei);
let listener: HttpListener;
before(async () => {
  listener = await listenHttp((request, response) => simulator.handle(request, response), {
    host: '127.0.0.1',
    port: 0,
  });
});
beforeEach(() => simulator.reset());
after(async () => {
  await listener.close();
  await simulator.close();
});

const who = {
  keyId: 'sandbox-key',
  subAccount: sandboxPushHuawei.serviceAccounts['sandbox-key'].subAccount,
  key: createPrivateKey(sandboxHuaweiPrivateKey),
  tokenUri: 'https://oauth-login.cloud.huawei.com/oauth2/v3/token',
};
const jwt = makeJwt(who, Date.now());
const sendPath = `/v3/${sandboxPushHuawei.projectId}/messages:send`;
const revokePath = `/v1/${sandboxPushHuawei.clientId}/messages:revoke`;

async function call(
  path: string,
  body: unknown,
  headers: Record<string, string> = {},
): Promise<{ status: number; code: string; msg: string }> {
  const answer = await fetch(listener.url + path, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${jwt}`,
      'content-type': 'application/json',
      'push-type': '0',
      ...headers,
    },
    body: JSON.stringify(body),
  });
  return { status: answer.status, ...((await answer.json()) as { code: string; msg: string }) };
}

const body = (
  change: { notification?: object; tokens?: readonly string[]; options?: object } = {},
) => ({
  payload: {
    notification: {
      category: 'MARKETING',
      title: 't',
      body: 'b',
      clickAction: { actionType: 0 },
      ...change.notification,
    },
  },
  target: { token: change.tokens ?? ['huawei-device-0001'] },
  pushOptions: { biTag: 'ref', ...change.options },
});
const bearer = (token: string) => ({ authorization: `Bearer ${token}` });

test('a bearer must be a PS256 JWT of the account, for Huawei, within its time', async () => {
  const { privateKey: key } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const now = Date.now();
  const cases: [string, number, string][] = [
    ['nonsense', 401, '80200001'],
    [makeJwt({ ...who, key }, now), 401, '80200001'],
    [makeJwt({ ...who, keyId: 'another' }, now), 401, '80200001'],
    [makeJwt({ ...who, subAccount: '1' }, now), 401, '80200001'],
    [makeJwt({ ...who, tokenUri: 'https://example.com/token' }, now), 401, '80200001'],
    [makeJwt(who, now + 600_000), 401, '80200001'],
    [makeJwt(who, now - 3_601_000), 401, '80200005'],
  ];
  for (const [token, status, code] of cases) {
    const answer = await call(sendPath, body(), bearer(token));
    assert.deepEqual([answer.status, answer.code], [status, code]);
  }
  assert.equal((await call(sendPath, body())).code, '80000000');
  simulator.revokeTokens();
  assert.equal((await call(sendPath, body())).code, '80200005');
  const fresh = makeJwt(who, now);
  assert.equal((await call(sendPath, body(), bearer(fresh))).code, '80000000');
});

test('a call must be for this project, and a notification', async () => {
  const fresh = bearer(makeJwt(who, Date.now()));
  const cases: [string, Record<string, string>, number, string][] = [
    ['/v3/1/messages:send', {}, 401, '80200001'],
    [`/v1/${sandboxPushHuawei.projectId}/messages:send`, {}, 404, '404'],
    [sendPath, { 'push-type': '2' }, 400, '80100001'],
    [sendPath, { 'content-type': 'text/plain' }, 400, '80100001'],
  ];
  for (const [path, headers, status, code] of cases) {
    const answer = await call(path, body(), { ...fresh, ...headers });
    assert.deepEqual([answer.status, answer.code], [status, code], path);
  }
});

test('a notification must be of the API: fields, types, counts, size', async () => {
  const fresh = bearer(makeJwt(who, Date.now()));
  const tokens = (count: number) =>
    Array.from({ length: count }, (_, index) => `huawei-device-${index}-many`);
  const cases: [object, string][] = [
    [body({ notification: { extra: 1 } }), '80100003'],
    [body({ notification: { title: '' } }), '80100003'],
    [body({ notification: { category: 'NEWS' } }), '80100003'],
    [body({ notification: { notifyId: 2 ** 31 } }), '80100003'],
    [body({ notification: { clickAction: { actionType: 1 } } }), '80100003'],
    [body({ options: { ttl: 1_296_001 } }), '80100003'],
    [body({ options: { biTag: 'x'.repeat(65) } }), '80100001'],
    [body({ tokens: [] }), '80300010'],
    [body({ tokens: tokens(1001) }), '80300010'],
    [body({ tokens: tokens(11), options: { testMessage: true } }), '80300030'],
    [body({ notification: { body: '长'.repeat(1400) } }), '80300008'],
    [body({ tokens: ['short'] }), '80300007'],
    [body({ tokens: tokens(1000) }), '80000000'],
  ];
  for (const [sent, code] of cases)
    assert.equal(
      (await call(sendPath, sent, fresh)).code,
      code,
      JSON.stringify(sent).slice(0, 200),
    );
});

test('partial success names the refused by reason', async () => {
  const fresh = bearer(makeJwt(who, Date.now()));
  const sent = body({ tokens: ['huawei-device-0001', 'sandbox-bad-token', 'sandbox-no-right'] });
  const { status, code, msg } = await call(sendPath, sent, fresh);
  assert.deepEqual([status, code], [200, '80100000']);
  assert.deepEqual(JSON.parse(msg), {
    illegalTokens: { tokenFormatError: ['sandbox-bad-token'], noRight: ['sandbox-no-right'] },
    success: 1,
    failure: 2,
  });
  assert.equal(simulator.accepted.total(), 1);
});

test('a notification is replaced and taken back by its id, others stay', async () => {
  const fresh = bearer(makeJwt(who, Date.now()));
  const sent = (notifyId: number, biTag: string) =>
    call(sendPath, body({ notification: { notifyId }, options: { biTag } }), fresh);
  await sent(1, 'a');
  await sent(1, 'a');
  await sent(2, 'b');
  await sent(-1, 'c');
  await sent(-1, 'c');
  const shown = () =>
    simulator.device
      .find({ order: 'oldest' })
      .entries.filter(({ isGone }) => !isGone)
      .map(({ ref, shown }) => `${ref}${shown}`);
  assert.deepEqual(shown(), ['a2', 'b1', 'c1', 'c1']);
  await sent(1, 'd');
  assert.deepEqual(shown(), ['b1', 'c1', 'c1', 'd1']);
  const revoke = { notifyId: 2, token: ['huawei-device-0001'] };
  assert.equal((await call(revokePath, revoke, fresh)).code, '80000000');
  assert.deepEqual(shown(), ['c1', 'c1', 'd1']);
  assert.equal((await call(revokePath, revoke, fresh)).code, '80000000');
  assert.equal((await call(revokePath, { token: ['x'] }, fresh)).code, '80100003');
  assert.equal((await call('/v1/2/messages:revoke', revoke, fresh)).code, '80200001');
});
