/** Waiting for what must come. */
import { pause } from '../../platform/lifecycle.ts';

/** Looks until there is a value. Errors: not within `timeoutMs`; the message tells what was seen last. */
export async function until<T>(
  what: string,
  look: () => Promise<T | undefined>,
  { timeoutMs, everyMs = 100, seen }: { timeoutMs: number; everyMs?: number; seen?: () => unknown },
): Promise<T> {
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    const found = await look();
    if (found !== undefined) return found;
    if (Date.now() > deadline) {
      const last = seen === undefined ? '' : `; seen last: ${JSON.stringify(seen())}`;
      throw new Error(`not within ${Math.round(timeoutMs / 1000)} s: ${what}${last}`);
    }
    await pause(everyMs);
  }
}
