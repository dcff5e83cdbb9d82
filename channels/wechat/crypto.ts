/**
 * Signatures and encryption of WeChat's pushes
 * (developers.weixin.qq.com/doc/oplatform/developers/dev/push/encryption). SHA-1 and AES-CBC are the provider's choice.
 */
import { createCipheriv, createDecipheriv, createHash, randomBytes } from 'node:crypto';

/** SHA-1 over the sorted parts, in hex: `signature` over three of them, `msg_signature` with the ciphertext as a fourth. */
export function signParts(...parts: readonly string[]): string {
  return createHash('sha1')
    .update([...parts].sort().join(''))
    .digest('hex');
}

const blockBytes = 32;
const headBytes = 20;

/** The message and the appid it was meant for; undefined where key, length or padding is wrong. Never throws. */
export function decryptPush(
  encodingAesKey: string,
  encrypted: string,
): { readonly message: string; readonly appId: string } | undefined {
  const plain = decipher(encodingAesKey, encrypted);
  const padding = plain?.at(-1);
  if (plain === undefined || padding === undefined || padding < 1 || padding > blockBytes)
    return undefined;
  const end = plain.length - padding;
  if (end < headBytes || plain.subarray(end).some((byte) => byte !== padding)) return undefined;
  const messageEnd = headBytes + plain.readUInt32BE(16);
  if (messageEnd > end) return undefined;
  return {
    message: plain.toString('utf8', headBytes, messageEnd),
    appId: plain.toString('utf8', messageEnd, end),
  };
}

/** Encrypts as WeChat does; for the simulator. */
export function encryptPush(encodingAesKey: string, message: string, appId: string): string {
  const { key, iv } = keyOf(encodingAesKey);
  const bytes = Buffer.from(message);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(bytes.length);
  const raw = Buffer.concat([randomBytes(16), length, bytes, Buffer.from(appId)]);
  const padding = blockBytes - (raw.length % blockBytes);
  const cipher = createCipheriv('aes-256-cbc', key, iv).setAutoPadding(false);
  const padded = Buffer.concat([raw, Buffer.alloc(padding, padding)]);
  return Buffer.concat([cipher.update(padded), cipher.final()]).toString('base64');
}

function decipher(encodingAesKey: string, encrypted: string): Buffer | undefined {
  const bytes = Buffer.from(encrypted, 'base64');
  // Node skips what is not base64 instead of refusing it.
  if (bytes.toString('base64') !== encrypted || bytes.length % 16 !== 0) return undefined;
  const { key, iv } = keyOf(encodingAesKey);
  const cipher = createDecipheriv('aes-256-cbc', key, iv).setAutoPadding(false);
  return Buffer.concat([cipher.update(bytes), cipher.final()]);
}

function keyOf(encodingAesKey: string) {
  const key = Buffer.from(`${encodingAesKey}=`, 'base64');
  return { key, iv: key.subarray(0, 16) };
}
