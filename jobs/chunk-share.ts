/** How an account's limit is divided between its single messages and its chunks. Pure. */

/** What is kept for single messages, so that one of them finds room at once. */
const leastForSingles = 0.2;
/** A share that changes by less than this part of the limit stays as it is: each write is a burst. */
const worthWriting = 0.05;

/** Messages a second; together the limit. */
export interface Shares {
  readonly singles: number;
  readonly chunks: number;
}

/** What is seen of the account's two queues. */
export interface Seen {
  /** Chunks wait, or were sent in the last seconds. */
  readonly hasChunks: boolean;
  /** Single messages that wait, and how many were lately handed out in a second. */
  readonly singlesWaiting: number;
  readonly singlesPerSecond: number;
}

/** Chunks get what the others leave, and nothing while there are none. `before`: the shares in force, if they add up to this limit. */
export function sharesOf(limit: number, seen: Seen, before?: Shares): Shares {
  if (limit <= 0 || !seen.hasChunks) return { singles: limit, chunks: 0 };
  const wanted = Math.max(leastForSingles * limit, seen.singlesWaiting + seen.singlesPerSecond);
  const chunks = Math.max(0, Math.floor(limit - wanted));
  const isSmallChange =
    before !== undefined &&
    before.singles + before.chunks === limit &&
    before.chunks > 0 === chunks > 0 &&
    Math.abs(chunks - before.chunks) < worthWriting * limit;
  return isSmallChange ? before : { singles: limit - chunks, chunks };
}
