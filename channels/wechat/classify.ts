/**
 * What an answer of the WeChat API means: one row per errcode, and rules for what has no row. The text of an answer
 * decides nothing and is not kept: it quotes what was sent. docs/channels/wechat.md shows the same rows, a test compares.
 */
import { Type } from 'typebox';
import { Check } from 'typebox/value';
import type { OutcomeClass, SendOutcome } from '../../contracts/outcome.ts';
import type { ProviderAnswer } from '../../platform/provider-http.ts';
import { int64Field, parseJson, unreadableAnswer, withoutAnswer } from '../kit/answers.ts';

export type AnswerMeaning =
  | Exclude<OutcomeClass, 'rate-limited' | 'ambiguous'>
  | 'rate-limited (recipient)'
  | 'rate-limited (account)';

/** errcode → what it comes to, and what it says to people. */
export const answerCodes: Readonly<Record<string, readonly [AnswerMeaning, string]>> = {
  '0': ['accepted', 'taken'],
  '-1': ['transient', 'WeChat is busy'],
  '61450': ['transient', 'a system error of WeChat'],
  '43108': ['transient', 'too many calls at once for this person'],
  '40001': ['auth-expired', 'the token is not the current one'],
  '40014': ['auth-expired', 'the token is none'],
  '41001': ['auth-expired', 'the token is missing'],
  '42001': ['auth-expired', 'the token is over'],
  '40002': ['auth-invalid', 'the kind of grant is wrong'],
  '40013': ['auth-invalid', 'no such AppID'],
  '40125': ['auth-invalid', 'the AppSecret is wrong'],
  '40164': ['auth-invalid', 'our address is not on the allowlist of the account'],
  '40243': ['auth-invalid', 'the AppSecret is frozen'],
  '41002': ['auth-invalid', 'the AppID is missing'],
  '41004': ['auth-invalid', 'the AppSecret is missing'],
  '43107': ['auth-invalid', 'the account may not send subscription messages any more'],
  '48001': ['auth-invalid', 'the account may not call this interface'],
  '48004': ['auth-invalid', 'the interface is banned for this account'],
  '48008': ['auth-invalid', 'the account may not send this kind of message'],
  '50001': ['auth-invalid', 'the interface is not granted'],
  '50002': ['auth-invalid', 'the account is restricted'],
  '76021': ['auth-invalid', 'there is no such interface'],
  '76022': ['auth-invalid', 'the interface is not for this kind of account'],
  '89501': ['auth-invalid', 'our address waits for an administrator of the account'],
  '89503': ['auth-invalid', 'an administrator of the account must confirm our address'],
  '89506': ['auth-invalid', 'an administrator refused our address for 24 hours'],
  '89507': ['auth-invalid', 'an administrator refused our address for an hour'],
  '45009': ['quota-exhausted', 'the daily quota is used up'],
  '45011': ['rate-limited (account)', 'too many calls in a minute'],
  '43117': ['rate-limited (recipient)', 'too many messages to this person'],
  '40241': ['duplicate', 'the same message went to this person within the last minute'],
  '40003': ['recipient-invalid', 'the openid is not one of this account'],
  '46004': ['recipient-invalid', 'no such person'],
  '43004': ['recipient-refused', 'the person does not follow the account'],
  '43019': ['recipient-refused', 'the person is on the blacklist of the account'],
  '43101': ['recipient-refused', 'the person refused the template, or no subscription is left'],
  '48002': ['recipient-refused', 'the person takes no messages of the account'],
  '50005': ['recipient-refused', 'the person does not follow the account'],
  '40036': ['template-invalid', 'the template id has a wrong length'],
  '40037': ['template-invalid', 'no such template in this account and library'],
  '41030': ['template-invalid', 'no such page in the released mini-program'],
  '43116': ['template-invalid', 'the template is banned'],
  '40033': ['content-rejected', 'a character is not allowed'],
  '40035': ['content-rejected', 'a parameter is wrong'],
  '40039': ['content-rejected', 'the link is too long'],
  '43002': ['content-rejected', 'it must be a POST: our fault'],
  '44002': ['content-rejected', 'the body is empty: our fault'],
  '45002': ['content-rejected', 'the content is too long'],
  '45168': ['content-rejected', 'a forbidden word'],
  '47001': ['content-rejected', 'the body is not JSON as it must be'],
  '47003': ['content-rejected', 'a value does not fit its field'],
  '61451': ['content-rejected', 'a parameter is wrong'],
};

