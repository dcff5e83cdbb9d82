/** A recipient as it may be kept outside the seal: hashed to be found, masked to be recognised. */
import type { To } from '../contracts/message.ts';
import type { Sealer } from '../platform/seal.ts';

/** One spelling per phone number: a bare mainland number and its +86 form are the same recipient. */
export function normalPhone(phone: string): string {
  return phone.startsWith('+') ? phone : `+86${phone}`;
}

/** Keyed hash of a recipient, bound to the tenant. */
export function hashRecipient(sealer: Sealer, tenantId: string, to: To): string {
  return sealer.hash(normalPhone(to.phone), `recipient:${tenantId}`);
}

/** First three and last four digits: 139****0000. Of a short foreign number less is shown, so that four digits stay hidden. */
export function maskRecipient({ phone }: To): string {
  const shown = Math.min(phone.startsWith('+') ? 6 : 3, phone.length - 8);
  return `${phone.slice(0, shown)}****${phone.slice(-4)}`;
}
