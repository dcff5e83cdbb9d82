/**
 * Quotas of tenants: messages per second by token buckets of this machine, per day by blocks of a shared count. A batch that is
 * handed over has a share of its tenant's seconds like one process more.
 */
import { problem } from '../contracts/problems.ts';
import type { Quota, TenantQuotas } from '../contracts/tenant-quotas.ts';
import { priorities, type Priority } from '../contracts/topics.ts';
import { pause } from '../platform/lifecycle.ts';
import type { Logger } from '../platform/logger.ts';
import { createLru } from '../platform/lru.ts';
import type { QuotaCounters } from '../store/index.ts';
import { createDayBlocks, dayEndMs } from './day-blocks.ts';
import { createSecondBuckets, type SecondLimit } from './second-buckets.ts';

export interface QuotasDeps {
  readonly quotasOf: (tenantId: string) => Promise<TenantQuotas>;
  readonly counters: QuotaCounters;
  readonly instanceId: string;
  /** Processes behind this one's port, itself included: its machine's share of a second is theirs together. Default 1. */
  readonly siblings?: number;
  readonly logger: Logger;
  /** Default: the clock. */
  readonly now?: () => number;
  /** How long a message waits for MySQL at most; default 2 s. */
  readonly patienceMs?: number;
}

export interface Admission {
  readonly tenantId: string;
  readonly priority: Priority;
  readonly messageId: string;
  /** A message with an idempotency key may come again, and is counted once. */
  readonly isRepeatable: boolean;
}

export interface Quotas {
  /** Counts one message; resolves with how to take that back. Errors: quota-exceeded, and then nothing is counted. */
  admit(admission: Admission): Promise<() => void>;
  /** `RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers-10); none for a tenant without quotas. */
  headersOf(tenantId: string): Promise<Readonly<Record<string, string>>>;
  close(): Promise<void>;
}

/** One bucket or day: its policy's name, its limit. */
interface Limit {
  readonly name: string;
  readonly tenantId: string;
  /** `total`, or the lane. */
  readonly counter: string;
  readonly perSecond?: number;
  readonly perDay?: number;
}
type DayLimit = Limit & { readonly perDay: number };

const confirmEveryMs = 1000;
/** Keyed messages that a repeat of is known by. */
const keptIds = 100_000;

