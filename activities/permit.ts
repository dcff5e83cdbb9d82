/** Whether a message may be sent on a way now: what its recipient wants, quiet hours, and how often the tenant writes. */
import { createHash } from 'node:crypto';
import type { Connector, RecipientWindow } from '../contracts/channel.ts';
import { addressAs, type AcceptedMessage, type To } from '../contracts/message.ts';
import { reachedAt, type Person } from '../contracts/people.ts';
import { Problem } from '../contracts/problems.ts';
import type { Reason } from '../contracts/result.ts';
import type { FrequencyCap, TenantPolicy } from '../contracts/tenant-policy.ts';
import { isTimeZone } from '../platform/time-zone.ts';
import { everyChannel, type Suppression } from '../store/index.ts';
import { lacksConsent, type ConsentDeps } from './consent.ts';
import { quietUntil } from './quiet-hours.ts';

export type Permit =
  | { readonly next: 'go' }
  /** Not before `until` (ISO time). */
  | { readonly next: 'hold'; readonly until: string; readonly reason: Reason }
  /** Not through this channel; another one may do. */
  | { readonly next: 'skip'; readonly status: 'suppressed'; readonly reason: Reason }
  | { readonly next: 'end'; readonly status: 'suppressed'; readonly reason: Reason };

/** Errors of every call: the problem store-unavailable. */
export interface PermitDeps extends ConsentDeps {
  readonly connectors: ReadonlyMap<string, Pick<Connector, 'addressKinds'>>;
  readonly personOf: (key: { tenantId: string; userId: string }) => Promise<Person | undefined>;
  /** Those of any of these addresses. */
  readonly suppressionsOf: (
    tenantId: string,
    recipientHashes: readonly string[],
  ) => Promise<readonly Suppression[]>;
  /** Whether this person said through this channel that they want no more. */
  readonly isOptedOut: (person: {
    tenantId: string;
    channel: string;
    recipientHash: string;
  }) => Promise<boolean>;
  /** Counts a message to a recipient, once however often it is asked for. */
  readonly admitRecipient: (request: {
    accountId: string;
    recipientHash: string;
    windows: readonly RecipientWindow[];
    deliveryKey: string;
    nowMs: number;
  }) => Promise<{ readonly admitted: boolean }>;
  readonly hash: (tenantId: string, to: To) => string;
}

const go: Permit = { next: 'go' };

/**
 * Makes the check. Call it last before a message goes to its account's queue: a message that may go is counted against the
 * frequency caps. Errors: while MySQL is away, store-unavailable for marketing, which waits; others go.
 */
export function createPermit(deps: PermitDeps) {
  return async function permit(message: AcceptedMessage, to: To): Promise<Permit> {
    if (message.kind === 'otp' || message.priority === 'critical') return go;
    try {
      return await judge(deps, message, to);
    } catch (error) {
      const isAway = error instanceof Problem && error.code === 'store-unavailable';
      if (!isAway || message.kind === 'marketing') throw error;
      deps.logger.warn({ messageId: message.id, error }, 'permit.unchecked');
      return go;
    }
  };
}

async function judge(deps: PermitDeps, message: AcceptedMessage, to: To): Promise<Permit> {
  const { tenantId } = message;
  const userId = addressAs('userId', to);
  const person = userId === undefined ? undefined : await deps.personOf({ tenantId, userId });
  const unwanted = await findUnwanted(deps, { message, to, person });
  if (unwanted !== undefined) return unwanted;
  const policy = await deps.policy(tenantId);
  return findQuiet(policy, message, person) ?? (await findCapped(deps, policy, message)) ?? go;
}

