/** Merges deliveries of all topics into batches bounded by count, bytes and time, a few of them worked on at once. */
import type { Delivery } from '../platform/queue.ts';

export interface BatchOptions {
  /** Must not reject. */
  readonly work: (batch: readonly Delivery[]) => Promise<void>;
  readonly mostDeliveries: number;
  readonly mostBytes: number;
  /** How long the first delivery of a batch waits for company, in milliseconds. */
  readonly lingerMs: number;
  readonly mostInFlight: number;
}

export interface Batches {
  add(deliveries: readonly Delivery[]): void;
  /** Resolves when there is room for more, or the signal aborts. */
  whenRoom(signal: AbortSignal): Promise<void>;
  /** Works off everything that was added. */
  drain(): Promise<void>;
}

/** Makes batches that start as soon as one is full, or its first delivery has waited long enough. */
export function createBatches(options: BatchOptions): Batches {
  const { work, mostDeliveries, mostBytes, lingerMs, mostInFlight } = options;
  let waiting: Delivery[] = [];
  let waitingBytes = 0;
  let inFlight = 0;
  let isDue = false;
  let timer: NodeJS.Timeout | undefined;
  let woken: (() => void)[] = [];

  const isFull = () => waiting.length >= mostDeliveries || waitingBytes >= mostBytes;
  const mayStart = () => isDue || isFull();
  const isBusy = () => inFlight > 0 || waiting.length > 0;
  const wake = () => {
    const resolves = woken;
    woken = [];
    for (const resolve of resolves) resolve();
  };
  const change = () => new Promise<void>((resolve) => woken.push(resolve));

  const takeBatch = (): Delivery[] => {
    let count = 0;
    let bytes = 0;
    for (const { body } of waiting) {
      if (count === mostDeliveries || (count > 0 && bytes + body.length > mostBytes)) break;
      bytes += body.length;
      count++;
    }
    waitingBytes -= bytes;
    return waiting.splice(0, count);
  };

  const startDue = () => {
    while (inFlight < mostInFlight && waiting.length > 0 && mayStart()) {
      inFlight++;
      void work(takeBatch()).finally(() => {
        inFlight--;
        startDue();
        wake();
      });
    }
    if (waiting.length > 0) {
      if (!isDue) timer ??= setTimeout(becomeDue, lingerMs);
      return;
    }
    isDue = false;
    clearTimeout(timer);
    timer = undefined;
  };
  const becomeDue = () => {
    clearTimeout(timer);
    timer = undefined;
    isDue = true;
    startDue();
  };

  return {
    add: (deliveries) => {
      for (const delivery of deliveries) {
        waiting.push(delivery);
        waitingBytes += delivery.body.length;
      }
      startDue();
    },
    whenRoom: async (signal) => {
      signal.addEventListener('abort', wake, { once: true });
      while (isFull() && !signal.aborted) await change();
      signal.removeEventListener('abort', wake);
    },
    drain: async () => {
      becomeDue();
      while (isBusy()) await change();
    },
  };
}
