/** Removes what nobody can need any more: limits that are over, tokens that have ended, indices past their days. */
import { pause } from '../platform/lifecycle.ts';
import type { Logger } from '../platform/logger.ts';

export interface HousekeepingDeps {
  /** Each removes at most `limit` rows and resolves with how many. */
  readonly purges: Readonly<Record<string, (limit: number) => Promise<number>>>;
  /** Drops the indices of all days before this one (`2026-11-21`). */
  readonly dropIndicesBefore: (day: string) => Promise<readonly string[]>;
  /** Days that messages stay in the index. */
  readonly indexDays: number;
  readonly holdsLease: () => Promise<boolean>;
  readonly logger: Logger;
  /** Default ten minutes. */
  readonly everyMs?: number;
}

const portion = 1000;
const dayMs = 86_400_000;

/** Runs until stopped; several may run, the lease lets one work. */
export function keepHouse(deps: HousekeepingDeps): { stop(): Promise<void> } {
  const { logger, everyMs = 600_000 } = deps;
  const stopped = new AbortController();
  const clean = async () => {
    for (const [what, purge] of Object.entries(deps.purges)) {
      let removed = 0;
      for (let last = portion; last === portion && !stopped.signal.aborted; removed += last)
        last = await purge(portion);
      if (removed > 0) logger.info({ what, removed }, 'house.purged');
    }
    const day = new Date(Date.now() - deps.indexDays * dayMs).toISOString().slice(0, 10);
    const dropped = await deps.dropIndicesBefore(day);
    if (dropped.length > 0) logger.info({ indices: dropped }, 'house.indices-dropped');
  };
  const loop = (async () => {
    while (!stopped.signal.aborted) {
      await pause(everyMs, stopped.signal);
      try {
        if (!stopped.signal.aborted && (await deps.holdsLease())) await clean();
      } catch (error) {
        logger.warn({ error }, 'house.postponed');
      }
    }
  })();
  return {
    stop: async () => {
      stopped.abort();
      await loop;
    },
  };
}
