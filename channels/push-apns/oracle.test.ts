/** @parse/node-apn against our simulator, over TLS: what it sends must be what we believe the protocol to be. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import apn from '@parse/node-apn';
import { generate } from 'selfsigned';
import type { OwnListener } from '../sandbox/simulator.ts';
import { sandboxPushApns } from './demo.ts';
import { createPushApnsSimulator, type PushApnsSimulator } from './simulator.ts';

const device = 'c3'.repeat(32);
let simulator: PushApnsSimulator;
let listener: OwnListener;
let ca: string;
before(async () => {
  const { private: key, cert } = await generate([{ name: 'commonName', value: 'localhost' }], {
    extensions: [
      { name: 'basicConstraints', cA: true },
      { name: 'subjectAltName', altNames: [{ type: 2, value: 'localhost' }] },
    ],
  });
  ca = cert;
  simulator = createPushApnsSimulator({ ...sandboxPushApns, tls: { key, cert } });
  listener = await simulator.listen({ host: '127.0.0.1', port: 0 });
});
after(() => listener.close());

/** One notification through the library. */
async function send(
  change: Partial<apn.Notification> = {},
  keyId: string = sandboxPushApns.keys[0].keyId,
) {
  const [{ pem: key, teamId }] = sandboxPushApns.keys;
  const provider = new apn.Provider({
    token: { key, keyId, teamId },
    address: 'localhost',
    port: Number(new URL(listener.url).port),
    ca,
    connectionRetryLimit: 0,
  } as object);
  const note = new apn.Notification();
  Object.assign(note, {
    topic: sandboxPushApns.topics[0],
    alert: { title: '标题', body: '正文' },
    pushType: 'alert',
    priority: 10,
    expiry: Math.floor(Date.now() / 1000) + 60,
    collapseId: 'oracle',
    id: '8d1f0c5e-0000-8000-8000-00000000000a',
    ...change,
  });
  const answer = await provider.send(note, device);
  await provider.shutdown();
  return answer;
}

test('a notification of the library is accepted and shown; one with the same collapse id replaces it', async () => {
  for (const times of [1, 2]) {
    const { sent, failed } = await send();
    assert.deepEqual([sent.map((each) => each.device), failed], [[device], []]);
    const { entries } = simulator.device.find({ where: { to: device } });
    assert.deepEqual(
      entries.map(({ ref, text, shown }) => [ref, text, shown]),
      [['oracle', '标题\n正文', times]],
    );
  }
  const [taken] = simulator.accepted.find().entries;
  assert.equal(taken?.providerId, '8d1f0c5e-0000-8000-8000-00000000000a');
});

test('the library reads our refusals', async () => {
  for (const [change, keyId, status, reason] of [
    [{ topic: 'com.example.other' }, undefined, 400, 'TopicDisallowed'],
    [{ payload: { text: 'x'.repeat(5000) } }, undefined, 413, 'PayloadTooLarge'],
    [{}, 'OTHERKEY00', 403, 'InvalidProviderToken'],
  ] as const) {
    const { failed } = await send(change, keyId);
    assert.deepEqual([failed[0]?.status, failed[0]?.response?.reason], [status, reason]);
  }
});
