/** When an event is tried again: as Standard Webhooks recommends, over three days. Pure. */

const [second, minute, hour] = [1000, 60_000, 3_600_000];
/** After the first try, the second, …; the last one for all that follow. */
export const retryDelaysMs = [
  5 * second,
  5 * minute,
  30 * minute,
  2 * hour,
  5 * hour,
  10 * hour,
  14 * hour,
  20 * hour,
  24 * hour,
] as const;
/** What fails once more after this is given up: the tenth try, unless some were made sooner. */
export const giveUpAfterMs = 72 * hour;
/** Share of a delay that is left to chance, so that what failed together is not tried together. */
const jitter = 0.1;

/** The time of the next try after `tries` have failed; undefined: there is none. */
export function nextTryAtMs(failed: {
  readonly tries: number;
  readonly sinceMs: number;
  readonly nowMs: number;
  /** What the receiver asked for. */
  readonly retryAfterMs?: number | undefined;
  /** From 0 to 1. */
  readonly random: number;
}): number | undefined {
  const { tries, sinceMs, nowMs, retryAfterMs = 0, random } = failed;
  if (nowMs - sinceMs >= giveUpAfterMs) return undefined;
  const delayMs = retryDelaysMs[Math.min(tries, retryDelaysMs.length) - 1] ?? retryDelaysMs[0];
  return nowMs + Math.max(Math.round(delayMs * (1 + jitter * random)), retryAfterMs);
}
