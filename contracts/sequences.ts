/**
 * Sequence numbers of a message's snapshots. After acceptance only its workflow numbers them; it hands the send activity
 * a range to number the attempts in. What a receipt says later has a fixed number in the range above the run's.
 */
export const sequences = {
  accepted: 0,
  sending: 1,
  /** Number of the snapshot after the n-th attempt, counted from 1, of the leg (channel tried) counted from 0. */
  attempt: (leg: number, attempt: number) => 2 + leg * 8192 + Math.min(attempt, 8191),
  end: 2 ** 18,
  receipt: {
    failed: 2 ** 19 + 1,
    delivered: 2 ** 19 + 2,
    read: 2 ** 19 + 3,
    recalled: 2 ** 19 + 4,
  },
} as const;

/** Elasticsearch's external version of a snapshot: a redrive outranks all of the run before it. */
export function documentVersion(snapshot: { redrive: number; sequence: number }): number {
  return snapshot.redrive * 2 ** 20 + snapshot.sequence;
}
