/** In-site inboxes. Every change has the next number of its inbox, made in the change's own transaction. */
import {
  inboxMarks,
  type InboxEvent,
  type InboxItem,
  type InboxMark,
  type InboxWriter,
} from '../contracts/inbox.ts';
import type { Sealer } from '../platform/seal.ts';
import { inTransaction, type Database } from './database.ts';
import { purgeInbox } from './inbox-purge.ts';
import {
  events,
  isCounted,
  items,
  lockOwner,
  openItem,
  ownerOf,
  owners,
  record,
  type ItemRow,
} from './inbox-rows.ts';
import { createInboxWriter } from './inbox-write.ts';

export const inboxFilters = ['all', 'unread', 'archived'] as const;

/** Where an inbox stands: the number of its last change, and how many items are unread. */
export interface InboxPosition {
  readonly number: number;
  readonly unread: number;
}

/** An item that was read for the first time. */
export interface FirstRead {
  readonly itemId: string;
  readonly accountId: string;
}

export type InboxChanges =
  /** `through`: the number up to which this is all that happened; it may be past the last event. */
  | {
      readonly result: 'events';
      readonly events: readonly InboxEvent[];
      readonly through: number;
      readonly position: InboxPosition;
    }
  /** The number is not one of this inbox, or its changes are no longer kept. */
  | { readonly result: 'gap'; readonly position: InboxPosition };

/** `owner` is what `ownerOf` says of a tenant's user. */
export interface Inbox extends InboxWriter {
  ownerOf(tenantId: string, userId: string): Promise<string>;
  /**
   * Newest first, those put before the change `before`. all: what is not archived; unread: of these the unread.
   * `position` is from just before the list was read: events after it bring the list up to date.
   */
  list(
    owner: string,
    query: {
      readonly filter: (typeof inboxFilters)[number];
      readonly before?: number;
      readonly limit: number;
    },
  ): Promise<{
    readonly items: readonly InboxItem[];
    readonly nextBefore?: number;
    readonly position: InboxPosition;
  }>;
  position(owner: string): Promise<InboxPosition>;
  /** Last numbers of those of the inboxes that ever held anything. */
  lastNumbers(owners: readonly string[]): Promise<ReadonlyMap<string, number>>;
  /** The changes after `after`, oldest first. */
  changes(owner: string, after: number, limit: number): Promise<InboxChanges>;
  /** Marks an item; a mark it has already changes nothing. Undefined: there is no such item. */
  mark(
    owner: string,
    id: string,
    mark: InboxMark,
  ): Promise<
    | { readonly item: InboxItem; readonly unread: number; readonly firstRead?: FirstRead }
    | undefined
  >;
  /** Marks as read what was put up to the change `upTo`; default: all there is. */
  markAllRead(
    owner: string,
    upTo?: number,
  ): Promise<{
    readonly count: number;
    readonly unread: number;
    readonly firstRead: readonly FirstRead[];
  }>;
  /** Removes at most `limit` items past their time and changes too old to replay; resolves with how many. */
  purge(nowMs: number, limit: number): Promise<number>;
}

/** How many inboxes are asked for in one query. */
const ownersInQuery = 1000;

