/**
 * What became of a mail, from nodemailer's result or error. The one question: had the final dot of DATA perhaps left? Until
 * then nothing was taken, whatever broke; after it only a reply that RFC 5321 knows for a mail is believed. Pure.
 */
import type { NodemailerError } from 'nodemailer';
import { addressOf, type To } from '../../contracts/message.ts';
import type { SendOutcome } from '../../contracts/outcome.ts';
import { clientErrors, meaningOfReply, type Meaning, type Stage } from './codes.ts';

export type SmtpError = Pick<
  NodemailerError,
  'code' | 'originalCode' | 'command' | 'response' | 'message'
>;

export interface FailureContext {
  readonly to: To;
  /** Whether the final dot may have been written to the socket. */
  readonly dotMayHaveLeft: boolean;
  /** From 0 to below 1: spreads those who are all told to wait. */
  readonly jitter: number;
}

export interface Reply {
  readonly code: string;
  readonly status: string | undefined;
  readonly text: string;
}

const minuteMs = 60_000;

/** Reads `550 5.1.1 text`, of several lines or one; undefined where it is no SMTP reply. */
export function readReply(response: string | undefined): Reply | undefined {
  const found = /^([245]\d\d)(?:[ -]|$)(?:#?([245]\.\d{1,3}\.\d{1,3})(?:[\s:]|$))?/.exec(
    response ?? '',
  );
  if (response === undefined || found?.[1] === undefined) return undefined;
  const text = response.slice(found[0].length).replace(/\r?\n\d{3}[ -]?/g, ' ');
  return { code: found[1], status: found[2], text };
}

/** The outcome of a call that failed. */
export function classifyFailure(error: SmtpError, context: FailureContext): SendOutcome {
  const { to, dotMayHaveLeft } = context;
  const reply = readReply(error.response);
  const stage = stageOf(error);
  const isReply = reply !== undefined && !reply.code.startsWith('2') && stage !== undefined;
  // A line that is no reply, or one that comes when none is due, says nothing of the mail.
  if (isReply && (!dotMayHaveLeft || stage === 'dot')) {
    const { code, status, text } = reply;
    const meaning = meaningOfReply(stage, code, status);
    const said = {
      providerCode: status === undefined ? code : `${code} ${status}`,
      providerMessage: quietMailText(text, to),
    };
    return toOutcome(meaning, said, context.jitter);
  }
  const code = error.code ?? 'ESOCKET';
  const said = {
    providerCode: error.originalCode === undefined ? code : `${code} ${error.originalCode}`,
    providerMessage: quietMailText(error.message, to),
  };
  if (dotMayHaveLeft) return { ...said, class: 'ambiguous' };
  // With a response that is no reply nodemailer's code only tells where it came.
  const isNamed = error.response === undefined && Object.hasOwn(clientErrors, code);
  const meaning = isNamed ? clientErrors[code] : undefined;
  return toOutcome(meaning ?? 'transient', said, context.jitter);
}

/** The outcome of a mail that was taken: the server's own id where it names one, else our Message-ID. */
export function classifyAccepted(
  info: { readonly response: string; readonly serverMessageId?: string | undefined },
  messageId: string,
  to: To,
): SendOutcome {
  const reply = readReply(info.response);
  const queued = /\b(?:queued as|queue id|id)[ =:]+<?([\w.+/=-]{4,100})/i.exec(info.response)?.[1];
  return {
    class: 'accepted',
    providerId: queued ?? info.serverMessageId ?? messageId,
    providerCode: reply?.code ?? '250',
    providerMessage: quietMailText(reply?.text ?? '', to),
  };
}

function stageOf({ code, command = '' }: SmtpError): Stage | undefined {
  if (command.startsWith('AUTH')) return 'auth';
  if (command === 'MAIL FROM') return 'mail';
  if (command === 'RCPT TO') return 'rcpt';
  if (command === 'DATA') return code === 'EMESSAGE' ? 'dot' : 'data';
  return ['CONN', 'EHLO', 'HELO', 'STARTTLS'].includes(command) ? 'connect' : undefined;
}

function toOutcome(
  meaning: Meaning,
  said: { readonly providerCode: string; readonly providerMessage: string },
  jitter: number,
): SendOutcome {
  const spread = (ms: number) => ms + Math.floor((jitter * ms) / 4);
  switch (meaning) {
    case 'transient (in 5 min)':
      return { ...said, class: 'transient', retryAfterMs: spread(5 * minuteMs) };
    case 'transient (in 1 h)':
      return { ...said, class: 'transient', retryAfterMs: spread(60 * minuteMs) };
    case 'rate-limited (account)':
      return { ...said, class: 'rate-limited', scope: 'account', retryAfterMs: spread(minuteMs) };
    case 'rate-limited (recipient)': {
      const retryAfterMs = spread(5 * minuteMs);
      return { ...said, class: 'rate-limited', scope: 'recipient', retryAfterMs };
    }
    case 'transient':
    case 'ambiguous':
    case 'auth-invalid':
    case 'quota-exhausted':
    case 'recipient-invalid':
    case 'recipient-refused':
    case 'content-rejected':
      return { ...said, class: meaning };
  }
}

/** A server's text as it may be kept: no mail address, not the recipient's name, 300 characters at most. */
export function quietMailText(text: string, to?: To): string {
  // Bounded, so that a server's endless word costs no time.
  const bare = text.replace(/[^\s<>"'`()[\],;:=@]{1,64}@[^\s<>"'`()[\],;:]{1,255}/g, '***');
  const name = to === undefined ? '' : (addressOf(to).value.split('@')[0] ?? '');
  const escaped = name.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
  // A name like "a" is no secret and would tear up every word.
  const quiet = name.length < 3 ? bare : bare.replace(new RegExp(escaped, 'gi'), '***');
  return quiet
    .replace(/[\s\p{Cc}]+/gu, ' ')
    .trim()
    .slice(0, 300);
}
