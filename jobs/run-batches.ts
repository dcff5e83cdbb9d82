/**
 * Hands the messages of started batches to the queue, block by block: tenants in turn, and of each its batches in turn, at
 * the pace that was asked for, and no faster than accounts can send. What was handed over is written down after the queue
 * has it; after a kill the block in hand is handed over again, as the same messages. One jobs process at a time does it.
 */
import { Problem, problems } from '../contracts/problems.ts';
import { pause } from '../platform/lifecycle.ts';
import type { TenantQuotas } from '../contracts/tenant-quotas.ts';
import type { Logger } from '../platform/logger.ts';
import type { Batches, Block, QuotaCounters, RunningBatch } from '../store/index.ts';
import type { BatchIndex, StatusCounts } from '../store/message-index.ts';
import { accountsOfBatch, haveAllEnded, roomOf, type Load } from './batch-room.ts';
import { createPace, limitsOf, quotaWait, type Pace, type QuotaLimits } from './batch-pace.ts';
import { publishMembers, type PublishMembersDeps } from './publish-members.ts';

export interface RunBatchesDeps extends PublishMembersDeps {
  readonly batches: Pick<
    Batches,
    'listRunning' | 'takeBlock' | 'fixChunks' | 'markPublished' | 'setWaitingFor' | 'markDone'
  >;
  readonly index: Pick<BatchIndex, 'counts'>;
  readonly quotasOf: (tenantId: string) => Promise<TenantQuotas>;
  readonly counters: Pick<QuotaCounters, 'confirmBatches'>;
  /** Of the lease `batchesLease`. */
  readonly holder: string;
  readonly holdsLease: () => Promise<boolean>;
  readonly logger: Logger;
}

const lookEveryMs = 500;
const countEveryMs = 2000;
/** Lateness up to this is made up for, more is not. */
const slackMs = 1000;
const pausedMs = 500;
const brokenMs = 2000;
/** Somebody must act: a template or an account is missing. */
const waitingForMs = 5000;

/** What is remembered of a batch between its turns. All of it may be lost. */
interface Task {
  batch: RunningBatch;
  counts: StatusCounts;
  accountIds: ReadonlySet<string>;
  limits: QuotaLimits;
  /** Members of the block in hand that were handed over, of a batch whose pace is slower than a block a second. */
  offset: number;
  isAllPublished: boolean;
  /** Whether its last turn took something: paused and waiting ones leave their share of the quota to others. */
  isGoing: boolean;
  isWaiting: boolean;
  nextAtMs: number;
  lastTurn: number;
}

/** Runs until stopped. */
export function runBatches(deps: RunBatchesDeps): { stop(): Promise<void> } {
  const { logger } = deps;
  const stopped = new AbortController();
  const tasks = new Map<string, Task>();
  let processes = 1;
  const pace = createPace(() => processes);
  let turn = 0;
  let lookedAtMs = -Infinity;
  let countedAtMs = -Infinity;

  const look = async () => {
    const running = (await deps.holdsLease()) ? await deps.batches.listRunning() : [];
    const ids = new Set(running.map(({ id }) => id));
    for (const id of tasks.keys()) if (!ids.has(id)) tasks.delete(id);
    for (const batch of running) {
      const task = tasks.get(batch.id);
      const accounts = await deps.accountsOf(batch.tenantId);
      const template = await deps.template(batch.tenantId, batch.request.template);
      const accountIds = accountsOfBatch(batch.request, { ...deps, template, accounts });
      const limits = limitsOf(batch.request, await deps.quotasOf(batch.tenantId));
      if (task !== undefined) Object.assign(task, { batch, accountIds, limits });
      else tasks.set(batch.id, begin(batch, { accountIds, limits }));
    }
    // From the first turn on ingest leaves them their share of what a tenant may send in a second.
    const lanes = [...tasks.values()].flatMap(({ batch: { tenantId }, limits, isGoing }) =>
      isGoing && limits.perSecond.length > 0 ? [{ tenantId, lane: limits.lane }] : [],
    );
    processes = await deps.counters.confirmBatches(lanes);
  };
  const count = async () => {
    for (const [tenantId, ofTenant] of byTenant(tasks.values())) {
      const known = await deps.index.counts(
        tenantId,
        ofTenant.map(({ batch }) => batch.id),
      );
      for (const task of ofTenant) task.counts = known.get(task.batch.id) ?? {};
    }
    for (const { batch, counts, isAllPublished } of tasks.values())
      if (isAllPublished && haveAllEnded(batch.total, counts)) {
        await deps.batches.markDone(batch.id);
        tasks.delete(batch.id);
        logger.info({ batchId: batch.id, tenantId: batch.tenantId, counts }, 'batch.done');
      }
  };
  const round = async () => {
    if (performance.now() - lookedAtMs >= lookEveryMs) {
      lookedAtMs = performance.now();
      await look();
    }
    if (performance.now() - countedAtMs >= countEveryMs) {
      countedAtMs = performance.now();
      // Without the index no more is handed over than fits beside what was last known to wait.
      await count().catch((error: unknown) => logger.warn({ error }, 'batches.not-counted'));
    }
    const chosen: Task[] = [];
    for (const [tenantId, ofTenant] of byTenant(tasks.values())) {
      const accounts = await deps.accountsOf(tenantId);
      const loads = ofTenant.map(loadOf);
      const ready = ofTenant.filter(
        (task) =>
          !task.isAllPublished &&
          task.nextAtMs <= performance.now() &&
          pace.room(tenantId, task.limits) > 0 &&
          roomOf(loadOf(task), loads, accounts) > 0,
      );
      // Whose last turn is longest ago.
      const [task] = ready.toSorted((a, b) => a.lastTurn - b.lastTurn);
      if (task === undefined) continue;
      task.lastTurn = turn += 1;
      chosen.push(task);
    }
    // One block of each tenant: the largest waits for its next one as long as the smallest.
    await Promise.all(chosen.map((task) => step(deps, pace, task)));
    return chosen.length > 0;
  };

  const loop = (async () => {
    while (!stopped.signal.aborted) {
      try {
        if (!(await round())) await pause(50, stopped.signal);
      } catch (error) {
        logger.warn({ error }, 'batches.postponed');
        tasks.clear();
        await pause(brokenMs, stopped.signal);
      }
    }
  })();
  return {
    stop: async () => {
      stopped.abort();
      await loop;
    },
  };
}