export function createInbox(db: Database, sealer: Sealer): Inbox {
  const position = async (owner: string): Promise<InboxPosition> => {
    const row = await owners(db).where({ owner }).first('lastNumber', 'unread');
    return { number: row?.lastNumber ?? 0, unread: row?.unread ?? 0 };
  };
  const itemsOf = async (owner: string, numbers: readonly number[]) => {
    const rows = await items(db).where({ owner }).whereIn('number', numbers);
    return new Map(
      rows.filter(({ folder }) => folder !== 'recalled').map((row) => [row.number, row]),
    );
  };
  return {
    ...createInboxWriter(db, sealer),
    ownerOf: async (tenantId, userId) => ownerOf(sealer, { tenantId, userId }),
    position,
    list: async (owner, { filter, before, limit }) => {
      const at = await position(owner);
      const query = items(db)
        .where({ owner, folder: filter === 'archived' ? 'archived' : 'inbox' })
        .orderBy('number', 'desc')
        .limit(limit + 1);
      if (filter === 'unread') query.whereNull('readAt');
      if (before !== undefined) query.where('number', '<', before);
      const found = await query;
      const rows = found.slice(0, limit);
      const last = rows.at(-1);
      return {
        items: rows.map((row) => openItem(sealer, row)),
        ...(found.length > limit && last !== undefined && { nextBefore: last.number }),
        position: at,
      };
    },
    lastNumbers: async (wanted) => {
      const found = new Map<string, number>();
      for (let start = 0; start < wanted.length; start += ownersInQuery) {
        const rows = await owners(db)
          .whereIn('owner', wanted.slice(start, start + ownersInQuery))
          .select('owner', 'lastNumber');
        for (const { owner, lastNumber } of rows) found.set(owner, lastNumber);
      }
      return found;
    },
    changes: async (owner, after, limit) => {
      const at = await position(owner);
      if (after > at.number) return { result: 'gap', position: at };
      if (after === at.number)
        return { result: 'events', events: [], through: after, position: at };
      const rows = await events(db)
        .where({ owner })
        .where('number', '>', after)
        .orderBy('number')
        .limit(limit);
      // Numbers have no gaps, so a missing one is one that was removed for its age.
      if (rows.length === 0 || rows.some(({ number }, index) => number !== after + 1 + index))
        return { result: 'gap', position: at };
      const puts = rows.filter(({ kind }) => kind === 'item').map(({ number }) => number);
      const byNumber = puts.length === 0 ? new Map<number, ItemRow>() : await itemsOf(owner, puts);
      return {
        result: 'events',
        events: rows.flatMap(({ number, unread, kind, itemId, upTo }): InboxEvent[] => {
          if (kind === 'read-all') return [{ number, unread, kind, upTo: upTo ?? 0 }];
          if (kind !== 'item') return [{ number, unread, kind, itemId: itemId ?? '' }];
          // What is gone meanwhile was never seen, and is not shown now.
          const row = byNumber.get(number);
          return row === undefined ? [] : [{ number, unread, kind, item: openItem(sealer, row) }];
        }),
        through: after + rows.length,
        position: at,
      };
    },
    mark: (owner, id, mark) =>
      inTransaction(db, async (trx) => {
        const locked = await lockOwner(trx, owner);
        const row = locked && (await items(trx).where({ owner, id }).first());
        if (locked === undefined || row === undefined || row.folder === 'recalled')
          return undefined;
        const patch = marked(row, mark, new Date());
        if (patch === undefined) return { item: openItem(sealer, row), unread: locked.unread };
        const next = { ...row, ...patch };
        await items(trx).where({ owner, id }).update(patch);
        const unreadBy = Number(isCounted(next)) - Number(isCounted(row));
        const change = { kind: inboxMarks[mark], itemId: id, unreadBy };
        const { unread } = await record(trx, locked, [change]);
        const isFirstRead = row.firstReadAt === null && next.firstReadAt !== null;
        return {
          item: openItem(sealer, next),
          unread,
          ...(isFirstRead && { firstRead: { itemId: id, accountId: row.accountId } }),
        };
      }),
    markAllRead: (owner, upTo) =>
      inTransaction(db, async (trx) => {
        const locked = await lockOwner(trx, owner);
        if (locked === undefined) return { count: 0, unread: 0, firstRead: [] };
        const last = Math.min(upTo ?? locked.lastNumber, locked.lastNumber);
        const unreadOnes = () =>
          items(trx)
            .where({ owner, folder: 'inbox' })
            .whereNull('readAt')
            .where('number', '<=', last);
        const rows = await unreadOnes().select('id', 'accountId', 'firstReadAt');
        if (rows.length === 0) return { count: 0, unread: locked.unread, firstRead: [] };
        const now = new Date();
        await unreadOnes().update({
          readAt: now,
          firstReadAt: trx.raw('coalesce(first_read_at, ?)', [now]),
        } as object);
        const change = { kind: 'read-all', upTo: last, unreadBy: -rows.length } as const;
        const { unread } = await record(trx, locked, [change]);
        return {
          count: rows.length,
          unread,
          firstRead: rows
            .filter(({ firstReadAt }) => firstReadAt === null)
            .map(({ id, accountId }) => ({ itemId: id, accountId })),
        };
      }),
    purge: (nowMs, limit) => purgeInbox(db, nowMs, limit),
  };
}

/** What a mark changes of an item; undefined: it has that mark. */
function marked(row: ItemRow, mark: InboxMark, now: Date): Partial<ItemRow> | undefined {
  switch (mark) {
    case 'read':
      return row.readAt === null ? { readAt: now, firstReadAt: row.firstReadAt ?? now } : undefined;
    case 'unread':
      return row.readAt === null ? undefined : { readAt: null };
    case 'archive':
      return row.folder === 'inbox' ? { folder: 'archived', archivedAt: now } : undefined;
    case 'unarchive':
      return row.folder === 'archived' ? { folder: 'inbox', archivedAt: null } : undefined;
  }
}
