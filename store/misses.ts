/** Reads of what a mirror does not hold (yet). Nothing is remembered of a miss that finds nothing. */
import { problem } from '../contracts/problems.ts';
import { reach } from './database.ts';

export interface Misses {
  /**
   * Reads through to the database: concurrent reads of one key are one read, and each `scope` (a tenant, or all unknown
   * keys) has a share of its own. Errors: store-unavailable, rate-limited.
   */
  read<T>(scope: string, key: string, read: () => Promise<T>): Promise<T>;
}

const missesPerSecond = 200;
const missDeadlineMs = 2000;

export function createMisses(): Misses {
  const underWay = new Map<string, Promise<unknown>>();
  let second = 0;
  let counts = new Map<string, number>();

  const spend = (scope: string) => {
    const now = Math.floor(Date.now() / 1000);
    if (now !== second) {
      second = now;
      counts = new Map();
    }
    const count = (counts.get(scope) ?? 0) + 1;
    counts.set(scope, count);
    if (count > missesPerSecond)
      throw problem('rate-limited', {
        retryAfterSeconds: 1,
        detail: 'Too many requests name something that does not exist.',
      });
  };

  return {
    read: async <T>(scope: string, key: string, read: () => Promise<T>) => {
      const running = underWay.get(key) as Promise<T> | undefined;
      if (running !== undefined) return running;
      spend(scope);
      const started = reach(read, missDeadlineMs).finally(() => underWay.delete(key));
      underWay.set(key, started);
      return started;
    },
  };
}
