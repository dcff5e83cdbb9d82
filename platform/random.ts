/** Random bytes in small portions: the system is asked for 8 KiB at a time, since each call to it costs microseconds. */
import { randomFillSync } from 'node:crypto';

const pool = Buffer.alloc(8192);
let used = pool.length;

/** Cryptographically random, each byte given out once. `count`: 1 to 8192. */
export function freshBytes(count: number): Buffer {
  if (used + count > pool.length) {
    randomFillSync(pool);
    used = 0;
  }
  const bytes = Buffer.from(pool.subarray(used, used + count));
  // What is left behind in the pool is of no use to anybody who reads our memory later.
  pool.fill(0, used, (used += count));
  return bytes;
}
