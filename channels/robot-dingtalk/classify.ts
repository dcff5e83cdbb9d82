/**
 * What an answer of a DingTalk custom robot means: one row per code, and rules for what has no row. Pure;
 * docs/channels/robot-dingtalk.md shows the same rows and a test compares them.
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

export type AnswerMeaning =
  | 'accepted'
  | 'transient'
  | 'rate-limited (recipient)'
  | 'auth-invalid'
  | 'auth-invalid or content-rejected, by its text'
  | 'recipient-invalid'
  | 'content-rejected';

/** `errcode` → meaning. */
export const answerCodes: Readonly<Record<string, AnswerMeaning>> = {
  '0': 'accepted',
  '-1': 'transient',
  '404': 'auth-invalid',
  '40035': 'content-rejected',
  '43002': 'content-rejected',
  '43004': 'content-rejected',
  '101002': 'content-rejected',
  '130101': 'rate-limited (recipient)',
  '300001': 'auth-invalid or content-rejected, by its text',
  '300005': 'auth-invalid',
  '310000': 'auth-invalid or content-rejected, by its text',
  '400013': 'recipient-invalid',
  '400101': 'auth-invalid',
  '400102': 'auth-invalid',
  '400105': 'content-rejected',
  '400106': 'recipient-invalid',
  '410100': 'rate-limited (recipient)',
  '430101': 'content-rejected',
  '430102': 'content-rejected',
  '430103': 'content-rejected',
  '430104': 'content-rejected',
  '460101': 'content-rejected',
};

/** A robot that sent more than 20 messages in a minute is refused for this long. */
export const penaltyMs = 600_000;

const AnswerSchema = Type.Object({
  errcode: Type.Integer(),
  errmsg: Type.Optional(Type.String()),
});

export interface ClassifyContext {
  readonly to: To;
  readonly deliveryKey: string;
  readonly nowMs: number;
  /** From 0 to below 1: spreads those who are all told to wait. */
  readonly random: number;
}

/** The outcome of a call from what came back. Errors come with HTTP 200, so the code alone decides where there is one. */
export function classifyAnswer(answer: ProviderAnswer, context: ClassifyContext): SendOutcome {
  if (answer.kind !== 'answer') return withoutAnswer(answer);
  const { status, headers } = answer;
  const body = parseJson(answer.body);
  if (!Check(AnswerSchema, body))
    return unreadableAnswer(status, retryAfterMs(headers, context.nowMs), context.random);
  const { errmsg = '' } = body;
  const said = {
    providerCode: String(body.errcode),
    providerMessage: quietText(errmsg, context.to),
  };
  const meaning = answerCodes[said.providerCode] ?? 'transient';
  // Neither "ok" nor "busy" in a server error says how far the call got.
  if (status >= 500 && (meaning === 'accepted' || meaning === 'transient'))
    return { ...said, class: 'ambiguous' };
  switch (meaning) {
    case 'accepted':
      // The robot gives its messages no ids.
      return { ...said, class: 'accepted', providerId: context.deliveryKey };
    case 'rate-limited (recipient)':
      return { ...said, class: 'rate-limited', scope: 'recipient', retryAfterMs: penaltyMs };
    case 'auth-invalid or content-rejected, by its text':
      return {
        ...said,
        class: isAboutSecurity(body.errcode, errmsg) ? 'auth-invalid' : 'content-rejected',
      };
    case 'transient':
    case 'auth-invalid':
    case 'recipient-invalid':
    case 'content-rejected':
      return { ...said, class: meaning };
  }
}

/**
 * 310000 is one code for the signature, the time, our address and the robot's keywords; only the last are the message's
 * fault. 300001 is an unknown token, or any fault in the parameters.
 */
function isAboutSecurity(code: number, text: string): boolean {
  return code === 310000 ? !/keyword|关键词/i.test(text) : /token/i.test(text);
}
