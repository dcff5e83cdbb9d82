/**
 * Pacing: how many messages of a lane may be started now. An account's task queue holds about `paceSeconds` of work; the
 * rest stays in RocketMQ. A lane counts only what is at least as urgent as itself, so a waiting campaign never keeps
 * one-time passwords out.
 */
import type { Client } from '@temporalio/client';
import { mostChunkMembers } from '../contracts/chunk.ts';
import { priorities, type Names, type Priority } from '../contracts/topics.ts';
import type { Account } from '../contracts/template.ts';
import { pause } from '../platform/lifecycle.ts';
import type { Logger } from '../platform/logger.ts';
import { atLeastAsUrgent, backlogOf, noCounts, type Counts } from '../platform/queue-backlog.ts';
import { createRunsAhead, type StartedRun } from './runs-ahead.ts';

export interface Pace {
  /** How many more of this lane may be taken now, at most `most`; 0: leave them in RocketMQ. */
  room(slot: number, priority: Priority, most: number): number;
  /** Whether any account takes from this slot. */
  isUsed(slot: number): boolean;
  /** How many more runs may be started now that only end: what was recalled. */
  roomForRecalled(most: number): number;
  /** Tells that a run starts now. */
  starting(run: StartedRun): void;
  /** Tells that it is rendered, so that its send is on the way to the account's queue. */
  rendered(messageId: string): void;
  /** Tells that it was not started by this call, or will send nothing. */
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
  /** Whether an account has a queue of chunks beside its own. */
  readonly hasChunks: (account: Account) => boolean;
  readonly paceSeconds: number;
  readonly openRuns: number;
}

interface AccountState {
  backlog: Counts;
  /** Rendered since the last look began, and between the two before: not surely in the backlog yet. */
  rendered: Counts;
  renderedBefore: Counts;
  open: number;
  /** Messages in the bulk delivery that was last started: a chunk has many. */
  perBulkDelivery: number;
}

const lookEveryMs = 1000;
const countEveryMs = 10_000;
/**
 * Runs started ahead of the workflow worker, of all lanes together. The worker takes them in the order in which they came, so
 * what a campaign has started is what a one-time password waits for: no more than keeps the worker busy.
 */
const mostRunsAhead = { critical: 300, normal: 24, bulk: 16 } as const satisfies Counts;
/** The same while something more urgent is among them: the rest of the machine is for that. */
const mostBesideUrgent = { critical: 300, normal: 6, bulk: 4 } as const satisfies Counts;
/** A slow account still gets a few messages at a time. */
const leastWindow = 5;

/** Looks each second at the queue of every account for which something is started, until stopped. */
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
          perBulkDelivery: 1,
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
    for (const run of runsAhead.of(account.id)) ahead[run.priority] += run.messages ?? 1;
    const messages = [backlog, ahead, rendered, renderedBefore].reduce(
      (room, counts) => room - atLeastAsUrgent(counts, priority),
      window,
    );
    return priority === 'bulk' ? Math.ceil(messages / state.perBulkDelivery) : messages;
  };

  const placesAhead = (priority: Priority) =>
    (runsAhead.isAnyBefore(priority) ? mostBesideUrgent : mostRunsAhead)[priority] -
    runsAhead.count;

  /** While an account is held, what waits for it goes to another of the same tenant and connector, where there is one. */
  const standInOf = (account: Account) =>
    account.limitInForce === 0
      ? (accounts.find(
          ({ tenantId, connector, limitInForce }) =>
            tenantId === account.tenantId &&
            connector === account.connector &&
            limitInForce !== null &&
            limitInForce > 0,
        ) ?? account)
      : account;

  const isQuiet = ({ id }: Account) => {
    const { backlog, rendered, renderedBefore } = stateOf(id);
    const isEmpty = [backlog, rendered, renderedBefore].every((counts) =>
      priorities.every((priority) => counts[priority] === 0),
    );
    return isEmpty && runsAhead.of(id).length === 0;
  };
  let turn = 0;
  const look = async () => {
    const before = new Set(accounts.map(({ id }) => id));
    accounts = await deps.accounts();
    // Of those where nothing happens one at a time, so that many accounts cost no more than few; also to learn whether Temporal
    // answers at all. What is started for one is counted from its start, and makes it one of the others.
    const next = accounts[(turn += 1) % accounts.length];
    for (const account of accounts) {
      if (account !== next && before.has(account.id) && isQuiet(account)) continue;
      const state = stateOf(account.id);
      state.renderedBefore = state.rendered;
      state.rendered = noCounts();
      state.backlog = await describeBacklog(deps, account);
      if (stopped.signal.aborted) return;
    }
  };
  const count = async () => {
    for (const account of accounts) {
      // Without those that wait for their time: they are no work yet.
      const due = `ExecutionTime <= '${new Date().toISOString()}'`;
      const query = `McAccount = '${account.id}' AND ExecutionStatus = 'Running' AND ${due}`;
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
      const rooms = accountsOf(slot).map((account) => roomOf(standInOf(account), priority));
      return Math.max(0, Math.min(most, placesAhead(priority), ...rooms));
    },
    isUsed: (slot) => accounts.some((account) => account.slot === slot),
    roomForRecalled: (most) => Math.max(0, Math.min(most, placesAhead('bulk'))),
    starting: (run) => {
      runsAhead.add(run);
      if (run.accountId !== undefined && run.priority === 'bulk')
        stateOf(run.accountId).perBulkDelivery = run.messages ?? 1;
    },
    rendered: (messageId) => {
      const run = runsAhead.remove(messageId);
      if (run?.accountId !== undefined)
        stateOf(run.accountId).rendered[run.priority] += run.messages ?? 1;
    },
    notStarted: (messageId) => void runsAhead.remove(messageId),
    stop: async () => {
      stopped.abort();
      await loop;
    },
  };
}

/** Messages that wait for an account, by priority. */
async function describeBacklog(deps: PaceDeps, account: Account): Promise<Counts> {
  const { names, hasChunks } = deps;
  const counts = await backlogOf(deps, names.sendQueue(account.id));
  if (!hasChunks(account)) return counts;
  const chunks = await backlogOf(deps, names.chunkQueue(account.id));
  return { ...counts, bulk: counts.bulk + chunks.bulk * mostChunkMembers };
}
