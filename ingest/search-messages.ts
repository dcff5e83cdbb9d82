/** `GET /v1/messages`: a tenant's messages, newest first, as the index shows them about a second after they change. */
import { Type, type Static } from 'typebox';
import { addressKinds, type AddressKind, type To } from '../contracts/message.ts';
import { problem } from '../contracts/problems.ts';
import { statuses } from '../contracts/status.ts';
import { priorities } from '../contracts/topics.ts';
import { route, type Route } from '../platform/http.ts';
import { createValidator, type Validator } from '../platform/validate.ts';
import type { MessageIndex } from '../store/message-index.ts';
import { publicMessage, PublicMessageSchema } from './public-message.ts';

export interface SearchDeps {
  readonly index: Pick<MessageIndex, 'search'>;
  /** Keyed hash of an address in any of its spellings, as messages of the tenant carry it. */
  readonly hashRecipient: (tenantId: string, to: To) => string;
}

const defaultLimit = 20;

const optionalText = (description: string, maxLength: number) =>
  Type.Optional(Type.String({ description, minLength: 1, maxLength }));
const optionalTime = (description: string) =>
  Type.Optional(
    Type.String({ format: 'date-time', description, examples: ['2026-11-21T00:00:00Z'] }),
  );

const QuerySchema = Type.Object(
  {
    status: Type.Optional(Type.Enum([...statuses], { description: 'Where the message stands.' })),
    channel: optionalText('Channel: sms, push, email.', 64),
    template: optionalText("The template's name.", 64),
    account: optionalText('Id of the channel account.', 64),
    priority: Type.Optional(Type.Enum([...priorities], { description: 'Lane.' })),
    to: Type.Optional(
      Type.String({
        maxLength: 1100,
        description: 'A whole address: a phone number, or kind:value for any other.',
        examples: [
          '13900001111',
          'email:li.lei@example.com',
          'openid:oABCD0123456789abcdefghijklm',
        ],
      }),
    ),
    reason: optionalText('Code of the reason: expired.', 64),
    metadata: Type.Optional(
      Type.String({
        pattern: '^[A-Za-z0-9_.-]{1,64}:',
        maxLength: 321,
        description: 'One of your own keys and its whole value, with a colon between them.',
        examples: ['orderId:SO-1001'],
      }),
    ),
    text: optionalText(
      'Words that follow each other in the content; only messages of templates whose content may be searched are found.',
      200,
    ),
    from: optionalTime('Accepted at this time or later.'),
    until: optionalTime('Accepted before this time.'),
    limit: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: 100,
        default: defaultLimit,
        description: 'Most messages in one answer.',
      }),
    ),
    cursor: optionalText('`nextCursor` of the page before, with the same other parameters.', 1000),
  },
  { additionalProperties: false },
);

export const MessagePageSchema = Type.Object({
  items: Type.Array(PublicMessageSchema),
  nextCursor: Type.Optional(Type.String({ description: 'Missing on the last page.' })),
  total: Type.Object(
    { value: Type.Integer(), relation: Type.Enum(['eq', 'gte']) },
    { description: 'All that match; counted exactly up to 10,000, more than that is gte.' },
  ),
});

/** The route; `Caller` must say which tenant it is, and nothing of another one is ever found. */
export function searchRoute<Caller extends { readonly tenantId: string }>(
  deps: SearchDeps,
): Route<Caller> {
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
    handle: async ({ query, caller }) => {
      const page = await deps.index.search(toSearch(deps, caller.tenantId, query));
      return { status: 200, body: { ...page, items: page.items.map(publicMessage) } };
    },
  });
}

function toSearch(deps: SearchDeps, tenantId: string, query: Static<typeof QuerySchema>) {
  const { account, to, metadata, from, until, limit = defaultLimit, ...same } = query;
  if (from !== undefined && until !== undefined && Date.parse(from) >= Date.parse(until)) {
    const detail = 'must be later than from';
    throw problem('validation-failed', {
      detail: `query/until ${detail}`,
      errors: [{ pointer: 'query/until', detail }],
    });
  }
  return {
    tenantId,
    ...same,
    accountId: account,
    recipientHash: to === undefined ? undefined : deps.hashRecipient(tenantId, readAddress(to)),
    metadata: metadata === undefined ? undefined : splitPair(metadata),
    from,
    until,
    limit,
  };
}

const addressValidators = Object.fromEntries(
  Object.entries(addressKinds).map(([kind, { schema }]) => [kind, createValidator(schema)]),
) as Record<AddressKind, Validator<string>>;

function readAddress(text: string): To {
  const [, kind = 'phone', value = text] = /^([a-zA-Z]+):(.*)$/s.exec(text) ?? [];
  const validator = Object.hasOwn(addressValidators, kind)
    ? addressValidators[kind as AddressKind]
    : undefined;
  const detail =
    validator === undefined
      ? `must be a phone number, or begin with one of ${Object.keys(addressKinds).join(', ')} and a colon`
      : validator.faults(value)[0]?.detail;
  if (detail === undefined) return { [kind]: value } as To;
  throw problem('validation-failed', {
    detail: `query/to ${detail}`,
    errors: [{ pointer: 'query/to', detail }],
  });
}

/** Keys have no colon, values may. */
function splitPair(pair: string): { key: string; value: string } {
  const colon = pair.indexOf(':');
  return { key: pair.slice(0, colon), value: pair.slice(colon + 1) };
}
