/** Whether a message needs its recipient's consent, and whether they have given it and not taken it back. */
import type { AcceptedMessage } from '../contracts/message.ts';
import { Problem } from '../contracts/problems.ts';
import type { Reason } from '../contracts/result.ts';
import type { TenantPolicy } from '../contracts/tenant-policy.ts';
import type { Logger } from '../platform/logger.ts';
import type { ConsentPlace, ConsentWord } from '../store/index.ts';

/** Errors of every call: the problem store-unavailable. */
export interface ConsentDeps {
  readonly policy: (tenantId: string) => Promise<TenantPolicy>;
  /** The newest word of each of these people, by hash. */
  readonly consentsOf: (
    place: ConsentPlace,
    recipientHashes: readonly string[],
  ) => Promise<ReadonlyMap<string, ConsentWord>>;
  readonly logger: Logger;
}

type Asked = Pick<AcceptedMessage, 'tenantId' | 'kind' | 'priority' | 'channel'>;
type Place = ConsentPlace | undefined;

/** Where consent is needed for a message, by its tenant's policy; undefined: it needs none, as critical ones never do. */
export function consentPlace({ requiresConsent = [] }: TenantPolicy, message: Asked): Place {
  const { tenantId, kind, priority, channel } = message;
  if (kind === 'otp' || priority === 'critical') return undefined;
  const isNeeded = requiresConsent.some(
    ({ kinds, channels }) => kinds.includes(kind) && channels?.includes(channel) !== false,
  );
  return isNeeded ? { tenantId, purpose: kind, channel } : undefined;
}

/** Why one person, known by any of these hashes, must not have a message: their newest word holds. */
export function consentLack(
  words: ReadonlyMap<string, ConsentWord>,
  recipientHashes: readonly string[],
): Required<Reason> | undefined {
  const [newest] = recipientHashes
    .flatMap((hash) => words.get(hash) ?? [])
    // Of two at one moment the withdrawal.
    .toSorted((one, other) => compare(other.at, one.at) || compare(other.action, one.action));
  if (newest === undefined)
    return { code: 'no-consent', detail: 'no consent of this recipient is recorded' };
  return newest.action === 'granted'
    ? undefined
    : { code: 'consent-withdrawn', detail: 'this recipient has withdrawn their consent' };
}

const compare = (one: string, other: string) => (one < other ? -1 : Number(one > other));

/**
 * The same for a message: asks only where its tenant's policy needs consent. Errors: while MySQL is away, store-unavailable
 * for marketing, which waits; others go.
 */
export async function lacksConsent(
  deps: ConsentDeps,
  message: Asked & Pick<AcceptedMessage, 'id'>,
  recipientHashes: readonly string[],
): Promise<Required<Reason> | undefined> {
  const place = consentPlace(await deps.policy(message.tenantId), message);
  if (place === undefined) return undefined;
  try {
    return consentLack(await deps.consentsOf(place, recipientHashes), recipientHashes);
  } catch (error) {
    const isAway = error instanceof Problem && error.code === 'store-unavailable';
    if (!isAway || message.kind === 'marketing') throw error;
    deps.logger.warn({ messageId: message.id, error }, 'consent.unchecked');
    return undefined;
  }
}
