/**
 * What an answer of APNs means: one row per reason (Apple, "Handling notification responses from APNs"), and rules for
 * what has no row. Pure; docs/channels/push-apns.md shows the same rows and a test compares them.
 */
import { Type } from 'typebox';
import { Check } from 'typebox/value';
import type { SendOutcome } from '../../contracts/outcome.ts';
import type { ProviderAnswer } from '../../platform/provider-http.ts';
import { parseJson, retryAfterMs, unreadableAnswer, withoutAnswer } from '../kit/answers.ts';

export type ReasonMeaning =
  | 'transient'
  | 'ambiguous'
  | 'rate-limited (recipient)'
  | 'rate-limited (account)'
  | 'auth-expired'
  | 'auth-invalid'
  | 'recipient-invalid'
  | 'content-rejected';

export const reasons: Readonly<Record<string, ReasonMeaning>> = {
  BadCollapseId: 'content-rejected',
  BadDeviceToken: 'recipient-invalid',
  BadExpirationDate: 'content-rejected',
  BadMessageId: 'content-rejected',
  BadPriority: 'content-rejected',
  BadTopic: 'auth-invalid',
  DeviceTokenNotForTopic: 'recipient-invalid',
  DuplicateHeaders: 'content-rejected',
  IdleTimeout: 'transient',
  InvalidPushType: 'content-rejected',
  MissingDeviceToken: 'content-rejected',
  MissingTopic: 'auth-invalid',
  PayloadEmpty: 'content-rejected',
  TopicDisallowed: 'auth-invalid',
  BadCertificate: 'auth-invalid',
  BadCertificateEnvironment: 'auth-invalid',
  BadEnvironmentKeyIdInToken: 'auth-invalid',
  UnrelatedKeyIdInToken: 'auth-invalid',
  ExpiredProviderToken: 'auth-expired',
  Forbidden: 'auth-invalid',
  InvalidProviderToken: 'auth-invalid',
  MissingProviderToken: 'auth-invalid',
  BadPath: 'auth-invalid',
  MethodNotAllowed: 'auth-invalid',
  Unregistered: 'recipient-invalid',
  ExpiredToken: 'recipient-invalid',
  PayloadTooLarge: 'content-rejected',
  TooManyProviderTokenUpdates: 'rate-limited (account)',
  TooManyRequests: 'rate-limited (recipient)',
  InternalServerError: 'ambiguous',
  ServiceUnavailable: 'transient',
  Shutdown: 'transient',
};

/** After these the session is given up: the next call needs a new one. */
const sessionEnders: ReadonlySet<string> = new Set([
  'IdleTimeout',
  'InternalServerError',
  'ServiceUnavailable',
  'Shutdown',
  'TooManyProviderTokenUpdates',
]);

/** `timestamp`: since when the token is dead, in epoch milliseconds. */
const RefusalSchema = Type.Object({
  reason: Type.String({ pattern: '^[A-Za-z]{1,64}$' }),
  timestamp: Type.Optional(Type.Number()),
});

/** Whether an answer says that its session is of no more use. */
export function endsSession({ body }: { readonly body: string }): boolean {
  const refusal = parseJson(body);
  return Check(RefusalSchema, refusal) && sessionEnders.has(refusal.reason);
}

export interface ClassifyContext {
  /** The apns-id that was sent: an acceptance repeats it. */
  readonly apnsId: string;
  readonly nowMs: number;
  /** From 0 to below 1. */
  readonly jitter: number;
}

const minuteMs = 60_000;

/** The outcome of a call from what came back. Only 200 with our own apns-id and nothing else is an acceptance. */
export function classifyAnswer(answer: ProviderAnswer, context: ClassifyContext): SendOutcome {
  if (answer.kind !== 'answer') return withoutAnswer(answer);
  const { status, headers, body } = answer;
  const toldMs = retryAfterMs(headers, context.nowMs);
  if (status === 200 && body.trim() === '' && headers['apns-id']?.toLowerCase() === context.apnsId)
    return { class: 'accepted', providerId: context.apnsId };
  const refusal = parseJson(body);
  if (!Check(RefusalSchema, refusal) || status < 400)
    return unreadableAnswer(status, toldMs, context.jitter);
  const said = { providerCode: refusal.reason, ...sinceWhen(refusal.timestamp) };
  const meaning = Object.hasOwn(reasons, refusal.reason) ? reasons[refusal.reason] : undefined;
  switch (meaning) {
    case 'rate-limited (recipient)':
    case 'rate-limited (account)': {
      const scope = meaning === 'rate-limited (account)' ? 'account' : 'recipient';
      return { ...said, class: 'rate-limited', scope, retryAfterMs: toldMs ?? minuteMs };
    }
    case 'transient':
      return { ...said, class: 'transient', ...(toldMs !== undefined && { retryAfterMs: toldMs }) };
    case undefined:
      return { ...said, class: classByStatus(status) };
    case 'ambiguous':
    case 'auth-expired':
    case 'auth-invalid':
    case 'recipient-invalid':
    case 'content-rejected':
      return { ...said, class: meaning };
  }
}

/** A reason that Apple added after this table was written. */
function classByStatus(status: number) {
  if (status >= 500) return 'ambiguous';
  if (status === 403) return 'auth-invalid';
  if (status === 410) return 'recipient-invalid';
  return status === 413 ? 'content-rejected' : 'transient';
}

function sinceWhen(timestamp: number | undefined): { readonly providerMessage?: string } {
  const since = new Date(timestamp ?? Number.NaN);
  return Number.isNaN(since.getTime())
    ? {}
    : { providerMessage: `dead since ${since.toISOString()}` };
}
