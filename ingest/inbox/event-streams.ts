/**
 * All open event streams of this process. Every half second one query asks for the last numbers of the inboxes that
 * somebody has open here, so that it does not matter which process changed them, and a lost hint cannot lose an event.
 */
import type { ServerResponse } from 'node:http';
import { problem } from '../../contracts/problems.ts';
import { pause, withDeadline } from '../../platform/lifecycle.ts';
import type { Logger } from '../../platform/logger.ts';
import type { Metrics } from '../../platform/metrics.ts';
import type { Inbox } from '../../store/index.ts';
import { openEventStream, type EventStream, type StreamEnd } from './event-stream.ts';

export interface EventStreamsDeps {
  readonly inbox: Pick<Inbox, 'changes' | 'position' | 'lastNumbers'>;
  readonly logger: Logger;
  readonly metrics: Metrics;
  /** Milliseconds; defaults below. */
  readonly times?: Partial<typeof defaultTimes>;
}

export interface EventStreams {
  /**
   * Answers with a stream. Errors: rate-limited when the person, or the process, has as many open as it may.
   * `endAtMs`: when the caller's token expires.
   */
  open(request: {
    readonly owner: string;
    readonly after: number | undefined;
    readonly endAtMs?: number;
  }): (response: ServerResponse) => void;
  /** An inbox was changed by this process: its streams look at once. */
  changed(owner: string): void;
  /** Ends all streams and takes no more. */
  close(): Promise<void>;
}

const defaultTimes = { pollMs: 500, heartbeatMs: 15_000, drainMs: 10_000 };
/** Tabs and devices of one person on one process. */
const streamsOfOwner = 20;
const streamsOfProcess = 20_000;
const closeMs = 3000;

/** Starts following; nothing is asked while nobody listens. */
export function createEventStreams(deps: EventStreamsDeps): EventStreams {
  const { inbox, logger } = deps;
  const times = { ...defaultTimes, ...deps.times };
  const streams = new Map<string, Set<EventStream>>();
  const stopped = new AbortController();
  let count = 0;
  const openGauge = deps.metrics.gauge('inbox_streams', 'Open event streams of inboxes.');
  const endings = deps.metrics.counter('inbox_streams_ended_total', 'Ended streams by reason.', [
    'reason',
  ]);
  const all = () => [...streams.values()].flatMap((ofOwner) => [...ofOwner]);

  let isFailing = false;
  const look = async () => {
    const owners = [...streams.keys()];
    if (owners.length === 0) return;
    try {
      const numbers = await inbox.lastNumbers(owners);
      for (const owner of owners)
        for (const stream of streams.get(owner) ?? []) stream.saw(numbers.get(owner) ?? 0);
      if (isFailing) logger.info('inbox.following-again');
      isFailing = false;
    } catch (error) {
      if (!isFailing) logger.warn({ error }, 'inbox.cannot-follow');
      isFailing = true;
    }
  };
  const poll = async () => {
    while (!stopped.signal.aborted) {
      await pause(times.pollMs, stopped.signal);
      await look();
    }
  };
  const polling = poll();
  const heart = setInterval(() => {
    for (const stream of all()) stream.beat();
  }, times.heartbeatMs);
  heart.unref();

  const enter = (owner: string, stream: EventStream) => {
    const ofOwner = streams.get(owner) ?? new Set();
    streams.set(owner, ofOwner.add(stream));
    count += 1;
    openGauge.set(count);
  };
  const leave = (owner: string, stream: EventStream, why: StreamEnd) => {
    const ofOwner = streams.get(owner);
    ofOwner?.delete(stream);
    if (ofOwner?.size === 0) streams.delete(owner);
    count -= 1;
    openGauge.set(count);
    endings.inc({ reason: why });
  };
  const follow = async (owner: string, stream: EventStream) => {
    try {
      leave(owner, stream, await stream.ended);
    } catch (error) {
      logger.error({ error }, 'inbox.stream-failed');
      leave(owner, stream, 'server-stops');
    }
  };

  return {
    open: ({ owner, after, endAtMs }) => {
      // A broken connection makes EventSource try again, at another process; a problem would end it for good.
      if (stopped.signal.aborted) return (response) => void response.destroy();
      if ((streams.get(owner)?.size ?? 0) >= streamsOfOwner || count >= streamsOfProcess)
        throw problem('rate-limited', {
          detail: `One person may have ${streamsOfOwner} event streams open.`,
          retryAfterSeconds: 5,
        });
      return (response) => {
        const stream = openEventStream({ response, owner, after, inbox, drainMs: times.drainMs });
        enter(owner, stream);
        const timer =
          endAtMs === undefined
            ? undefined
            : setTimeout(() => stream.end('token-expired'), Math.max(0, endAtMs - Date.now()));
        timer?.unref();
        void follow(owner, stream).finally(() => clearTimeout(timer));
      };
    },
    changed: (owner) => {
      for (const stream of streams.get(owner) ?? []) stream.wake();
    },
    close: async () => {
      stopped.abort();
      clearInterval(heart);
      const ending = all().map((stream) => {
        stream.end('server-stops');
        return stream.ended;
      });
      await withDeadline(
        Promise.allSettled([polling, ...ending]),
        closeMs,
        'ending the event streams',
      );
    },
  };
}
