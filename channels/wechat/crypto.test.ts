import assert from 'node:assert/strict';
import { createCipheriv } from 'node:crypto';
import { test } from 'node:test';
import { isSame } from '../kit/is-same.ts';
import { decryptPush } from './crypto.ts';

const aesKey = 'abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG';
/** Encrypts bytes as they are: head, length, text and padding by hand. */
function encryptRaw(parts: { length: number; text: string; padding: readonly number[] }): string {
  const key = Buffer.from(`${aesKey}=`, 'base64');
  const cipher = createCipheriv('aes-256-cbc', key, key.subarray(0, 16)).setAutoPadding(false);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(parts.length);
  const raw = Buffer.concat([
    Buffer.alloc(16),
    length,
    Buffer.from(parts.text),
    Buffer.from(parts.padding),
  ]);
  return Buffer.concat([cipher.update(raw), cipher.final()]).toString('base64');
}
const filled = (count: number, value = count) => Array.from({ length: count }, () => value);

test('reads message and AppID by the length that is written', () => {
  const parts = { length: 2, text: 'hiwx01', padding: filled(6) };
  assert.deepEqual(decryptPush(aesKey, encryptRaw(parts)), { message: 'hi', appId: 'wx01' });
  assert.equal(decryptPush(aesKey, `${encryptRaw(parts)}!`), undefined);
});

test('a length beyond the text is refused', () => {
  for (const length of [7, 12, 13, 2 ** 32 - 1]) {
    const parts = { length, text: 'hiwx01', padding: filled(6) };
    assert.equal(decryptPush(aesKey, encryptRaw(parts)), undefined, String(length));
  }
});

test('padding must be 1 to 32 bytes that all say how many they are', () => {
  for (const padding of [
    [...filled(5, 1), 6],
    [6, 6, 7, 6, 6, 6],
    filled(6, 0),
    filled(6, 33),
    filled(6, 255),
    filled(6, 30),
  ])
    assert.equal(
      decryptPush(aesKey, encryptRaw({ length: 2, text: 'hiwx01', padding })),
      undefined,
      padding.join(),
    );
});

test('what is too short for a head, or no base64, is refused', () => {
  const key = Buffer.from(`${aesKey}=`, 'base64');
  const cipher = createCipheriv('aes-256-cbc', key, key.subarray(0, 16)).setAutoPadding(false);
  const short = Buffer.concat([cipher.update(Buffer.alloc(16, 1)), cipher.final()]);
  for (const text of [short.toString('base64'), '', 'AAAA', `${short.toString('base64')} `, '中'])
    assert.equal(decryptPush(aesKey, text), undefined, text);
});

test('comparison tells length and content', () => {
  assert.deepEqual(
    [isSame('a', 'a'), isSame('a', 'b'), isSame('a', 'aa'), isSame('', '')],
    [true, false, false, true],
  );
});
