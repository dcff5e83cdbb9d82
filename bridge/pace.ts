/**
 * Pacing: how many messages of a lane may be started now. An account's task queue holds about `paceSeconds` of work; the
 * rest stays in RocketMQ. A lane counts only what is at least as urgent as itself, so a waiting campaign never keeps
 * one-time passwords out.
 */
import proto from '@temporalio/proto';
import type { Client } from '@temporalio/client';
import { priorities, priorityKeys, type Names, type Priority } from '../contracts/topics.ts';
import type { Account } from '../contracts/template.ts';
import { pause } from '../platform/lifecycle.ts';
import type { Logger } from '../platform/logger.ts';
import { createRunsAhead, type StartedRun } from './runs-ahead.ts';

export interface Pace {
  /** How many more of this lane may be taken now, at most `most`; 0: leave them in RocketMQ. */
  room(slot: number, priority: Priority, most: number): number;
  /** Tells that a run starts now. */
  starting(run: StartedRun): void;
  /** Tells that it is rendered, so that its send is on the way to the account's queue. */
  rendered(messageId: string): void;
  /** Tells that it was not started by this call. */
  notStarted(messageId: string): void;
  /** Whether Temporal answers. While it does not, nothing is received. */
  readonly isHealthy: boolean;
  /** Told by whoever met an error; the next successful look says healthy again. */
  reportFailure(error: unknown): void;
  stop(): Promise<void>;
}

export interface PaceDeps {
  readonly client: Client;
  readonly namespace: string;
  readonly names: Names;
  readonly logger: Logger;
  /** Accounts as they are now. */
  readonly accounts: () => Promise<readonly Account[]>;
  readonly paceSeconds: number;
  readonly openRuns: number;
}

const { TaskQueueType } = proto.temporal.api.enums.v1;

type Counts = Record<Priority, number>;

interface AccountState {
  backlog: Counts;
  /** Rendered since the last look began, and between the two before: not surely in the backlog yet. */
  rendered: Counts;
  renderedBefore: Counts;
  open: number;
}

const lookEveryMs = 1000;
const countEveryMs = 10_000;
/** Runs started ahead of the workflow worker; one-time passwords may go over it, so that a campaign never fills it. */
const mostRunsAhead = { critical: 300, normal: 200, bulk: 200 } as const satisfies Counts;
/** A slow account still gets a few messages at a time. */
const leastWindow = 5;

/** Looks at every account's queue each second until stopped. */
export function createPace(deps: PaceDeps): Pace {
  const { logger } = deps;
  const states = new Map<string, AccountState>();
  const stopped = new AbortController();
  const runsAhead = createRunsAhead();
  let isHealthy = false;
  let accounts: readonly Account[] = [];

  const accountsOf = (slot: number) => accounts.filter((account) => account.slot === slot);
  const stateOf = (accountId: string) => {
    let state = states.get(accountId);
    if (state === undefined)
      states.set(
        accountId,
        (state = {
          backlog: noCounts(),
          rendered: noCounts(),
          renderedBefore: noCounts(),
          open: 0,
        }),
      );
    return state;
  };
  const roomOf = (account: Account, priority: Priority) => {
    if (account.limitInForce === null || account.limitInForce === 0) return 0;
    const window = Math.max(leastWindow, Math.floor(account.limitInForce * deps.paceSeconds));
    const state = stateOf(account.id);
    if (state.open >= deps.openRuns) return 0;
    const { backlog, rendered, renderedBefore } = state;
    const ahead = noCounts();
    for (const run of runsAhead.of(account.id)) ahead[run.priority]++;
    return [backlog, ahead, rendered, renderedBefore].reduce(
      (room, counts) => room - atLeastAsUrgent(counts, priority),
      window,
    );
  };

  const look = async () => {
    accounts = await deps.accounts();
    for (const account of accounts) {
      const state = stateOf(account.id);
      state.renderedBefore = state.rendered;
      state.rendered = noCounts();
      state.backlog = await describeBacklog(deps, account.id);
      if (stopped.signal.aborted) return;
    }
  };
  const count = async () => {
    for (const account of accounts) {
      const query = `McAccount = '${account.id}' AND ExecutionStatus = 'Running'`;
      stateOf(account.id).open = (await deps.client.workflow.count(query)).count;
    }
  };

  const loop = (async () => {
    let countedAt = 0;
    while (!stopped.signal.aborted) {
      try {
        await deps.client.withDeadline(Date.now() + 5000, look);
        if (Date.now() - countedAt > countEveryMs) {
          await deps.client.withDeadline(Date.now() + 5000, count);
          countedAt = Date.now();
        }
        if (!isHealthy) logger.info('temporal.healthy');
        isHealthy = true;
      } catch (error) {
        if (isHealthy) logger.warn({ server: 'Temporal', error }, 'waiting for Temporal');
        isHealthy = false;
      }
      await pause(lookEveryMs, stopped.signal);
    }
  })();

  return {
    get isHealthy() {
      return isHealthy;
    },
    reportFailure: (error) => {
      if (isHealthy) logger.warn({ server: 'Temporal', error }, 'waiting for Temporal');
      isHealthy = false;
    },
    room: (slot, priority, most) => {
      // Nobody's slot any more: what still waits there is started, and ends with the reason.
      const rooms = accountsOf(slot).map((account) => roomOf(account, priority));
      return Math.max(0, Math.min(most, mostRunsAhead[priority] - runsAhead.count, ...rooms));
    },
    starting: (run) => runsAhead.add(run),
    rendered: (messageId) => {
      const run = runsAhead.remove(messageId);
      if (run !== undefined) stateOf(run.accountId).rendered[run.priority]++;
    },
    notStarted: (messageId) => void runsAhead.remove(messageId),
    stop: async () => {
      stopped.abort();
      await loop;
    },
  };
}

const noCounts = (): Counts => ({ critical: 0, normal: 0, bulk: 0 });

function atLeastAsUrgent(counts: Counts, priority: Priority): number {
  return priorities
    .filter((other) => priorityKeys[other] <= priorityKeys[priority])
    .reduce((sum, other) => sum + counts[other], 0);
}

async function describeBacklog(
  { client, namespace, names }: PaceDeps,
  accountId: string,
): Promise<Counts> {
  const described = await client.workflowService.describeTaskQueue({
    namespace,
    taskQueue: { name: names.sendQueue(accountId) },
    taskQueueType: TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY,
    reportStats: true,
  });
  const counts = noCounts();
  for (const priority of priorities) {
    const stats = described.statsByPriorityKey?.[priorityKeys[priority]];
    counts[priority] = Number(stats?.approximateBacklogCount ?? 0);
  }
  return counts;
}
