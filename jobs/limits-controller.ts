/**
 * Keeps every account's limit in force where it is enforced: on the Temporal server, per task queue. The only writer of
 * those limits. One jobs process at a time holds the lease; the others stand by.
 */
import proto from '@temporalio/proto';
import type { Client } from '@temporalio/client';
import type { Account } from '../contracts/template.ts';
import type { Names } from '../contracts/topics.ts';
import { pause } from '../platform/lifecycle.ts';
import type { Logger } from '../platform/logger.ts';

export interface LimitsDeps {
  readonly client: Client;
  readonly namespace: string;
  readonly names: Names;
  readonly logger: Logger;
  /** Accounts as they are now. */
  readonly accounts: () => Promise<readonly Account[]>;
  /** Ids of accounts whose circuit is open: they are at fault and wait for a try. */
  readonly openCircuits: () => Promise<ReadonlySet<string>>;
  /** Whether this process may write now; renews the lease. */
  readonly holdsLease: () => Promise<boolean>;
  /** Notes what is in force, for everyone who waits for it. */
  readonly setLimitInForce: (accountId: string, ratePerSecond: number) => Promise<void>;
}

const activityQueue = proto.temporal.api.enums.v1.TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY;
const followEveryMs = 500;
/** All limits are written again this often: a Temporal server that lost its data gets them back. */
const rewriteEveryMs = 60_000;

/** The limit an account should have: the lowest over its stored reasons. 0 holds everything. */
export function effectiveLimit(
  account: Pick<Account, 'ratePerSecond' | 'isStopped'>,
  hasOpenCircuit: boolean,
): number {
  return account.isStopped || hasOpenCircuit ? 0 : account.ratePerSecond;
}

/** Runs until stopped. */
export function controlLimits(deps: LimitsDeps): { stop(): Promise<void> } {
  const { logger } = deps;
  const stopped = new AbortController();
  const written = new Map<string, { limit: number; atMs: number }>();

  const apply = async (account: Account, open: ReadonlySet<string>) => {
    const limit = effectiveLimit(account, open.has(account.id));
    const last = written.get(account.id);
    const isFresh = last?.limit === limit && Date.now() - last.atMs < rewriteEveryMs;
    if (isFresh && account.limitInForce === limit) return;
    await deps.client.withDeadline(Date.now() + 5000, () => writeLimit(deps, account.id, limit));
    written.set(account.id, { limit, atMs: Date.now() });
    if (account.limitInForce === limit) return;
    await deps.setLimitInForce(account.id, limit);
    logger.info(
      {
        accountId: account.id,
        tenantId: account.tenantId,
        ratePerSecond: limit,
        before: account.limitInForce,
      },
      'limit.in-force',
    );
  };
  const loop = (async () => {
    while (!stopped.signal.aborted) {
      try {
        if (await deps.holdsLease()) {
          const open = await deps.openCircuits();
          for (const account of await deps.accounts()) await apply(account, open);
        } else written.clear();
      } catch (error) {
        logger.warn({ error, nextTryInMs: 1000 }, 'limits.postponed');
        await pause(1000, stopped.signal);
      }
      await pause(followEveryMs, stopped.signal);
    }
  })();
  return {
    stop: async () => {
      stopped.abort();
      await loop;
    },
  };
}

async function writeLimit(
  { client, namespace, names }: LimitsDeps,
  accountId: string,
  ratePerSecond: number,
): Promise<void> {
  await client.workflowService.updateTaskQueueConfig({
    namespace,
    identity: 'limits-controller',
    taskQueue: names.sendQueue(accountId),
    taskQueueType: activityQueue,
    updateQueueRateLimit: {
      rateLimit: { requestsPerSecond: ratePerSecond },
      reason: 'channel account limit',
    },
  });
}
