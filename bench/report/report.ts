/** A whole run as it is written to results.json. */
import type { BenchResult } from '../bench.ts';
import type { Machine } from './machine.ts';

export interface Report {
  readonly version: 1;
  readonly machine: Machine;
  readonly benches: readonly { readonly name: string; readonly result: BenchResult }[];
  /** Process → most resident memory in bytes that one of its name held, over all benchmarks. */
  readonly peakBytes: Readonly<Record<string, number>>;
}
