/** `GET /v1/dead-letters`: what was not delivered, by reason; and what is parked because it could never start. */
import { Type } from 'typebox';
import { publicMessage } from '../contracts/public-message.ts';
import { redrivenStatuses } from '../contracts/redrive.ts';
import { parkReasons } from '../contracts/result.ts';
import { route, type Route } from '../platform/http.ts';
import { tenantQuery, type SearchDeps } from './audience.ts';
import { countMessages } from './counts.ts';
import { filterQuery, toFilter } from './filter.ts';
import { MessagePageSchema, pageParameters } from './list-messages.ts';

const deadStatuses = ['failed', 'expired', 'rejected'] as const;
/** As it stands in what was too broken to say whose it is. */
const nobody = 'unknown';
const defaultLimit = 20;

const DeadLettersSchema = Type.Object({
  reasons: Type.Array(
    Type.Object({
      status: Type.Enum([...deadStatuses]),
      reason: Type.Union([Type.String(), Type.Null()]),
      count: Type.Integer(),
      canBeRedriven: Type.Boolean({
        description: 'Whether POST /v1/redrives sends such ones again.',
      }),
    }),
    { description: 'All that match, most first.' },
  ),
  ...MessagePageSchema.properties,
  parked: Type.Object(
    {
      topic: Type.String({ description: 'Keeps their bodies for as long as RocketMQ does.' }),
      count: Type.Integer({ description: "The tenant's, among the rejected ones above." }),
      ofNobody: Type.Integer({ description: 'So broken that nobody can say whose they are.' }),
    },
    {
      description: `What could never start: ${parkReasons.join(', ')}. It cannot be sent again from here.`,
    },
  ),
});

/** The route. */
export function deadLetterRoute<Caller>(deps: SearchDeps<Caller>): Route<Caller> {
  const QuerySchema = Type.Object(
    {
      ...tenantQuery(deps.audience),
      ...filterQuery,
      status: Type.Optional(Type.Enum([...deadStatuses], { description: 'Default: all three.' })),
      ...pageParameters,
    },
    { additionalProperties: false },
  );
  return route<Caller, never, typeof QuerySchema>({
    method: 'get',
    path: '/v1/dead-letters',
    operationId: 'listDeadLetters',
    summary: 'What was not delivered, by reason',
    description:
      'Messages that ended as failed, expired or rejected, newest first, and how many there are of each reason. POST /v1/redrives sends them again by the same reason, after a dry run that counts.',
    tag: 'messages',
    query: QuerySchema,
    responses: { 200: { description: 'Counts and a page.', schema: DeadLettersSchema } },
    problems: ['search-unavailable'],
    handle: async (input) => {
      const { limit = defaultLimit, cursor, ...query } = input.query;
      const tenantId = await deps.tenantOf(input);
      const filter = {
        ...toFilter(query, tenantId, deps.hashRecipient),
        statuses: query.status === undefined ? deadStatuses : [query.status],
      };
      const parked = { status: 'rejected', reasons: parkReasons } as const;
      const [page, counts, own, ofNobody] = await Promise.all([
        deps.index.search({ ...filter, limit, cursor }),
        countMessages(deps, { filter, by: ['status', 'reason'] }),
        countMessages(deps, { filter: { tenantId, ...parked } }),
        countMessages(deps, { filter: { tenantId: nobody, ...parked } }),
      ]);
      return {
        status: 200,
        body: {
          reasons: counts.groups
            .map(({ status, reason = null, count }) => ({
              status,
              reason,
              count,
              canBeRedriven: redrivenStatuses.some((one) => one === status),
            }))
            .toSorted((a, b) => b.count - a.count),
          ...page,
          items: page.items.map(publicMessage),
          parked: { topic: deps.names.parked, count: own.total, ofNobody: ofNobody.total },
        },
      };
    },
  });
}