const ErrorSchema = Type.Object({
  errcode: Type.Integer(),
  errmsg: Type.Optional(Type.String()),
});

export interface ClassifyContext {
  readonly nowMs: number;
  /** From 0 to below 1: spreads those who are all told to wait. */
  readonly jitter: number;
}

const minuteMs = 60_000;
const hourMs = 60 * minuteMs;
/** Per-person limits are not published; ten minutes is what reports speak of. */
const recipientWaitMs = 10 * minuteMs;

/**
 * The outcome of a call from what came back. WeChat answers 200 whatever it says; a refusal is believed at any status,
 * "busy" or success in a 5xx says nothing.
 */
export function classifyAnswer(answer: ProviderAnswer, context: ClassifyContext): SendOutcome {
  if (answer.kind !== 'answer') return withoutAnswer(answer);
  const body = parseJson(answer.body);
  if (!Check(ErrorSchema, body)) return unreadableAnswer(answer.status, undefined, context.jitter);
  const code = String(body.errcode);
  const [meaning, says] = rowOf(code);
  const said = { providerCode: code, providerMessage: describe(says, body.errmsg ?? '') };
  const isSurelyRefused = code !== '0' && meaning !== 'transient';
  if (answer.status >= 300 && !isSurelyRefused) return { ...said, class: 'ambiguous' };
  switch (meaning) {
    case 'accepted': {
      const providerId = int64Field(answer.body, 'msgid');
      // Taken, though no receipt can ever be matched: as if it had been there before.
      return providerId === undefined
        ? { ...said, class: 'duplicate' }
        : { ...said, class: 'accepted', providerId };
    }
    case 'rate-limited (recipient)':
      return { ...said, class: 'rate-limited', scope: 'recipient', retryAfterMs: recipientWaitMs };
    case 'rate-limited (account)':
      return {
        ...said,
        class: 'rate-limited',
        scope: 'account',
        retryAfterMs: minuteMs + Math.floor(context.jitter * 5000),
      };
    case 'quota-exhausted':
      return { ...said, class: meaning, resumeAt: nextDay(context.nowMs) };
    case 'transient':
    case 'duplicate':
    case 'auth-expired':
    case 'auth-invalid':
    case 'recipient-invalid':
    case 'recipient-refused':
    case 'content-rejected':
    case 'template-invalid':
      return { ...said, class: meaning };
  }
}

/** What the ErrorCode of a receipt means for a message that did not arrive. */
export function classifyReceipt(code: string): OutcomeClass {
  const [meaning] = rowOf(code);
  if (meaning.startsWith('rate-limited')) return 'rate-limited';
  // A message that failed was neither taken nor there before, and no token is sent with receipts.
  if (meaning === 'accepted' || meaning === 'duplicate' || meaning === 'auth-expired')
    return 'transient';
  return meaning as OutcomeClass;
}

function rowOf(code: string): readonly [AnswerMeaning, string] {
  const row = Object.hasOwn(answerCodes, code) ? answerCodes[code] : undefined;
  return row ?? ['transient', 'a code that is not known'];
}

/** Our words, with the field that is at fault and WeChat's request id: all that is taken over from its text. */
function describe(says: string, errmsg: string): string {
  const field = /\bdata\.([A-Za-z_][A-Za-z0-9_]{0,63})\.value\b/.exec(errmsg)?.[1];
  const rid = /\brid: ?([0-9a-f]{4,16}(?:-[0-9a-f]{4,16}){1,4})\b/.exec(errmsg)?.[1];
  return [
    says,
    ...(field === undefined ? [] : [`field ${field}`]),
    ...(rid === undefined ? [] : [`rid ${rid}`]),
  ].join(', ');
}

/** Midnight of UTC+8, when quotas begin anew. */
function nextDay(nowMs: number): string {
  const local = new Date(nowMs + 8 * hourMs);
  const day = Date.UTC(local.getUTCFullYear(), local.getUTCMonth(), local.getUTCDate() + 1);
  return new Date(day - 8 * hourMs).toISOString();
}
