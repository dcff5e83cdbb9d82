/** Forgets inbox items past their time, and changes that are too old to be replayed. */
import { inTransaction, type Database } from './database.ts';
import { events, isCounted, items, lockOwner, record } from './inbox-rows.ts';

/** A client that was away for longer reads its list anew. */
const replayMs = 7 * 86_400_000;

/** Removes at most `limit` rows; resolves with how many. */
export async function purgeInbox(db: Database, nowMs: number, limit: number): Promise<number> {
  const now = new Date(nowMs);
  const expired = await items(db)
    .where('expiresAt', '<', now)
    .limit(limit)
    .select('owner', 'number');
  const byOwner = new Map<string, number[]>();
  for (const { owner, number } of expired)
    byOwner.set(owner, [...(byOwner.get(owner) ?? []), number]);
  let removed = 0;
  for (const [owner, numbers] of byOwner) removed += await removeItems(db, owner, numbers);
  if (removed >= limit) return removed;
  const old = await events(db)
    .where('createdAt', '<', new Date(nowMs - replayMs))
    .limit(limit - removed)
    .delete();
  return removed + old;
}

/** Also corrects the count of the unread, and tells those who look at the inbox now. */
export function removeItems(
  db: Database,
  owner: string,
  numbers: readonly number[],
): Promise<number> {
  return inTransaction(db, async (trx) => {
    const locked = await lockOwner(trx, owner);
    if (locked === undefined) return 0;
    const mine = () => items(trx).where({ owner }).whereIn('number', numbers);
    const rows = await mine().select('id', 'folder', 'readAt');
    const seen = rows.filter(({ folder }) => folder !== 'recalled');
    if (seen.length > 0)
      await record(
        trx,
        locked,
        seen.map((row) => ({
          kind: 'expired' as const,
          itemId: row.id,
          unreadBy: isCounted(row) ? -1 : 0,
        })),
      );
    return mine().delete();
  });
}
