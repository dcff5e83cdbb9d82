/** Pushes receipts as providers do: late, in arrays, out of order, sometimes twice, again until acknowledged, then never. */
import { Agent, request } from 'undici';
import { shuffle, wholeNumber, type Random } from './random.ts';

export interface ReceiptPusherOptions<Item> {
  readonly random: Random;
  readonly encode: (items: readonly Item[]) => {
    readonly contentType: string;
    readonly body: string;
    readonly headers?: Readonly<Record<string, string>>;
    /** Added to the address's own query. */
    readonly query?: Readonly<Record<string, string>>;
  };
  /** Whether an answer is the acknowledgement this provider wants. */
  readonly isAcknowledged: (status: number, body: string) => boolean;
  /** Waits before each repeat, in simulated milliseconds; after the last one a push is dropped. */
  readonly repeatAfterMs: readonly number[];
  /** Read at every push, so that changes count at once. */
  readonly settings: () => {
    readonly url: string | null;
    readonly isPaused: boolean;
    readonly duplicateRate: number;
    readonly maxBatch: number;
    /** Simulated seconds in a real one. */
    readonly clockScale: number;
  };
}

export interface ReceiptCounts {
  /** Receipts ready but not pushed yet, or waiting for a repeat. */
  readonly pending: number;
  readonly posts: number;
  readonly acknowledged: number;
  /** Receipts given up after the last repeat. */
  readonly dropped: number;
}

export interface ReceiptPusher<Item> {
  /** Hands over a receipt that is due now. Without an address it is forgotten. */
  readonly add: (item: Item) => void;
  /** Pushes one receipt at once and waits for the answer: the receipt that comes before the call's own answer. */
  readonly pushFirst: (item: Item) => Promise<void>;
  readonly counts: () => ReceiptCounts;
  /** Forgets what is pending and starts the counts anew. */
  readonly clear: () => void;
  readonly close: () => Promise<void>;
}

const flushMs = 20;
const postTimeoutMs = 5000;

/** Starts a pusher; it holds timers and connections until `close`. */
export function createReceiptPusher<Item>(
  options: ReceiptPusherOptions<Item>,
): ReceiptPusher<Item> {
  const { random, settings } = options;
  const agent = new Agent({ connections: 8 });
  const repeats = new Set<NodeJS.Timeout>();
  let due: Item[] = [];
  let counts = { waiting: 0, posts: 0, acknowledged: 0, dropped: 0 };

  const post = async (items: readonly Item[], url: string): Promise<boolean> => {
    const { contentType, body, headers = {}, query = {} } = options.encode(items);
    const address = new URL(url);
    for (const [name, value] of Object.entries(query)) address.searchParams.set(name, value);
    counts.posts += 1;
    try {
      const answer = await request(address, {
        method: 'POST',
        headers: { 'content-type': contentType, ...headers },
        body,
        dispatcher: agent,
        signal: AbortSignal.timeout(postTimeoutMs),
      });
      return options.isAcknowledged(answer.statusCode, await answer.body.text());
    } catch {
      return false; // whatever went wrong on the way, the provider only knows that nobody acknowledged
    }
  };
  const push = async (items: readonly Item[], attempt: number): Promise<void> => {
    const { url, clockScale } = settings();
    if (url === null) return;
    const round = counts;
    round.waiting += items.length;
    const isAcknowledged = await post(items, url);
    round.waiting -= items.length;
    if (isAcknowledged) {
      round.acknowledged += items.length;
      return;
    }
    const waitMs = options.repeatAfterMs[attempt];
    if (waitMs === undefined || round !== counts) {
      round.dropped += items.length;
      return;
    }
    round.waiting += items.length;
    const timer = setTimeout(() => {
      repeats.delete(timer);
      round.waiting -= items.length;
      void push(items, attempt + 1);
    }, waitMs / clockScale);
    repeats.add(timer);
  };
  const flush = () => {
    const { url, isPaused, maxBatch } = settings();
    if (due.length === 0 || isPaused) return;
    const ready = shuffle(due, random);
    due = [];
    if (url === null) return;
    for (let from = 0; from < ready.length;) {
      const size = wholeNumber(random, 1, maxBatch);
      void push(ready.slice(from, from + size), 0);
      from += size;
    }
  };
  const ticker = setInterval(flush, flushMs).unref();
  const clear = () => {
    for (const timer of repeats) clearTimeout(timer);
    repeats.clear();
    due = [];
    counts = { waiting: 0, posts: 0, acknowledged: 0, dropped: 0 };
  };

  return {
    add: (item) => {
      if (settings().url === null) return;
      due.push(item);
      if (random() < settings().duplicateRate) due.push(item);
    },
    pushFirst: (item) => push([item], 0),
    counts: () => ({
      pending: due.length + counts.waiting,
      posts: counts.posts,
      acknowledged: counts.acknowledged,
      dropped: counts.dropped,
    }),
    clear,
    close: async () => {
      clearInterval(ticker);
      clear();
      await agent.destroy();
    },
  };
}
