/** Rows of the inbox's tables, and what all that change an inbox do alike: lock its owner, count, log the change. */
import {
  InboxContentSchema,
  type InboxContent,
  type InboxEvent,
  type InboxItem,
} from '../contracts/inbox.ts';
import type { Sealer } from '../platform/seal.ts';
import { createValidator } from '../platform/validate.ts';
import { readJson, type Database, type Transaction } from './database.ts';
import type { SealedColumn } from './sealed-columns.ts';

export interface OwnerRow {
  owner: string;
  tenantId: string;
  lastNumber: number;
  unread: number;
}

export interface ItemRow {
  owner: string;
  /** Of the change that put it. */
  number: number;
  id: string;
  accountId: string;
  content: string;
  folder: 'inbox' | 'archived' | 'recalled';
  createdAt: Date;
  readAt: Date | null;
  firstReadAt: Date | null;
  archivedAt: Date | null;
  expiresAt: Date;
}

export interface EventRow {
  owner: string;
  number: number;
  kind: InboxEvent['kind'];
  itemId: string | null;
  upTo: number | null;
  unread: number;
  createdAt: Date;
}

type Connection = Database | Transaction;
export const owners = (db: Connection) => db<OwnerRow>('inboxOwners');
export const items = (db: Connection) => db<ItemRow>('inboxItems');
export const events = (db: Connection) => db<EventRow>('inboxEvents');

const contentValidator = createValidator(InboxContentSchema);
const sealContext = (owner: string, id: string) => `inbox:${owner}:${id}`;

export const sealedItems: SealedColumn<{ owner: string; id: string }> = {
  what: 'inbox items',
  table: 'inboxItems',
  column: 'content',
  keys: ['owner', 'number'],
  besides: ['id'],
  form: 'direct',
  context: ({ owner, id }) => sealContext(owner, id),
};

/** The name under which an inbox is kept: a keyed hash, the same for every process. */
export function ownerOf(sealer: Sealer, user: { tenantId: string; userId: string }): string {
  return sealer.hash(user.userId, `inbox:${user.tenantId}`);
}

export function sealContent(
  sealer: Sealer,
  item: { owner: string; id: string; content: InboxContent },
): string {
  return sealer.seal(JSON.stringify(item.content), sealContext(item.owner, item.id));
}

/** An item as its person sees it. Errors: its content cannot be opened, which is a defect or a lost key. */
export function openItem(sealer: Sealer, row: ItemRow): InboxItem {
  const { owner, id, createdAt, readAt, archivedAt } = row;
  const text = sealer.open(row.content, sealContext(owner, id)).toString('utf8');
  return {
    id,
    messageId: id.split('.')[0] ?? id,
    ...readJson<InboxContent>(text, contentValidator, `inbox item ${id}`),
    createdAt: createdAt.toISOString(),
    ...(readAt !== null && { readAt: readAt.toISOString() }),
    ...(archivedAt !== null && { archivedAt: archivedAt.toISOString() }),
  };
}

/** Whether an item is one of the unread: archived and recalled ones are not. */
export function isCounted(row: Pick<ItemRow, 'folder' | 'readAt'>): boolean {
  return row.folder === 'inbox' && row.readAt === null;
}

/** The inbox as it is, locked until the transaction ends; undefined: nothing was ever put into it. */
export async function lockOwner(trx: Transaction, owner: string): Promise<OwnerRow | undefined> {
  return owners(trx).where({ owner }).forUpdate().first();
}

/** Counts changes of a locked inbox and logs them; resolves with the inbox as it then is. */
export async function record(
  trx: Transaction,
  locked: OwnerRow,
  changes: readonly {
    readonly kind: InboxEvent['kind'];
    readonly itemId?: string;
    readonly upTo?: number;
    readonly unreadBy: number;
  }[],
): Promise<OwnerRow> {
  let { lastNumber, unread } = locked;
  const createdAt = new Date();
  const rows = changes.map(({ kind, itemId, upTo, unreadBy }): EventRow => {
    lastNumber += 1;
    unread += unreadBy;
    return {
      owner: locked.owner,
      number: lastNumber,
      kind,
      itemId: itemId ?? null,
      upTo: upTo ?? null,
      unread,
      createdAt,
    };
  });
  await events(trx).insert(rows);
  await owners(trx).where({ owner: locked.owner }).update({ lastNumber, unread });
  return { ...locked, lastNumber, unread };
}
