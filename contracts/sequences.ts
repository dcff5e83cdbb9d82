/** Snapshots within one round of a run, and rounds within a run: together they stay below `end`. */
const roundSize = 4096;
const mostRounds = 64;

const roundStart = (round: number) => 2 + Math.min(round, mostRounds - 2) * roundSize;

/**
 * Sequence numbers of a message's snapshots. After acceptance only its workflow numbers them: in rounds, a new one for each
 * way that is tried and for each time it is held. It hands the send activity a round to number its attempts in. What a
 * receipt says later has a fixed number in the range above the run's.
 */
export const sequences = {
  accepted: 0,
  sending: 1,
  roundStart,
  /** Number of the snapshot after the n-th attempt, counted from 1, of a round counted from 0. */
  attempt: (round: number, attempt: number) => roundStart(round) + Math.min(attempt, roundSize - 2),
  /** The last one of a round: that a way has come to its end, or that the message is held. */
  roundEnd: (round: number) => roundStart(round) + roundSize - 1,
  end: mostRounds * roundSize,
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
