/**
 * Runs that this process has started and that have not been rendered yet: work for its own workflow worker, and not yet in
 * any account's queue. Starting faster than that only moves the waiting from RocketMQ, where it costs nothing, into Temporal.
 */
import { priorityKeys, type Priority } from '../contracts/topics.ts';

export interface StartedRun {
  readonly id: string;
  /** Absent: it sends nothing, and takes nobody's room. */
  readonly accountId?: string;
  readonly priority: Priority;
  /** How many it carries: those of a chunk. Default 1. */
  readonly messages?: number;
}

export interface RunsAhead {
  add(run: StartedRun): void;
  /** It is rendered, or was never started by this: gives the run if it was on the list. */
  remove(messageId: string): StartedRun | undefined;
  readonly count: number;
  /** Whether one of them is more urgent than this. */
  isAnyBefore(priority: Priority): boolean;
  of(accountId: string): readonly StartedRun[];
}

/** Another bridge may have rendered it: then it is forgotten after this time. */
const forgetAfterMs = 10_000;

/** Makes an empty list. `now`: epoch milliseconds. */
export function createRunsAhead(now: () => number = Date.now): RunsAhead {
  // In order of time, so that forgetting looks only at the oldest.
  const runs = new Map<string, StartedRun & { readonly at: number }>();
  const forget = () => {
    for (const [messageId, { at }] of runs) {
      if (now() - at < forgetAfterMs) return;
      runs.delete(messageId);
    }
  };
  return {
    add: (run) => void runs.set(run.id, { ...run, at: now() }),
    remove: (messageId) => {
      const run = runs.get(messageId);
      runs.delete(messageId);
      return run;
    },
    get count() {
      forget();
      return runs.size;
    },
    isAnyBefore: (priority) => {
      forget();
      return [...runs.values()].some((run) => priorityKeys[run.priority] < priorityKeys[priority]);
    },
    of: (accountId) => {
      forget();
      return [...runs.values()].filter((run) => run.accountId === accountId);
    },
  };
}
