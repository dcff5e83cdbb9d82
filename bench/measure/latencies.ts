/** Latencies and counts by second, for percentiles and for the plot. */
import { build, type Histogram } from 'hdr-histogram-js';

/** One second of a run. */
export interface Point {
  /** Seconds from the start to its end. */
  readonly atSecond: number;
  readonly perSecond: number;
  readonly p50Ms?: number;
  readonly p99Ms?: number;
}

export interface Percentiles {
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
}

/** Three digits, up to an hour in microseconds. */
const newHistogram = (): Histogram =>
  build({
    lowestDiscernibleValue: 1,
    highestTrackableValue: 3.6e9,
    numberOfSignificantValueDigits: 3,
  });

const percentilesOf = (histogram: Histogram): Percentiles => ({
  p50Ms: histogram.getValueAtPercentile(50) / 1000,
  p99Ms: histogram.getValueAtPercentile(99) / 1000,
  maxMs: histogram.maxValue / 1000,
});

export interface Latencies {
  /** `atMs`: since the start; `count`: messages that this answers for. */
  add(atMs: number, latencyMs: number, count?: number): void;
  readonly all: Percentiles;
  /** Whole seconds only: the last one is cut off in the middle. */
  readonly points: readonly Point[];
}

/** Makes an empty record. */
export function createLatencies(): Latencies {
  const all = newHistogram();
  const seconds = new Map<number, { histogram: Histogram; count: number }>();
  let lastSecond = 0;
  return {
    add: (atMs, latencyMs, count = 1) => {
      const micros = Math.max(1, Math.round(latencyMs * 1000));
      const second = Math.floor(atMs / 1000);
      let entry = seconds.get(second);
      if (entry === undefined)
        seconds.set(second, (entry = { histogram: newHistogram(), count: 0 }));
      all.recordValue(micros);
      entry.histogram.recordValue(micros);
      entry.count += count;
      lastSecond = Math.max(lastSecond, second);
    },
    get all() {
      return percentilesOf(all);
    },
    get points() {
      return [...seconds]
        .filter(([second]) => second < lastSecond)
        .toSorted(([a], [b]) => a - b)
        .map(([second, { histogram, count }]) => {
          const { p50Ms, p99Ms } = percentilesOf(histogram);
          return { atSecond: second + 1, perSecond: count, p50Ms, p99Ms };
        });
    },
  };
}

/** The middle one; of an even number the mean of the two. Errors: there are none. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const [low, high] = [sorted[(sorted.length - 1) >> 1], sorted[sorted.length >> 1]];
  if (low === undefined || high === undefined) throw new Error('no values');
  return (low + high) / 2;
}
