/**
 * What an answer of the SMS API means: one row per code (help.aliyun.com/document_detail/101346.html), and rules for what
 * has no row. Pure; docs/channels/sms-aliyun.md shows the same rows and a test compares them.
 */
import { Type } from 'typebox';
import { Check } from 'typebox/value';
import type { SendOutcome } from '../../contracts/outcome.ts';
import type { ProviderAnswer } from '../../platform/provider-http.ts';
import { parseJson, unreadableAnswer, withoutAnswer } from '../kit/answers.ts';
import { maskNumbers } from './address.ts';

export type AnswerMeaning =
  | 'accepted'
  | 'transient'
  | 'ambiguous'
  | 'rate-limited (recipient)'
  | 'rate-limited (account)'
  | 'auth-invalid'
  | 'quota-exhausted'
  | 'recipient-invalid'
  | 'content-rejected'
  | 'template-invalid';

/** Code → meaning. A trailing `*` stands for any ending; an exact code goes before it. */
export const answerCodes: Readonly<Record<string, AnswerMeaning>> = {
  OK: 'accepted',
  'isv.BUSINESS_LIMIT_CONTROL': 'rate-limited (recipient)',
  'Throttling*': 'rate-limited (account)',
  'isv.DAY_LIMIT_CONTROL': 'quota-exhausted',
  'isv.MONTH_LIMIT_CONTROL': 'quota-exhausted',
  'isv.AMOUNT_NOT_ENOUGH': 'quota-exhausted',
  'isv.OUT_OF_SERVICE': 'quota-exhausted',
  'isv.ACCOUNT_ABNORMAL': 'quota-exhausted',
  'isv.PRODUCT_UN_SUBSCRIPT': 'auth-invalid',
  'isv.PRODUCT_UNSUBSCRIBE': 'auth-invalid',
  'isv.ACCOUNT_NOT_EXISTS': 'auth-invalid',
  'isp.RAM_PERMISSION_DENY': 'auth-invalid',
  'isv.DENY_IP_RANGE': 'auth-invalid',
  'InvalidAccessKeyId*': 'auth-invalid',
  SignatureDoesNotMatch: 'auth-invalid',
  IncompleteSignature: 'auth-invalid',
  'InvalidSecurityToken*': 'auth-invalid',
  'InvalidTimeStamp*': 'auth-invalid',
  'Forbidden*': 'auth-invalid',
  'NoPermission*': 'auth-invalid',
  SignatureNonceUsed: 'ambiguous',
  'isv.MOBILE_NUMBER_ILLEGAL': 'recipient-invalid',
  'isv.SMS_TEMPLATE_ILLEGAL': 'template-invalid',
  'isv.SMS_SIGNATURE_ILLEGAL': 'template-invalid',
  'isv.SMS_SIGN_ILLEGAL': 'template-invalid',
  'isv.SIGN_STATE_ILLEGAL': 'template-invalid',
  'isv.SMS_SIGNATURE_SCENE_ILLEGAL': 'template-invalid',
  'isv.EXTEND_CODE_ERROR': 'template-invalid',
  'isv.TEMPLATE_MISSING_PARAMETERS': 'template-invalid',
  'isv.DOMESTIC_NUMBER_NOT_SUPPORTED': 'template-invalid',
  'isv.SMS_CONTENT_ILLEGAL': 'content-rejected',
  'isv.BLACK_KEY_CONTROL_LIMIT': 'content-rejected',
  'isv.PARAM_NOT_SUPPORT_URL': 'content-rejected',
  'isv.PARAM_LENGTH_LIMIT': 'content-rejected',
  'isv.INVALID_PARAMETERS': 'content-rejected',
  'isv.INVALID_JSON_PARAM': 'content-rejected',
  'isv.MOBILE_COUNT_OVER_LIMIT': 'content-rejected',
  'isv.*': 'content-rejected',
  'isp.SYSTEM_ERROR': 'transient',
  'isp.*': 'transient',
  'Missing*': 'content-rejected',
  'Invalid*': 'content-rejected',
};

/** An answer of any call as the API writes it; more fields may be there. */
export const AnswerSchema = Type.Object({
  Code: Type.String({ minLength: 1 }),
  Message: Type.Optional(Type.String()),
  BizId: Type.Optional(Type.String({ minLength: 1 })),
  RequestId: Type.Optional(Type.String()),
});

