/** A rendered mail as bytes, with its envelope. Nothing a template says can add a header or reach a file. */
import { createTransport } from 'nodemailer';
import type { SMTPEnvelope } from 'nodemailer';
import { encodeWord } from 'nodemailer/lib/mime-funcs';
import type { SendOutcome } from '../../contracts/outcome.ts';
import { bounceAddress, messageIdOf, refHeader } from './references.ts';
import type { MailContent, SmtpSecrets, SmtpSettings } from './schemas.ts';

export interface ComposedMail {
  readonly raw: Buffer;
  readonly messageId: string;
  readonly envelope: SMTPEnvelope;
}

export interface MailToCompose {
  readonly address: string;
  readonly content: MailContent;
  readonly deliveryKey: string;
}

/** What a DKIM signature covers; nodemailer's own list lacks List-Unsubscribe-Post, which RFC 8058 wants signed. */
const signedHeaders =
  'From:To:Reply-To:Subject:Date:Message-ID:MIME-Version:Content-Type:Content-Transfer-Encoding:' +
  'List-Unsubscribe:List-Unsubscribe-Post';

/** Makes the composer of one account. It gives the outcome instead where the mail cannot be made. */
export function createComposer(settings: SmtpSettings, dkim: SmtpSecrets['dkim']) {
  const composer = createTransport({
    streamTransport: true,
    buffer: true,
    newline: 'windows',
    disableFileAccess: true,
    disableUrlAccess: true,
    ...(dkim !== undefined && { dkim: { ...dkim, headerFieldNames: signedHeaders } }),
  });
  const fromDomain = domainOf(settings.from.address);

  return async ({
    address,
    content,
    deliveryKey,
  }: MailToCompose): Promise<ComposedMail | SendOutcome> => {
    const subject = oneLine(content.subject);
    const { text, html } = content;
    if (subject === '') return unfit('the subject is empty');
    if (!text && !html) return unfit('the mail has neither text nor html');
    const unsubscribe = unsubscribeHeaders(content.listUnsubscribe);
    if (unsubscribe === undefined) return unfit('listUnsubscribe is not an https URL, or too long');
    const messageId = messageIdOf(deliveryKey, fromDomain);
    const { message } = await composer.sendMail({
      messageId,
      from: { name: settings.from.name ?? '', address: settings.from.address },
      to: { name: '', address },
      ...(settings.replyTo !== undefined && { replyTo: { name: '', address: settings.replyTo } }),
      // What only looks encoded would be decoded by every reader.
      subject: subject.includes('=?') ? encodeWord(subject, 'B', 52) : subject,
      ...(text && { text: wellFormed(text) }),
      ...(html && { html: wellFormed(html) }),
      headers: {
        [refHeader]: deliveryKey,
        // RFC 3834: keeps absence notes from answering.
        'Auto-Submitted': 'auto-generated',
        ...unsubscribe,
      },
    });
    const raw = message as Buffer;
    // nodemailer sends unsigned what it cannot sign.
    if (dkim !== undefined && !/^dkim-signature:/i.test(raw.toString('latin1', 0, 20)))
      return { class: 'auth-invalid', providerMessage: 'the DKIM key cannot sign' };
    return { raw, messageId, envelope: envelopeOf({ settings, address, deliveryKey, raw }) };
  };
}

/** Sender, recipient, size and what reports we want (RFC 3461). */
function envelopeOf(mail: {
  readonly settings: SmtpSettings;
  readonly address: string;
  readonly deliveryKey: string;
  readonly raw: Buffer;
}): SMTPEnvelope {
  const { settings, address, deliveryKey, raw } = mail;
  const { bounceDomain: domain, bouncePrefix: prefix = 'bounce' } = settings;
  return {
    from:
      domain === undefined ? settings.from.address : bounceAddress(deliveryKey, { prefix, domain }),
    to: [address],
    size: raw.length,
    dsn: {
      ret: 'HDRS',
      envid: deliveryKey,
      notify: [...(settings.wantsDeliveryReport === true ? ['SUCCESS'] : []), 'FAILURE', 'DELAY'],
      orcpt: `rfc822;${address}`,
    },
  };
}

const maxUrlLength = 950;

/** Undefined: not an https URL, or too long for a header. None at all is fine. */
function unsubscribeHeaders(url: string | undefined): Record<string, string> | undefined {
  if (url === undefined) return {};
  const parsed = URL.canParse(url.trim()) ? new URL(url.trim()) : undefined;
  // A header line has 998 bytes at most (RFC 5322 2.1.1), and an address cannot be folded.
  if (parsed?.protocol !== 'https:' || parsed.href.length > maxUrlLength) return undefined;
  return {
    'List-Unsubscribe': `<${parsed.href}>`,
    'List-Unsubscribe-Post': 'List-Unsubscribe=One-Click',
  };
}

/** A header's text: line breaks and other control characters, which could begin a new header, become spaces. */
function oneLine(text: string): string {
  return wellFormed(text)
    .replace(/[\s\p{Cc}\u2028\u2029]+/gu, ' ')
    .trim();
}

/** Half of a surrogate pair cannot be encoded. */
function wellFormed(text: string): string {
  return text.replace(/\p{Surrogate}/gu, '\uFFFD');
}

const unfit = (providerMessage: string): SendOutcome => ({
  class: 'template-invalid',
  providerMessage,
});

/** What follows the @. */
export function domainOf(address: string): string {
  return address.slice(address.lastIndexOf('@') + 1);
}
