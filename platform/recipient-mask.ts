/** A recipient as it may be shown: masked, so that one recognises one's own. */
import { addressKinds, addressOf, type To } from '../contracts/message.ts';

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
