/** The reference library and the specification's vector against our signatures. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { Webhook } from 'standardwebhooks';
import { signingSecretPattern, signWebhook } from '../../platform/webhook-signature.ts';
import { webhookId } from './webhook-id.ts';

const vector = {
  secret: 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw',
  id: 'msg_p5jXN8AQM9LWM0D4loKWxJek',
  timestamp: '1614265330',
  body: '{"test": 2432232314}',
  signature: 'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=',
};
const newSecret = (bytes: number) => `whsec_${randomBytes(bytes).toString('base64')}`;

test('the published vector', () => {
  assert.equal(signWebhook([vector.secret], vector), vector.signature);
});

test('the library signs alike, for secrets of every length and bodies of any letters', () => {
  for (let bytes = 24; bytes <= 64; bytes += 1) {
    const secret = newSecret(bytes);
    const body = JSON.stringify({ type: 'a', data: { text: `您好 ${bytes} ✓` } });
    const message = { id: 'msg_1', timestamp: '1700000000', body };
    const expected = new Webhook(secret).sign('msg_1', new Date(1_700_000_000_000), body);
    assert.equal(signWebhook([secret], message), expected);
  }
});

test('while secrets change over, the library takes the old one and the new one, and no third', () => {
  const [fresh, old, other] = [newSecret(32), newSecret(24), newSecret(32)];
  const id = webhookId('msg_0123456789abcdefghjkmnpqrs.0.0123456789abcdef');
  const timestamp = String(Math.floor(Date.now() / 1000));
  const body = '{"type":"a"}';
  const headers = {
    'webhook-id': id,
    'webhook-timestamp': timestamp,
    'webhook-signature': signWebhook([fresh, old], { id, timestamp, body }),
  };
  for (const secret of [fresh, old])
    assert.deepEqual(new Webhook(secret).verify(body, headers), { type: 'a' });
  assert.throws(() => new Webhook(other).verify(body, headers), /No matching signature/);
  assert.throws(() => new Webhook(fresh).verify('{"type":"b"}', headers), /No matching/);
});

test('an id has no dot and tells deliveries apart', () => {
  const keys = ['msg_a.0.b', 'msg_a.1.b', 'msg_a.0.c'];
  const ids = keys.map(webhookId);
  assert.ok(ids.every((id) => !id.includes('.')));
  assert.equal(new Set(ids).size, keys.length);
});

test('secrets are 24 to 64 bytes of base64', () => {
  const pattern = new RegExp(signingSecretPattern);
  for (let bytes = 1; bytes <= 80; bytes += 1)
    assert.equal(pattern.test(newSecret(bytes)), bytes >= 24 && bytes <= 64, String(bytes));
  assert.ok(!pattern.test(vector.secret.slice('whsec_'.length)));
  assert.ok(!pattern.test(`${vector.secret}A`));
});
