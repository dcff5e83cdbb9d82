/**
 * Which send queues this process serves: one Temporal worker per channel account, and one for its chunks, added and removed as accounts
 * come and go. A queue is served only once its limit is in force, so that a new account never starts with a burst.
 */
import { Worker, type NativeConnection } from '@temporalio/worker';
import type { DataConverter } from '@temporalio/common';
import type { SendActivities } from '../contracts/activities.ts';
import type { SendChunkActivities } from '../contracts/chunk-activities.ts';
import type { Account } from '../contracts/template.ts';
import type { Names } from '../contracts/topics.ts';
import { pause } from '../platform/lifecycle.ts';
import type { Logger } from '../platform/logger.ts';

export interface AccountWorkersDeps {
  readonly connection: NativeConnection;
  readonly namespace: string;
  readonly dataConverter: DataConverter;
  readonly names: Names;
  readonly logger: Logger;
  readonly activities: SendActivities;
  readonly chunkActivities: SendChunkActivities;
  /** Whether an account has a queue of chunks beside its own. */
  readonly hasChunks: (account: Account) => boolean;
  /** Whether a queue's rate is limited: of a chunk queue nothing else says so. Errors: Temporal does not answer. */
  readonly isLimited: (taskQueue: string) => Promise<boolean>;
  readonly accounts: () => Promise<readonly Account[]>;
}

/** How soon a change of accounts is followed; the directory itself is at most a second behind. */
const followEveryMs = 500;
/** Provider calls under way at once per account in this process. */
const concurrentSends = 50;

/** The same of batch calls. */
const concurrentChunks = 10;

interface Queue {
  readonly taskQueue: string;
  readonly accountId: string;
  readonly isOfChunks: boolean;
}
interface Serving {
  readonly worker: Worker;
  readonly ended: Promise<void>;
}

/** Serves the accounts' queues until stopped; stop lets calls under way conclude. */
export function serveAccounts(deps: AccountWorkersDeps): {
  readonly serving: number;
  stop(): Promise<void>;
} {
  const { logger, names } = deps;
  const serving = new Map<string, Serving>();
  const stopped = new AbortController();

  const add = async ({ taskQueue, accountId, isOfChunks }: Queue) => {
    const worker = await Worker.create({
      connection: deps.connection,
      namespace: deps.namespace,
      dataConverter: deps.dataConverter,
      taskQueue,
      activities: isOfChunks ? { ...deps.chunkActivities } : { ...deps.activities },
      maxConcurrentActivityTaskExecutions: isOfChunks ? concurrentChunks : concurrentSends,
      activityTaskPollerBehavior: {
        type: 'autoscaling',
        minimum: 1,
        initial: isOfChunks ? 1 : 2,
        maximum: 10,
      },
      // Longer than a provider call: one that is under way concludes, and is not left as a doubt.
      shutdownGraceTime: '8 seconds',
    });
    const ended = worker.run().then(
      () => undefined,
      (error: unknown) => logger.error({ accountId, taskQueue, error }, 'account-worker.failed'),
    );
    serving.set(taskQueue, { worker, ended });
    void ended.then(() => serving.delete(taskQueue));
    logger.info({ accountId, taskQueue }, 'account-worker.started');
  };
  const remove = async (taskQueue: string, { worker, ended }: Serving) => {
    if (worker.getState() === 'RUNNING') worker.shutdown();
    await ended;
    logger.info({ taskQueue }, 'account-worker.stopped');
  };
  const queuesOf = (account: Account): readonly Queue[] => {
    const { id: accountId } = account;
    const own = { taskQueue: names.sendQueue(accountId), accountId, isOfChunks: false };
    return deps.hasChunks(account)
      ? [own, { taskQueue: names.chunkQueue(accountId), accountId, isOfChunks: true }]
      : [own];
  };

  const follow = async () => {
    const wanted = new Map(
      (await deps.accounts())
        .filter((account) => account.limitInForce !== null)
        .flatMap(queuesOf)
        .map((queue) => [queue.taskQueue, queue]),
    );
    for (const queue of wanted.values()) {
      if (serving.has(queue.taskQueue)) continue;
      try {
        if (!queue.isOfChunks || (await deps.isLimited(queue.taskQueue))) await add(queue);
      } catch (error) {
        const { accountId, taskQueue } = queue;
        logger.warn({ accountId, taskQueue, error }, 'account-worker.start-failed');
      }
    }
    for (const [taskQueue, entry] of serving)
      if (!wanted.has(taskQueue)) void remove(taskQueue, entry);
  };
  const loop = (async () => {
    while (!stopped.signal.aborted) {
      await follow().catch((error: unknown) => logger.warn({ error }, 'account-workers.postponed'));
      await pause(followEveryMs, stopped.signal);
    }
  })();

  return {
    get serving() {
      return serving.size;
    },
    stop: async () => {
      stopped.abort();
      await loop;
      await Promise.all([...serving].map(([taskQueue, entry]) => remove(taskQueue, entry)));
    },
  };
}
