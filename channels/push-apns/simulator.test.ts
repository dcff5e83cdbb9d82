/** That the simulated provider refuses what the real one refuses. */
import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { once } from 'node:events';
import { connect, type ClientHttp2Session } from 'node:http2';
import { after, before, test } from 'node:test';
import type { OwnListener } from '../sandbox/simulator.ts';
import { sandboxPushApns } from './demo.ts';
import { makeProviderToken } from './provider-token.ts';
import { createPushApnsSimulator } from './simulator.ts';

const [{ pem: privateKey, keyId, teamId }] = sandboxPushApns.keys;
const simulator = createPushApnsSimulator(sandboxPushApns);
let listener: OwnListener;
before(async () => {
  listener = await simulator.listen({ host: '127.0.0.1', port: 0 });
});
after(() => listener.close());

const tokenOf = (change: object = {}, atMs = Date.now()) =>
  makeProviderToken({ privateKey, keyId, teamId, ...change }, atMs).token;
const good = {
  ':method': 'POST',
  ':path': `/3/device/${'d4'.repeat(32)}`,
  'apns-topic': sandboxPushApns.topics[0],
  'apns-push-type': 'alert',
};
const payload = JSON.stringify({ aps: { alert: 'hello' } });

/** One push on a connection of its own, or on the one that is given. */
async function push(change: object = {}, body = payload, given?: ClientHttp2Session) {
  const session = given ?? connect(listener.url);
  if (given === undefined) session.on('error', () => session.destroy());
  const stream = session.request({ ...good, authorization: `bearer ${tokenOf()}`, ...change });
  stream.end(body);
  const [headers] = (await once(stream, 'response')) as [{ ':status'?: number }];
  let text = '';
  for await (const chunk of stream as AsyncIterable<Buffer>) text += chunk.toString();
  if (given === undefined) session.close();
  const said = text === '' ? 'OK' : (JSON.parse(text) as { reason: string }).reason;
  return `${headers[':status']} ${said}`;
}

const { privateKey: strangersKey } = generateKeyPairSync('ec', {
  namedCurve: 'P-256',
  privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
  publicKeyEncoding: { type: 'spki', format: 'pem' },
});
const bearer = (token: string) => ({ authorization: `bearer ${token}` });
const hourAgoMs = Date.now() - 3_601_000;

const refused: readonly [string, object, string?][] = [
  ['200 OK', {}],
  ['403 MissingProviderToken', { authorization: undefined }],
  ['403 InvalidProviderToken', bearer('x.y.z')],
  ['403 InvalidProviderToken', bearer(tokenOf({ privateKey: strangersKey }))],
  ['403 InvalidProviderToken', bearer(tokenOf({ teamId: 'OTHERTEAM0' }))],
  ['403 InvalidProviderToken', bearer(tokenOf({ keyId: 'OTHERKEY00' }))],
  ['403 InvalidProviderToken', bearer(tokenOf({}, Date.now() + 120_000))],
  ['403 ExpiredProviderToken', bearer(tokenOf({}, hourAgoMs))],
  ['405 MethodNotAllowed', { ':method': 'PUT' }],
  ['404 BadPath', { ':path': '/2/device/x' }],
  ['400 MissingTopic', { 'apns-topic': undefined }],
  ['400 TopicDisallowed', { 'apns-topic': 'com.example.other' }],
  ['400 InvalidPushType', { 'apns-push-type': 'shout' }],
  ['400 BadPriority', { 'apns-priority': '11' }],
  ['400 BadPriority', { 'apns-push-type': 'background', 'apns-priority': '10' }],
  ['400 BadExpirationDate', { 'apns-expiration': 'soon' }],
  ['400 BadMessageId', { 'apns-id': 'msg_1' }],
  ['400 BadCollapseId', { 'apns-collapse-id': 'x'.repeat(65) }],
  ['400 MissingDeviceToken', { ':path': '/3/device/' }],
  ['400 BadDeviceToken', { ':path': '/3/device/xyz' }],
  ['400 BadDeviceToken', { ':path': `/3/device/${'0'.repeat(64)}` }],
  ['400 PayloadEmpty', {}, ''],
  ['400 PayloadEmpty', {}, '{"alert":"hello"}'],
  ['413 PayloadTooLarge', {}, JSON.stringify({ aps: { alert: 'x'.repeat(4096) } })],
];
for (const [expected, change, body] of refused)
  test(`${expected} for ${JSON.stringify(change).slice(0, 60)} ${body?.slice(0, 20) ?? ''}`, async () => {
    assert.equal(await push(change, body), expected);
  });

test('a second new token within 20 minutes spoils its connection, unless the first one was revoked', async () => {
  const session = connect(listener.url);
  const [first, second] = [bearer(tokenOf()), bearer(tokenOf())];
  assert.equal(await push(first, payload, session), '200 OK');
  assert.equal(await push(second, payload, session), '429 TooManyProviderTokenUpdates');
  assert.equal(await push(first, payload, session), '429 TooManyProviderTokenUpdates');
  session.close();
  const other = connect(listener.url);
  assert.equal(await push(first, payload, other), '200 OK');
  simulator.revokeTokens();
  assert.equal(await push(first, payload, other), '403 ExpiredProviderToken');
  assert.equal(await push(bearer(tokenOf()), payload, other), '200 OK');
  other.close();
});

test('a notification replaces the one with its collapse id on its device only', async () => {
  simulator.reset();
  for (const [id, device] of [
    ['a', 'd4'],
    ['a', 'd4'],
    ['a', 'd5'],
    ['b', 'd4'],
  ] as const)
    await push({ 'apns-collapse-id': id, ':path': `/3/device/${device.repeat(32)}` });
  const shown = simulator.device
    .find({ order: 'oldest' })
    .entries.map(({ ref, shown }) => [ref, shown]);
  assert.deepEqual(shown, [
    ['a', 2],
    ['a', 1],
    ['b', 1],
  ]);
  assert.equal(simulator.accepted.total(), 4);
});

test('is back on its port after it did not listen', async () => {
  await listener.setListening(false);
  await assert.rejects(push());
  await listener.setListening(true);
  assert.equal(await push(), '200 OK');
});
