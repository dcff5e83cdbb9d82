/** All benchmarks, in the order in which they run. */
import { acceptBatch } from './accept-batch.ts';
import { acceptSingle } from './accept-single.ts';
import type { Bench } from './bench.ts';
import { criticalPastBulk, criticalPastChunks } from './critical-past-bulk.ts';
import { deliverBulk } from './deliver-bulk.ts';
import { deliverNormal } from './deliver-normal.ts';
import { growth } from './growth.ts';
import { idle } from './idle.ts';
import { indexMessages } from './index-messages.ts';

export const benches: readonly Bench[] = [
  acceptBatch,
  acceptSingle,
  deliverNormal,
  deliverBulk,
  indexMessages,
  criticalPastBulk,
  criticalPastChunks,
  idle,
  growth,
];
