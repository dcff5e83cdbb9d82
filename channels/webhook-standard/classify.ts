/**
 * What a receiver's answer means: by its HTTP status alone, for receivers share no other vocabulary. Pure;
 * docs/channels/webhook-standard.md shows the same rows and a test compares them.
 */
import type { SendOutcome } from '../../contracts/outcome.ts';
import type { ProviderAnswer } from '../../platform/provider-http.ts';
import { retryAfterMs, withoutAnswer } from '../kit/answers.ts';

export type StatusMeaning =
  | 'accepted'
  | 'transient'
  | 'ambiguous'
  | 'recipient-invalid'
  | 'rate-limited (recipient)'
  | 'rate-limited (recipient) with Retry-After, else ambiguous';

/** Status → meaning; a class of statuses (`4xx`) stands for those without a row of their own. */
export const answerStatuses: Readonly<Record<string, StatusMeaning>> = {
  '2xx': 'accepted',
  '3xx': 'transient',
  '4xx': 'transient',
  '410': 'recipient-invalid',
  '429': 'rate-limited (recipient)',
  '503': 'rate-limited (recipient) with Retry-After, else ambiguous',
  '5xx': 'ambiguous',
};

/** How long a receiver is left alone that says 429 without Retry-After. */
const throttlePauseMs = 30_000;

/** The outcome of a call from what came back. Nothing of the answer's body is kept: it may quote what we sent. */
export function classifyAnswer(
  answer: ProviderAnswer,
  context: { readonly webhookId: string; readonly nowMs: number },
): SendOutcome {
  if (answer.kind !== 'answer') return withoutAnswer(answer);
  const { status, headers } = answer;
  const said = { providerCode: `HTTP ${status}` };
  const toldMs = retryAfterMs(headers, context.nowMs);
  const limited = { ...said, class: 'rate-limited', scope: 'recipient' } as const;
  const meaning = meaningOf(status);
  switch (meaning) {
    case 'accepted':
      return { ...said, class: 'accepted', providerId: context.webhookId };
    case 'rate-limited (recipient)':
      return { ...limited, retryAfterMs: toldMs ?? throttlePauseMs };
    case 'rate-limited (recipient) with Retry-After, else ambiguous':
      return toldMs === undefined
        ? { ...said, class: 'ambiguous' }
        : { ...limited, retryAfterMs: toldMs };
    case 'transient':
    case 'ambiguous':
    case 'recipient-invalid':
      return { ...said, class: meaning };
  }
}

function meaningOf(status: number): StatusMeaning {
  const family = `${Math.floor(status / 100)}xx`;
  return answerStatuses[String(status)] ?? answerStatuses[family] ?? 'ambiguous';
}
