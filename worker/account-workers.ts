/**
 * Which send queues this process serves: one Temporal worker per channel account, added and removed as accounts come and
 * go. A queue is served only once its limit is in force, so that a new account never starts with a burst.
 */
import { Worker, type NativeConnection } from '@temporalio/worker';
import type { DataConverter } from '@temporalio/common';
import type { SendActivities } from '../contracts/activities.ts';
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
  readonly accounts: () => Promise<readonly Account[]>;
}

/** How soon a change of accounts is followed; the directory itself is at most a second behind. */
const followEveryMs = 500;
/** Provider calls under way at once per account in this process. */
const concurrentSends = 50;

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

  const add = async (account: Account) => {
    const worker = await Worker.create({
      connection: deps.connection,
      namespace: deps.namespace,
      dataConverter: deps.dataConverter,
      taskQueue: names.sendQueue(account.id),
      activities: { ...deps.activities },
      maxConcurrentActivityTaskExecutions: concurrentSends,
      activityTaskPollerBehavior: { type: 'autoscaling', minimum: 1, initial: 2, maximum: 10 },
      // Longer than a provider call: one that is under way concludes, and is not left as a doubt.
      shutdownGraceTime: '8 seconds',
    });
    const ended = worker.run().then(
      () => undefined,
      (error: unknown) => logger.error({ accountId: account.id, error }, 'account-worker.failed'),
    );
    serving.set(account.id, { worker, ended });
    void ended.then(() => serving.delete(account.id));
    logger.info(
      { accountId: account.id, taskQueue: names.sendQueue(account.id) },
      'account-worker.started',
    );
  };
  const remove = async (accountId: string, { worker, ended }: Serving) => {
    if (worker.getState() === 'RUNNING') worker.shutdown();
    await ended;
    logger.info({ accountId }, 'account-worker.stopped');
  };

  const follow = async () => {
    const wanted = new Map(
      (await deps.accounts())
        .filter((account) => account.limitInForce !== null)
        .map((account) => [account.id, account]),
    );
    for (const account of wanted.values())
      if (!serving.has(account.id))
        await add(account).catch((error: unknown) =>
          logger.warn({ accountId: account.id, error }, 'account-worker.start-failed'),
        );
    for (const [accountId, entry] of serving)
      if (!wanted.has(accountId)) void remove(accountId, entry);
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
      await Promise.all([...serving].map(([accountId, entry]) => remove(accountId, entry)));
    },
  };
}
