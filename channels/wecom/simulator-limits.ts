/** Counters of the WeCom simulator, over its own clock. */

export interface Windows {
  /** Counts one at `key`. */
  count(key: string): void;
  /** How many there were within the last `windowMs`. */
  within(key: string, windowMs: number): number;
  clear(): void;
}

/** Rolling windows; what is older than `longestMs` is forgotten. */
export function createWindows(now: () => number, longestMs: number): Windows {
  const times = new Map<string, number[]>();
  return {
    count: (key) => {
      const kept = (times.get(key) ?? []).filter((at) => at > now() - longestMs);
      kept.push(now());
      times.set(key, kept);
    },
    within: (key, windowMs) => (times.get(key) ?? []).filter((at) => at > now() - windowMs).length,
    clear: () => times.clear(),
  };
}

const minuteMs = 60_000;
const hourMs = 60 * minuteMs;

/** The base limits: who breaks one is blocked for as long as its window. */
export function createPenalties(now: () => number) {
  const buckets = new Map<string, { since: number; count: number }>();
  const blockedUntil = new Map<string, number>();
  const isOver = (key: string, windowMs: number, most: number | null): boolean => {
    const bucket = buckets.get(`${key}/${windowMs}`);
    const current =
      bucket === undefined || now() - bucket.since >= windowMs
        ? { since: now(), count: 0 }
        : bucket;
    current.count += 1;
    buckets.set(`${key}/${windowMs}`, current);
    return most !== null && current.count > most;
  };
  return {
    /** Counts a call of this API; true: it is blocked. */
    isBlocked: (
      api: string,
      most: { readonly apiPerMinute: number | null; readonly apiPerHour: number | null },
    ): boolean => {
      if (now() < (blockedUntil.get(api) ?? 0)) return true;
      const [minute, hour] = [
        isOver(api, minuteMs, most.apiPerMinute),
        isOver(api, hourMs, most.apiPerHour),
      ];
      if (minute || hour) blockedUntil.set(api, now() + (hour ? hourMs : minuteMs));
      return minute || hour;
    },
    clear: () => {
      buckets.clear();
      blockedUntil.clear();
    },
  };
}
