/**
 * What an answer of Huawei's push API means: one row per code
 * (developer.huawei.com/consumer/cn/doc/harmonyos-references/push-scenariozed-api-response; codes of the older API where
 * only that documents them), and one per reason why a token was refused. Pure; docs/channels/push-huawei.md shows the
 * same rows and a test compares them.
 */
import { Type } from 'typebox';
import { Check } from 'typebox/value';
import type { SendOutcome } from '../../contracts/outcome.ts';
import type { ProviderAnswer } from '../../platform/provider-http.ts';
import { parseJson, retryAfterMs, unreadableAnswer, withoutAnswer } from '../kit/answers.ts';

type AnswerMeaning =
  | 'accepted'
  | 'per token'
  | 'transient'
  | 'ambiguous'
  | 'rate-limited (account)'
  | 'auth-expired'
  | 'auth-invalid'
  | 'content-rejected';

/** Code → meaning. `per token`: the message text says which tokens were refused, and why. */
export const answerCodes: Readonly<Record<string, AnswerMeaning>> = {
  '80000000': 'accepted',
  '80100000': 'per token',
  '80300007': 'per token',
  '80100001': 'content-rejected',
  '80100003': 'content-rejected',
  '80100004': 'content-rejected',
  '80100013': 'content-rejected',
  '80100016': 'content-rejected',
  '80100018': 'content-rejected',
  '80100022': 'content-rejected',
  '80300008': 'content-rejected',
  '80300010': 'content-rejected',
  '80300030': 'content-rejected',
  '80100017': 'rate-limited (account)',
  '80300029': 'rate-limited (account)',
  '80200003': 'auth-expired',
  '80200005': 'auth-expired',
  '80200001': 'auth-invalid',
  '80300002': 'auth-invalid',
  '80300011': 'auth-invalid',
  '80300013': 'auth-invalid',
  '80300036': 'auth-invalid',
  '80300037': 'auth-invalid',
  '80600003': 'auth-invalid',
  '81000001': 'ambiguous',
};

/** Why a token was refused → what it means for that message; `*`: any other reason. */
export const tokenReasons: Readonly<
  Record<string, 'recipient-invalid' | 'recipient-refused' | 'auth-invalid' | 'content-rejected'>
> = {
  tokenFormatError: 'recipient-invalid',
  tokenPlatformNotSupport: 'recipient-invalid',
  noRight: 'recipient-invalid',
  countryNotSupport: 'recipient-refused',
  noPushTypeRight: 'auth-invalid',
  noRightToSendThisLiveNotificationEvent: 'auth-invalid',
  disableSendHuaweiMsgBecauseOfPenalty: 'auth-invalid',
  appinfoError: 'auth-invalid',
  atomicUnableSendUnsubscribedMsg: 'content-rejected',
  differentImgVerifyPolicy: 'content-rejected',
  notSupportPlayVoice: 'content-rejected',
  '*': 'recipient-invalid',
};

const AnswerSchema = Type.Object({
  code: Type.String({ minLength: 1 }),
  msg: Type.Optional(Type.String()),
  requestId: Type.Optional(Type.String()),
});
const Tokens = Type.Array(Type.String());
/** `msg` of 80100000: by reason in v3, a plain list in the older API. */
const RefusedSchema = Type.Object({
  failure: Type.Optional(Type.Integer()),
  illegalTokens: Type.Optional(Type.Record(Type.String(), Tokens)),
  illegal_tokens: Type.Optional(Tokens),
});

export interface ClassifyContext {
  readonly nowMs: number;
  /** From 0 to below 1: spreads those who are all told to wait. */
  readonly jitter: number;
}

/** What one call came to: for the call, and for each token that was named. */
export interface CallResult {
  /** Of every token that is not among `refused`. */
  readonly outcome: SendOutcome;
  readonly refused: ReadonlyMap<string, SendOutcome>;
}

