/** A message that must wait before it is sent: quiet hours, a pause. Its life stands still meanwhile. */
import { condition } from '@temporalio/workflow';
import type { RenderResult } from '../contracts/activities.ts';
import type { DeliverRun } from './run.ts';

/** A paused run looks by itself this often: the signal to look again may have missed it. */
const lookEveryMs = 900_000;

/** Waits until the hold's time, or a signal to look again. */
export async function hold(
  run: DeliverRun,
  { until, reason }: Extract<RenderResult, { next: 'hold' }>,
): Promise<void> {
  const heldFromMs = Date.now();
  // Counted before anything is awaited: a signal that comes while this is told must not be missed.
  const { looks } = run;
  if (run.held())
    await run.endRound(
      { status: 'held', attempts: 0, reason, ...(until !== undefined && { nextAttemptAt: until }) },
      until === undefined ? 'until it is resumed' : `until ${until}`,
    );
  const waitMs = until === undefined ? lookEveryMs : Math.max(1000, Date.parse(until) - Date.now());
  try {
    await condition(() => run.looks !== looks, waitMs);
  } finally {
    run.lengthenLife(Date.now() - heldFromMs);
  }
}
