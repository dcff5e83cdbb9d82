/** The indexer's loops: one per topic, cheap while idle (each receive waits at the server), wide while there is a backlog. */
import { setMaxListeners } from 'node:events';
import { pause } from '../platform/lifecycle.ts';
import type { Logger } from '../platform/logger.ts';
import type { Delivery, Receiver } from '../platform/queue.ts';
import { createBatches } from './batch-deliveries.ts';
import type { Hold } from './hold.ts';
import type { IndexResults } from './index-results.ts';

export interface ReceiveDeps {
  readonly receiver: Receiver;
  readonly topics: readonly string[];
  readonly indexResults: IndexResults;
  /** Held while Elasticsearch does not answer: nothing is received then, so that no redelivery count grows. */
  readonly hold: Hold;
  readonly logger: Logger;
}

export interface Receiving {
  /** Whether the last receive failed. */
  readonly isQueueDown: boolean;
  /** Receives nothing more, writes and acknowledges what is in hand. */
  stop(): Promise<void>;
}

/** RocketMQ's proxy gives at most this many in one receive. */
const mostInReceive = 32;
/** Concurrent receives of one topic with a backlog. */
const widest = 8;
const firstRetryMs = 200;
const slowestRetryMs = 5000;
/** How long what comes after a receive that was not full waits for company: each receive and acknowledgement costs alike. */
const gatherMs = 200;
/** Idle receives end by themselves only after the server's long poll: stop does not wait for those. */
const lastReceivesMs = 1000;
const batchBounds = {
  mostDeliveries: 1000,
  mostBytes: 2 * 1024 * 1024,
  lingerMs: 250,
  mostInFlight: 3,
} as const;

/** Starts the loops. */
export function receiveTopics(deps: ReceiveDeps): Receiving {
  const { receiver, topics, indexResults, hold, logger } = deps;
  const stopped = new AbortController();
  const { signal } = stopped;
  // Every loop listens, and they are many by design.
  setMaxListeners(0, signal);
  let isQueueDown = false;
  let isOver = false;

  const batches = createBatches({
    ...batchBounds,
    work: async (batch) => {
      try {
        const done = await indexResults(batch, signal);
        // Only here, after the documents are on disk: killed before this line, the deliveries come again and are found older.
        if (done.length > 0) await receiver.acknowledge(done);
      } catch (error) {
        logger.warn({ error, deliveries: batch.length }, 'deliveries.come-again');
      }
    },
  });

  const giveBack = (deliveries: readonly Delivery[]) => {
    // Not able to say so: then they come again when their invisible time is over.
    if (!isOver)
      for (const delivery of deliveries) void receiver.retryLater(delivery, 0).catch(() => {});
  };

  const receiveOnce = async (topic: string): Promise<number> => {
    const deliveries = await receiver.receive(topic, mostInReceive);
    if (signal.aborted) giveBack(deliveries);
    else batches.add(deliveries);
    return deliveries.length;
  };

  const drainTopic = async (topic: string): Promise<void> => {
    let width = 1;
    let waitMs = firstRetryMs;
    while (!signal.aborted) {
      await hold.whenFree(signal);
      await batches.whenRoom(signal);
      if (signal.aborted) return;
      // Held again while it waited for room.
      if (hold.isHeld) continue;
      const receives = await Promise.allSettled(
        Array.from({ length: width }, () => receiveOnce(topic)),
      );
      const failed = receives.find((receive) => receive.status === 'rejected');
      if (failed === undefined) {
        if (isQueueDown) logger.info({ server: 'RocketMQ' }, 'RocketMQ answers again');
        isQueueDown = false;
        waitMs = firstRetryMs;
        const counts = receives.map((receive) =>
          receive.status === 'fulfilled' ? receive.value : 0,
        );
        const isBehind = counts.every((count) => count === mostInReceive);
        width = isBehind ? Math.min(width * 2, widest) : 1;
        if (!isBehind && counts.some((count) => count > 0)) await pause(gatherMs, signal);
        continue;
      }
      if (signal.aborted) return;
      if (!isQueueDown)
        logger.warn({ server: 'RocketMQ', topic, error: failed.reason }, 'waiting for RocketMQ');
      isQueueDown = true;
      width = 1;
      await pause(waitMs, signal);
      waitMs = Math.min(waitMs * 2, slowestRetryMs);
    }
  };
  const loops = topics.map(drainTopic);

  return {
    get isQueueDown() {
      return isQueueDown;
    },
    stop: async () => {
      stopped.abort();
      await Promise.race([Promise.all(loops), pause(lastReceivesMs)]);
      await batches.drain();
      isOver = true;
    },
  };
}
