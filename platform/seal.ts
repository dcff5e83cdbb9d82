/**
 * Sealing of personal data and secrets: AES-256-GCM under a keyring. The first key seals, every key opens, so a key is
 * rotated by putting a new one in front. Sealed form: `v1.<key name>.<base64url of nonce, ciphertext, tag>`.
 */
import { createCipheriv, createDecipheriv, createHmac, hkdfSync, randomBytes } from 'node:crypto';

const nonceBytes = 12;
const tagBytes = 16;

export interface Sealer {
  /** Seals text or bytes; `context` is authenticated with it, and must be the same to open. */
  seal(plain: string | Uint8Array, context: string): string;
  /** Errors: unknown key, another context, changed bytes. */
  open(sealed: string, context: string): Buffer;
  sealBytes(plain: Uint8Array): Buffer;
  openBytes(sealed: Uint8Array): Buffer;
  /** Keyed hash for finding without revealing: 128 bits, hex. Does not change when keys rotate as long as the last key stays. */
  hash(value: string, context: string): string;
  /** First 4 bytes of a MAC over bytes, for ids. */
  mac(value: Uint8Array, context: string): Buffer;
}

interface Key {
  readonly name: string;
  readonly bytes: Buffer;
}

/** Makes a sealer of `name:base64` entries. Errors: none given, a bad name, a key that is not 32 bytes. */
export function createSealer(keyring: readonly string[]): Sealer {
  const keys = keyring.map(parseKey);
  const [first] = keys;
  // Hashes and ids must outlive rotation, so they hang on the oldest key of the ring: the last one.
  const oldest = keys.at(-1);
  if (first === undefined || oldest === undefined)
    throw new Error('MC_MASTER_KEYS is empty; give at least one `name:base64 of 32 bytes`');
  const byName = new Map(keys.map((key) => [key.name, key]));
  const hashKey = derive(oldest.bytes, 'hash');
  const macKey = derive(oldest.bytes, 'id');

  const openWith = (name: string, bytes: Buffer, context: string): Buffer => {
    const key = byName.get(name);
    if (key === undefined)
      throw new Error(`sealed with key "${name}", which is not in MC_MASTER_KEYS`);
    const decipher = createDecipheriv('aes-256-gcm', key.bytes, bytes.subarray(0, nonceBytes));
    decipher.setAAD(Buffer.from(context));
    decipher.setAuthTag(bytes.subarray(bytes.length - tagBytes));
    return Buffer.concat([
      decipher.update(bytes.subarray(nonceBytes, bytes.length - tagBytes)),
      decipher.final(),
    ]);
  };
  const sealWith = (plain: string | Uint8Array, context: string): Buffer => {
    const nonce = randomBytes(nonceBytes);
    const cipher = createCipheriv('aes-256-gcm', first.bytes, nonce);
    cipher.setAAD(Buffer.from(context));
    const body = typeof plain === 'string' ? Buffer.from(plain, 'utf8') : plain;
    return Buffer.concat([nonce, cipher.update(body), cipher.final(), cipher.getAuthTag()]);
  };

  return {
    seal: (plain, context) => `v1.${first.name}.${sealWith(plain, context).toString('base64url')}`,
    open: (sealed, context) => {
      const [version, name, body] = sealed.split('.');
      if (version !== 'v1' || name === undefined || body === undefined)
        throw new Error('not a sealed value');
      return openWith(name, Buffer.from(body, 'base64url'), context);
    },
    sealBytes: (plain) => {
      const name = Buffer.from(first.name);
      return Buffer.concat([Buffer.from([1, name.length]), name, sealWith(plain, 'payload')]);
    },
    openBytes: (sealed) => {
      const bytes = Buffer.from(sealed);
      const nameLength = bytes[1] ?? 0;
      if (bytes[0] !== 1) throw new Error('not a sealed payload');
      return openWith(
        bytes.toString('utf8', 2, 2 + nameLength),
        bytes.subarray(2 + nameLength),
        'payload',
      );
    },
    hash: (value, context) =>
      createHmac('sha256', hashKey).update(`${context}\n${value}`).digest('hex').slice(0, 32),
    mac: (value, context) =>
      createHmac('sha256', macKey)
        .update(context)
        .update('\n')
        .update(value)
        .digest()
        .subarray(0, 4),
  };
}

function parseKey(entry: string): Key {
  const [name = '', encoded = ''] = entry.split(':');
  const bytes = Buffer.from(encoded, 'base64');
  if (!/^[A-Za-z0-9_-]{1,32}$/.test(name) || bytes.length !== 32)
    throw new Error(
      'each entry of MC_MASTER_KEYS is `name:base64 of 32 bytes`; one of them is not',
    );
  return { name, bytes };
}

function derive(key: Buffer, purpose: string): Buffer {
  return Buffer.from(hkdfSync('sha256', key, '', `message-center/${purpose}`, 32));
}
