import assert from 'node:assert/strict';
import { test } from 'node:test';
import { deliveryKey } from '../../platform/delivery-key.ts';
import { bounceAddress, keyIn, keyOfBounceAddress, messageIdOf } from './references.ts';

const keyAt = (redrive: number) =>
  deliveryKey({
    messageId: 'msg_0123456789abcdefghjkmnpqrs',
    redrive,
    connector: 'email-smtp',
    to: { email: 'li.lei@example.com' },
  });

test('a delivery key survives the bounce address, even when a server changes its case', () => {
  for (const redrive of [0, 7, 42, 9999]) {
    const key = keyAt(redrive);
    const address = bounceAddress(key, { prefix: 'b'.repeat(10), domain: 'bounce.example.com' });
    assert.ok((address.split('@')[0] ?? '').length <= 64, address);
    for (const changed of [address, address.toUpperCase(), `"Bounce" <${address}>`])
      assert.equal(keyOfBounceAddress(changed), key);
    assert.equal(keyIn(`x; ${key.toUpperCase()} y`), key);
  }
});

test('a key of another form is left out of the address, and what is none is not found', () => {
  const at = { prefix: 'bounce', domain: 'example.com' };
  for (const key of ['first', 'msg_UPPER', `msg_${'a'.repeat(27)}.0.${'0'.repeat(16)}`, ''])
    assert.equal(bounceAddress(key, at), 'bounce@example.com');
  for (const text of [
    '',
    'bounce@example.com',
    'bounce+news@example.com',
    `msg_${'a'.repeat(26)}`,
  ]) {
    assert.equal(keyOfBounceAddress(text), undefined);
    assert.equal(keyIn(text), undefined);
  }
});

test('the Message-ID is the same for a repeat and another for a redrive', () => {
  assert.equal(messageIdOf(keyAt(0), 'example.com'), messageIdOf(keyAt(0), 'example.com'));
  assert.notEqual(messageIdOf(keyAt(0), 'example.com'), messageIdOf(keyAt(1), 'example.com'));
  assert.match(messageIdOf('any key <at> all', 'example.com'), /^<[0-9a-f]{32}@example\.com>$/);
});
