/**
 * What an answer of a Feishu custom robot means: one row per code, and rules for what has no row. Pure;
 * docs/channels/robot-feishu.md shows the same rows and a test compares them.
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
  | 'rate-limited (recipient)'
  | 'rate-limited (recipient) or content-rejected, by its text'
  | 'auth-invalid'
  | 'content-rejected';

/** `code` → meaning. */
export const answerCodes: Readonly<Record<string, AnswerMeaning>> = {
  '0': 'accepted',
  '9499': 'rate-limited (recipient) or content-rejected, by its text',
  '11232': 'rate-limited (recipient)',
  '19001': 'auth-invalid',
  '19002': 'content-rejected',
  '19007': 'auth-invalid',
  '19021': 'auth-invalid',
  '19022': 'auth-invalid',
  '19024': 'content-rejected',
};

/** The robot's longest window is a minute, and a system under pressure (full and half hours) recovers sooner. */
const throttlePauseMs = 10_000;

/** `StatusCode` is what the first version said; today's refusals carry it too, as 0, so `code` goes first. */
const AnswerSchema = Type.Union([
  Type.Object({ code: Type.Integer(), msg: Type.Optional(Type.String()) }),
  Type.Object({ StatusCode: Type.Integer(), StatusMessage: Type.Optional(Type.String()) }),
]);

export interface ClassifyContext {
  readonly to: To;
  readonly deliveryKey: string;
  readonly nowMs: number;
  /** From 0 to below 1: spreads those who are all told to wait. */
  readonly random: number;
}

/** The outcome of a call from what came back. A code that says "refused" is believed at any HTTP status. */
export function classifyAnswer(answer: ProviderAnswer, context: ClassifyContext): SendOutcome {
  if (answer.kind !== 'answer') return withoutAnswer(answer);
  const { status, headers } = answer;
  const toldMs = retryAfterMs(headers, context.nowMs);
  const body = parseJson(answer.body);
  if (!Check(AnswerSchema, body)) return unreadableAnswer(status, toldMs, context.random);
  const [code, text = ''] =
    'code' in body ? [body.code, body.msg] : [body.StatusCode, body.StatusMessage];
  const said = { providerCode: String(code), providerMessage: quietText(text, context.to) };
  const limited = {
    ...said,
    class: 'rate-limited',
    scope: 'recipient',
    retryAfterMs: toldMs ?? throttlePauseMs + Math.floor(context.random * throttlePauseMs),
  } as const;
  if (status === 429) return limited;
  const meaning = answerCodes[said.providerCode] ?? 'unknown';
  // Neither "success" nor an unknown code in a server error says how far the call got.
  if (status >= 500 && (meaning === 'accepted' || meaning === 'unknown'))
    return { ...said, class: 'ambiguous' };
  switch (meaning) {
    case 'accepted':
      // The robot gives its messages no ids.
      return { ...said, class: 'accepted', providerId: context.deliveryKey };
    case 'rate-limited (recipient)':
      return limited;
    case 'rate-limited (recipient) or content-rejected, by its text':
      return /too many|frequency/i.test(text) ? limited : { ...said, class: 'content-rejected' };
    case 'auth-invalid':
    case 'content-rejected':
      return { ...said, class: meaning };
    case 'unknown':
      return { ...said, class: 'transient' };
  }
}