/** One turn of a batch: a block, or of a slow one as much as is due in a second. */
async function step(deps: RunBatchesDeps, pace: Pace, task: Task): Promise<void> {
  const { id: batchId, tenantId } = task.batch;
  const { batches, logger } = deps;
  const wait = (ms: number) => (task.nextAtMs = performance.now() + ms);
  try {
    const taken = await batches.takeBlock(batchId, deps.holder, task.limits.perDay);
    if (taken.result === 'all-published') task.isAllPublished = true;
    const isOverQuota =
      taken.result === 'over-quota' ||
      (taken.result === 'taken' && isHeldBack(taken.block, task.offset));
    task.isGoing = taken.result === 'taken' && !isOverQuota;
    if (isOverQuota) {
      task.isWaiting = true;
      wait(waitingForMs);
      await batches.setWaitingFor(batchId, quotaWait(task.limits, Date.now()));
      return;
    }
    if (taken.result !== 'taken') {
      wait(pausedMs);
      return;
    }
    await publishPart(deps, task, { block: taken.block, pace });
    if (task.isWaiting) await batches.setWaitingFor(batchId, undefined);
    task.isWaiting = false;
  } catch (error) {
    if (error instanceof Problem && problems[error.code].status < 500) {
      logger.warn({ batchId, tenantId, code: error.code }, 'batch.waits');
      task.isWaiting = true;
      wait(waitingForMs);
      await batches.setWaitingFor(batchId, error.message).catch(() => undefined);
    } else {
      logger.warn({ batchId, tenantId, error }, 'batch.postponed');
      wait(brokenMs);
    }
  }
}

/** Errors: those of publishMembers; the store does not answer. All of it is done again, which changes nothing. */
async function publishPart(
  deps: RunBatchesDeps,
  task: Task,
  { block, pace }: { readonly block: Block; readonly pace: Pace },
): Promise<void> {
  const { batch, nextAtMs, limits } = task;
  const { ratePerSecond = Infinity } = batch.request;
  const offset = task.offset < block.members.length ? task.offset : 0;
  const room = Math.min(Math.floor(ratePerSecond), pace.room(batch.tenantId, limits));
  const most = Math.min(Math.max(1, room), admittedOf(block) - offset);
  const published = await publishMembers(deps, { batch, block, offset, most });
  pace.took(batch.tenantId, limits, published);
  task.nextAtMs =
    Math.max(nextAtMs, performance.now() - slackMs) + (published / ratePerSecond) * 1000;
  task.offset = offset + published;
  if (task.offset < block.members.length) return;
  await deps.batches.markPublished(batch.id, block);
  task.offset = 0;
  const all = batch.published + block.members.filter((member) => member !== null).length;
  task.batch = { ...batch, published: all };
  task.isAllPublished = all >= batch.total;
}

/** How many places of a block the quotas let go so far. */
const admittedOf = ({ portions }: Block): number => portions.at(-1)?.until ?? 0;

/** Whether the quotas hold back the member at this place. */
const isHeldBack = (block: Block, place: number) =>
  place < block.members.length && place >= admittedOf(block);

function begin(batch: RunningBatch, of: Pick<Task, 'accountIds' | 'limits'>): Task {
  return {
    batch,
    ...of,
    counts: {},
    offset: 0,
    isAllPublished: batch.published === batch.total,
    isGoing: batch.published < batch.total,
    // Whatever it waited for before is written: the first block that goes says that it goes on.
    isWaiting: true,
    nextAtMs: performance.now(),
    lastTurn: 0,
  };
}

const loadOf = ({ batch: { id, published }, accountIds, counts }: Task): Load => ({
  id,
  accountIds,
  published,
  counts,
});

function byTenant(tasks: Iterable<Task>): Map<string, Task[]> {
  const found = new Map<string, Task[]>();
  for (const task of tasks) {
    const { tenantId } = task.batch;
    found.set(tenantId, [...(found.get(tenantId) ?? []), task]);
  }
  return found;
}
