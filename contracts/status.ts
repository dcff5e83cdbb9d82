/** The states of a message and the legal moves between them. UI, index, SQL and docs read this one table. */

/** For each status: where it may go next. A status with no next one is an end. */
export const statusMoves = {
  // Straight to an end: members of a chunk, of which nothing is told while they wait.
  accepted: [
    'scheduled',
    'held',
    'sending',
    'retrying',
    'sent',
    'unknown',
    'failed',
    'recalled',
    'suppressed',
    'rejected',
    'expired',
  ],
  scheduled: ['held', 'sending', 'recalled', 'suppressed', 'failed', 'expired'],
  held: ['sending', 'failed', 'recalled', 'suppressed', 'expired'],
  sending: [
    'held',
    'retrying',
    'sent',
    'delivered',
    'read',
    'failed',
    'expired',
    'recalled',
    'unknown',
    'suppressed',
  ],
  retrying: [
    'retrying',
    'held',
    'sending',
    'sent',
    'delivered',
    'read',
    'failed',
    'expired',
    'recalled',
    'unknown',
    'suppressed',
  ],
  sent: ['delivered', 'read', 'failed', 'recalled'],
  unknown: ['sent', 'delivered', 'read', 'failed'],
  delivered: ['read', 'recalled'],
  read: [],
  failed: ['delivered', 'read'],
  expired: [],
  recalled: [],
  suppressed: [],
  rejected: [],
} as const satisfies Record<string, readonly string[]>;

export type Status = keyof typeof statusMoves;
export const statuses = Object.keys(statusMoves) as Status[];

/** Statuses with which a delivery run ends; only a receipt can still move some of them. */
export const endStatuses = [
  'sent',
  'delivered',
  'read',
  'unknown',
  'failed',
  'expired',
  'recalled',
  'suppressed',
  'rejected',
] as const satisfies readonly Status[];

/** Whether the delivery run of a message with this status has ended. */
export function isEnd(status: Status): boolean {
  return (endStatuses as readonly Status[]).includes(status);
}

/** Whether a message may go from one status to another. */
export function mayMove(from: Status, to: Status): boolean {
  return (statusMoves[from] as readonly Status[]).includes(to);
}
