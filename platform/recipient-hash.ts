/** A recipient as it is found without being known: the one spelling and keyed hash that all processes share. */
import { addressOf, type To } from '../contracts/message.ts';
import type { Sealer } from './seal.ts';

/** One spelling per phone number: a bare mainland number and its +86 form are the same recipient. */
function normalPhone(phone: string): string {
  return phone.startsWith('+') ? phone : `+86${phone}`;
}

/** Keyed hash of a recipient, bound to the tenant: the same for every spelling of an address. */
export function hashRecipient(sealer: Pick<Sealer, 'hash'>, tenantId: string, to: To): string {
  return sealer.hash(normalAddress(to), `recipient:${tenantId}`);
}

/** Domains and WeCom's member ids do not tell capitals apart; mailboxes in use do not either. */
function normalAddress(to: To): string {
  const { kind, value } = addressOf(to);
  if (kind === 'phone') return normalPhone(value);
  const spelled = kind === 'email' || kind === 'wecomUserId' ? value.toLowerCase() : value;
  return `${kind}:${spelled}`;
}
