/** The one comparison of signatures, tokens and passwords. */
import { createHash, timingSafeEqual } from 'node:crypto';

/** Compares in constant time; hashing first hides the length, too. */
export function isSame(given: string, wanted: string): boolean {
  const digest = (text: string) => createHash('sha256').update(text).digest();
  return timingSafeEqual(digest(given), digest(wanted));
}
