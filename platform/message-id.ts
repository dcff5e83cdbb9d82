/**
 * Message ids: `msg_` and 26 base32 characters of 16 bytes, four of them a MAC bound to the tenant, so that a made-up id,
 * or another tenant's, is refused without a look-up. An id is new (first bit 0, then 47 bits of milliseconds and 48 random
 * ones) or derived from the tenant's idempotency key (first bit 1), and then the same for every repeat.
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import { freshBytes } from './random.ts';
import type { Sealer } from './seal.ts';

const alphabet = '0123456789abcdefghjkmnpqrstvwxyz';
const idPattern = /^msg_[0-9a-hjkmnp-tv-z]{26}$/;

export interface MessageIds {
  create(tenantId: string, nowMs?: number): string;
  /** The id of the message behind (tenant, key), and for a batch its index. */
  derive(tenantId: string, idempotencyKey: string, index?: number): string;
  /** Whether we made this id for this tenant. */
  isGenuine(id: string, tenantId: string): boolean;
}

/** Makes and checks ids under the sealer's MAC key. */
export function createMessageIds(sealer: Sealer): MessageIds {
  const finish = (head: Buffer, tenantId: string) =>
    `msg_${encodeBase32(Buffer.concat([head, sealer.mac(head, tenantId)]))}`;
  return {
    create: (tenantId, nowMs = Date.now()) => {
      const head = Buffer.alloc(12);
      head.writeUIntBE(nowMs, 0, 6);
      freshBytes(6).copy(head, 6);
      return finish(head, tenantId);
    },
    derive: (tenantId, idempotencyKey, index) => {
      const text = JSON.stringify([tenantId, idempotencyKey, index ?? null]);
      const head = createHash('sha256').update(text).digest().subarray(0, 12);
      head.writeUInt8(head.readUInt8(0) | 0x80, 0);
      return finish(head, tenantId);
    },
    isGenuine: (id, tenantId) => {
      if (!idPattern.test(id)) return false;
      const bytes = decodeBase32(id.slice(4));
      // The last character has two bits to spare: only one spelling of an id is the id.
      if (encodeBase32(bytes) !== id.slice(4)) return false;
      return timingSafeEqual(bytes.subarray(12), sealer.mac(bytes.subarray(0, 12), tenantId));
    },
  };
}

/** When a new id was made, in epoch milliseconds; undefined for a derived id. */
export function messageIdTimeMs(id: string): number | undefined {
  const bytes = decodeBase32(id.slice(4));
  return bytes.readUInt8(0) & 0x80 ? undefined : bytes.readUIntBE(0, 6);
}

/** Crockford's base32 in lower case: no i, l, o, u. */
export function encodeBase32(bytes: Uint8Array): string {
  let text = '';
  let bits = 0;
  let value = 0;
  for (const byte of bytes) {
    value = (value << 8) | byte;
    bits += 8;
    while (bits >= 5) {
      text += alphabet[(value >>> (bits - 5)) & 31];
      bits -= 5;
    }
    value &= (1 << bits) - 1;
  }
  return bits > 0 ? text + alphabet[(value << (5 - bits)) & 31] : text;
}

function decodeBase32(text: string): Buffer {
  const bytes: number[] = [];
  let bits = 0;
  let value = 0;
  for (const char of text) {
    value = ((value << 5) | alphabet.indexOf(char)) & 0xfff;
    bits += 5;
    if (bits >= 8) {
      bytes.push((value >>> (bits - 8)) & 0xff);
      bits -= 8;
    }
  }
  return Buffer.from(bytes.slice(0, 16));
}
