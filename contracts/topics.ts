/**
 * The one table of names that tie processes together. Carried by RocketMQ: lanes (ingest → bridge, indexer),
 * results and retries (bridge, worker → indexer, jobs), tenants' results (jobs → services), order (ingest → bridge, indexer), recalled (bridge → bridge), receipts (ingest → jobs), parked and alerts (anyone → people).
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
  /** FIFO topic of messages with an ordering key. */
  readonly order: string;
  /** What was recalled while it lay in a lane. */
  readonly recalled: string;
  readonly results: string;
  /** FIFO topic of one tenant's own results, and the group that is made with it. */
  tenantResults(tenantId: string): string;
  readonly retries: string;
  readonly receipts: string;
  readonly parked: string;
  readonly alerts: string;
  /** Consumer group of a role; every member subscribes to all topics of the role. */
  group(
    role: 'bridge' | 'order' | 'recalled' | 'indexer' | 'jobs' | 'webhooks' | 'result-topics',
  ): string;
  /** Temporal task queue of the workflows. */
  readonly deliverQueue: string;
  /** Temporal task queue of one channel account's send activity. */
  sendQueue(accountId: string): string;
  /** Temporal task queue of one channel account's chunks. */
  chunkQueue(accountId: string): string;
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
    order: `${prefix}-order`,
    recalled: `${prefix}-recalled`,
    results: `${prefix}-results`,
    // RocketMQ knows no dots; tenant ids know no capitals, so that no two have one name.
    tenantResults: (tenantId) => `${prefix}-results-${tenantId.replaceAll('.', 'D')}`,
    retries: `${prefix}-retries`,
    receipts: `${prefix}-receipts`,
    parked: `${prefix}-parked`,
    alerts: `${prefix}-alerts`,
    group: (role) => `${prefix}-${role}`,
    deliverQueue: `${prefix}-deliver`,
    sendQueue: (accountId) => `${prefix}-send-${accountId}`,
    chunkQueue: (accountId) => `${prefix}-send-${accountId}-chunks`,
    messageIndex: (acceptedAt) => `${prefix}-messages-${day(acceptedAt)}`,
    attemptIndex: (acceptedAt) => `${prefix}-attempts-${day(acceptedAt)}`,
    messageIndices: `${prefix}-messages-*`,
    attemptIndices: `${prefix}-attempts-*`,
  };
}
