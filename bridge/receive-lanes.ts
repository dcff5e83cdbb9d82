/** The bridge's loops: receive from every lane that has room, start runs, acknowledge what has started. */
import { priorities, type Names, type Priority } from '../contracts/topics.ts';
import { pause } from '../platform/lifecycle.ts';
import type { Logger } from '../platform/logger.ts';
import type { Metrics } from '../platform/metrics.ts';
import type { Delivery, Receiver } from '../platform/queue.ts';
import type { Pace } from './pace.ts';
import type { Started } from './start-workflow.ts';

export interface ReceiveDeps {
  readonly receiver: Receiver;
  readonly start: (delivery: Delivery) => Promise<Started>;
  readonly pace: Pace;
  readonly names: Names;
  readonly logger: Logger;
  readonly metrics: Metrics;
  /** Number of slots that lanes were made for; all are read, also those whose accounts were removed. */
  readonly slots: number;
  readonly loopsPerLane: number;
}

/** RocketMQ's proxy gives at most this many in one receive. */
const mostInReceive = 32;
const idleMs = 200;
const retryAfterFailureMs = 5000;

/** Runs the loops until stopped; stop waits for what is in hand. */
export function receiveLanes(deps: ReceiveDeps): { stop(): Promise<void> } {
  const stopped = new AbortController();
  const bridged = deps.metrics.counter(
    'messages_bridged_total',
    'Lane messages by what became of them.',
    ['result'],
  );

  const lane = async (slot: number, priority: Priority) => {
    const topic = deps.names.lane(slot, priority);
    while (!stopped.signal.aborted) {
      const room = deps.pace.isHealthy ? deps.pace.room(slot, priority, mostInReceive) : 0;
      if (room === 0) {
        await pause(idleMs, stopped.signal);
        continue;
      }
      try {
        const deliveries = await deps.receiver.receive(topic, room);
        await startAll(deliveries);
      } catch (error) {
        deps.logger.warn({ server: 'RocketMQ', topic, error }, 'waiting for RocketMQ');
        await pause(1000, stopped.signal);
      }
    }
  };

  const startAll = async (deliveries: readonly Delivery[]): Promise<void> => {
    const results = await Promise.all(
      deliveries.map(async (delivery) => {
        try {
          const result = await deps.start(delivery);
          bridged.inc({ result });
          return { delivery, isDone: true };
        } catch (error) {
          deps.pace.reportFailure(error);
          bridged.inc({ result: 'postponed' });
          deps.logger.warn({ messageId: delivery.key, error }, 'message.postponed');
          return { delivery, isDone: false };
        }
      }),
    );
    // Acknowledged only here, after the start is durable: killed before this line, the messages come again and find
    // their runs already started.
    const done = results.filter((result) => result.isDone).map((result) => result.delivery);
    if (done.length > 0) await deps.receiver.acknowledge(done);
    await Promise.all(
      results
        .filter((result) => !result.isDone)
        .map(({ delivery }) =>
          // Not able to say so: then it comes again when its invisible time is over.
          deps.receiver.retryLater(delivery, retryAfterFailureMs).catch(() => {}),
        ),
    );
  };

  const loops = Array.from({ length: deps.slots }, (_, slot) => slot).flatMap((slot) =>
    priorities.flatMap((priority) =>
      Array.from({ length: deps.loopsPerLane }, () => lane(slot, priority)),
    ),
  );

  return {
    stop: async () => {
      stopped.abort();
      await Promise.all(loops);
    },
  };
}
