/** `/v1/consents`: what people have agreed to and taken back, with the proof. */
import { Type } from 'typebox';
import {
  ConsentActionSchema,
  ConsentSchema,
  PostConsentSchema,
  providerSource,
  PurposeSchema,
  type PostConsent,
} from '../contracts/consents.ts';
import { ToSchema, type To } from '../contracts/message.ts';
import { ChannelSchema } from '../contracts/people.ts';
import { problem, type FieldFault } from '../contracts/problems.ts';
import { route, type Route } from '../platform/http.ts';
import type { Logger } from '../platform/logger.ts';
import { pageQuery, pageSchema, readPage } from '../platform/pages.ts';
import type { Consents } from '../store/index.ts';
import { channelFaults, refuse } from './people.ts';

export interface ConsentRoutesDeps {
  readonly consents: Consents;
  readonly hashRecipient: (tenantId: string, to: To) => string;
  /** Of this installation. */
  readonly channels: ReadonlySet<string>;
  readonly logger: Logger;
}

const PlaceSchema = Type.Object(
  { to: ToSchema, purpose: PurposeSchema, channel: ChannelSchema },
  { additionalProperties: false },
);
const StateSchema = Type.Object({
  state: Type.Enum(['granted', 'withdrawn', 'none'], {
    description: 'The newest word; none: nothing was ever recorded.',
  }),
  occurredAt: Type.Optional(Type.String({ format: 'date-time', description: 'When it was said.' })),
});
const OfSchema = Type.Object({ to: ToSchema }, { additionalProperties: false });
const PageQuerySchema = Type.Object(pageQuery, { additionalProperties: false });
const ListQuerySchema = Type.Object(
  {
    purpose: Type.Optional(PurposeSchema),
    channel: Type.Optional(ChannelSchema),
    action: Type.Optional(ConsentActionSchema),
    ...pageQuery,
  },
  { additionalProperties: false },
);

const tag = 'consents';
const headers = { 'cache-control': 'no-store' };
const pageOfConsents = { 200: { description: 'A page.', schema: pageSchema(ConsentSchema) } };
/** By so much a caller's clock may be ahead of ours. */
const aheadMs = 60_000;

/** The routes. Addresses come in bodies, so that no log of a proxy has them. Errors: problems that name the field; store-unavailable. */
export function consentRoutes<Caller extends { readonly tenantId: string }>(
  deps: ConsentRoutesDeps,
): Route<Caller>[] {
  const { consents, channels, hashRecipient, logger } = deps;
  return [
    route<Caller, typeof PostConsentSchema>({
      method: 'post',
      path: '/v1/consents',
      operationId: 'recordConsent',
      summary: 'Record that a person has granted or withdrawn consent',
      description:
        "Records are only added; a person's newest word holds, by `occurredAt`. A withdrawal of marketing holds at once, for what was accepted before too. Whether messages need consent is in the tenant's policy.",
      tag,
      body: PostConsentSchema,
      responses: {
        200: { description: 'It was recorded before.', schema: ConsentSchema },
        201: { description: 'Recorded.', schema: ConsentSchema },
      },
      problems: ['store-unavailable'],
      handle: async ({ body, caller: { tenantId }, requestId }) => {
        const now = new Date().toISOString();
        refuse(consentFaults(body, channels));
        // Nothing is said in the future: it would outlast what is said until then.
        const given = new Date(body.occurredAt ?? now).toISOString();
        const { consent, isNew } = await consents.record({
          ...body,
          tenantId,
          recipientHash: hashRecipient(tenantId, body.to),
          occurredAt: given > now ? now : given,
        });
        const { id, action, purpose, channel, source } = consent;
        logger.info(
          { consentId: id, tenantId, action, purpose, channel, source, isNew, requestId },
          'consent.recorded',
        );
        const location = `/v1/consents/${id}`;
        return { status: isNew ? 201 : 200, body: consent, headers: { ...headers, location } };
      },
    }),
    route<Caller, typeof PlaceSchema>({
      method: 'post',
      path: '/v1/consents/query',
      operationId: 'queryConsent',
      summary: 'Does this person consent now?',
      tag,
      body: PlaceSchema,
      responses: { 200: { description: 'Their newest word.', schema: StateSchema } },
      problems: ['store-unavailable'],
      handle: async ({ body: { to, purpose, channel }, caller: { tenantId } }) => {
        refuse(channelFaults(channel, { channels, pointer: '/channel' }));
        const hash = hashRecipient(tenantId, to);
        const word = (await consents.newest({ tenantId, purpose, channel }, [hash])).get(hash);
        const body =
          word === undefined ? { state: 'none' } : { state: word.action, occurredAt: word.at };
        return { status: 200, body, headers };
      },
    }),
    route<Caller, typeof OfSchema, typeof PageQuerySchema>({
      method: 'post',
      path: '/v1/consents/history',
      operationId: 'listConsentHistory',
      summary: 'Everything that was recorded of a person; last recorded first',
      tag,
      body: OfSchema,
      query: PageQuerySchema,
      responses: pageOfConsents,
      problems: ['store-unavailable'],
      handle: async ({ body: { to }, query, caller: { tenantId } }) => {
        const recipientHash = hashRecipient(tenantId, to);
        const page = await readPage(
          query,
          (wanted) => consents.list(tenantId, { recipientHash }, wanted),
          ({ id }) => id,
        );
        return { status: 200, body: page, headers };
      },
    }),
    route<Caller, never, typeof ListQuerySchema>({
      method: 'get',
      path: '/v1/consents',
      operationId: 'listConsents',
      summary: 'All records of the tenant; last recorded first',
      tag,
      query: ListQuerySchema,
      responses: pageOfConsents,
      problems: ['store-unavailable'],
      handle: async ({ query: { purpose, channel, action, ...query }, caller: { tenantId } }) => {
        const page = await readPage(
          query,
          (wanted) => consents.list(tenantId, { purpose, channel, action }, wanted),
          ({ id }) => id,
        );
        return { status: 200, body: page, headers };
      },
    }),
    route<Caller>({
      method: 'get',
      path: '/v1/consents/:id',
      operationId: 'getConsent',
      summary: 'One record',
      tag,
      params: { id: 'Id of the record: cns_…' },
      responses: { 200: { description: 'As it was recorded.', schema: ConsentSchema } },
      problems: ['not-found', 'store-unavailable'],
      handle: async ({ params: { id = '' }, caller: { tenantId } }) => {
        const consent = await consents.get(tenantId, id);
        if (consent === undefined)
          throw problem('not-found', { detail: `There is no consent with the id "${id}".` });
        return { status: 200, body: consent, headers };
      },
    }),
  ];
}

function consentFaults(
  { action, channel, textVersion, source, occurredAt }: PostConsent,
  channels: ReadonlySet<string>,
): readonly FieldFault[] {
  const neededFor = (value: string | undefined, pointer: string) =>
    action === 'granted' && value === undefined
      ? [{ pointer, detail: 'is needed where consent is granted' }]
      : [];
  const at = Date.parse(occurredAt ?? new Date().toISOString());
  const isTime = at >= 0 && at <= Date.now() + aheadMs;
  return [
    ...neededFor(channel, '/channel'),
    ...neededFor(textVersion, '/textVersion'),
    ...(channel === undefined ? [] : channelFaults(channel, { channels, pointer: '/channel' })),
    ...(source === providerSource
      ? [{ pointer: '/source', detail: 'is for what was said through the channel itself' }]
      : []),
    ...(isTime ? [] : [{ pointer: '/occurredAt', detail: 'must be a time from 1970 until now' }]),
  ];
}
