/** `/v1/suppressions`: addresses that get nothing but critical messages, through one channel or any. */
import { Type } from 'typebox';
import { NameSchema, ToSchema, type To } from '../contracts/message.ts';
import { ChannelSchema } from '../contracts/people.ts';
import { problem } from '../contracts/problems.ts';
import { route, type Route } from '../platform/http.ts';
import { everyChannel, type Suppression, type Suppressions } from '../store/index.ts';
import { channelFaults, refuse } from './people.ts';

export interface SuppressionRoutesDeps {
  readonly suppressions: Suppressions;
  readonly hashRecipient: (tenantId: string, to: To) => string;
  /** Of this installation. */
  readonly channels: ReadonlySet<string>;
}

const place = {
  to: ToSchema,
  channel: Type.Optional(
    Type.Unsafe<string>({ ...ChannelSchema, description: 'Default: every channel.' }),
  ),
};
const PlaceSchema = Type.Object(place, { additionalProperties: false });
const PutSchema = Type.Object(
  {
    ...place,
    reason: Type.Unsafe<string>({
      ...NameSchema,
      description: 'Why, in a word of yours. No personal data.',
      examples: ['complaint'],
    }),
  },
  { additionalProperties: false },
);
const QuerySchema = Type.Object({ to: ToSchema }, { additionalProperties: false });
const SuppressionSchema = Type.Object({
  channel: Type.Optional(Type.String({ description: 'Absent: every channel.' })),
  reason: Type.String(),
  createdAt: Type.String({ format: 'date-time' }),
});
const SuppressionListSchema = Type.Object({ items: Type.Array(SuppressionSchema) });

const tag = 'suppressions';

/** The routes. Addresses come in bodies, so that no log of a proxy has them. Errors: problems that name the field; store-unavailable. */
export function suppressionRoutes<Caller extends { readonly tenantId: string }>(
  deps: SuppressionRoutesDeps,
): Route<Caller>[] {
  const { suppressions, channels } = deps;
  const placeOf = (tenantId: string, { to, channel }: { to: To; channel?: string }) => {
    if (channel !== undefined) refuse(channelFaults(channel, { channels, pointer: '/channel' }));
    return {
      recipientHash: deps.hashRecipient(tenantId, to),
      channel: channel ?? everyChannel,
    };
  };
  return [
    route<Caller, typeof PutSchema>({
      method: 'put',
      path: '/v1/suppressions',
      operationId: 'putSuppression',
      summary: 'Suppress an address',
      description:
        'It gets nothing but critical messages from now on. One that is suppressed already takes the new reason.',
      tag,
      body: PutSchema,
      responses: { 200: { description: 'Suppressed.', schema: SuppressionSchema } },
      problems: ['store-unavailable'],
      handle: async ({ body, caller: { tenantId } }) => {
        const entry = { ...placeOf(tenantId, body), reason: body.reason };
        return {
          status: 200,
          body: publicSuppression(await suppressions.put(tenantId, entry)),
        };
      },
    }),
    route<Caller, typeof QuerySchema>({
      method: 'post',
      path: '/v1/suppressions/query',
      operationId: 'querySuppressions',
      summary: 'Is this address suppressed?',
      tag,
      body: QuerySchema,
      responses: {
        200: {
          description: 'Where it is suppressed; empty: nowhere.',
          schema: SuppressionListSchema,
        },
      },
      problems: ['store-unavailable'],
      handle: async ({ body, caller: { tenantId } }) => {
        const found = await suppressions.of(tenantId, [deps.hashRecipient(tenantId, body.to)]);
        return { status: 200, body: { items: found.map(publicSuppression) } };
      },
    }),
    route<Caller, typeof PlaceSchema>({
      method: 'post',
      path: '/v1/suppressions/remove',
      operationId: 'removeSuppression',
      summary: 'Suppress an address no longer',
      description: 'Without channel the one for every channel goes; those of single channels stay.',
      tag,
      body: PlaceSchema,
      responses: { 204: { description: 'Removed.' } },
      problems: ['not-found', 'store-unavailable'],
      handle: async ({ body, caller: { tenantId } }) => {
        if (!(await suppressions.remove(tenantId, placeOf(tenantId, body))))
          throw problem('not-found', { detail: 'This address is not suppressed there.' });
        return { status: 204 };
      },
    }),
  ];
}

function publicSuppression({ channel, reason, createdAt }: Suppression) {
  return { ...(channel !== everyChannel && { channel }), reason, createdAt };
}
