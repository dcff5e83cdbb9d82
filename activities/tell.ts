/** What the send activity tells beside its outcome: attempts for the timeline, alerts for people. Neither may hold up or undo an outcome. */
import type { AcceptedMessage } from '../contracts/message.ts';
import { toEvent, type Reason, type Snapshot } from '../contracts/result.ts';
import type { Names } from '../contracts/topics.ts';
import type { Logger } from '../platform/logger.ts';
import type { Publisher } from '../platform/queue.ts';

export interface Tell {
  /** The timeline's entry of an attempt that is not the last one; the last one travels with the run's end. */
  attempt(snapshot: Snapshot): Promise<void>;
  /** The account is at fault, not the message: at most one alert a minute for each account and process. */
  accountAtFault(fault: {
    readonly message: AcceptedMessage;
    readonly reason: Reason;
    /** ISO time from which the provider serves again, where it says so. */
    readonly resumeAt?: string;
    /** Whether the account's queue is to be held; not where each recipient has credentials of its own. */
    readonly isWhole: boolean;
  }): Promise<void>;
}

const publishDeadlineMs = 3_000;
const alertEveryMs = 60_000;

/** Makes it over the publisher. What cannot be published in time is logged. */
export function createTell(deps: {
  readonly publisher: Publisher;
  readonly names: Names;
  readonly logger: Logger;
  /** Holds the account's queue. Errors: the store does not answer. */
  readonly openCircuit: (circuit: {
    accountId: string;
    tenantId: string;
    reason: Reason;
    resumeAtMs?: number;
    nowMs: number;
  }) => Promise<boolean>;
}): Tell {
  const { publisher, names, logger } = deps;
  const alertedAt = new Map<string, number>();
  // Errors end here: without its outcome the server would have the provider called again.
  const publish = (topic: string, key: string, value: unknown) =>
    publisher
      .publish(topic, { key, body: JSON.stringify(value) }, { deadlineMs: publishDeadlineMs })
      .catch((error: unknown) => logger.warn({ topic, key, error }, 'event.unpublished'));
  return {
    attempt: (snapshot) => publish(names.retries, snapshot.messageId, toEvent(snapshot)),
    accountAtFault: async ({ message, reason, resumeAt, isWhole }) => {
      const { accountId, tenantId } = message;
      const nowMs = Date.now();
      if (isWhole)
        await deps
          .openCircuit({
            accountId,
            tenantId,
            reason,
            nowMs,
            ...(resumeAt !== undefined && { resumeAtMs: Date.parse(resumeAt) }),
          })
          .catch((error: unknown) => logger.warn({ accountId, error }, 'circuit.not-opened'));
      if (nowMs - (alertedAt.get(accountId) ?? 0) < alertEveryMs) return;
      alertedAt.set(accountId, nowMs);
      logger.error({ accountId, tenantId, reason }, 'account.at-fault');
      const at = new Date(nowMs).toISOString();
      await publish(names.alerts, accountId, {
        version: 1,
        at,
        kind: 'account-at-fault',
        tenantId,
        accountId,
        reason,
      });
    },
  };
}
