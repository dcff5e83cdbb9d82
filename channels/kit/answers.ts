/** What all connectors read alike in a provider's answer: how the call ended on the wire, JSON, texts without addresses. */
import type { To } from '../../contracts/message.ts';
import { addressOf } from '../../contracts/message.ts';
import type { SendOutcome } from '../../contracts/outcome.ts';
import type { ProviderAnswer } from '../../platform/provider-http.ts';

export { retryAfterMs } from '../../platform/provider-http.ts';

/** JSON, or undefined where it is none. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

/**
 * A whole number as the provider wrote it: ids beyond 2^53 lose their last digits in JSON.parse. The first field of this
 * name counts, with or without quotes.
 */
export function int64Field(json: string, field: string): string | undefined {
  return new RegExp(`"${field}"\\s*:\\s*"?(\\d+)`).exec(json)?.[1];
}

/** A call that came to no answer: surely not sent is transient, anything else ambiguous. */
export function withoutAnswer(answer: Exclude<ProviderAnswer, { kind: 'answer' }>): SendOutcome {
  return {
    class: answer.kind === 'not-sent' ? 'transient' : 'ambiguous',
    providerMessage: answer.cause,
  };
}

/** An answer that is not one of the provider's API: a proxy's page, half an answer, a wrong address. */
export function unreadableAnswer(
  status: number,
  retryAfterMs: number | undefined,
  random: number,
): SendOutcome {
  const said = {
    providerCode: `HTTP ${status}`,
    providerMessage: "the answer is not one of the provider's API",
  };
  if (status === 429)
    return {
      ...said,
      class: 'rate-limited',
      scope: 'account',
      retryAfterMs: retryAfterMs ?? 1000 + Math.floor(random * 1000),
    };
  // Redirects and refusals by something in between: the endpoint or the way to it is wrong, for every message.
  if ((status >= 300 && status < 400) || [401, 403, 404, 407].includes(status))
    return { ...said, class: 'auth-invalid' };
  if (status >= 400 && status < 500 && status !== 408) return { ...said, class: 'transient' };
  return { ...said, class: 'ambiguous' };
}

/** A provider's text as it may be kept: without the address it quotes, 300 characters at most. */
export function quietText(text: string, to: To): string {
  const { value } = addressOf(to);
  const bare = value.replace(/^\+/, '');
  return text.replaceAll(value, '***').replaceAll(bare, '***').slice(0, 300);
}
