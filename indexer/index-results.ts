/**
 * Stage 7. Lanes, retries and results → Elasticsearch. A delivery is acknowledged only after its documents are written
 * (or a newer state was there); while Elasticsearch is away what is in hand is tried again, and nothing new is received.
 */
import type { Parked, Snapshot } from '../contracts/result.ts';
import type { Names } from '../contracts/topics.ts';
import { pause } from '../platform/lifecycle.ts';
import type { Logger } from '../platform/logger.ts';
import type { Metrics } from '../platform/metrics.ts';
import type { Delivery, Publisher } from '../platform/queue.ts';
import type { MessageIndex, WriteResult } from '../store/message-index.ts';
import type { Hold } from './hold.ts';
import { isLane, parseDelivery } from './parse-delivery.ts';

export interface IndexDeps {
  readonly index: Pick<MessageIndex, 'writeEvents'>;
  readonly publisher: Pick<Publisher, 'publish'>;
  readonly names: Names;
  readonly hold: Hold;
  readonly logger: Logger;
  readonly metrics: Metrics;
}

/** Indexes deliveries in one bulk; resolves with those to acknowledge. Does not throw for what the servers do. */
export type IndexResults = (
  deliveries: readonly Delivery[],
  signal: AbortSignal,
) => Promise<readonly Delivery[]>;

interface Item {
  readonly delivery: Delivery;
  readonly snapshot: Snapshot;
  /** Items of the same receipt that are not done with yet; a chunk has many. */
  readonly open: Set<Item>;
}
type Fault = Pick<Parked, 'reason' | 'detail'>;

const firstRetryMs = 200;
const slowestRetryMs = 5000;

/** Makes the verb. An aborted signal ends waiting for Elasticsearch: what was not written is not acknowledged. */
export function createIndexResults(deps: IndexDeps): IndexResults {
  const { index, publisher, names, hold, logger, metrics } = deps;
  const indexed = metrics.counter(
    'events_indexed_total',
    'Lane messages and events by what became of them.',
    ['result'],
  );
  const durations = metrics.histogram(
    'index_bulk_duration_seconds',
    'Time of one bulk write to Elasticsearch.',
  );
  const lag = metrics.histogram(
    'index_lag_seconds',
    'From the time an event tells of until it was written to the index.',
  );

  /** Whether the delivery is done with. What the broker does not take comes again. */
  const park = async (delivery: Delivery, fault: Fault): Promise<boolean> => {
    const parked: Parked = {
      version: 1,
      parkedAt: new Date().toISOString(),
      by: 'indexer',
      ...fault,
      topic: delivery.topic,
      bodyBase64: delivery.body.toString('base64'),
    };
    try {
      await publisher.publish(names.parked, {
        key: delivery.key === '' ? 'unknown' : delivery.key,
        body: JSON.stringify(parked),
      });
    } catch (error) {
      logger.warn({ server: 'RocketMQ', messageId: delivery.key, error }, 'event.not-parked');
      return false;
    }
    indexed.inc({ result: 'parked' });
    logger.error({ messageId: delivery.key, topic: delivery.topic, ...fault }, 'event.parked');
    return true;
  };

  /** The bridge reads the same lane and parks what is unusable in it: once is enough. */
  const setAside = async (delivery: Delivery, fault: Fault): Promise<boolean> => {
    if (!isLane(names, delivery.topic)) return park(delivery, fault);
    indexed.inc({ result: 'ignored' });
    logger.warn({ messageId: delivery.key, topic: delivery.topic, ...fault }, 'event.ignored');
    return true;
  };

  type Settled = Exclude<WriteResult, { result: 'retry' }>;
  const settle = async ({ delivery, snapshot }: Item, result: Settled): Promise<boolean> => {
    if (result.result === 'refused')
      return park(delivery, { reason: 'refused-by-index', detail: result.reason });
    indexed.inc({ result: result.result });
    if (result.result === 'written')
      lag.observe(Math.max(0, (Date.now() - Date.parse(snapshot.updatedAt)) / 1000));
    return true;
  };

  /** Resolves with the deliveries of which everything is written. */
  const writeAll = async (items: readonly Item[], signal: AbortSignal): Promise<Delivery[]> => {
    const settled: Promise<void>[] = [];
    let left = items;
    let release: (() => void) | undefined;
    let waitMs = firstRetryMs;
    try {
      while (left.length > 0) {
        const end = durations.startTimer();
        const results = await index.writeEvents(left.map((item) => item.snapshot));
        const durationMs = Math.round(end() * 1000);
        const again: Item[] = [];
        let reason = '';
        for (const [place, item] of left.entries()) {
          const result = results[place] ?? { result: 'retry', reason: 'no answer for it' };
          if (result.result === 'retry') {
            again.push(item);
            reason = result.reason;
          } else
            settled.push(
              settle(item, result).then((isDone) => void (isDone && item.open.delete(item))),
            );
        }
        await Promise.all(settled);
        logger.debug({ events: left.length, retried: again.length, durationMs }, 'result.indexed');
        left = again;
        if (left.length === 0 || signal.aborted) break;
        release ??= hold.begin();
        indexed.inc({ result: 'retried' }, left.length);
        logger.warn(
          { server: 'Elasticsearch', events: left.length, reason, nextTryInMs: waitMs },
          'waiting for Elasticsearch',
        );
        await pause(waitMs, signal);
        waitMs = Math.min(waitMs * 2, slowestRetryMs);
      }
    } finally {
      release?.();
    }
    await Promise.all(settled);
    const receipts = new Map(items.map(({ open, delivery }) => [open, delivery]));
    return [...receipts].flatMap(([open, delivery]) => (open.size === 0 ? [delivery] : []));
  };

  return async (deliveries, signal) => {
    const items: Item[] = [];
    const faulty = new Map<Delivery, Promise<boolean>>();
    for (const delivery of deliveries) {
      const { snapshots, fault } = parseDelivery(names, delivery);
      items.push(...toItems(delivery, snapshots));
      if (fault !== undefined) faulty.set(delivery, setAside(delivery, fault));
    }
    const written = await writeAll(items, signal);
    const unwritten = new Set(items.map(({ delivery }) => delivery));
    for (const delivery of written) unwritten.delete(delivery);
    const isDone = await Promise.all(
      deliveries.map(
        async (delivery) => !unwritten.has(delivery) && (await faulty.get(delivery)) !== false,
      ),
    );
    return deliveries.filter((_, place) => isDone[place]);
  };
}

function toItems(delivery: Delivery, snapshots: readonly Snapshot[]): readonly Item[] {
  const open = new Set<Item>();
  for (const snapshot of snapshots) open.add({ delivery, snapshot, open });
  return [...open];
}
