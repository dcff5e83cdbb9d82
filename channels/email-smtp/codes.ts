/**
 * What SMTP replies, enhanced status codes and nodemailer's errors mean: one row each. Sources: RFC 5321 4.2 and 4.3.2,
 * RFC 3463, the IANA registry of enhanced status codes, RFC 4954 (AUTH), RFC 7504 (521, 556), and what Gmail and Exchange
 * document of their own. Pure data; docs/channels/email-smtp.md shows the same rows and a test compares them.
 */

/** Where in the dialogue a reply came; `data`: to the DATA command, `dot`: to the mail itself, `bounce`: told later by mail. */
export type Stage = 'connect' | 'auth' | 'mail' | 'rcpt' | 'data' | 'dot' | 'bounce';

export type Meaning =
  | 'transient'
  | 'transient (in 5 min)'
  | 'transient (in 1 h)'
  | 'ambiguous'
  | 'rate-limited (account)'
  | 'rate-limited (recipient)'
  | 'auth-invalid'
  | 'quota-exhausted'
  | 'recipient-invalid'
  | 'recipient-refused'
  | 'content-rejected';

/**
 * Key: a reply code (550) or an enhanced status (5.1.1), for one stage where it begins with its name. `5.7.*` and `5*`
 * stand for what has no row of its own. A status goes before a reply code, an exact one before a family.
 */
export const replyCodes: Readonly<Record<string, Meaning>> = {
  // Enhanced status codes: address and mailbox
  '4.2.0': 'transient (in 5 min)',
  '4.2.1': 'rate-limited (recipient)',
  '4.2.2': 'transient (in 1 h)',
  'mail 5.1.*': 'auth-invalid',
  '5.1.7': 'auth-invalid',
  '5.1.8': 'auth-invalid',
  '5.1.*': 'recipient-invalid',
  '5.2.1': 'recipient-invalid',
  '5.2.2': 'transient (in 1 h)',
  '5.2.3': 'content-rejected',
  '5.2.*': 'recipient-refused',
  // mail system, routing, protocol
  '4.3.1': 'rate-limited (account)',
  '5.3.1': 'transient (in 1 h)',
  'connect 5.3.2': 'auth-invalid',
  '5.3.2': 'recipient-invalid',
  '5.3.3': 'content-rejected',
  '5.3.4': 'content-rejected',
  '5.3.5': 'transient (in 1 h)',
  '5.4.1': 'recipient-invalid',
  '5.4.4': 'recipient-invalid',
  '5.4.5': 'quota-exhausted',
  '5.4.7': 'transient (in 1 h)',
  '5.4.*': 'recipient-refused',
  '4.5.3': 'rate-limited (account)',
  '5.5.3': 'rate-limited (account)',
  '5.6.*': 'content-rejected',
  // security and policy
  'auth 4.7.0': 'transient',
  '4.7.0': 'rate-limited (account)',
  '4.7.1': 'transient (in 5 min)',
  '4.7.12': 'auth-invalid',
  '4.7.28': 'rate-limited (account)',
  '5.7.2': 'recipient-refused',
  '5.7.4': 'auth-invalid',
  '5.7.8': 'auth-invalid',
  '5.7.9': 'auth-invalid',
  '5.7.10': 'auth-invalid',
  '5.7.11': 'auth-invalid',
  '5.7.13': 'auth-invalid',
  '5.7.14': 'auth-invalid',
  '5.7.17': 'recipient-invalid',
  '5.7.18': 'recipient-invalid',
  '5.7.20': 'auth-invalid',
  '5.7.21': 'auth-invalid',
  '5.7.22': 'auth-invalid',
  '5.7.23': 'auth-invalid',
  '5.7.24': 'auth-invalid',
  '5.7.25': 'auth-invalid',
  '5.7.26': 'auth-invalid',
  '5.7.27': 'auth-invalid',
  '5.7.28': 'rate-limited (account)',
  '5.7.29': 'auth-invalid',
  'connect 5.7.*': 'auth-invalid',
  'auth 5.7.*': 'auth-invalid',
  'mail 5.7.*': 'auth-invalid',
  'rcpt 5.7.*': 'recipient-refused',
  '5.7.*': 'content-rejected',
  // Reply codes without a status that says more
  '421': 'transient',
  '432': 'auth-invalid',
  'auth 4*': 'transient',
  '450': 'transient (in 5 min)',
  '451': 'transient (in 5 min)',
  '452': 'rate-limited (account)',
  '4*': 'transient',
  '530': 'auth-invalid',
  '534': 'auth-invalid',
  '535': 'auth-invalid',
  '538': 'auth-invalid',
  '555': 'auth-invalid',
  'connect 5*': 'auth-invalid',
  'auth 5*': 'auth-invalid',
  'mail 500': 'transient',
  'mail 502': 'transient',
  'mail 503': 'transient',
  'mail 552': 'content-rejected',
  'mail 5*': 'auth-invalid',
  'rcpt 500': 'transient',
  'rcpt 501': 'recipient-invalid',
  'rcpt 502': 'transient',
  'rcpt 503': 'transient',
  'rcpt 504': 'transient',
  'rcpt 521': 'recipient-invalid',
  'rcpt 550': 'recipient-invalid',
  'rcpt 551': 'recipient-invalid',
  'rcpt 552': 'transient (in 1 h)',
  'rcpt 553': 'recipient-invalid',
  'rcpt 556': 'recipient-invalid',
  'rcpt 5*': 'recipient-refused',
  'data 503': 'transient',
  'data 5*': 'recipient-refused',
  // RFC 5321 has no such answer to a mail: the server lost its place, and nobody knows where.
  'dot 500': 'ambiguous',
  'dot 501': 'ambiguous',
  'dot 502': 'ambiguous',
  'dot 503': 'ambiguous',
  'dot 504': 'ambiguous',
  'dot 5*': 'content-rejected',
  'bounce 5*': 'recipient-refused',
};

/**
 * Errors without a reply, before the final dot; after it every one of them is ambiguous. nodemailer's codes, and our own
 * EPRIVATE (a private address) and EABORT (the worker stops).
 */
export const clientErrors: Readonly<Record<string, Meaning>> = {
  EDNS: 'transient',
  EPRIVATE: 'transient',
  ECONNECTION: 'transient',
  ESOCKET: 'transient',
  ETLS: 'transient',
  ETIMEDOUT: 'transient',
  EPROTOCOL: 'transient',
  ESTREAM: 'transient',
  EABORT: 'transient',
  EAUTH: 'auth-invalid',
  EENVELOPE: 'recipient-invalid',
  EMESSAGE: 'content-rejected',
};

/** What a reply means; `status` counts only where its class is the code's. */
export function meaningOfReply(stage: Stage, code: string, status: string | undefined): Meaning {
  const family = `${code.slice(0, 1)}*`;
  const rows = [`${stage} ${code}`, code, `${stage} ${family}`, family];
  if (status !== undefined && status.slice(0, 1) === code.slice(0, 1)) {
    const subject = `${status.split('.').slice(0, 2).join('.')}.*`;
    rows.unshift(`${stage} ${status}`, status, `${stage} ${subject}`, subject);
  }
  const row = rows.find((each) => Object.hasOwn(replyCodes, each));
  return (row === undefined ? undefined : replyCodes[row]) ?? 'transient';
}
