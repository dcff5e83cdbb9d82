/**
 * Keeps every account's limit in force where it is enforced: on the Temporal server, per task queue. The only writer of
 * those limits. One jobs process at a time holds the lease; the others stand by.
 */
import proto from '@temporalio/proto';
import type { Client } from '@temporalio/client';
import { mostChunkMembers } from '../contracts/chunk.ts';
import type { Account } from '../contracts/template.ts';
import type { Names } from '../contracts/topics.ts';
import { pause } from '../platform/lifecycle.ts';
import type { Logger } from '../platform/logger.ts';
import { sharesOf, type Shares } from './chunk-share.ts';

export interface LimitsDeps {
  readonly client: Client;
  readonly namespace: string;
  readonly names: Names;
  readonly logger: Logger;
  /** Accounts as they are now. */
  readonly accounts: () => Promise<readonly Account[]>;
  /** Whether an account has a queue of chunks beside its own. */
  readonly hasChunks: (account: Account) => boolean;
  /** Ids of accounts whose circuit is open: they are at fault and wait for a try. */
  readonly openCircuits: () => Promise<ReadonlySet<string>>;
  /** Whether this process may write now; renews the lease. */
  readonly holdsLease: () => Promise<boolean>;
  /** Notes what is in force, for everyone who waits for it. */
  readonly setLimitInForce: (accountId: string, ratePerSecond: number) => Promise<void>;
}

const activityQueue = proto.temporal.api.enums.v1.TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY;
const followEveryMs = 500;
/**
 * An account whose last chunk was seen longer ago gives all of its limit to single messages. Several times as long as a
 * server keeps its count of what waits (5 s unless set otherwise): an old count must not hold a campaign.
 */
const chunksForgottenMs = 30_000;
/** All limits are written again this often: a Temporal server that lost its data gets them back. */
const rewriteEveryMs = 60_000;

/** The limit an account should have: the lowest over its stored reasons. 0 holds everything. */
export function effectiveLimit(
  account: Pick<Account, 'ratePerSecond' | 'isStopped'>,
  hasOpenCircuit: boolean,
): number {
  return account.isStopped || hasOpenCircuit ? 0 : account.ratePerSecond;
}

interface Written {
  readonly limit: number;
  readonly shares: Shares;
  readonly atMs: number;
}

/** Runs until stopped. */
export function controlLimits(deps: LimitsDeps): { stop(): Promise<void> } {
  const { logger } = deps;
  const stopped = new AbortController();
  const written = new Map<string, Written>();
  /** When chunks of an account were last seen waiting, or handed out at once. */
  const chunksSeenAt = new Map<string, number>();

  const sharesFor = async (account: Account, limit: number): Promise<Shares> => {
    if (limit === 0 || !deps.hasChunks(account)) return { singles: limit, chunks: 0 };
    const chunks = await describe(deps, deps.names.chunkQueue(account.id));
    if (chunks.waiting > 0 || chunks.perSecond > 0) chunksSeenAt.set(account.id, Date.now());
    if (Date.now() - (chunksSeenAt.get(account.id) ?? 0) > chunksForgottenMs)
      return { singles: limit, chunks: 0 };
    const singles = await describe(deps, deps.names.sendQueue(account.id));
    const seen = {
      hasChunks: true,
      singlesWaiting: singles.waiting,
      singlesPerSecond: singles.perSecond,
    };
    return sharesOf(limit, seen, written.get(account.id)?.shares);
  };
  const apply = async (account: Account, open: ReadonlySet<string>) => {
    const limit = effectiveLimit(account, open.has(account.id));
    const last = written.get(account.id);
    const shares = await deps.client.withDeadline(Date.now() + 5000, () =>
      sharesFor(account, limit),
    );
    const isFresh =
      last?.limit === limit &&
      last.shares.chunks === shares.chunks &&
      Date.now() - last.atMs < rewriteEveryMs;
    if (isFresh && account.limitInForce === limit) return;
    await deps.client.withDeadline(Date.now() + 5000, () =>
      writeShares(deps, account, { shares, before: last?.shares }),
    );
    written.set(account.id, { limit, shares, atMs: Date.now() });
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

/** Both queues of an account; the one that loses first, so that together they never have more than the limit. */
async function writeShares(
  deps: LimitsDeps,
  account: Account,
  { shares, before }: { readonly shares: Shares; readonly before: Shares | undefined },
): Promise<void> {
  const { names } = deps;
  const singles = () => writeLimit(deps, names.sendQueue(account.id), shares.singles);
  if (!deps.hasChunks(account)) return singles();
  const chunks = () =>
    writeLimit(deps, names.chunkQueue(account.id), shares.chunks / mostChunkMembers);
  const order =
    shares.chunks <= (before?.chunks ?? Infinity) ? [chunks, singles] : [singles, chunks];
  for (const write of order) await write();
}

/** What waits in a queue, and what was lately handed out. */
async function describe(
  { client, namespace }: LimitsDeps,
  taskQueue: string,
): Promise<{ readonly waiting: number; readonly perSecond: number }> {
  const { stats } = await client.workflowService.describeTaskQueue({
    namespace,
    taskQueue: { name: taskQueue },
    taskQueueType: activityQueue,
    reportStats: true,
  });
  return {
    waiting: Number(stats?.approximateBacklogCount ?? 0),
    perSecond: stats?.tasksDispatchRate ?? 0,
  };
}

async function writeLimit(
  { client, namespace }: LimitsDeps,
  taskQueue: string,
  requestsPerSecond: number,
): Promise<void> {
  await client.workflowService.updateTaskQueueConfig({
    namespace,
    identity: 'limits-controller',
    taskQueue,
    taskQueueType: activityQueue,
    updateQueueRateLimit: {
      rateLimit: { requestsPerSecond },
      reason: 'channel account limit',
    },
  });
}
