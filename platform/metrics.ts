/** Prometheus metrics of a process. Names are the log events' names in snake case. */
import {
  AggregatorRegistry,
  Counter,
  Gauge,
  Histogram,
  Registry,
  collectDefaultMetrics,
} from 'prom-client';
import { askFirst, isOneOfSeveral } from './first-process.ts';

export interface Metrics {
  counter<L extends string>(name: string, help: string, labels?: readonly L[]): Counter<L>;
  gauge<L extends string>(name: string, help: string, labels?: readonly L[]): Gauge<L>;
  histogram<L extends string>(name: string, help: string, labels?: readonly L[]): Histogram<L>;
  /** The exposition text that GET /metrics answers. */
  text(): Promise<string>;
}

const secondsBuckets = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];

/** A registry of its own for one process, with Node's own figures in it; of several behind one port, `text` is of all. */
export function createMetrics(): Metrics {
  // Of several processes each answers the first one from now on.
  const registry = isOneOfSeveral ? new AggregatorRegistry() : new Registry();
  collectDefaultMetrics({ register: registry });
  const registers = [registry];
  if (isOneOfSeveral) AggregatorRegistry.setRegistries(registry);
  return {
    counter: (name, help, labelNames = []) =>
      new Counter({ name, help, labelNames: [...labelNames], registers }),
    gauge: (name, help, labelNames = []) =>
      new Gauge({ name, help, labelNames: [...labelNames], registers }),
    histogram: (name, help, labelNames = []) =>
      new Histogram({
        name,
        help,
        labelNames: [...labelNames],
        buckets: secondsBuckets,
        registers,
      }),
    // Its own when one of the others hangs.
    text: async () =>
      (isOneOfSeveral ? await askFirst<string>('metrics', {}) : undefined) ?? registry.metrics(),
  };
}
