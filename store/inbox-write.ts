/** What the connector does to an inbox: put an item, take it back. */
import type { InboxWriter } from '../contracts/inbox.ts';
import { Problem, problem } from '../contracts/problems.ts';
import type { Sealer } from '../platform/seal.ts';
import { inTransaction, isDuplicate, reach, type Database } from './database.ts';
import {
  events,
  isCounted,
  items,
  lockOwner,
  ownerOf,
  owners,
  record,
  sealContent,
} from './inbox-rows.ts';

/** A send waits for it, and its own time limit must be longer. */
const putDeadlineMs = 5000;
const dayMs = 86_400_000;

export function createInboxWriter(db: Database, sealer: Sealer): InboxWriter {
  /** The item, its number and the log of it: all or nothing. `beforeCommit` may throw to leave nothing. */
  const insert = (entry: Parameters<InboxWriter['put']>[0], beforeCommit: () => void) =>
    inTransaction(db, async (trx) => {
      const { tenantId, id, accountId, content, keepDays } = entry;
      const owner = ownerOf(sealer, entry);
      const createdAt = new Date();
      // Makes the inbox or counts on, and locks it either way.
      await owners(trx)
        .insert({ owner, tenantId, lastNumber: 1, unread: 1 })
        .onConflict('owner')
        .merge({
          lastNumber: trx.raw('last_number + 1'),
          unread: trx.raw('unread + 1'),
        } as object);
      const at = await owners(trx).where({ owner }).first('lastNumber', 'unread');
      if (at === undefined) throw new Error('an inbox vanished while it was locked');
      await items(trx).insert({
        owner,
        number: at.lastNumber,
        id,
        accountId,
        content: sealContent(sealer, { owner, id, content }),
        folder: 'inbox',
        createdAt,
        readAt: null,
        firstReadAt: null,
        archivedAt: null,
        expiresAt: new Date(createdAt.getTime() + keepDays * dayMs),
      });
      await events(trx).insert({
        owner,
        number: at.lastNumber,
        kind: 'item',
        itemId: id,
        upTo: null,
        unread: at.unread,
        createdAt,
      });
      beforeCommit();
    });

  return {
    put: async (entry) => {
      // What is given up before its commit is asked for never commits, so it is surely not stored.
      let isCommitting = false;
      let isGivenUp = false;
      try {
        await reach(
          () =>
            insert(entry, () => {
              if (isGivenUp) throw new Error('the deadline has passed');
              isCommitting = true;
            }),
          putDeadlineMs,
        );
        return 'stored';
      } catch (error) {
        if (isDuplicate(error)) return 'duplicate';
        isGivenUp = true;
        if (!(error instanceof Problem)) throw error;
        throw problem(error.code, { ...error.options, stored: isCommitting ? 'unknown' : 'no' });
      }
    },
    recall: (item) =>
      inTransaction(db, async (trx) => {
        const { id } = item;
        const owner = ownerOf(sealer, item);
        const locked = await lockOwner(trx, owner);
        const row = locked && (await items(trx).where({ owner, id }).first());
        if (locked === undefined || row === undefined) return 'absent';
        if (row.folder === 'recalled') return 'recalled';
        await items(trx).where({ owner, id }).update({ folder: 'recalled', content: '' });
        const unreadBy = isCounted(row) ? -1 : 0;
        await record(trx, locked, [{ kind: 'recalled', itemId: id, unreadBy }]);
        return 'recalled';
      }),
    check: async () => void (await owners(db).first('owner')),
  };
}
