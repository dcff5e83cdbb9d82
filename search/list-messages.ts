/** `GET /v1/messages`: a tenant's messages, newest first, as the index shows them about a second after they change. */
import { Type } from 'typebox';
import { publicMessage, PublicMessageSchema } from '../contracts/public-message.ts';
import { route, type Route } from '../platform/http.ts';
import { tenantQuery, type SearchDeps } from './audience.ts';
import { filterQuery, optionalText, toFilter } from './filter.ts';

const defaultLimit = 20;

export const pageParameters = {
  limit: Type.Optional(
    Type.Integer({
      minimum: 1,
      maximum: 100,
      default: defaultLimit,
      description: 'Most messages in one answer.',
    }),
  ),
  cursor: optionalText('`nextCursor` of the page before, with the same other parameters.', 1000),
};

export const MessagePageSchema = Type.Object({
  items: Type.Array(PublicMessageSchema),
  nextCursor: Type.Optional(Type.String({ description: 'Missing on the last page.' })),
  total: Type.Object(
    { value: Type.Integer(), relation: Type.Enum(['eq', 'gte']) },
    { description: 'All that match; counted exactly up to 10,000, more than that is gte.' },
  ),
});

/** The route. */
export function listRoute<Caller>(
  deps: Pick<SearchDeps<Caller>, 'index' | 'hashRecipient' | 'tenantOf' | 'audience'>,
): Route<Caller> {
  const QuerySchema = Type.Object(
    { ...tenantQuery(deps.audience), ...filterQuery, ...pageParameters },
    { additionalProperties: false },
  );
  return route<Caller, never, typeof QuerySchema>({
    method: 'get',
    path: '/v1/messages',
    operationId: 'searchMessages',
    summary: 'Search messages',
    description:
      'Newest first by the time of acceptance. All parameters given must match; `to` is a whole address: a phone number, its plus sign written %2B, or `email:…`, `openid:…`, `userId:…` and so on. A change is seen here about a second later; GET /v1/messages/{id} is always current.',
    tag: 'messages',
    query: QuerySchema,
    responses: { 200: { description: 'A page of messages.', schema: MessagePageSchema } },
    problems: ['search-unavailable'],
    handle: async (input) => {
      const { limit = defaultLimit, cursor, ...filter } = input.query;
      const tenantId = await deps.tenantOf(input);
      const page = await deps.index.search({
        ...toFilter(filter, tenantId, deps.hashRecipient),
        limit,
        cursor,
      });
      return { status: 200, body: { ...page, items: page.items.map(publicMessage) } };
    },
  });
}
