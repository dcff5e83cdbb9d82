/** A recipient as it may be kept outside the seal: hashed to be found, masked to be recognised. */
import { addressKinds, addressOf, type To } from '../contracts/message.ts';
import type { Sealer } from '../platform/seal.ts';

/** One spelling per phone number: a bare mainland number and its +86 form are the same recipient. */
export function normalPhone(phone: string): string {
  return phone.startsWith('+') ? phone : `+86${phone}`;
}

/** Keyed hash of a recipient, bound to the tenant: the same for every spelling of an address. */
export function hashRecipient(sealer: Sealer, tenantId: string, to: To): string {
  return sealer.hash(normalAddress(to), `recipient:${tenantId}`);
}

/** Domains and WeCom's member ids do not tell capitals apart; mailboxes in use do not either. */
function normalAddress(to: To): string {
  const { kind, value } = addressOf(to);
  if (kind === 'phone') return normalPhone(value);
  const spelled = kind === 'email' || kind === 'wecomUserId' ? value.toLowerCase() : value;
  return `${kind}:${spelled}`;
}

/** Enough of an address to recognise one's own: 139****0000, l****@example.com. Names of groups and endpoints are shown whole. */
export function maskRecipient(to: To): string {
  const { kind, value } = addressOf(to);
  if (!addressKinds[kind].isPersonal) return value;
  if (kind === 'phone') return maskPhone(value);
  if (kind === 'email') return `${value.slice(0, 1)}****${value.slice(value.indexOf('@'))}`;
  // At least half of a short id stays hidden.
  const shown = Math.min(3, Math.floor(value.length / 4));
  return `${value.slice(0, shown)}****${shown === 0 ? '' : value.slice(-shown)}`;
}

/** First three and last four digits. Of a short foreign number less is shown, so that four digits stay hidden. */
function maskPhone(phone: string): string {
  const shown = Math.min(phone.startsWith('+') ? 6 : 3, phone.length - 8);
  return `${phone.slice(0, shown)}****${phone.slice(-4)}`;
}
