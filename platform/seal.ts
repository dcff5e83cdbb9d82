/**
 * Sealing of personal data and secrets: AES-256-GCM under a keyring. The first key seals, every key opens, so a key is
 * rotated by putting a new one in front. Sealed forms, each box the base64url of nonce, ciphertext and tag:
 * direct, `v1.<key name>.<box>`; envelope, `v2.<key name>.<box of a key of its own>.<box>`: rotation seals only that key anew.
 */
import {
  createCipheriv,
  createDecipheriv,
  createHmac,
  hkdfSync,
  randomBytes,
  type CipherKey,
} from 'node:crypto';
import { freshBytes } from './random.ts';

const nonceBytes = 12;
const tagBytes = 16;
const keyBytes = 32;

export type SealForm = 'direct' | 'envelope';
const versions = { direct: 'v1', envelope: 'v2' } as const satisfies Record<SealForm, string>;

export interface Sealer {
  /** Seals text or bytes; `context` is authenticated with it, and must be the same to open. */
  seal(plain: string | Uint8Array, context: string): string;
  /** Sealed under a key of its own, which is sealed under the first of the ring: for what is kept for years. */
  sealEnvelope(plain: string | Uint8Array, context: string): string;
  /** The same value under the first key, in this form. Errors: as `open`. */
  reseal(sealed: string, context: string, form: SealForm): string;
  /** What begins everything that the first key has sealed in this form. */
  newestPrefix(form: SealForm): string;
  /** Names of the keys that open, the one that seals first. */
  readonly keyNames: readonly string[];
  /** Either form. Errors: unknown key, another context, changed bytes. */
  open(sealed: string, context: string): Buffer;
  sealBytes(plain: Uint8Array): Buffer;
  openBytes(sealed: Uint8Array): Buffer;
  /**
   * Keyed hash for finding without revealing: 128 bits, hex. Does not change when keys rotate, as long as the last key
   * stays, or its hash key in its place.
   */
  hash(value: string, context: string): string;
  /** First 4 bytes of a MAC over bytes, for ids. */
  mac(value: Uint8Array, context: string): Buffer;
}

interface Key {
  readonly name: string;
  readonly bytes: Buffer;
}

/**
 * Makes a sealer of `name:base64` entries. One of 64 bytes is the hash key of a master key that was taken out (`hashEntry`):
 * it opens nothing. Errors: none that seals, a bad name, another length, a name or a hash key twice.
 */
