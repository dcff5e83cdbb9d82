/** Topics that take nothing are left alone, longer each time, until one event is taken. */

export interface TopicPauses {
  /** Milliseconds until it may be tried; 0: now. */
  waitMs(topic: string): number;
  /** Notes a failure; gives the pause that follows. */
  failed(topic: string): number;
  worked(topic: string): void;
}

const firstPauseMs = 1000;
const longestPauseMs = 30_000;

/** `now`: milliseconds on any clock; default the monotonic one. */
export function createTopicPauses(now: () => number = () => performance.now()): TopicPauses {
  const pauses = new Map<string, { readonly pauseMs: number; readonly untilMs: number }>();
  const waitMs = (topic: string) => Math.max(0, (pauses.get(topic)?.untilMs ?? 0) - now());
  return {
    waitMs,
    failed: (topic) => {
      // Those that were tried together fail together: that is one failure.
      if (waitMs(topic) === 0) {
        const before = pauses.get(topic)?.pauseMs ?? firstPauseMs / 2;
        const pauseMs = Math.min(2 * before, longestPauseMs);
        pauses.set(topic, { pauseMs, untilMs: now() + pauseMs });
      }
      return waitMs(topic);
    },
    worked: (topic) => void pauses.delete(topic),
  };
}
