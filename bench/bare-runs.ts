/** Bare runs on the same server, as the limit of deliveries: two processes, our codec, search attributes and priorities. */
import type { RunBareResult } from './load/run-bare.ts';
import { closedSoFar, perRun } from './measure/transitions.ts';
import type { Usage } from './measure/watch.ts';
import type { Place } from './place.ts';
import type { BenchSystem } from './system.ts';
import { until } from './measure/until.ts';

/** More does not make it faster: the worker's places and the server's one database connection are busy. */
const openRuns = 32;

export interface BareRuns {
  readonly result: RunBareResult;
  readonly usage: Usage;
  readonly transitionsPerRun: number;
}

/** Runs so many, each with `payload`, a message or a chunk as its lane carries it. Errors: Temporal does not answer. */
export async function runBare(
  place: Place,
  system: BenchSystem,
  of: { readonly runs: number; readonly payload: string; readonly name: string },
): Promise<BareRuns> {
  const { config } = system;
  const queue = `${config.prefix}-${of.name}`;
  const sendQueue = `${queue}-send`;
  const { temporalAddress: address, temporalNamespace: namespace, masterKeys } = config;
  const link = { address, namespace, masterKeys };
  const activities = place.startLoad('serve-bare', { ...link, sendQueue });
  await activities.warm;
  activities.begin().catch(() => {});
  const before = await closedSoFar(place.servers.temporalMetricsUrl);
  const { result, usage } = await place.measure('run-bare', {
    ...link,
    queue,
    sendQueue,
    payload: of.payload,
    runs: of.runs,
    warmUp: Math.ceil(of.runs / 5),
    open: openRuns,
  });
  await activities.kill();
  const total = of.runs + Math.ceil(of.runs / 5);
  const after = await until(
    'the server has counted every run',
    async () => {
      const now = await closedSoFar(place.servers.temporalMetricsUrl);
      return now.runs - before.runs >= total ? now : undefined;
    },
    { timeoutMs: 60_000 },
  );
  return { result, usage, transitionsPerRun: perRun(before, after) };
}
