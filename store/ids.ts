import { randomBytes } from 'node:crypto';
import { encodeBase32 } from '../platform/message-id.ts';

/** A new id: `<prefix>_` and 16 characters of 80 random bits. */
export function createId(
  prefix: 'tpl' | 'acc' | 'bat' | 'ers' | 'stp' | 'rdr' | 'upl' | 'usr' | 'whe',
): string {
  return `${prefix}_${encodeBase32(randomBytes(10))}`;
}
