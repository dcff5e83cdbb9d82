/**
 * The one table of names that tie processes together. Carried by RocketMQ: lanes (ingest → bridge, indexer),
 * results and retries (bridge, worker → indexer, jobs), receipts (ingest → jobs), parked and alerts (anyone → people).
 */

export const priorities = ['critical', 'normal', 'bulk'] as const;
export type Priority = (typeof priorities)[number];

/** Temporal's priorityKey of a lane: 1 is served first. */
export const priorityKeys = { critical: 1, normal: 3, bulk: 5 } as const satisfies Record<
  Priority,
  number
>;

export interface Names {
  /** Topic of one lane. `slot` counts from 0. */
  lane(slot: number, priority: Priority): string;
  readonly results: string;
  readonly retries: string;
  readonly receipts: string;
  readonly parked: string;
  readonly alerts: string;
  /** Consumer group of a role; every member subscribes to all topics of the role. */
  group(role: 'bridge' | 'indexer' | 'jobs'): string;
  /** Temporal task queue of the workflows. */
  readonly deliverQueue: string;
  /** Temporal task queue of one channel account's send activity. */
  sendQueue(accountId: string): string;
  /** Daily index of messages and of attempts, by the UTC day of acceptance (`2026-11-21…`). */
  messageIndex(acceptedAt: string): string;
  attemptIndex(acceptedAt: string): string;
  /** Patterns that cover all days. */
  readonly messageIndices: string;
  readonly attemptIndices: string;
}

/** Names of one installation; `prefix` keeps installations apart on shared servers. */
export function createNames(prefix: string): Names {
  const day = (acceptedAt: string) => acceptedAt.slice(0, 10).replaceAll('-', '.');
  return {
    lane: (slot, priority) => `${prefix}-lane-${slot}-${priority}`,
    results: `${prefix}-results`,
    retries: `${prefix}-retries`,
    receipts: `${prefix}-receipts`,
    parked: `${prefix}-parked`,
    alerts: `${prefix}-alerts`,
    group: (role) => `${prefix}-${role}`,
    deliverQueue: `${prefix}-deliver`,
    sendQueue: (accountId) => `${prefix}-send-${accountId}`,
    messageIndex: (acceptedAt) => `${prefix}-messages-${day(acceptedAt)}`,
    attemptIndex: (acceptedAt) => `${prefix}-attempts-${day(acceptedAt)}`,
    messageIndices: `${prefix}-messages-*`,
    attemptIndices: `${prefix}-attempts-*`,
  };
}
