/** Reads a mail as a strict server does: what a careful one would refuse is refused here. */
import PostalMime, { addressParser, type Email } from 'postal-mime';
import { refHeader } from './references.ts';

export type CheckedMail =
  | { readonly result: 'good'; readonly email: Email; readonly ref: string; readonly text: string }
  | { readonly result: 'refused'; readonly reply: string };

const maxLineBytes = 998;

/** Checks form and sender. `domains`: those the account may write as. */
export async function checkMail(
  raw: Buffer,
  rules: { readonly domains: readonly string[]; readonly is8BitAllowed: boolean },
): Promise<CheckedMail> {
  const text = raw.toString('latin1');
  if (/(^|[^\r])\n|\r(?!\n)/.test(text)) return refused('554 5.6.0 bare CR or LF');
  if (text.split('\r\n').some((line) => line.length > maxLineBytes))
    return refused(`554 5.6.0 a line is longer than ${maxLineBytes} bytes`);
  if (!rules.is8BitAllowed && /[\u0080-\u00ff]/.test(text))
    return refused('554 5.6.1 eight-bit data without BODY=8BITMIME');
  if (text.includes('\0')) return refused('554 5.6.0 a NUL byte');
  const email = await PostalMime.parse(raw);
  const values = (name: string) =>
    email.headers.filter(({ key }) => key === name).map(({ value }) => value);
  for (const name of ['from', 'date', 'message-id', 'subject', 'to', 'mime-version'])
    if (values(name).length !== 1)
      return refused(`550 5.6.0 ${values(name).length} ${name} headers instead of one`);
  if (Number.isNaN(Date.parse(values('date')[0] ?? ''))) return refused('550 5.6.0 bad Date');
  if (!/^<[^<>@\s]+@[^<>@\s]+>$/.test(values('message-id')[0] ?? ''))
    return refused('550 5.6.0 bad Message-ID');
  const [from, ...others] = addressParser(values('from')[0] ?? '');
  const domain = from?.address?.split('@').at(-1)?.toLowerCase();
  if (domain === undefined || others.length > 0) return refused('550 5.6.0 bad From');
  if (!rules.domains.includes(domain)) return refused('550 5.7.1 From is not of this account');
  if (values('list-unsubscribe-post').length > 0) {
    // RFC 8058 3.1
    const isOneClick = values('list-unsubscribe-post')[0] === 'List-Unsubscribe=One-Click';
    if (!isOneClick || !/^<https:\/\/[^\s<>]+>$/.test(values('list-unsubscribe')[0] ?? ''))
      return refused('550 5.6.0 one-click unsubscription without an https address');
  }
  if (email.text === undefined && email.html === undefined)
    return refused('550 5.6.0 no text at all');
  return {
    result: 'good',
    email,
    ref: values(refHeader.toLowerCase())[0] ?? '',
    text: `${email.subject ?? ''}\n${(email.text ?? email.html ?? '').trim()}`,
  };
}

const refused = (reply: string): CheckedMail => ({ result: 'refused', reply });
