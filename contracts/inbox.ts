/**
 * The in-site inbox. Carried by: connector inbox-builtin → store (put, recall); store → ingest → people (items, events).
 * An inbox belongs to one user of one tenant and counts its changes from 1: that number is the event stream's cursor.
 */
import { Type, type Static } from 'typebox';

/** Whose messages are inbox items; receipts of what was read name it. */
export const inboxConnector = 'inbox-builtin';

const contentFields = {
  title: Type.String({ minLength: 1, maxLength: 500, description: 'One line.' }),
  body: Type.String({ maxLength: 20_000, description: 'Text; how it is shown is up to the site.' }),
  url: Type.Optional(
    Type.String({
      minLength: 1,
      maxLength: 2000,
      description:
        'Where a click leads: an address, a path of the site, or an app link. No javascript:, data: or file:.',
      examples: ['/orders/SO-1001'],
    }),
  ),
  data: Type.Optional(
    Type.Record(
      Type.String({ pattern: '^[A-Za-z0-9_.-]{1,64}$' }),
      Type.String({ maxLength: 2000 }),
      {
        maxProperties: 50,
        additionalProperties: false,
        description: 'Values for the site: names of icons, ids.',
        examples: [{ icon: 'parcel' }],
      },
    ),
  ),
  category: Type.Optional(
    Type.String({
      maxLength: 64,
      description: 'For sorting items into tabs.',
      examples: ['orders'],
    }),
  ),
};

/** Content of a template for the inbox, as stored and as rendered. */
export const InboxContentSchema = Type.Object(contentFields, { additionalProperties: false });
export type InboxContent = Static<typeof InboxContentSchema>;

const time = (description: string) => Type.String({ format: 'date-time', description });

export const InboxItemSchema = Type.Object({
  id: Type.String({ examples: ['msg_01k4z8v3m2q7w9c5x1y6t0r8na.0.6d9f2c81a4be7705'] }),
  messageId: Type.String({ description: 'The message it came with.' }),
  ...contentFields,
  createdAt: time('When it was put into the inbox.'),
  readAt: Type.Optional(time('Missing while it is unread.')),
  archivedAt: Type.Optional(time('Missing while it is not archived.')),
});
export type InboxItem = Static<typeof InboxItemSchema>;

/** What a person can do to an item, and the event that tells of it. */
export const inboxMarks = {
  read: 'read',
  unread: 'unread',
  archive: 'archived',
  unarchive: 'unarchived',
} as const;
export type InboxMark = keyof typeof inboxMarks;

/** One change of an inbox. `number` is the cursor, `unread` the count after it. */
export type InboxEvent = { readonly number: number; readonly unread: number } & (
  | { readonly kind: 'item'; readonly item: InboxItem }
  | {
      readonly kind: (typeof inboxMarks)[InboxMark] | 'recalled' | 'expired';
      readonly itemId: string;
    }
  /** All items that were there at the change `upTo`. */
  | { readonly kind: 'read-all'; readonly upTo: number }
);

/** What the connector writes. */
export interface InboxWriter {
  /**
   * Puts an item into a user's inbox; `id` is the delivery key, and the same id again changes nothing, recalled or not.
   * Errors: store-unavailable, with `stored: 'no'` where the item is surely not there.
   */
  put(entry: {
    readonly tenantId: string;
    readonly userId: string;
    readonly id: string;
    readonly accountId: string;
    readonly content: InboxContent;
    /** How long it is kept, read or not. */
    readonly keepDays: number;
  }): Promise<'stored' | 'duplicate'>;
  /** Takes an item out of the inbox for good; absent: there is no such item. Errors: store-unavailable. */
  recall(item: {
    readonly tenantId: string;
    readonly userId: string;
    readonly id: string;
  }): Promise<'recalled' | 'absent'>;
  /** Whether inboxes can be reached. Errors: store-unavailable. */
  check(): Promise<void>;
}
