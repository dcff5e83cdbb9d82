/** Which lanes a new channel account gets. */
import type { Transaction } from './database.ts';

/** Messages live six days at most; until they are gone a deleted account's lanes may still hold some. */
const slotRestMs = 7 * 86_400_000;

/**
 * The smallest free slot of 0..slots-1, or when none is free the one with the fewest accounts. Race-free only under the lock
 * of `nextRevision(trx, 'channel-accounts')`.
 */
export async function chooseSlot(trx: Transaction, slots: number): Promise<number> {
  const rows = await trx<{ slot: number; deletedAt: Date | null }>('channelAccounts')
    .whereNull('deletedAt')
    .orWhere('deletedAt', '>', new Date(Date.now() - slotRestMs))
    .select('slot');
  const counts = Array.from({ length: slots }, () => 0);
  for (const { slot } of rows) if (slot < slots) counts[slot] = (counts[slot] ?? 0) + 1;
  return counts.indexOf(Math.min(...counts));
}
