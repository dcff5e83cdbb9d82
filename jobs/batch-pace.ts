/** What quotas of a tenant mean for its batches: limits of a day are counted with the block, those of a second are a pace. */
import { blockMembers, type PostBatch } from '../contracts/batch.ts';
import type { TenantQuotas } from '../contracts/tenant-quotas.ts';
import type { Priority } from '../contracts/topics.ts';
import type { DayLimit } from '../store/index.ts';

export interface QuotaLimits {
  readonly lane: Priority;
  readonly perDay: readonly DayLimit[];
  readonly perSecond: readonly { readonly counter: string; readonly most: number }[];
}

/** Those that hold for a batch: of all its tenant's lanes together, and of its own. */
export function limitsOf(
  { priority: lane = 'bulk' }: Pick<PostBatch, 'priority'>,
  { total, lanes }: TenantQuotas,
): QuotaLimits {
  const quotas = [
    ['total', total],
    [lane, lanes?.[lane]],
  ] as const;
  const most = (period: 'perDay' | 'perSecond') =>
    quotas.flatMap(([counter, quota]) => {
      const limit = quota?.[period];
      return limit === undefined ? [] : [{ counter, most: limit }];
    });
  return { lane, perDay: most('perDay'), perSecond: most('perSecond') };
}

/** Lateness up to this is made up for, more is not. */
const slackMs = 1000;

/** The pace of all of a tenant's batches together. */
export interface Pace {
  /** How many may go now; 0: it is not time yet. */
  room(tenantId: string, limits: QuotaLimits): number;
  took(tenantId: string, limits: QuotaLimits, count: number): void;
}

/**
 * Makes it. `processes`: how many ingest processes share each quota with the batches. `now`: milliseconds, default the clock
 * of the process.
 */
export function createPace(processes: () => number, now = () => performance.now()): Pace {
  const nextAtMs = new Map<string, number>();
  const shareOf = (most: number) => most / (processes() + 1);
  const key = (tenantId: string, counter: string) => `${tenantId}/${counter}`;
  return {
    room: (tenantId, { perSecond }) =>
      Math.min(
        blockMembers,
        ...perSecond.map(({ counter, most }) =>
          (nextAtMs.get(key(tenantId, counter)) ?? 0) > now()
            ? 0
            : Math.max(1, Math.floor(shareOf(most))),
        ),
      ),
    took: (tenantId, { perSecond }, count) => {
      for (const { counter, most } of perSecond) {
        const from = Math.max(nextAtMs.get(key(tenantId, counter)) ?? 0, now() - slackMs);
        nextAtMs.set(key(tenantId, counter), from + (count / shareOf(most)) * 1000);
      }
    },
  };
}

/** What a batch waits for while the quota of the day is used up. */
export function quotaWait({ perDay }: QuotaLimits, nowMs: number): string {
  const names = perDay.map(({ counter }) => (counter === 'total' ? 'day' : `${counter}-day`));
  const nextDay = new Date((Math.floor(nowMs / 86_400_000) + 1) * 86_400_000).toISOString();
  return `the tenant's quota is used up for today (${names.join(', ')}): it goes on at ${nextDay}, or when the quota is raised`;
}