/** Reads the answer to a call with these tokens. 503 is Huawei's word for "too many", whatever the body. */
export function classifyAnswer(
  answer: ProviderAnswer,
  tokens: readonly string[],
  context: ClassifyContext,
): CallResult {
  const all = (outcome: SendOutcome): CallResult => ({ outcome, refused: new Map() });
  if (answer.kind !== 'answer') return all(withoutAnswer(answer));
  const { status, headers } = answer;
  const body = parseJson(answer.body);
  const waitMs = retryAfterMs(headers, context.nowMs) ?? 1000 + Math.floor(context.jitter * 1000);
  const isReadable = Check(AnswerSchema, body);
  if (status === 503)
    return all({
      class: 'rate-limited',
      scope: 'account',
      retryAfterMs: waitMs,
      providerCode: isReadable ? body.code : 'HTTP 503',
      providerMessage: 'flow control',
    });
  if (!isReadable) return all(unreadableAnswer(status, waitMs, context.jitter));
  const { code, msg = '', requestId = '' } = body;
  const said = { providerCode: code, providerMessage: quiet(msg, tokens) };
  const meaning = meaningOf(code, status);
  switch (meaning) {
    case 'accepted':
      return all(accepted(requestId));
    case 'per token':
      return readRefused({ code, msg, requestId }, tokens);
    case 'rate-limited (account)':
      return all({ ...said, class: 'rate-limited', scope: 'account', retryAfterMs: waitMs });
    case 'transient':
    case 'ambiguous':
    case 'auth-expired':
    case 'auth-invalid':
    case 'content-rejected':
      return all({ ...said, class: meaning });
  }
}

/** Taken, also where the request id by which receipts and people name it should be missing. */
function accepted(requestId: string): SendOutcome {
  return { class: 'accepted', providerId: requestId === '' ? 'unnamed' : requestId };
}

/** An unknown code is no success: a server's error may have taken it, anything else may be tried again. */
function meaningOf(code: string, status: number): AnswerMeaning {
  return answerCodes[code] ?? (status >= 500 ? 'ambiguous' : 'transient');
}

/**
 * 80100000: some tokens were refused, 80300007: all. Where fewer are named than failed, nobody knows who the others
 * are: they stay ambiguous, for a second notification replaces the first.
 */
function readRefused(
  answer: { readonly code: string; readonly msg: string; readonly requestId: string },
  tokens: readonly string[],
): CallResult {
  const { code, msg, requestId } = answer;
  const refuse = (reason: string): SendOutcome => ({
    class: tokenReasons[reason] ?? 'recipient-invalid',
    providerCode: code,
    // Only words we know: in another form of answer a token might stand here.
    providerMessage:
      reason !== '*' && Object.hasOwn(tokenReasons, reason) ? reason : 'token refused',
  });
  const told = parseJson(msg);
  const named = Check(RefusedSchema, told)
    ? [
        ...Object.entries(told.illegalTokens ?? {}),
        ...(told.illegal_tokens === undefined
          ? []
          : [['illegalTokens', told.illegal_tokens] as const]),
      ]
    : [];
  const ours = new Set(tokens);
  const refused = new Map(
    named.flatMap(([reason, list]) =>
      list.filter((token) => ours.has(token)).map((token) => [token, refuse(reason)] as const),
    ),
  );
  if (code === '80300007') {
    const [reason] = named[0] ?? ['*'];
    return { outcome: refuse(reason), refused };
  }
  const failures = Check(RefusedSchema, told) ? told.failure : undefined;
  const isComplete = refused.size > 0 && refused.size >= (failures ?? 0);
  const outcome: SendOutcome = isComplete
    ? accepted(requestId)
    : {
        class: 'ambiguous',
        providerCode: code,
        providerMessage: 'partly taken, and not told for whom',
      };
  return { outcome, refused };
}

/** Huawei's text without tokens: those of the call, and whatever else is as long as one. */
function quiet(text: string, tokens: readonly string[]): string {
  const known = tokens.length > 20 ? [] : tokens;
  return known
    .reduce((rest, token) => rest.replaceAll(token, '***'), text)
    .replace(/[A-Za-z0-9_+/=-]{32,}/g, '***')
    .slice(0, 300);
}
