/**
 * What a stop finds in Temporal is told at once, wherever it waits: queued, throttled, scheduled, held or backing off. Runs
 * of a recall are cancelled, runs that a pause held look again once it is over. Nothing is sent without this: who sends
 * looks at the stops, too.
 */
import { WorkflowNotFoundError, type Client } from '@temporalio/client';
import type { ChosenScope, Stop } from '../contracts/stops.ts';
import type { Names } from '../contracts/topics.ts';
import { deliverChunkWorkflow } from '../contracts/chunk-activities.ts';
import { deliverWorkflow, lookAgainSignal, type DeliverMemo } from '../contracts/workflows.ts';
import { pause } from '../platform/lifecycle.ts';
import type { Logger } from '../platform/logger.ts';
import type { Members, Stops } from '../store/index.ts';

export interface SweepStopsDeps {
  readonly stops: Pick<Stops, 'listUnswept' | 'markSwept'>;
  readonly members: Pick<Members, 'live'>;
  readonly client: Client;
  readonly names: Pick<Names, 'deliverQueue'>;
  readonly holdsLease: () => Promise<boolean>;
  readonly logger: Logger;
}

const everyMs = 500;
/** Runs told at a time. */
const atOnce = 10;
/** Temporal's lists follow within seconds: only a look after this can say that nothing is left. */
const listsFollowMs = 10_000;

const attributes = {
  batch: 'McBatch',
  template: 'McTemplate',
  tenant: 'McTenant',
  account: 'McAccount',
} as const satisfies Record<ChosenScope['kind'], string>;

/** Runs until stopped. A crash loses nothing: what is told twice is told once. */
export function sweepStops(deps: SweepStopsDeps): { stop(): Promise<void> } {
  const { logger, stops } = deps;
  const stopped = new AbortController();
  /** Stop → runs that were told: a cancellation is durable, so that once is enough. */
  const told = new Map<string, Set<string>>();
  const loop = (async () => {
    while (!stopped.signal.aborted) {
      try {
        if (await deps.holdsLease())
          for (const stop of await stops.listUnswept()) {
            const toldOf = told.get(stop.id);
            const pass = { stop, told: toldOf ?? new Set(), signal: stopped.signal };
            if (toldOf === undefined) told.set(stop.id, pass.told);
            if (!stopped.signal.aborted && (await sweep(deps, pass))) told.delete(stop.id);
          }
      } catch (error) {
        logger.warn({ error }, 'stops.sweep-postponed');
      }
      await pause(everyMs, stopped.signal);
    }
  })();
  return {
    stop: async () => {
      stopped.abort();
      await loop;
    },
  };
}

interface Pass {
  readonly stop: Stop;
  readonly told: Set<string>;
  readonly signal: AbortSignal;
}

/** One pass over the runs of a stop. True: it was the last one. */
async function sweep(deps: SweepStopsDeps, pass: Pass): Promise<boolean> {
  const { stop, told, signal } = pass;
  const { id: stopId, action, tenantId, scope, createdAt, endedAt } = stop;
  const isLast = Date.now() - Date.parse(endedAt ?? createdAt) > listsFollowMs;
  if (action === 'pause') {
    if (told.size > 0 && !isLast) return false;
    // A run that looks again before the pause has ended everywhere would only be held again.
    if ((await deps.members.live()).some(({ confirmed }) => confirmed < stop.revision))
      return false;
    // Those that were held again after they had looked are told once more.
    told.clear();
  }
  const before = told.size;
  const listed = await tellRuns(deps, pass);
  const event = { stopId, tenantId, scope, action };
  if (told.size > before)
    deps.logger.info({ ...event, listed, told: told.size - before }, 'stop.swept-runs');
  // Runs held for other reasons stay on the list; of a recall nothing may stay.
  if (!isLast || signal.aborted || (action === 'recall' && listed > 0)) return false;
  await deps.stops.markSwept(stopId);
  deps.logger.info(event, 'stop.swept');
  return true;
}

/** Resolves with how many runs there are. */
async function tellRuns(
  { client, names }: SweepStopsDeps,
  { stop, told, signal }: Pass,
): Promise<number> {
  let listed = 0;
  const runs = client.workflow.list({ query: queryOf(stop, names) })[Symbol.asyncIterator]();
  const tellNext = async (): Promise<void> => {
    for (;;) {
      const { value: run, done } = await runs.next();
      if (done === true || signal.aborted) return;
      const { acceptedAt, isRecalled } = (run.memo ?? {}) as Partial<DeliverMemo>;
      if (stop.acceptedBefore !== undefined && (acceptedAt ?? '') > stop.acceptedBefore) continue;
      listed += 1;
      if (isRecalled === true || told.has(run.runId)) continue;
      const handle = client.workflow.getHandle(run.workflowId, run.runId);
      try {
        await (stop.action === 'recall' ? handle.cancel() : handle.signal(lookAgainSignal));
      } catch (error) {
        // It has ended since it was listed.
        if (!(error instanceof WorkflowNotFoundError)) throw error;
      }
      told.add(run.runId);
    }
  };
  const failed = (await Promise.allSettled(Array.from({ length: atOnce }, tellNext))).find(
    (result) => result.status === 'rejected',
  );
  if (failed !== undefined)
    throw new Error('a run could not be told', { cause: failed.reason as unknown });
  return listed;
}

function queryOf({ action, scope, tenantId }: Stop, names: SweepStopsDeps['names']): string {
  return [
    `WorkflowType IN (${[deliverWorkflow, deliverChunkWorkflow].map(quoted).join(', ')})`,
    `TaskQueue = ${quoted(names.deliverQueue)}`,
    `ExecutionStatus = 'Running'`,
    `McTenant = ${quoted(tenantId)}`,
    // Of a recipient there are no stops to sweep: an erasure does it.
    `${attributes[scope.kind as ChosenScope['kind']]} = ${quoted(scope.value)}`,
    ...(action === 'pause' ? [`McState = 'held'`] : []),
  ].join(' AND ');
}

const quoted = (value: string) => `'${value.replaceAll("'", "''")}'`;
