/** The header `Idempotency-Key`, under which a repeat is the same thing. */
import { problem } from '../contracts/problems.ts';

/** The draft standard sends a quoted string; both spellings are one key. Errors: idempotency-key-invalid. */
export function readIdempotencyKey(value: string | undefined): string | undefined {
  if (value === undefined) return undefined;
  const key = /^"(.*)"$/.exec(value)?.[1] ?? value;
  if (!/^[\x21-\x7e]{1,255}$/.test(key))
    throw problem('idempotency-key-invalid', {
      detail: 'An Idempotency-Key has 1 to 255 printable ASCII characters without spaces.',
      errors: [
        {
          pointer: 'header/idempotency-key',
          detail: 'must be 1 to 255 printable ASCII characters without spaces',
        },
      ],
    });
  return key;
}