/** What the recipient, or somebody for them, does not want. */
async function findUnwanted(
  deps: PermitDeps,
  of: { readonly message: AcceptedMessage; readonly to: To; readonly person: Person | undefined },
): Promise<Permit | undefined> {
  const { message, to, person } = of;
  const { tenantId, channel, kind, recipientHash } = message;
  const connector = deps.connectors.get(message.connector);
  const reached = connector === undefined ? to : (reachedAt(connector, to, person) ?? to);
  // A user and the address in the book are known to lists by either.
  const hashes = [...new Set([recipientHash, deps.hash(tenantId, reached)])];
  const suppressions = await deps.suppressionsOf(tenantId, hashes);

  const whole = suppressions.find(
    (one) => one.channel === everyChannel && one.recipientHash === recipientHash,
  );
  if (whole !== undefined) return suppressed('end', 'suppressed', saidOf(whole));
  const here = suppressions.find((one) => one.channel === everyChannel || one.channel === channel);
  if (here !== undefined) return suppressed('skip', 'suppressed', saidOf(here));
  if (person?.preferences?.channels?.[channel] === false)
    return suppressed('skip', 'preference', `this person wants nothing through ${channel}`);
  if (kind !== 'otp' && person?.preferences?.kinds?.[kind] === false)
    return suppressed('end', 'preference', `this person wants no message of kind ${kind}`);
  const lack = await lacksConsent(deps, message, hashes);
  if (lack !== undefined) return { next: 'skip', status: 'suppressed', reason: lack };
  if (kind !== 'marketing') return undefined;
  const words = await Promise.all(
    hashes.map((each) => deps.isOptedOut({ tenantId, channel, recipientHash: each })),
  );
  return words.includes(true)
    ? suppressed(
        'skip',
        'opted-out',
        'this person said through this channel that they want no marketing',
      )
    : undefined;
}

const saidOf = ({ reason }: Suppression) => `this recipient is on the suppression list: ${reason}`;

function findQuiet(
  { quietHours, timeZone }: TenantPolicy,
  message: AcceptedMessage,
  person: Person | undefined,
): Permit | undefined {
  if (quietHours === undefined || !isOneOf(quietHours.kinds, message)) return undefined;
  const zone = [message.timeZone, person?.timeZone].find(
    (each) => each !== undefined && isTimeZone(each),
  );
  const untilMs = quietUntil(quietHours, zone ?? timeZone, Date.now());
  if (untilMs === undefined) return undefined;
  return {
    next: 'hold',
    until: new Date(untilMs).toISOString(),
    reason: {
      code: 'quiet-hours',
      detail: `it is quiet for this recipient until ${quietHours.to}`,
    },
  };
}

/** Counts the message, unless it is one too many. */
async function findCapped(
  deps: PermitDeps,
  { frequencyCaps = [] }: TenantPolicy,
  message: AcceptedMessage,
): Promise<Permit | undefined> {
  for (const [accountId, windows] of countersOf(frequencyCaps, message)) {
    const { admitted } = await deps.admitRecipient({
      accountId,
      recipientHash: message.recipientHash,
      windows,
      deliveryKey: message.id,
      nowMs: Date.now(),
    });
    if (!admitted)
      return suppressed(
        'end',
        'frequency-capped',
        'this recipient has had as many messages of this kind as the tenant allows for now',
      );
  }
  return undefined;
}

/** The counters that a message counts on: caps of the same kinds are windows of one, admitted in one step. */
function countersOf(
  caps: readonly FrequencyCap[],
  message: AcceptedMessage,
): ReadonlyMap<string, readonly RecipientWindow[]> {
  const counters = new Map<string, RecipientWindow[]>();
  for (const { kinds, count, windowSeconds } of caps) {
    if (!isOneOf(kinds, message)) continue;
    const name = JSON.stringify([message.tenantId, ...kinds.toSorted()]);
    const key = `cap-${createHash('sha256').update(name).digest('hex').slice(0, 24)}`;
    const windows = counters.get(key) ?? [];
    counters.set(key, [...windows, { count, windowSeconds }]);
  }
  return counters;
}

const isOneOf = (kinds: readonly string[], { kind }: AcceptedMessage) => kinds.includes(kind);

function suppressed(next: 'skip' | 'end', code: string, detail: string): Permit {
  return { next, status: 'suppressed', reason: { code, detail } };
}
