/**
 * Makes the day keys of every tenant two days ahead, and destroys those whose time is over. Apart from housekeeping, so that
 * no other server which is away holds it up.
 */
import { pause } from '../platform/lifecycle.ts';
import type { Logger } from '../platform/logger.ts';
import type { DayKeys } from '../store/index.ts';

export interface KeepDayKeysDeps {
  readonly dayKeys: Pick<DayKeys, 'makeAhead' | 'destroy' | 'purge'>;
  readonly holdsLease: () => Promise<boolean>;
  readonly logger: Logger;
  /** Epoch milliseconds. Default: the clock. */
  readonly now?: () => number;
  /** Default one minute. */
  readonly everyMs?: number;
}

const portion = 100;
/** Any process that was cut off has learned of it, or was restarted. */
const keptRowMs = 30 * 86_400_000;

/** Runs until stopped; several may run, the lease lets one work. */
export function keepDayKeys(deps: KeepDayKeysDeps): { stop(): Promise<void> } {
  const { dayKeys, logger, now = Date.now, everyMs = 60_000 } = deps;
  const stopped = new AbortController();
  const all = async (some: (limit: number) => Promise<number>): Promise<number> => {
    let total = 0;
    for (let last = portion; last === portion && !stopped.signal.aborted; total += last)
      last = await some(portion);
    return total;
  };
  const look = async () => {
    if (!(await deps.holdsLease())) return;
    const tenants = await all((limit) => dayKeys.makeAhead(now(), limit));
    const destroyed = await all((limit) => dayKeys.destroy(now(), limit));
    await all((limit) => dayKeys.purge(now() - keptRowMs, limit));
    if (tenants > 0 || destroyed > 0) logger.info({ tenants, destroyed }, 'day-keys.kept');
  };
  const loop = (async () => {
    while (!stopped.signal.aborted) {
      await look().catch((error: unknown) => logger.warn({ error }, 'day-keys.postponed'));
      await pause(everyMs, stopped.signal);
    }
  })();
  return {
    stop: async () => {
      stopped.abort();
      await loop;
    },
  };
}
