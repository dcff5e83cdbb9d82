/** Phone numbers as this provider writes them, and how they are kept out of texts. */
import { addressAs, type To } from '../../contracts/message.ts';

/** What is wrong with an address for this channel, or undefined. Numbers outside the mainland are left to the provider. */
export function addressFault(to: To): string | undefined {
  const phone = addressAs('phone', to);
  if (phone === undefined) return 'is not a phone number';
  if (phone.startsWith('+86') && !/^\+861[3-9][0-9]{9}$/.test(phone))
    return 'is not a mainland China mobile number: +86 must be followed by 11 digits from 13 to 19';
  return undefined;
}

/** The number as `PhoneNumbers` takes it and receipts bring it: 11 digits for the mainland, else country code and number. */
export function toProviderNumber(to: To): string {
  return normalNumber(addressAs('phone', to) ?? '');
}

/** The same form from what the provider wrote, which takes and may bring mainland numbers as 139…, 86139…, 0086139… and +86139…. */
export function normalNumber(number: string): string {
  return number
    .trim()
    .replace(/^(?:\+|00)?86(?=1[3-9][0-9]{9}$)/, '')
    .replace(/^\+/, '');
}

/** The address of a number as the provider writes it, or undefined where it is none. */
export function fromProviderNumber(number: string): To | undefined {
  const normal = normalNumber(number);
  if (/^1[3-9][0-9]{9}$/.test(normal)) return { phone: normal };
  return /^[1-9][0-9]{6,14}$/.test(normal) ? { phone: `+${normal}` } : undefined;
}

/** Hides whatever could be a phone number: of a run of 7 or more digits the first three and last two stay. */
export function maskNumbers(text: string): string {
  return text.replace(
    /[0-9]{7,}/g,
    (digits) => digits.slice(0, 3) + '*'.repeat(digits.length - 5) + digits.slice(-2),
  );
}
