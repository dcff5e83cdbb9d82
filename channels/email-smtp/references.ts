/** Where a mail carries our delivery key: Message-ID, a header, ENVID, and the envelope sender that bounces come back to (VERP). */
import { createHash } from 'node:crypto';

/** The delivery key as it is; bounces that return the headers bring it back. */
export const refHeader = 'X-Delivery-Ref';

/** 48 to 51 characters without the `msg_` of every key; lower case only, for mail servers may change case. */
const keyBody = '[0-9a-z]{26}\\.\\d{1,4}\\.[0-9a-f]{16}';
const keyPattern = new RegExp(`^msg_(${keyBody})$`);
const bouncePattern = new RegExp(`\\+(${keyBody})@`, 'i');
const wholePattern = new RegExp(`\\b(msg_${keyBody})\\b`, 'i');

/** `<hash@domain>`: the same for every repeat of a delivery; some mailboxes show a second mail with it only once. */
export function messageIdOf(deliveryKey: string, domain: string): string {
  const hash = createHash('sha256').update(deliveryKey).digest('hex').slice(0, 32);
  return `<${hash}@${domain}>`;
}

/** `bounce+<key without msg_>@domain`: 64 characters before the @ at most; without the key where it has another form. */
export function bounceAddress(
  deliveryKey: string,
  at: { readonly prefix: string; readonly domain: string },
): string {
  const body = keyPattern.exec(deliveryKey)?.[1];
  return `${at.prefix}${body === undefined ? '' : `+${body}`}@${at.domain}`;
}

/** The delivery key in a bounce address, whatever its case has become, or undefined. */
export function keyOfBounceAddress(text: string): string | undefined {
  const body = bouncePattern.exec(text)?.[1];
  return body === undefined ? undefined : `msg_${body.toLowerCase()}`;
}

/** The delivery key itself within a text (ENVID, our header), or undefined. */
export function keyIn(text: string): string | undefined {
  return wholePattern.exec(text)?.[1]?.toLowerCase();
}
