/** Waiting until a stop, or its end, is in force everywhere. */
import type { Stop, StopReply } from '../contracts/stops.ts';
import { pause } from '../platform/lifecycle.ts';
import type { Members } from './members.ts';

const withinMs = 5000;
const lookEveryMs = 50;

/**
 * Waits until every live member has confirmed the stop as it is now, or its lease has run out; 5 s at most. With nobody
 * missing nothing is begun any more that the stop forbids; calls to providers that were under way go on.
 */
export async function untilConfirmed(
  members: Pick<Members, 'live'>,
  stop: Stop,
): Promise<StopReply> {
  const deadline = performance.now() + withinMs;
  for (;;) {
    const late = (await members.live()).filter(({ confirmed }) => confirmed < stop.revision);
    if (late.length === 0 || performance.now() > deadline)
      return { ...stop, missing: late.map(({ role, instanceId }) => ({ role, instanceId })) };
    await pause(lookEveryMs);
  }
}