export interface ClassifyContext {
  readonly nowMs: number;
  /** From 0 to below 1: spreads those who are all told to wait. */
  readonly jitter: number;
}

/**
 * The outcome of a call from what came back. A code that says "refused" is believed at any HTTP status; without one,
 * 5xx and an unreadable 200 are ambiguous.
 */
export function classifyAnswer(answer: ProviderAnswer, context: ClassifyContext): SendOutcome {
  if (answer.kind !== 'answer') return withoutAnswer(answer);
  const body = parseJson(answer.body);
  if (!Check(AnswerSchema, body)) return unreadableAnswer(answer.status, undefined, context.jitter);
  const said = { providerCode: body.Code, providerMessage: cleanMessage(body.Message ?? '') };
  const meaning = meaningOf(body.Code, answer.status);
  switch (meaning) {
    case 'accepted': {
      // Without any id nothing could be matched later; the provider's books then tell.
      const providerId = body.BizId ?? body.RequestId;
      return providerId === undefined || answer.status >= 300
        ? { ...said, class: 'ambiguous' }
        : { ...said, class: 'accepted', providerId };
    }
    case 'rate-limited (recipient)':
      return {
        ...said,
        class: 'rate-limited',
        scope: 'recipient',
        retryAfterMs: windowMs(body.Message ?? ''),
      };
    case 'rate-limited (account)':
      return {
        ...said,
        class: 'rate-limited',
        scope: 'account',
        retryAfterMs: throttleMs(answer.headers['x-acs-retry-after'], context),
      };
    case 'quota-exhausted': {
      const resumeAt = resumeTime(body.Code, context.nowMs);
      return {
        ...said,
        class: 'quota-exhausted',
        ...(resumeAt === undefined ? {} : { resumeAt }),
      };
    }
    case 'transient':
    case 'ambiguous':
    case 'auth-invalid':
    case 'recipient-invalid':
    case 'content-rejected':
    case 'template-invalid':
      return { ...said, class: meaning };
  }
}

function meaningOf(code: string, status: number): AnswerMeaning {
  const exact = Object.hasOwn(answerCodes, code) ? answerCodes[code] : undefined;
  const family = Object.keys(answerCodes).find(
    (row) => row.endsWith('*') && code.startsWith(row.slice(0, -1)),
  );
  const meaning = exact ?? (family === undefined ? undefined : answerCodes[family]);
  // "System error" in a 5xx says nothing about how far the call got.
  if (status >= 500 && (meaning === undefined || meaning === 'transient')) return 'ambiguous';
  return meaning ?? 'transient';
}

const minuteMs = 60_000;
const hourMs = 60 * minuteMs;
const dayMs = 24 * hourMs;

/** How long a recipient's window may still be full, from `触发分钟级流控Permits:1`; an hour where the text names none. */
function windowMs(message: string): number {
  const unit = /触发.*?(分钟|小时|天|日)级流控/.exec(message)?.[1];
  if (unit === '分钟') return minuteMs;
  if (unit === '天' || unit === '日') return dayMs;
  return hourMs;
}

function throttleMs(header: string | undefined, context: ClassifyContext): number {
  const told = header !== undefined && /^[0-9]{1,9}$/.test(header) ? Number(header) : undefined;
  return told === undefined || told === 0
    ? 1000 + Math.floor(context.jitter * 1000)
    : Math.min(told, hourMs);
}

/** The account's caps count by calendar day and month of UTC+8. */
function resumeTime(code: string, nowMs: number): string | undefined {
  const local = new Date(nowMs + 8 * hourMs);
  const [year, month, day] = [local.getUTCFullYear(), local.getUTCMonth(), local.getUTCDate()];
  if (code === 'isv.DAY_LIMIT_CONTROL')
    return new Date(Date.UTC(year, month, day + 1) - 8 * hourMs).toISOString();
  if (code === 'isv.MONTH_LIMIT_CONTROL')
    return new Date(Date.UTC(year, month + 1, 1) - 8 * hourMs).toISOString();
  return undefined;
}

/** The provider's text without what is personal: the string to sign repeats the whole request. */
function cleanMessage(message: string): string {
  return maskNumbers((message.split(/server string to sign/i)[0] ?? '').trim()).slice(0, 300);
}
