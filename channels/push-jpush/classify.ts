/**
 * What an answer of JPush means: one row per code (docs.jiguang.cn, Push API v3 and Report API v3), and rules for what
 * has no row. Pure; docs/channels/push-jpush.md shows the same rows and a test compares them.
 */
import { Type } from 'typebox';
import { Check } from 'typebox/value';
import type { To } from '../../contracts/message.ts';
import type { SendOutcome } from '../../contracts/outcome.ts';
import type { ProviderAnswer } from '../../platform/provider-http.ts';
import {
  int64Field,
  parseJson,
  quietText,
  unreadableAnswer,
  withoutAnswer,
} from '../kit/answers.ts';

export type CodeMeaning =
  | 'transient'
  | 'ambiguous'
  | 'rate-limited (recipient)'
  | 'rate-limited (account)'
  | 'auth-invalid'
  | 'recipient-invalid'
  | 'content-rejected'
  /** 1003: by the parameter that its text names. */
  | 'by its text';

export const codes: Readonly<Record<string, CodeMeaning>> = {
  '10': 'transient',
  '1000': 'ambiguous',
  '1001': 'auth-invalid',
  '1002': 'content-rejected',
  '1003': 'by its text',
  '1004': 'auth-invalid',
  '1005': 'content-rejected',
  '1008': 'auth-invalid',
  '1009': 'content-rejected',
  '1011': 'recipient-invalid',
  '1012': 'rate-limited (account)',
  '1020': 'auth-invalid',
  '1030': 'ambiguous',
  '2002': 'rate-limited (account)',
  '2003': 'auth-invalid',
  '2004': 'auth-invalid',
  '2005': 'rate-limited (recipient)',
  '2006': 'auth-invalid',
  '2007': 'auth-invalid',
  '3001': 'auth-invalid',
};

const RefusalSchema = Type.Object({
  error: Type.Object({ code: Type.Integer(), message: Type.Optional(Type.String()) }),
});

export interface ClassifyContext {
  /** Whom the call was for: their ids are taken out of what JPush says. */
  readonly to: readonly To[];
  /** From 0 to below 1. */
  readonly jitter: number;
}

const minuteMs = 60_000;
const hourMs = 60 * minuteMs;

/** The outcome of a push from what came back. */
export function classifyPush(answer: ProviderAnswer, context: ClassifyContext): SendOutcome {
  const refusal = classifyRefusal(answer, context);
  if (refusal !== undefined) return refusal;
  const providerId = answer.kind === 'answer' ? int64Field(answer.body, 'msg_id') : undefined;
  return providerId === undefined
    ? { class: 'ambiguous', providerMessage: 'an acceptance without a msg_id' }
    : { class: 'accepted', providerId };
}

/** What is wrong with an answer of any call; undefined: it is a 200 with JSON that tells of no error. */
export function classifyRefusal(
  answer: ProviderAnswer,
  context: ClassifyContext,
): SendOutcome | undefined {
  if (answer.kind !== 'answer') return withoutAnswer(answer);
  const { status, headers } = answer;
  const body = parseJson(answer.body);
  const resetMs = resetIn(headers['x-rate-limit-reset']);
  if (!Check(RefusalSchema, body)) {
    if (status === 200 && typeof body === 'object' && body !== null) return undefined;
    return unreadableAnswer(status, resetMs, context.jitter);
  }
  const { code, message = '' } = body.error;
  const said = {
    providerCode: String(code),
    providerMessage: context.to.reduce(quietText, message).slice(0, 300),
  };
  const meaning = codes[String(code)] ?? meaningOfStatus(status);
  switch (meaning) {
    case 'rate-limited (recipient)':
      return { ...said, class: 'rate-limited', scope: 'recipient', retryAfterMs: hourMs };
    case 'rate-limited (account)':
      return {
        ...said,
        class: 'rate-limited',
        scope: 'account',
        retryAfterMs: resetMs ?? minuteMs,
      };
    case 'by its text':
      return { ...said, class: classOfBadParameter(message) };
    case 'transient':
    case 'ambiguous':
    case 'auth-invalid':
    case 'recipient-invalid':
    case 'content-rejected':
      return { ...said, class: meaning };
  }
}

/**
 * 1003 names the parameter. A cid that JPush does not know (any more) says of this call that it did nothing, and nothing
 * of an earlier call with the same cid: whether the message was taken is open.
 */
function classOfBadParameter(message: string) {
  if (/registration_?id/i.test(message)) return 'recipient-invalid';
  return /\bcid\b/i.test(message) ? 'ambiguous' : 'content-rejected';
}

/** A code that JPush added after this table was written. */
function meaningOfStatus(status: number): CodeMeaning {
  if (status >= 500) return 'ambiguous';
  if (status === 429) return 'rate-limited (account)';
  return status === 401 || status === 403 ? 'auth-invalid' : 'transient';
}

/** `X-Rate-Limit-Reset`: seconds until the minute's quota is back; at least one, at most an hour. */
function resetIn(header: string | undefined): number | undefined {
  if (header === undefined || !/^\d{1,9}$/.test(header)) return undefined;
  return Math.min(Math.max(Number(header), 1) * 1000, hourMs);
}
