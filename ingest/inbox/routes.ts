/** `/v1/inbox/{userId}/…`: a person's in-site inbox, for services and for the person's own browser. */
import { Type } from 'typebox';
import { InboxItemSchema, inboxMarks, type InboxMark } from '../../contracts/inbox.ts';
import { addressKinds } from '../../contracts/message.ts';
import { problem } from '../../contracts/problems.ts';
import { route, type Route } from '../../platform/http.ts';
import { createValidator } from '../../platform/validate.ts';
import { inboxFilters, type Inbox } from '../../store/index.ts';
import {
  assertMayOpen,
  createAuthenticate,
  type AuthenticateDeps,
  type InboxCaller,
} from './authenticate.ts';
import type { EventStreams } from './event-streams.ts';
import type { TellRead } from './read-receipts.ts';

export interface InboxRoutesDeps extends AuthenticateDeps {
  readonly inbox: Pick<Inbox, 'ownerOf' | 'list' | 'position' | 'mark' | 'markAllRead'>;
  readonly streams: Pick<EventStreams, 'open' | 'changed'>;
  readonly tellRead: TellRead;
}

const usualLimit = 20;
const usualTokenSeconds = 3600;
const number = '^(0|[1-9][0-9]{0,14})$';

const EventIdSchema = Type.String({
  description: 'Id of the last event that this state includes: start the event stream with it.',
  examples: ['41'],
});
const UnreadSchema = Type.Integer({ description: 'Items neither read nor archived.' });
const ListQuery = Type.Object(
  {
    filter: Type.Optional(
      Type.Enum([...inboxFilters], {
        default: 'all',
        description: 'all: what is not archived; unread: of these the unread; archived.',
      }),
    ),
    cursor: Type.Optional(
      Type.String({ pattern: number, description: '`nextCursor` of the page before.' }),
    ),
    limit: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: 100,
        default: usualLimit,
        description: 'Most items in one answer.',
      }),
    ),
  },
  { additionalProperties: false },
);
const PageSchema = Type.Object({
  items: Type.Array(InboxItemSchema),
  nextCursor: Type.Optional(Type.String({ description: 'Missing on the last page.' })),
  unread: UnreadSchema,
  lastEventId: EventIdSchema,
});
const UpToQuery = Type.Object(
  {
    upTo: Type.Optional(
      Type.String({
        pattern: number,
        description:
          '`lastEventId` of what the person has seen: what came later stays unread. Default: everything.',
      }),
    ),
  },
  { additionalProperties: false },
);
const EventsQuery = Type.Object(
  {
    token: Type.Optional(
      Type.String({ description: 'A user token, where the header cannot be set (EventSource).' }),
    ),
    lastEventId: Type.Optional(
      Type.String({
        description:
          'For a first connection: events after this one. Without it, and without the header, only what comes from now on.',
      }),
    ),
  },
  { additionalProperties: false },
);
const TokenSchema = Type.Object(
  {
    expiresIn: Type.Optional(
      Type.Integer({
        minimum: 60,
        maximum: 86_400,
        default: usualTokenSeconds,
        description: 'Life in seconds. An open event stream ends with it, too.',
      }),
    ),
  },
  { additionalProperties: false },
);

const userValidator = createValidator(addressKinds.userId.schema);
const tag = 'inbox';
const userParam = { userId: 'Your own id of the person' };
const forUsers = "With an API key, any person's; with a user token, as bearer, the person's own.";

const markSummaries: Record<InboxMark, string> = {
  read: 'Mark an item as read',
  unread: 'Mark an item as unread',
  archive: 'Archive an item',
  unarchive: 'Put an archived item back',
};

