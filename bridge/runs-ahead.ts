/**
 * Runs that this process has started and that have not been rendered yet: work for its own workflow worker. Starting faster
 * than that only moves the queue from RocketMQ, where waiting costs nothing, into Temporal.
 */
export interface RunsAhead {
  add(messageId: string): void;
  /** Rendered, or known to have been started before. */
  remove(messageId: string): void;
  readonly count: number;
}

/** Another bridge may have rendered it: then it is forgotten after this time. */
const forgetAfterMs = 10_000;

/** Makes an empty list. `now`: epoch milliseconds. */
export function createRunsAhead(now: () => number = Date.now): RunsAhead {
  // In order of time, so that forgetting looks only at the oldest.
  const startedAt = new Map<string, number>();
  const forget = () => {
    for (const [messageId, at] of startedAt) {
      if (now() - at < forgetAfterMs) return;
      startedAt.delete(messageId);
    }
  };
  return {
    add: (messageId) => void startedAt.set(messageId, now()),
    remove: (messageId) => void startedAt.delete(messageId),
    get count() {
      forget();
      return startedAt.size;
    },
  };
}