export function createSealer(keyring: readonly string[]): Sealer {
  const entries = keyring.map(parseKey);
  if (new Set(entries.map(({ name }) => name)).size < entries.length)
    throw new Error('MC_MASTER_KEYS has two entries of one name');
  const keys = entries.filter(({ bytes }) => bytes.length === keyBytes);
  const hashKeys = entries.filter(({ bytes }) => bytes.length !== keyBytes);
  const [first] = keys;
  // Hashes and ids must outlive rotation, so they hang on the oldest key of the ring: the last one, or what it left behind.
  const oldest = keys.at(-1);
  if (first === undefined || oldest === undefined)
    throw new Error('MC_MASTER_KEYS is empty; give at least one `name:base64 of 32 bytes`');
  if (hashKeys.length > 1) throw new Error('MC_MASTER_KEYS has two hash keys');
  const byName = new Map(keys.map((key) => [key.name, key]));
  const hashBytes = hashKeys[0]?.bytes ?? deriveHashKey(oldest.bytes);
  const hashKey = hashBytes.subarray(0, keyBytes);
  const macKey = hashBytes.subarray(keyBytes);

  const masterKey = (name: string): Buffer => {
    const key = byName.get(name);
    if (key === undefined)
      throw new Error(`sealed with key "${name}", which is not in MC_MASTER_KEYS`);
    return key.bytes;
  };
  const openWith = (name: string, bytes: Buffer, context: string): Buffer =>
    openBox(masterKey(name), bytes, context);
  const sealWith = (plain: string | Uint8Array, context: string): Buffer =>
    sealBox(first.bytes, plain, context);
  const newestPrefix = (form: SealForm) => `${versions[form]}.${first.name}.`;
  const ofKey = (context: string) => `key of ${context}`;
  const envelopeOf = (key: Buffer, context: string, box: string) =>
    `${newestPrefix('envelope')}${sealWith(key, ofKey(context)).toString('base64url')}.${box}`;

  const sealer: Sealer = {
    keyNames: keys.map(({ name }) => name),
    newestPrefix,
    seal: (plain, context) =>
      newestPrefix('direct') + sealWith(plain, context).toString('base64url'),
    sealEnvelope: (plain, context) => {
      const key = randomBytes(keyBytes);
      return envelopeOf(key, context, sealBox(key, plain, context).toString('base64url'));
    },
    open: (sealed, context) => {
      const [version, name = '', box = '', innerBox = ''] = sealed.split('.');
      if (version === versions.direct)
        return openWith(name, Buffer.from(box, 'base64url'), context);
      if (version !== versions.envelope) throw new Error('not a sealed value');
      const key = openWith(name, Buffer.from(box, 'base64url'), ofKey(context));
      return openBox(key, Buffer.from(innerBox, 'base64url'), context);
    },
    reseal: (sealed, context, form) => {
      const [version, name = '', box = '', innerBox = ''] = sealed.split('.');
      if (form === 'direct') return sealer.seal(sealer.open(sealed, context), context);
      if (version !== versions.envelope)
        return sealer.sealEnvelope(sealer.open(sealed, context), context);
      const key = openWith(name, Buffer.from(box, 'base64url'), ofKey(context));
      return envelopeOf(key, context, innerBox);
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
  return sealer;
}

/**
 * The entry that takes the place of the ring's last key once that is taken out, so that hashes and ids stay: a pair of keys
 * that were derived from it, and from which it cannot be found. Errors: as `createSealer`.
 */
export function hashEntry(keyring: readonly string[]): string {
  createSealer(keyring);
  const entries = keyring.map(parseKey);
  const found = entries.find(({ bytes }) => bytes.length !== keyBytes) ?? entries.at(-1);
  if (found === undefined) throw new Error('MC_MASTER_KEYS is empty');
  const { name, bytes } = found;
  return bytes.length === keyBytes
    ? `${name.slice(0, 27)}-hash:${deriveHashKey(bytes).toString('base64')}`
    : `${name}:${bytes.toString('base64')}`;
}

/** AES-256-GCM: nonce, ciphertext, tag. */
export function sealBox(key: CipherKey, plain: string | Uint8Array, context: string): Buffer {
  const nonce = freshBytes(nonceBytes);
  const cipher = createCipheriv('aes-256-gcm', key, nonce);
  cipher.setAAD(Buffer.from(context));
  const body = typeof plain === 'string' ? Buffer.from(plain, 'utf8') : plain;
  return Buffer.concat([nonce, cipher.update(body), cipher.final(), cipher.getAuthTag()]);
}

/** Opens what `sealBox` made. Errors: another key or context, changed bytes. */
export function openBox(key: CipherKey, bytes: Buffer, context: string): Buffer {
  const decipher = createDecipheriv('aes-256-gcm', key, bytes.subarray(0, nonceBytes));
  decipher.setAAD(Buffer.from(context));
  decipher.setAuthTag(bytes.subarray(bytes.length - tagBytes));
  return Buffer.concat([
    decipher.update(bytes.subarray(nonceBytes, bytes.length - tagBytes)),
    decipher.final(),
  ]);
}

function parseKey(entry: string): Key {
  const [name = '', encoded = ''] = entry.split(':');
  const bytes = Buffer.from(encoded, 'base64');
  if (!/^[A-Za-z0-9_-]{1,32}$/.test(name) || ![keyBytes, 2 * keyBytes].includes(bytes.length))
    throw new Error(
      'each entry of MC_MASTER_KEYS is `name:base64 of 32 bytes`; one of them is not',
    );
  return { name, bytes };
}

/** The key of hashes, then the one of ids. */
function deriveHashKey(key: Buffer): Buffer {
  const derive = (purpose: string) =>
    Buffer.from(hkdfSync('sha256', key, '', `message-center/${purpose}`, keyBytes));
  return Buffer.concat([derive('hash'), derive('id')]);
}
