/** Follows a count that others drive up: when it passed which number, for a rate of its steady part and for the plot. */
import { pause } from '../../platform/lifecycle.ts';
import type { Point } from './latencies.ts';

interface Seen {
  readonly atMs: number;
  readonly count: number;
}

export interface Progress {
  /** Resolves when the count has reached `count`. Errors: it could not be asked, or stood still for two minutes. */
  reached(count: number): Promise<void>;
  /** A second between the looks nearest to these two counts. */
  rateBetween(from: number, to: number): number;
  readonly points: readonly Point[];
  stop(): void;
}

const stillForMs = 120_000;

/** Looks every `everyMs` until stopped. */
export function follow(look: () => Promise<number>, everyMs: number): Progress {
  const startedAt = performance.now();
  const seen: Seen[] = [];
  const stopped = new AbortController();
  let fault: unknown;
  void (async () => {
    while (!stopped.signal.aborted) {
      try {
        const count = await look();
        seen.push({ atMs: performance.now() - startedAt, count });
      } catch (error) {
        fault = error;
        return;
      }
      await pause(everyMs, stopped.signal);
    }
  })();
  return {
    reached: async (count) => {
      let last = -1;
      let changedAt = performance.now();
      while (last < count) {
        if (fault !== undefined) throw fault;
        const now = seen.at(-1)?.count ?? 0;
        if (now !== last) changedAt = performance.now();
        last = now;
        if (performance.now() - changedAt > stillForMs)
          throw new Error(`${count} were waited for, and it stands still at ${last}`);
        await pause(everyMs / 2);
      }
    },
    rateBetween: (from, to) => rateBetween(seen, from, to),
    get points() {
      return pointsOf(seen);
    },
    stop: () => stopped.abort(),
  };
}

/** Counts a second between the first look at or above `from` and the first at or above `to`. Errors: it never came so far. */
export function rateBetween(seen: readonly Seen[], from: number, to: number): number {
  const first = seen.find(({ count }) => count >= from);
  const last = seen.find(({ count }) => count >= to);
  if (first === undefined || last === undefined || last.atMs === first.atMs)
    throw new Error(`too few looks between ${from} and ${to}`);
  return ((last.count - first.count) * 1000) / (last.atMs - first.atMs);
}

/** One point a second, from the looks next to its borders. */
export function pointsOf(seen: readonly Seen[]): Point[] {
  const points: Point[] = [];
  let before = seen[0];
  for (const look of seen) {
    if (before === undefined || look.atMs - before.atMs < 1000) continue;
    const perSecond = ((look.count - before.count) * 1000) / (look.atMs - before.atMs);
    points.push({ atSecond: Math.round(look.atMs / 1000), perSecond });
    before = look;
  }
  return points;
}
