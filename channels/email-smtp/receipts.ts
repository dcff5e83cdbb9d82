/**
 * Bounces, delivery reports and complaints, which come as mail: the mail server that receives the bounce address hands each
 * to our receipt address as it is (`message/rfc822`). A mail proves nothing about its sender; the token in the URL does.
 */
import { Check } from 'typebox/value';
import type {
  AskedReceipt,
  OptOut,
  ReceiptParse,
  ReceiptRequest,
} from '../../contracts/channel.ts';
import { addressKinds } from '../../contracts/message.ts';
import type { OutcomeClass } from '../../contracts/outcome.ts';
import { isSame } from '../kit/is-same.ts';
import { quietMailText, readReply } from './classify.ts';
import { meaningOfReply } from './codes.ts';
import { contentType, fieldGroups, parseHeaders, parseMail, partsOf, textOf } from './mime.ts';
import type { MimePart } from './mime.ts';
import { keyIn, keyOfBounceAddress, refHeader } from './references.ts';

/** RFC 3464 2.3.3. delayed: nothing is decided yet. */
export const reportActions = {
  failed: 'failed',
  delivered: 'delivered',
  relayed: 'delivered',
  expanded: 'delivered',
  delayed: undefined,
} as const satisfies Record<string, AskedReceipt['status'] | undefined>;

/** RFC 5965 7.3 and the IANA registry: kinds of report by which a person says that they do not want it. */
export const complaintTypes: readonly string[] = ['abuse', 'fraud', 'opt-out', 'opt-out-list'];

const acknowledgement = { status: 200, contentType: 'text/plain', body: 'OK\n' } as const;

export interface ReceiptCheck {
  readonly token: string;
  readonly now: () => number;
}

/** Where mail servers write to whom a mail was really addressed. */
const recipientHeaders = ['to', 'x-original-to', 'delivered-to', 'envelope-to', 'x-envelope-to'];

/** Reads one mail. What is no report (absence notes, spam to the bounce address) is acknowledged and yields nothing. */
export function parseReceipts(request: ReceiptRequest, check: ReceiptCheck): ReceiptParse {
  if (!isSame(request.query['token'] ?? '', check.token))
    return { result: 'refused', reason: 'signature', detail: 'the token in the URL is not ours' };
  if (request.method !== 'POST') return malformed('mail comes by POST');
  const mail = parseMail(request.body);
  if (mail === undefined || mail.headers.size === 0) return malformed('the body is not a mail');
  const { type, parameters } = contentType(mail);
  const kind = type === 'multipart/report' ? parameters.get('report-type')?.toLowerCase() : '';
  const parts = partsOf(mail);
  // RFC 6522 wants report-type; reports without it are seen.
  const status = parts.find((part) => isType(part, 'delivery-status'));
  const feedback = parts.find((part) => isType(part, 'feedback-report'));
  const occurredAt = timeOf(mail.headers.get('date')) ?? new Date(check.now()).toISOString();
  if (kind === 'feedback-report' || feedback !== undefined) {
    if (feedback === undefined) return malformed('a feedback report without its report part');
    return acknowledge([], complaints(feedback, parts, occurredAt));
  }
  if (kind === 'delivery-status' || status !== undefined) {
    if (status === undefined) return malformed('a delivery report without its status part');
    return acknowledge(deliveryReceipts({ mail, status, parts, occurredAt }), []);
  }
  return acknowledge([], []);
}

/** What the report says of each recipient; all of them are one mail of ours, so a failure goes before a success. */
function deliveryReceipts(report: {
  readonly mail: MimePart;
  readonly status: MimePart;
  readonly parts: readonly MimePart[];
  readonly occurredAt: string;
}): readonly AskedReceipt[] {
  const { mail, status, parts, occurredAt } = report;
  const groups = fieldGroups(textOf(status));
  const deliveryKey = referenceOf(mail, groups[0], parts);
  if (deliveryKey === undefined) return [];
  const found = groups.flatMap((fields) => {
    const action = (fields.get('action') ?? '').trim().toLowerCase();
    const status = Object.hasOwn(reportActions, action)
      ? reportActions[action as keyof typeof reportActions]
      : undefined;
    return status === undefined ? [] : [{ status, fields }];
  });
  const told = found.find(({ status }) => status === 'failed') ?? found[0];
  if (told === undefined) return [];
  const { code, outcome, text } = failureOf(told.fields);
  return [
    {
      deliveryKey,
      status: told.status,
      ...(told.status === 'failed' && { outcome }),
      ...(code !== '' && { providerCode: code }),
      ...(text !== '' && { providerMessage: text }),
      occurredAt,
    },
  ];
}

