/** Randomness that a seed repeats, and the latency model of the simulated providers. */

/** From 0 to below 1. */
export type Random = () => number;

/** Mulberry32: small, fast, the same sequence for the same seed. Not for secrets. */
export function createRandom(seed: number): Random {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** A whole number from `low` to `high`, both included. */
export function wholeNumber(random: Random, low: number, high: number): number {
  return low + Math.floor(random() * (high - low + 1));
}

/** How long something takes: lognormal, by its median and 99th percentile. Providers publish neither: assumptions. */
export interface Latency {
  readonly medianMs: number;
  readonly p99Ms: number;
}

/** Draws a latency in milliseconds; a median of 0 is always 0. */
export function drawLatencyMs(latency: Latency, random: Random): number {
  if (latency.medianMs <= 0) return 0;
  const sigma = Math.log(Math.max(latency.p99Ms, latency.medianMs) / latency.medianMs) / 2.326;
  const normal = Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
  return latency.medianMs * Math.exp(sigma * normal);
}

/** Fisher-Yates, in place. */
export function shuffle<T>(items: T[], random: Random): T[] {
  for (let last = items.length - 1; last > 0; last -= 1) {
    const other = wholeNumber(random, 0, last);
    [items[last], items[other]] = [items[other] as T, items[last] as T];
  }
  return items;
}
