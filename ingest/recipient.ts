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

/** First three and last four digits: 139****0000. */
export function maskRecipient(to: To): string {
  return `${to.phone.slice(0, to.phone.startsWith('+') ? 6 : 3)}****${to.phone.slice(-4)}`;
}
