/**
 * What an answer of the FCM HTTP v1 API means: one row per code (firebase.google.com/docs/reference/fcm/rest/v1/ErrorCode
 * and google.rpc.Code). Pure; docs/channels/push-fcm.md shows the same rows and a test compares them.
 */
import { Type } from 'typebox';
import { Check } from 'typebox/value';
import type { To } from '../../contracts/message.ts';
import type { SendOutcome } from '../../contracts/outcome.ts';
import type { ProviderAnswer } from '../../platform/provider-http.ts';
import {
  parseJson,
  quietText,
  retryAfterMs,
  unreadableAnswer,
  withoutAnswer,
} from '../kit/answers.ts';

type AnswerMeaning =
  | 'transient'
  | 'ambiguous'
  | 'rate-limited (recipient)'
  | 'rate-limited (account)'
  | 'auth-expired'
  | 'auth-invalid'
  | 'recipient-invalid'
  | 'content-rejected';

/** Code → meaning: `errorCode` of the FcmError in the details, else `status`. In brackets: what the details add. */
export const errorCodes: Readonly<Record<string, AnswerMeaning>> = {
  UNREGISTERED: 'recipient-invalid',
  SENDER_ID_MISMATCH: 'recipient-invalid',
  'INVALID_ARGUMENT (token)': 'recipient-invalid',
  INVALID_ARGUMENT: 'content-rejected',
  'QUOTA_EXCEEDED (device)': 'rate-limited (recipient)',
  QUOTA_EXCEEDED: 'rate-limited (account)',
  RESOURCE_EXHAUSTED: 'rate-limited (account)',
  THIRD_PARTY_AUTH_ERROR: 'auth-invalid',
  PERMISSION_DENIED: 'auth-invalid',
  NOT_FOUND: 'auth-invalid',
  FAILED_PRECONDITION: 'auth-invalid',
  UNIMPLEMENTED: 'auth-invalid',
  UNAUTHENTICATED: 'auth-expired',
  UNAVAILABLE: 'transient',
  INTERNAL: 'ambiguous',
  UNSPECIFIED_ERROR: 'ambiguous',
  UNKNOWN: 'ambiguous',
  ABORTED: 'ambiguous',
  CANCELLED: 'ambiguous',
  DEADLINE_EXCEEDED: 'ambiguous',
};

const AcceptedSchema = Type.Object({ name: Type.String({ minLength: 1 }) });
const ErrorSchema = Type.Object({
  error: Type.Object({
    message: Type.Optional(Type.String()),
    status: Type.Optional(Type.String({ minLength: 1 })),
    details: Type.Optional(Type.Array(Type.Unknown())),
  }),
});
const FcmErrorSchema = Type.Object({ errorCode: Type.String({ minLength: 1 }) });
const BadRequestSchema = Type.Object({
  fieldViolations: Type.Array(Type.Object({ field: Type.Optional(Type.String()) })),
});
const QuotaFailureSchema = Type.Object({ violations: Type.Array(Type.Unknown()) });

export interface ClassifyContext {
  readonly to: To;
  readonly nowMs: number;
  /** From 0 to below 1: spreads those who are all told to wait. */
  readonly jitter: number;
}

/** Where no `Retry-After` says more: a minute, for the quota is counted in minutes. */
const quotaWaitMs = 60_000;

/**
 * The outcome of a call from what came back. A code is believed at any HTTP status; without one, 5xx and an unreadable
 * 200 are ambiguous.
 */
export function classifyAnswer(answer: ProviderAnswer, context: ClassifyContext): SendOutcome {
  if (answer.kind !== 'answer') return withoutAnswer(answer);
  const body = parseJson(answer.body);
  if (answer.status === 200 && Check(AcceptedSchema, body))
    return { class: 'accepted', providerId: body.name };
  const waitMs = retryAfterMs(answer.headers, context.nowMs);
  if (!Check(ErrorSchema, body)) return unreadableAnswer(answer.status, waitMs, context.jitter);
  const { message = '', status, details = [] } = body.error;
  const fcmCode = details.find((detail) => Check(FcmErrorSchema, detail))?.errorCode;
  const code = fcmCode ?? status;
  if (code === undefined) return unreadableAnswer(answer.status, waitMs, context.jitter);
  const fields = details
    .filter((detail) => Check(BadRequestSchema, detail))
    .flatMap(({ fieldViolations }) => fieldViolations.map(({ field = '' }) => field));
  const row = rowOf(code, { message, fields, details, isFcmError: fcmCode !== undefined });
  const said = {
    providerCode: code,
    providerMessage: quietText(withoutValues(message), context.to),
  };
  return outcomeOf(errorCodes[row] ?? fallback(answer.status), said, waitMs);
}

interface ErrorDetails {
  readonly message: string;
  /** Fields that a google.rpc.BadRequest names. */
  readonly fields: readonly string[];
  readonly details: readonly unknown[];
  readonly isFcmError: boolean;
}

/** The table's row: some codes mean two things, and only the details tell which. */
function rowOf(code: string, error: ErrorDetails): string {
  if (code === 'INVALID_ARGUMENT') {
    const isToken =
      error.fields.includes('message.token') ||
      (error.isFcmError && /registration token/i.test(error.message));
    return isToken ? 'INVALID_ARGUMENT (token)' : code;
  }
  if (code === 'QUOTA_EXCEEDED') {
    const violations = error.details.filter((detail) => Check(QuotaFailureSchema, detail));
    return /device/i.test(JSON.stringify(violations)) ? 'QUOTA_EXCEEDED (device)' : code;
  }
  return code;
}

const fallback = (status: number): AnswerMeaning => (status >= 500 ? 'ambiguous' : 'transient');

function outcomeOf(
  meaning: AnswerMeaning,
  said: { readonly providerCode: string; readonly providerMessage: string },
  waitMs: number | undefined,
): SendOutcome {
  switch (meaning) {
    case 'rate-limited (recipient)':
      return {
        ...said,
        class: 'rate-limited',
        scope: 'recipient',
        retryAfterMs: waitMs ?? quotaWaitMs,
      };
    case 'rate-limited (account)':
      return {
        ...said,
        class: 'rate-limited',
        scope: 'account',
        retryAfterMs: waitMs ?? quotaWaitMs,
      };
    case 'transient':
      return {
        ...said,
        class: 'transient',
        ...(waitMs !== undefined && { retryAfterMs: waitMs }),
      };
    case 'ambiguous':
    case 'auth-expired':
    case 'auth-invalid':
    case 'recipient-invalid':
    case 'content-rejected':
      return { ...said, class: meaning };
  }
}

/** FCM quotes a wrong value after its type: `Invalid value at 'message.data[0].value' (TYPE_STRING), "…"`. */
function withoutValues(message: string): string {
  return message.replace(/(Invalid value at '[^']*'(?: \([^)]*\))?).*/s, '$1');
}