export function createQuotas(deps: QuotasDeps): Quotas {
  const { quotasOf, counters, instanceId, siblings = 1, logger, now = Date.now, patienceMs } = deps;
  const stopped = new AbortController();
  let processes = 1;
  /** Tenants and lanes in which batches are handed over. */
  let batchLanes = new Set<string>();
  const sharers = ({ tenantId, counter }: SecondLimit) =>
    Math.max(siblings, processes) + (batchLanes.has(`${tenantId}/${counter}`) ? 1 : 0);
  const buckets = createSecondBuckets(
    now,
    (limit) => (limit.perSecond * siblings) / sharers(limit),
  );
  const days = createDayBlocks({
    counters,
    logger,
    now,
    processes: () => processes,
    patienceMs,
  });
  const counted = createLru<true>(keptIds);

  const refusal = (violated: readonly Limit[], all: readonly Limit[]) => {
    const waits = violated.map((limit) =>
      isDay(limit) ? (dayEndMs(now()) - now()) / 1000 : buckets.waitSeconds(limit as SecondLimit),
    );
    const names = violated.map(({ name }) => name);
    return problem('quota-exceeded', {
      detail: `Nothing is left of: ${names.join(', ')}.`,
      retryAfterSeconds: Math.max(1, ...waits),
      violatedPolicies: names,
      headers: headers(all),
    });
  };
  const headers = (limits: readonly Limit[]): Record<string, string> => {
    if (limits.length === 0) return {};
    const toEndOfDay = Math.ceil((dayEndMs(now()) - now()) / 1000);
    const current = limits.map((limit) =>
      isDay(limit)
        ? `"${limit.name}";r=${days.left(limit)};t=${toEndOfDay}`
        : `"${limit.name}";r=${buckets.left(limit as SecondLimit)};t=1`,
    );
    const policies = limits.map((limit) =>
      isDay(limit)
        ? `"${limit.name}";q=${limit.perDay};w=86400`
        : `"${limit.name}";q=${limit.perSecond};w=1`,
    );
    return { 'ratelimit-policy': policies.join(', '), ratelimit: current.join(', ') };
  };

  const loop = (async () => {
    while (!stopped.signal.aborted) {
      try {
        processes = await counters.confirm(instanceId);
        batchLanes = new Set(
          (await counters.batchLanes()).flatMap(({ tenantId, lane }) => [
            `${tenantId}/total`,
            `${tenantId}/${lane}`,
          ]),
        );
        await days.tidy();
      } catch (error) {
        logger.debug({ error, processes }, 'quota.members-unread');
      }
      await pause(confirmEveryMs, stopped.signal);
    }
  })();

  return {
    admit: async ({ tenantId, priority, messageId, isRepeatable }) => {
      const all = limitsOf(tenantId, await quotasOf(tenantId));
      const limits = all.filter(({ counter }) => counter === 'total' || counter === priority);
      if (limits.length === 0 || (isRepeatable && counted.get(messageId))) return () => {};
      const perDay = limits.filter(isDay);
      const perSecond = limits.filter(isSecond);
      const empty = () => [
        ...perSecond.filter((limit) => buckets.here(limit) < 1),
        ...perDay.filter((limit) => !days.canTakeNow(limit)),
      ];
      // A flood over the second's share asks nothing of the database.
      for (;;) {
        await Promise.all(perSecond.map((limit) => buckets.fetch(limit)));
        const tooFast = perSecond.filter((limit) => buckets.left(limit) < 1);
        if (tooFast.length > 0) throw refusal(tooFast, all);
        const mayTake = await Promise.all(perDay.map((limit) => days.mayTake(limit)));
        const usedUp = perDay.filter((_, index) => mayTake[index] === false);
        if (usedUp.length > 0) throw refusal(usedUp, all);
        // Others were admitted while this one waited.
        if (empty().length === 0) break;
      }
      for (const limit of perSecond) buckets.take(limit, 1);
      for (const limit of perDay) days.take(limit);
      if (isRepeatable) counted.set(messageId, true);
      return () => {
        for (const limit of perSecond) buckets.take(limit, -1);
        for (const limit of perDay) days.putBack(limit);
        counted.delete(messageId);
      };
    },
    headersOf: async (tenantId) => headers(limitsOf(tenantId, await quotasOf(tenantId))),
    close: async () => {
      stopped.abort();
      await loop;
      await days.close();
      await counters.leave(instanceId).catch((error: unknown) => {
        logger.warn({ error }, 'quota.member-not-left');
      });
    },
  };
}

function isSecond(limit: Limit): limit is Limit & SecondLimit {
  return limit.perSecond !== undefined;
}

function isDay(limit: Limit): limit is DayLimit {
  return limit.perDay !== undefined;
}

const known = new WeakMap<TenantQuotas, readonly Limit[]>();

/** The limits of a tenant: asked for each message, so they are listed once per edit. */
function limitsOf(tenantId: string, quotas: TenantQuotas): readonly Limit[] {
  if (quotas.total === undefined && quotas.lanes === undefined) return [];
  const listed = known.get(quotas);
  if (listed !== undefined) return listed;
  const limits = (['total', ...priorities] as const).flatMap((counter): Limit[] => {
    const { perSecond, perDay }: Quota =
      (counter === 'total' ? quotas.total : quotas.lanes?.[counter]) ?? {};
    const named = (period: string) => ({
      name: counter === 'total' ? period : `${counter}-${period}`,
      tenantId,
      counter,
    });
    return [
      ...(perSecond === undefined ? [] : [{ ...named('second'), perSecond }]),
      ...(perDay === undefined ? [] : [{ ...named('day'), perDay }]),
    ];
  });
  known.set(quotas, limits);
  return limits;
}
