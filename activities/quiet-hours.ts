/** When quiet hours end, by the clock on the recipient's wall. Pure. */
import { IANAZone } from 'luxon';
import type { QuietHours } from '../contracts/tenant-policy.ts';

const minuteMs = 60_000;
const dayMs = 86_400_000;

/**
 * Epoch milliseconds at which the quiet hours around `nowMs` end; undefined: it is not quiet in this zone now.
 * Where a clock that is set forward leaves the end out, they end as it is set; where it is set back and shows the end
 * twice, they end at the first time.
 */
export function quietUntil(
  { from, to }: Pick<QuietHours, 'from' | 'to'>,
  zone: string,
  nowMs: number,
): number | undefined {
  const { offset } = clockOf(zone);
  const clock = modulo(nowMs + offset(nowMs), dayMs);
  const sinceFromMs = modulo(clock - ofDay(from), dayMs);
  const lengthMs = modulo(ofDay(to) - ofDay(from), dayMs);
  if (sinceFromMs >= lengthMs) return undefined;

  const end = nowMs + lengthMs - sinceFromMs;
  const change = offset(end) - offset(nowMs);
  if (change === 0) return end;
  const moved = end - change;
  // Both on the far side of the change: only the clock was set.
  if (offset(moved) === offset(end)) return moved;
  return firstWith(offset(end), { offset, after: moved, until: end });
}

/** The first moment in (after, until] at which the zone has this offset, where it changes once. */
function firstWith(
  wanted: number,
  of: {
    readonly offset: (atMs: number) => number;
    readonly after: number;
    readonly until: number;
  },
): number {
  let [before, at] = [of.after, of.until];
  while (at - before > 1) {
    const middle = Math.floor((before + at) / 2);
    if (of.offset(middle) === wanted) at = middle;
    else before = middle;
  }
  return at;
}

/** Milliseconds that the zone's clock is ahead of UTC. */
function clockOf(zone: string) {
  const known = IANAZone.create(zone);
  return { offset: (atMs: number) => known.offset(atMs) * minuteMs };
}

function ofDay(clock: string): number {
  const [hours = 0, minutes = 0] = clock.split(':').map(Number);
  return (hours * 60 + minutes) * minuteMs;
}

/** The remainder that is never negative. */
function modulo(value: number, by: number): number {
  return ((value % by) + by) % by;
}
