/**
 * There is no maintained SDK of JPush for Node; its documents' own examples stand in: what they send must be accepted by our
 * simulator, what they answer must be understood by our client. (docs.jiguang.cn: Push API v3, Report API v3.)
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createProviderTokens } from '../../platform/provider-tokens.ts';
import { listenHttp, readBody } from '../sandbox/http-listener.ts';
import { classifyPush } from './classify.ts';
import { createPushJpush } from './index.ts';
import { checkPush } from './simulator-checks.ts';

const secrets = { appKey: '7d431e42dfa6a6d693ac2d04', masterSecret: '5e987ac6d2e04d95a9d8f0d1' };
const authorization = 'Basic N2Q0MzFlNDJkZmE2YTZkNjkzYWMyZDA0OjVlOTg3YWM2ZDJlMDRkOTVhOWQ4ZjBkMQ==';
const cid = '8103a4c628a0b98994ec1949-128eeb45-471c-49f3-b442-a05c20c9ed56';

/** The documents' answers, by path. */
const answers: Readonly<Record<string, string>> = {
  '/v3/push/cid': `{"cidlist":["${cid}"]}`,
  '/v3/push': '{"sendno":"18","msg_id":"1828256757"}',
  '/v3/received/detail':
    '[ {"msg_id":"1613113584", "jpush_received":62, "android_pns_sent":12, "android_pns_received":12, "ios_apns_sent":11, "ios_apns_received":5, "ios_msg_received": 3, "wp_mpns_sent":null} ]',
  '/v3/status/message':
    '{"02078f0f1b8":{"status":2},"1507bfd3a7c568d4761":{"status":0},"0207870a9b8":{"status":2}}',
};

test('calls are made and answers read as the documents show them', async () => {
  const requests: { path: string; authorization: string | undefined; body: string }[] = [];
  const listener = await listenHttp(
    (request, response) => {
      void readBody(request, 10_000).then((body) => {
        const path = request.url ?? '';
        requests.push({
          path,
          authorization: request.headers.authorization,
          body: body.toString(),
        });
        response.writeHead(200).end(answers[path.split('?')[0] ?? ''] ?? '{}');
      });
    },
    { host: '127.0.0.1', port: 0 },
  );
  const client = createPushJpush({
    allowPrivateProviders: true,
    tokens: createProviderTokens(),
  }).createClient({
    id: 'acc_1',
    tenantId: 'ten_1',
    settings: { baseUrl: listener.url, reportBaseUrl: listener.url },
    secrets,
  });
  const signal = AbortSignal.timeout(5000);
  const to = { deviceToken: '1507bfd3a7c568d4761' };
  const deliveryKey = 'msg_00000000000000000000000001.0.0000000000000000';
  const content = { title: 'JPush test', body: 'hello, JPush!', data: { news_id: '134' } };
  const outcome = await client.send({ to, content, deliveryKey, signal });
  assert.deepEqual(outcome, { class: 'accepted', providerId: '1828256757' });
  const sentAt = new Date().toISOString();
  const told = await client.askReceipts?.(
    [{ to, deliveryKey, providerId: '1613113584', sentAt }],
    signal,
  );
  assert.deepEqual(
    told?.map(({ status, providerId }) => [status, providerId]),
    [['delivered', '1613113584']],
  );
  await client.close();
  await listener.close();
  assert.deepEqual(
    new Set(requests.map((request) => request.authorization)),
    new Set([authorization]),
  );
  assert.deepEqual(
    requests.map(({ path }) => path),
    [
      '/v3/push/cid?count=10',
      '/v3/push',
      '/v3/received/detail?msg_ids=1613113584',
      '/v3/status/message',
    ],
  );
  const push = JSON.parse(requests[1]?.body ?? '') as { cid: string; audience: object };
  assert.equal(push.cid, cid);
  assert.deepEqual(push.audience, { registration_id: ['1507bfd3a7c568d4761'] });
  assert.match(requests[3]?.body ?? '', /^\{"msg_id":1613113584,"registration_ids":\["1507/);
});

test("the documents' pushes to registration ids are accepted by the simulator's checks", () => {
  const push = {
    platform: ['android', 'ios'],
    audience: { registration_id: ['1507bfd3a7c568d4761', '02078f0f1b8'] },
    notification: {
      alert: 'Hi,JPush !',
      android: { alert: 'hello, JPush!', title: 'JPush test', extras: { news_id: 134 } },
      ios: { alert: 'hello, JPush!', sound: 'sound.caf', badge: '+1', extras: { news_id: 134 } },
    },
    options: {
      time_to_live: 60,
      apns_production: false,
      apns_collapse_id: 'jiguang_test_201706011100',
    },
  };
  const checked = checkPush(JSON.stringify(push));
  assert.ok('devices' in checked, JSON.stringify(checked));
  assert.deepEqual(checked.devices, push.audience.registration_id);
});

test('refusals as they were seen in the field', () => {
  for (const [status, body, outcome] of [
    [
      400,
      '{"error":{"code":1003,"message":"The registration_id 140fe1da9e22a23f92f is invalid!"}}',
      'recipient-invalid',
    ],
    [
      400,
      '{"msg_id": 3125719446, "error": {"message": "cannot find user by this audience", "code": 1011}}',
      'recipient-invalid',
    ],
    [400, '{"error": {"message": "Missing parameter", "code": 1002}}', 'content-rejected'],
    [
      400,
      '{"error": {"message": "Audience value must be JSON Array format!", "code": 1003}}',
      'content-rejected',
    ],
    [401, '{"error": {"code": 3001, "message": "Basic authentication failed"}}', 'auth-invalid'],
  ] as const) {
    const answer = { kind: 'answer', status, headers: {}, body } as const;
    const to = [{ deviceToken: '140fe1da9e22a23f92f' }];
    const got = classifyPush(answer, { to, jitter: 0 });
    assert.equal(got.class, outcome, body);
    assert.doesNotMatch(got.providerMessage ?? '', /140fe1/);
  }
});