function failureOf(fields: ReadonlyMap<string, string>): {
  readonly code: string;
  readonly outcome: OutcomeClass;
  readonly text: string;
} {
  const [given = ''] = /[245]\.\d{1,3}\.\d{1,3}/.exec(fields.get('status') ?? '') ?? [];
  const diagnostic = (fields.get('diagnostic-code') ?? '').replace(/^[^;]{0,40};\s*/, '').trim();
  const reply = readReply(diagnostic);
  // Servers that write 5.0.0 often quote a reply that says more.
  const isVague = given === '' || given.endsWith('.0.0');
  const status = isVague ? (reply?.status ?? given) : given;
  const code = status === '' ? (reply?.code ?? '') : status;
  const meaning = meaningOfReply(
    'bounce',
    `${code.slice(0, 1) || '5'}00`,
    status === '' ? undefined : status,
  );
  // A report is the end of this delivery: nothing waits for a limit any more.
  const [word = ''] = meaning.split(' ');
  const outcome = word === 'rate-limited' ? 'transient' : (word as OutcomeClass);
  return { code, outcome, text: quietMailText(diagnostic) };
}

/** Our key: from the address the report came to, from ENVID, or from the returned headers. */
function referenceOf(
  mail: MimePart,
  perMessage: ReadonlyMap<string, string> | undefined,
  parts: readonly MimePart[],
): string | undefined {
  const addressed = recipientHeaders.map((name) => mail.headers.get(name) ?? '').join('\n');
  return (
    keyOfBounceAddress(addressed) ??
    keyIn(perMessage?.get('original-envelope-id') ?? '') ??
    keyIn(returnedHeaders(parts).get(refHeader.toLowerCase()) ?? '')
  );
}

/** Headers of the mail that the report is about, where it brings them. */
function returnedHeaders(parts: readonly MimePart[]): ReadonlyMap<string, string> {
  const returned = parts.find((part) =>
    ['message/rfc822', 'text/rfc822-headers', 'message/rfc822-headers'].includes(
      contentType(part).type,
    ),
  );
  if (returned === undefined) return new Map();
  return parseHeaders(textOf(returned).split(/\r?\n\r?\n/)[0] ?? '');
}

/** Whom a complaint is from. Reports whose address was taken out, as some mailbox providers do, tell nobody. */
function complaints(
  feedback: MimePart,
  parts: readonly MimePart[],
  receivedAt: string,
): readonly OptOut[] {
  const fields = parseHeaders(textOf(feedback));
  const type = (fields.get('feedback-type') ?? '').trim().toLowerCase();
  if (!complaintTypes.includes(type)) return [];
  const given = [fields.get('original-rcpt-to') ?? '', returnedHeaders(parts).get('to') ?? ''];
  const addresses = given
    .map((text) => /[^\s<>,;:"()@]{1,64}@[^\s<>,;:"()@]{1,255}/.exec(text)?.[0] ?? '')
    .filter((address) => Check(addressKinds.email.schema, address));
  const [email] = addresses;
  if (email === undefined) return [];
  const date = fields.get('arrival-date') ?? fields.get('received-date');
  const occurredAt = timeOf(date) ?? receivedAt;
  return [{ to: { email }, isOut: true, occurredAt, how: 'complaint' }];
}

const isType = (part: MimePart, name: string) =>
  [`message/${name}`, `message/global-${name}`].includes(contentType(part).type);

/** ISO time of an RFC 5322 date without its comment, or undefined. */
function timeOf(date: string | undefined): string | undefined {
  const time = new Date(
    (date ?? '')
      .slice(0, 100)
      .replace(/\([^)]*\)/g, '')
      .trim(),
  );
  return Number.isNaN(time.getTime()) ? undefined : time.toISOString();
}

const acknowledge = (
  receipts: readonly AskedReceipt[],
  optOuts: readonly OptOut[],
): ReceiptParse => ({
  result: 'receipts',
  receipts,
  ...(optOuts.length > 0 && { optOuts }),
  reply: acknowledgement,
});

const malformed = (detail: string): ReceiptParse => ({
  result: 'refused',
  reason: 'malformed',
  detail,
});
