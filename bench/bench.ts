/** What a benchmark is and what it comes to. Figures are data: the table, the README and the capacity page are made of them. */
import type { Place } from './place.ts';

/** What a figure should reach. `of`: the figure itself, or its ratio to the limit beside it. */
export interface Goal {
  readonly of: 'value' | 'ratio';
  readonly atLeast?: number;
  readonly atMost?: number;
}

export interface Figure {
  /** By which the capacity page finds it. */
  readonly id?: 'transitions' | 'index-bytes' | 'lane-bytes';
  readonly what: string;
  readonly value: number;
  /** `/s`, `ms`, `MB`, `%`, `µs`; empty for a plain number. */
  readonly unit: string;
  /** What was measured beside it in the same run, in the same unit. */
  readonly limit?: { readonly what: string; readonly value: number };
  /** Where value / limit of the medians is not it: the median of the rounds' own ratios. */
  readonly ratio?: number;
  readonly goals?: readonly Goal[];
}

/** What is done with a message, as far as capacity is counted in it. */
export type Step =
  | 'accept-single'
  | 'accept-batch'
  | 'accept-chunk'
  | 'deliver-run'
  | 'deliver-chunk'
  | 'bare-run'
  | 'index'
  | 'grow';

/** CPU of one load: microseconds per message, by process. */
export interface Cost {
  readonly step: Step;
  /** What was done with each message. */
  readonly what: string;
  readonly messages: number;
  readonly cpuPerMessageUs: Readonly<Record<string, number>>;
}

/** One line of the plot: x in seconds, or in messages so far. */
export interface Series {
  readonly what: string;
  readonly unit: '/s' | 'ms' | 'MB';
  readonly points: readonly (readonly [x: number, y: number])[];
}

export interface BenchResult {
  readonly figures: readonly Figure[];
  readonly costs?: readonly Cost[];
  readonly series?: readonly Series[];
  /** What x of the series counts; default seconds. */
  readonly x?: 'seconds' | 'messages';
}

/** One benchmark. Errors: a message that was accepted did not arrive, or a server did not answer; then it has no figures. */
export interface Bench {
  readonly name: string;
  readonly summary: string;
  run(place: Place): Promise<BenchResult>;
}

/** Value over limit. */
export function ratioOf({ value, limit, ratio }: Figure): number | undefined {
  return ratio ?? (limit === undefined ? undefined : value / limit.value);
}

/** Whether all goals are reached; undefined: it has none. */
export function isReached(figure: Figure): boolean | undefined {
  return figure.goals?.every(({ of, atLeast = -Infinity, atMost = Infinity }) => {
    const seen = of === 'value' ? figure.value : ratioOf(figure);
    return seen !== undefined && seen >= atLeast && seen <= atMost;
  });
}
