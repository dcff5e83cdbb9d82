/**
 * Quotas per second: token buckets, filled with this machine's share of a quota, at most one second of it (and one message).
 * Several processes behind one port fetch their tokens in small blocks from buckets that the first of them keeps, so that it
 * does not matter over which connection a message comes.
 */
import { askFirst, isOneOfSeveral } from '../platform/first-process.ts';

export interface SecondLimit {
  readonly tenantId: string;
  /** `total`, or the lane. */
  readonly counter: string;
  readonly perSecond: number;
}

export interface SecondBuckets {
  /** To be called before the others: fetches tokens where they are kept elsewhere and none is left here. */
  fetch(limit: SecondLimit): Promise<void>;
  /** Tokens that can be taken now. */
  here(limit: SecondLimit): number;
  /** All that is left, as far as it is known. */
  left(limit: SecondLimit): number;
  /** A negative count puts back. */
  take(limit: SecondLimit, count: number): void;
  /** Until there is one token. */
  waitSeconds(limit: SecondLimit): number;
}

/** A process fetches this part of a second's tokens at a time. */
const blocksPerSecond = 20;

interface Ask {
  readonly key: string;
  readonly share: number;
  readonly wanted: number;
}
interface Grant {
  readonly granted: number;
  readonly left: number;
}

/** `shareOf`: what this machine may take of it in a second. */
export function createSecondBuckets(
  now: () => number,
  shareOf: (limit: SecondLimit) => number,
): SecondBuckets {
  return isOneOfSeveral ? fetchedBuckets(shareOf) : ownBuckets(now, shareOf);
}

/** What the first of several processes answers to them. */
export function createTokenAnswers(now: () => number = Date.now) {
  const buckets = createBuckets(now);
  return {
    tokens: ({ key, share, wanted }: Ask): Grant => {
      const bucket = buckets(key, share);
      const granted = Math.min(wanted, Math.max(0, Math.floor(bucket.tokens)));
      bucket.tokens -= granted;
      return { granted, left: bucket.tokens };
    },
  };
}

const keyOf = ({ tenantId, counter }: SecondLimit) => `${tenantId}/${counter}`;

function ownBuckets(now: () => number, shareOf: (limit: SecondLimit) => number): SecondBuckets {
  const buckets = createBuckets(now);
  const of = (limit: SecondLimit) => buckets(keyOf(limit), shareOf(limit));
  const left = (limit: SecondLimit) => Math.max(0, Math.floor(of(limit).tokens));
  return {
    fetch: async () => {},
    here: left,
    left,
    take: (limit, count) => void (of(limit).tokens -= count),
    waitSeconds: (limit) => Math.max(0, 1 - of(limit).tokens) / shareOf(limit),
  };
}

interface Stock {
  here: number;
  /** What was left where they are kept when it was last asked. */
  elsewhere: number;
  /** Messages that need one. */
  waiting: number;
  fetching?: Promise<void>;
}

function fetchedBuckets(shareOf: (limit: SecondLimit) => number): SecondBuckets {
  const stocks = new Map<string, Stock>();
  const of = (limit: SecondLimit) => {
    const key = keyOf(limit);
    let stock = stocks.get(key);
    if (stock === undefined) stocks.set(key, (stock = { here: 0, elsewhere: 0, waiting: 0 }));
    return stock;
  };
  const fetch = async (limit: SecondLimit) => {
    const stock = of(limit);
    // Those that come in the same moment are asked for together.
    await new Promise((resolve) => setImmediate(resolve));
    const share = shareOf(limit);
    const wanted = Math.max(1, stock.waiting, Math.floor(share / blocksPerSecond));
    const grant = await askFirst<Grant>('tokens', {
      key: keyOf(limit),
      share,
      wanted,
    } satisfies Ask);
    stock.here += grant?.granted ?? 0;
    stock.elsewhere = grant?.left ?? 0;
  };
  return {
    fetch: async (limit) => {
      const stock = of(limit);
      if (stock.here >= 1) return;
      stock.waiting++;
      try {
        await (stock.fetching ??= fetch(limit).finally(() => delete stock.fetching));
      } finally {
        stock.waiting--;
      }
    },
    here: (limit) => of(limit).here,
    left: (limit) => Math.max(0, Math.floor(of(limit).here + of(limit).elsewhere)),
    take: (limit, count) => void (of(limit).here -= count),
    waitSeconds: (limit) => Math.max(0, 1 - of(limit).elsewhere) / shareOf(limit),
  };
}

/** A bucket by its key, filled up to now. */
function createBuckets(now: () => number) {
  const buckets = new Map<string, { tokens: number; atMs: number }>();
  return (key: string, share: number) => {
    const nowMs = now();
    const bucket = buckets.get(key) ?? { tokens: Infinity, atMs: nowMs };
    const earned = (Math.max(0, nowMs - bucket.atMs) * share) / 1000;
    bucket.tokens = Math.min(Math.max(1, share), bucket.tokens + earned);
    bucket.atMs = nowMs;
    buckets.set(key, bucket);
    return bucket;
  };
}
