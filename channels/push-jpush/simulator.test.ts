/** That the simulated provider refuses what the real one refuses. */
import assert from 'node:assert/strict';
import { after, before, beforeEach, test } from 'node:test';
import type { HttpListener } from '../sandbox/http-listener.ts';
import { mountSimulator } from '../sandbox/start-sandbox.ts';
import { sandboxPushJpush } from './demo.ts';
import { createPushJpushSimulator } from './simulator.ts';

const simulator = createPushJpushSimulator(sandboxPushJpush);
let listener: HttpListener;
before(async () => {
  listener = await mountSimulator(simulator, { host: '127.0.0.1', port: 0 });
});
after(() => listener.close());
beforeEach(() => simulator.reset());

const { appKey, masterSecret } = sandboxPushJpush;
const basic = (text: string) => ({
  authorization: `Basic ${Buffer.from(text).toString('base64')}`,
});
const good = { ...basic(`${appKey}:${masterSecret}`), 'content-type': 'application/json' };

async function call(
  method: string,
  path: string,
  body?: unknown,
  headers: Record<string, string> = good,
) {
  const sent = typeof body === 'string' ? body : JSON.stringify(body);
  const response = await fetch(listener.url + path, {
    method,
    headers,
    ...(body !== undefined && { body: sent }),
  });
  const text = await response.text();
  const said = JSON.parse(text) as { error?: { code: number } };
  return { response, text, code: said.error?.code ?? 'OK' };
}
const newCid = async () => {
  const { text } = await call('GET', '/v3/push/cid');
  return (JSON.parse(text) as { cidlist: string[] }).cidlist[0] ?? '';
};
const push = {
  platform: 'all',
  audience: { registration_id: ['1507bfd3a7c568d4761'] },
  notification: { alert: 'hello', android: { alert: 'hello', extras: { mcRef: 'r' } } },
};

const refused: readonly [number | 'OK', unknown, Record<string, string>?][] = [
  ['OK', push],
  [1004, push, { ...good, ...basic(`${appKey}:wrong`) }],
  [1004, push, { 'content-type': 'application/json' }],
  [1002, push, { ...good, 'content-type': 'text/plain' }],
  [1002, 'not json'],
  [1002, { ...push, audience: undefined }],
  [1003, { ...push, platform: ['palm'] }],
  [1003, { ...push, audience: { registration_id: [] } }],
  [
    1003,
    { ...push, audience: { registration_id: Array.from({ length: 1001 }, () => '02078f0f1b8') } },
  ],
  [1003, { ...push, audience: { registration_id: ['zzz'] } }],
  [1003, { ...push, notification: { alert: 5 } }],
  [1003, { ...push, notification: { android: { title: 'no alert' } } }],
  [1003, { ...push, options: { time_to_live: 864_001 } }],
  [1003, { ...push, options: { apns_collapse_id: 'x'.repeat(65) } }],
  [1003, { ...push, cid: `${appKey}-never-given-out` }],
  [1005, { ...push, notification: { ios: { alert: 'x'.repeat(2000) } } }],
  [1005, { ...push, notification: { android: { alert: 'x'.repeat(4000) } } }],
  [1009, { ...push, extra: 1 }],
  [1011, { ...push, audience: { registration_id: ['dead10110000000001', 'zzz'] } }],
  [2005, { ...push, audience: { registration_id: ['dead20050000000001'] } }],
];
for (const [expected, body, headers] of refused)
  test(`${expected} for ${JSON.stringify(body).slice(0, 90)}`, async () => {
    assert.equal((await call('POST', '/v3/push', body, headers)).code, expected);
    assert.equal(simulator.device.total(), expected === 'OK' ? 1 : 0);
  });

test('a cid answers with its first result, for a day', async () => {
  const cid = await newCid();
  const first = await call('POST', '/v3/push', { ...push, cid });
  const again = await call('POST', '/v3/push', { ...push, cid });
  assert.equal(first.code, 'OK');
  assert.equal(again.text, first.text);
  assert.equal(simulator.device.total(), 1);
  simulator.configure({ clockScale: 1e9 });
  assert.equal((await call('POST', '/v3/push', { ...push, cid })).code, 1003);
});

test('a refused push does not use its cid up', async () => {
  const cid = await newCid();
  assert.equal((await call('POST', '/v3/push', { ...push, cid, platform: 'palm' })).code, 1003);
  assert.equal((await call('POST', '/v3/push', { ...push, cid })).code, 'OK');
  assert.equal(simulator.device.total(), 1);
});

test('a free app gets ten cids a call, and calls for them count as pushes', async () => {
  const { text, response } = await call('GET', '/v3/push/cid?count=500');
  assert.equal((JSON.parse(text) as { cidlist: string[] }).cidlist.length, 10);
  assert.equal(response.headers.get('x-rate-limit-remaining'), '599');
  const { response: pushed } = await call('POST', '/v3/push', push);
  assert.equal(pushed.headers.get('x-rate-limit-remaining'), '598');
  assert.equal((await call('GET', '/v3/push/cid?count=0')).code, 1003);
});

test('over the quota: 2002 and the seconds until it is back', async () => {
  simulator.configure({ pushesPerMinute: 1 });
  await call('POST', '/v3/push', push);
  const { code, response } = await call('POST', '/v3/push', push);
  assert.deepEqual([code, response.status], [2002, 429]);
  const reset = Number(response.headers.get('x-rate-limit-reset'));
  assert.ok(reset >= 1 && reset <= 60);
  assert.equal((await call('GET', '/v3/received/detail?msg_ids=1')).code, 'OK');
});

test('reports refuse strangers, ids as text, and more than a hundred of them', async () => {
  const path = '/v3/status/message';
  assert.equal((await call('POST', path, { msg_id: '1', registration_ids: ['a'] })).code, 3002);
  assert.equal((await call('POST', path, { msg_id: 1, registration_ids: [] })).code, 3002);
  const many = Array.from({ length: 101 }, (_, n) => n).join(',');
  assert.equal((await call('GET', `/v3/received/detail?msg_ids=${many}`)).code, 3002);
  assert.equal((await call('GET', '/v3/received/detail?msg_ids=1', undefined, {})).code, 3001);
});
