/**
 * The bridge's loops: receive from every lane that has room, start runs, acknowledge what has started. What people have recalled is
 * set aside by the way, so that nobody waits behind it, and ended by a loop of its own.
 */
import { setMaxListeners } from 'node:events';
import { priorities, type Names } from '../contracts/topics.ts';
import { pause } from '../platform/lifecycle.ts';
import type { Logger } from '../platform/logger.ts';
import type { Metrics } from '../platform/metrics.ts';
import type { Delivery, Receiver } from '../platform/queue.ts';
import { longAwaitMs } from '../platform/rocketmq.ts';
import type { Pace } from './pace.ts';
import type { Started } from './start-workflow.ts';

export interface ReceiveDeps {
  readonly receiver: Receiver;
  readonly start: (delivery: Delivery) => Promise<Started>;
  /** Of the topic of what was set aside. */
  readonly recalledReceiver: Receiver;
  readonly startRecalled: (delivery: Delivery) => Promise<Started>;
  readonly pace: Pace;
  /** Whether the stops cannot be read: then nothing is taken. */
  readonly isBlind: () => boolean;
  readonly names: Names;
  readonly logger: Logger;
  readonly metrics: Metrics;
  /** Number of slots that lanes were made for; all are read, also those whose accounts were removed. */
  readonly slots: number;
  readonly loopsPerLane: number;
}

/** A topic that is read while there is room. */
interface Source {
  readonly topic: string;
  readonly receiver: Receiver;
  readonly start: (delivery: Delivery) => Promise<Started>;
  /** How many more may be taken now. */
  readonly room: () => number;
  /** Whether messages are to be expected. */
  readonly isUsed: () => boolean;
}

/** RocketMQ's proxy gives at most this many in one receive. */
const mostInReceive = 32;
const idleMs = 200;
const retryAfterFailureMs = 5000;

/** Runs the loops until stopped; stop waits for what is in hand. */
export function receiveLanes(deps: ReceiveDeps): { stop(): Promise<void> } {
  const stopped = new AbortController();
  // Every loop listens, and they are many by design.
  setMaxListeners(0, stopped.signal);
  const bridged = deps.metrics.counter(
    'messages_bridged_total',
    'Lane messages by what became of them.',
    ['result'],
  );

  const read = async (source: Source) => {
    const { topic, receiver } = source;
    while (!stopped.signal.aborted) {
      const mayTake = deps.pace.isHealthy && !deps.isBlind();
      const room = mayTake ? source.room() : 0;
      if (room === 0) {
        await pause(idleMs, stopped.signal);
        continue;
      }
      try {
        const received = source.isUsed()
          ? await receiver.receive(topic, room)
          : await receiveUnused(source, room);
        await startAll(source, received);
      } catch (error) {
        deps.logger.warn({ server: 'RocketMQ', topic, error }, 'waiting for RocketMQ');
        await pause(1000, stopped.signal);
      }
    }
  };

  /** Most lanes are nobody's, and a look at one costs as much as a message: rarely, and stop does not wait for the end of it. */
  const receiveUnused = async ({ topic, receiver }: Source, room: number) => {
    const receiving = receiver.receive(topic, room, longAwaitMs);
    const ended = pause(2 * longAwaitMs, stopped.signal).then(() => undefined);
    const received = await Promise.race([receiving, ended]);
    if (received !== undefined) return received;
    // Not able to say so: then they come again when their invisible time is over.
    void receiving
      .then((late) => Promise.all(late.map((delivery) => receiver.retryLater(delivery, 0))))
      .catch(() => {});
    return [];
  };

  const startAll = async (source: Source, deliveries: readonly Delivery[]): Promise<void> => {
    const results = await Promise.all(
      deliveries.map(async (delivery) => {
        try {
          const result = await source.start(delivery);
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
    if (done.length > 0) await source.receiver.acknowledge(done);
    await Promise.all(
      results
        .filter((result) => !result.isDone)
        .map(({ delivery }) =>
          // Not able to say so: then it comes again when its invisible time is over.
          source.receiver.retryLater(delivery, retryAfterFailureMs).catch(() => {}),
        ),
    );
  };

  const { receiver, start, pace, names } = deps;
  const lanes = Array.from({ length: deps.slots }, (_, slot) => slot).flatMap((slot) =>
    priorities.map((priority): Source => ({
      topic: names.lane(slot, priority),
      receiver,
      start,
      room: () => pace.room(slot, priority, mostInReceive),
      isUsed: () => pace.isUsed(slot),
    })),
  );
  const recalled: Source = {
    topic: names.recalled,
    receiver: deps.recalledReceiver,
    start: deps.startRecalled,
    room: () => pace.roomForRecalled(mostInReceive),
    isUsed: () => true,
  };
  const loops = [
    ...lanes.flatMap((lane) => Array.from({ length: deps.loopsPerLane }, () => read(lane))),
    read(recalled),
  ];

  return {
    stop: async () => {
      stopped.abort();
      await Promise.all(loops);
    },
  };
}