/** The routes. Errors: problems that name the field; store-unavailable. */
export function inboxRoutes(deps: InboxRoutesDeps): Route<InboxCaller>[] {
  const { inbox, streams } = deps;
  const authenticator = createAuthenticate(deps);
  const authenticate = authenticator({ takesTokenInQuery: false });
  const open = (caller: InboxCaller, userId: string) => {
    assertMayOpen(caller, userId);
    return inbox.ownerOf(caller.tenantId, userId);
  };
  const common = { tag, authenticate, isForBrowsers: true } as const;
  return [
    route<InboxCaller, typeof TokenSchema>({
      method: 'post',
      path: '/v1/inbox/:userId/tokens',
      operationId: 'createInboxToken',
      summary: "Make a token for a person's browser",
      description:
        'By API key only, for a person whom your site has signed in. It opens this inbox and nothing else, cannot be revoked, and so should live shortly.',
      tag,
      body: TokenSchema,
      params: userParam,
      responses: {
        201: {
          description: 'The token, shown once.',
          schema: Type.Object({
            token: Type.String({ examples: ['mcu_v1.main.…'] }),
            expiresAt: Type.String({ format: 'date-time' }),
          }),
        },
      },
      problems: [],
      handle: async ({ body, params, caller }) => {
        const userId = checkedUser(params['userId']);
        const expiresAtMs = Date.now() + (body.expiresIn ?? usualTokenSeconds) * 1000;
        const token = deps.tokens.issue({ tenantId: caller.tenantId, userId, expiresAtMs });
        return { status: 201, body: { token, expiresAt: new Date(expiresAtMs).toISOString() } };
      },
    }),
    route<InboxCaller, never, typeof ListQuery>({
      ...common,
      method: 'get',
      path: '/v1/inbox/:userId/items',
      operationId: 'listInboxItems',
      summary: "A person's inbox",
      description: `Newest first. ${forUsers} Nothing is missed between this answer and an event stream that starts with its \`lastEventId\`.`,
      query: ListQuery,
      params: userParam,
      responses: { 200: { description: 'A page of items.', schema: PageSchema } },
      problems: ['forbidden'],
      handle: async ({ query, params, caller }) => {
        const owner = await open(caller, checkedUser(params['userId']));
        const { filter = 'all', cursor, limit = usualLimit } = query;
        const page = await inbox.list(owner, {
          filter,
          limit,
          ...(cursor !== undefined && { before: Number(cursor) }),
        });
        return {
          status: 200,
          headers: { 'cache-control': 'no-store' },
          body: {
            items: page.items,
            ...(page.nextBefore !== undefined && { nextCursor: String(page.nextBefore) }),
            unread: page.position.unread,
            lastEventId: String(page.position.number),
          },
        };
      },
    }),
    route<InboxCaller>({
      ...common,
      method: 'get',
      path: '/v1/inbox/:userId/unread',
      operationId: 'countUnreadInboxItems',
      summary: 'How many items are unread',
      params: userParam,
      responses: {
        200: {
          description: 'The count.',
          schema: Type.Object({ count: UnreadSchema, lastEventId: EventIdSchema }),
        },
      },
      problems: ['forbidden'],
      handle: async ({ params, caller }) => {
        const owner = await open(caller, checkedUser(params['userId']));
        const position = await inbox.position(owner);
        return {
          status: 200,
          headers: { 'cache-control': 'no-store' },
          body: { count: position.unread, lastEventId: String(position.number) },
        };
      },
    }),
    ...(Object.keys(inboxMarks) as InboxMark[]).map((mark) =>
      route<InboxCaller>({
        ...common,
        method: 'post',
        path: `/v1/inbox/:userId/items/:itemId/${mark}`,
        operationId: `${mark}InboxItem`,
        summary: markSummaries[mark],
        description: `May be repeated.${mark === 'read' ? ' The first time, the status of its message becomes read.' : ''}`,
        params: { ...userParam, itemId: 'Id of the item' },
        responses: {
          200: {
            description: 'The item as it is now.',
            schema: Type.Object({ item: InboxItemSchema, unread: UnreadSchema }),
          },
        },
        problems: ['forbidden', 'not-found'],
        handle: async ({ params, caller }) => {
          const owner = await open(caller, checkedUser(params['userId']));
          const marked = await inbox.mark(owner, params['itemId'] ?? '', mark);
          if (marked === undefined)
            throw problem('not-found', { detail: 'There is no such item in this inbox.' });
          streams.changed(owner);
          const { item, unread, firstRead } = marked;
          if (firstRead !== undefined) await deps.tellRead(caller.tenantId, [firstRead]);
          return { status: 200, body: { item, unread } };
        },
      }),
    ),
    route<InboxCaller, never, typeof UpToQuery>({
      ...common,
      method: 'post',
      path: '/v1/inbox/:userId/read-all',
      operationId: 'readAllInboxItems',
      summary: 'Mark everything as read',
      description: 'What is archived stays as it is. May be repeated.',
      query: UpToQuery,
      params: userParam,
      responses: {
        200: {
          description: 'How many items it changed.',
          schema: Type.Object({ count: Type.Integer(), unread: UnreadSchema }),
        },
      },
      problems: ['forbidden'],
      handle: async ({ query, params, caller }) => {
        const owner = await open(caller, checkedUser(params['userId']));
        const { upTo } = query;
        const { count, unread, firstRead } = await inbox.markAllRead(
          owner,
          upTo === undefined ? undefined : Number(upTo),
        );
        streams.changed(owner);
        if (firstRead.length > 0) await deps.tellRead(caller.tenantId, firstRead);
        return { status: 200, body: { count, unread } };
      },
    }),
    route<InboxCaller, never, typeof EventsQuery>({
      ...common,
      authenticate: authenticator({ takesTokenInQuery: true }),
      method: 'get',
      path: '/v1/inbox/:userId/events',
      operationId: 'streamInboxEvents',
      summary: 'What happens in an inbox, as it happens',
      description:
        'Server-sent events, `text/event-stream`. `ready` (where the stream starts), `item`, `read`, `unread`, `read-all`, `archived`, `unarchived`, `recalled`, `expired`: each with `id` (where to go on) and JSON `data` with the count of the unread after it. After a break EventSource goes on by itself where it stopped. `resync`: that place is unknown or more than 7 days ago; read the list anew.',
      query: EventsQuery,
      headers: { 'Last-Event-ID': 'Events after this one; goes before `lastEventId`.' },
      params: userParam,
      responses: { 200: { description: 'The stream; it ends when the token expires.' } },
      problems: ['forbidden', 'rate-limited'],
      handle: async ({ query, params, headers, caller, method }) => {
        const owner = await open(caller, checkedUser(params['userId']));
        if (method === 'HEAD') return { status: 200 };
        const after = readEventId(headers['last-event-id'] ?? query.lastEventId);
        return {
          status: 200,
          stream: streams.open({
            owner,
            after,
            ...(caller.person !== undefined && { endAtMs: caller.person.expiresAtMs }),
          }),
        };
      },
    }),
  ];
}

/** Errors: the problem validation-failed, which does not tell the id. */
function checkedUser(userId = ''): string {
  const [fault] = userValidator.faults(userId);
  if (fault === undefined) return userId;
  throw problem('validation-failed', {
    detail: `path/userId ${fault.detail}`,
    errors: [{ pointer: 'path/userId', detail: fault.detail }],
  });
}

/** NaN: not an id that we give, so the reader must read its list anew. */
function readEventId(value: string | undefined): number | undefined {
  if (value === undefined || value === '') return undefined;
  return new RegExp(number).test(value) ? Number(value) : Number.NaN;
}
