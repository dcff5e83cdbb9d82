/** Phone numbers as this provider writes them, and how they are kept out of texts. */
import type { To } from '../../contracts/message.ts';

/** What is wrong with an address for this channel, or undefined. Numbers outside the mainland are left to the provider. */
export function addressFault(to: To): string | undefined {
  if (to.phone.startsWith('+86') && !/^\+861[3-9][0-9]{9}$/.test(to.phone))
    return 'is not a mainland China mobile number: +86 must be followed by 11 digits from 13 to 19';
  return undefined;
}

/** The number as `PhoneNumbers` takes it and receipts bring it: 11 digits for the mainland, else country code and number. */
export function toProviderNumber(phone: string): string {
  return phone.replace(/^\+86(?=1[3-9])/, '').replace(/^\+/, '');
}

/** Hides whatever could be a phone number: of a run of 7 or more digits the first three and last two stay. */
export function maskNumbers(text: string): string {
  return text.replace(
    /[0-9]{7,}/g,
    (digits) => digits.slice(0, 3) + '*'.repeat(digits.length - 5) + digits.slice(-2),
  );
}
