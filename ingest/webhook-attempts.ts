/** `/v1/webhook-endpoints/{id}/attempts|test|replay`: what was tried at an endpoint, and to try it again. */
import { randomBytes } from 'node:crypto';
import { Type, type Static } from 'typebox';
import { problem, type FieldFault } from '../contracts/problems.ts';
import type { Snapshot } from '../contracts/result.ts';
import {
  isTold,
  pingEvent,
  WebhookAttemptSchema,
  webhookEvent,
  type WebhookEndpoint,
  type WebhookEvent,
} from '../contracts/webhooks.ts';
import { route, type Route } from '../platform/http.ts';
import type { Logger } from '../platform/logger.ts';
import { encodeBase32 } from '../platform/message-id.ts';
import { pageQuery, pageSchema, readPage } from '../platform/pages.ts';
import type { Store, WebhookEventToSend } from '../store/index.ts';
import { changeKey, type MessageIndex } from '../store/message-index.ts';
import { endpointParams, endpointPath, ownEndpoint, webhookTag } from './webhook-endpoints.ts';

export interface WebhookAttemptRoutesDeps {
  readonly store: Pick<Store, 'webhookEndpoints' | 'webhookDeliveries' | 'webhookAttempts'>;
  readonly index: Pick<MessageIndex, 'get' | 'changedBetween'>;
  readonly logger: Logger;
}

/** Messages in one call. */
const mostMessageIds = 100;
const mostInPage = 1000;
/** A replay is refused while more than this waits for the endpoint: it would be disabled for its backlog. */
const mostWaiting = 50_000;
const inOneInsert = 200;

const AttemptsQuerySchema = Type.Object(pageQuery, { additionalProperties: false });
const time = (description: string) => Type.String({ format: 'date-time', description });
const ReplaySchema = Type.Object(
  {
    messageIds: Type.Optional(
      Type.Array(Type.String({ pattern: '^msg_[0-9a-z]{26}$', description: 'a message id' }), {
        minItems: 1,
        maxItems: mostMessageIds,
        uniqueItems: true,
        description: 'These messages, instead of from.',
      }),
    ),
    from: Type.Optional(time('What happened at this time or later.')),
    until: Type.Optional(time('And before this time; default: now.')),
    cursor: Type.Optional(
      Type.String({ maxLength: 500, description: '`nextCursor` of the answer before.' }),
    ),
  },
  { additionalProperties: false },
);
const ReplayedSchema = Type.Object({
  queued: Type.Integer({ description: 'Events that are sent again now.' }),
  until: Type.Optional(time('Give this with nextCursor.')),
  nextCursor: Type.Optional(
    Type.String({ description: 'Given while there is more: repeat with it as `cursor`.' }),
  ),
});
const TestedSchema = Type.Object({
  eventId: Type.String({ description: 'The header webhook-id; attempts shows what became of it.' }),
});

/** The routes. Errors: problems that name the field; store-unavailable. */
export function webhookAttemptRoutes<Caller extends { readonly tenantId: string }>(
  deps: WebhookAttemptRoutesDeps,
): Route<Caller>[] {
  const { store, logger } = deps;
  return [
    route<Caller, never, typeof AttemptsQuerySchema>({
      method: 'get',
      path: `${endpointPath}/attempts`,
      operationId: 'listWebhookAttempts',
      summary: 'What was tried at this endpoint, newest first',
      description: 'The newest 1,000 of the last 7 days, a second after they were made.',
      tag: webhookTag,
      params: endpointParams,
      query: AttemptsQuerySchema,
      responses: { 200: { description: 'A page.', schema: pageSchema(WebhookAttemptSchema) } },
      problems: ['not-found', 'store-unavailable'],
      handle: async ({ params, query, caller: { tenantId } }) => {
        const { id } = await ownEndpoint(deps, tenantId, params['id']);
        const page = await readPage(
          query,
          (wanted) => store.webhookAttempts.list(id, wanted),
          ({ key }) => key,
        );
        const items = page.items.map(({ attempt }) => attempt);
        return { status: 200, body: { ...page, items } };
      },
    }),
    route<Caller>({
      method: 'post',
      path: `${endpointPath}/test`,
      operationId: 'testWebhookEndpoint',
      summary: 'Send a ping',
      description: 'An event of the type `webhook.ping`, signed and tried again like any other.',
      tag: webhookTag,
      params: endpointParams,
      responses: { 202: { description: 'Sent within a second.', schema: TestedSchema } },
      problems: ['not-found', 'endpoint-disabled', 'store-unavailable'],
      handle: async ({ params, caller: { tenantId } }) => {
        const { id } = await enabledEndpoint(deps, tenantId, params['id']);
        const event = pingEvent(`ping_${encodeBase32(randomBytes(10))}`, id);
        await store.webhookDeliveries.keepAnew(id, [toSend(event)]);
        return { status: 202, body: { eventId: event.id } };
      },
    }),
    route<Caller, typeof ReplaySchema>({
      method: 'post',
      path: `${endpointPath}/replay`,
      operationId: 'replayWebhooks',
      summary: 'Send events again',
      description:
        'Of messages by id, or whose status became what it is in a span of time: the event of that status, with the same id, to the same schedule. Earlier statuses of a message are not sent again. Up to 1,000 in one call.',
      tag: webhookTag,
      params: endpointParams,
      body: ReplaySchema,
      responses: { 202: { description: 'They are sent now.', schema: ReplayedSchema } },
      problems: [
        'not-found',
        'endpoint-disabled',
        'rate-limited',
        'search-unavailable',
        'store-unavailable',
      ],
      handle: async ({ params, body, caller: { tenantId } }) => {
        refuse(contradictions(body));
        const endpoint = await enabledEndpoint(deps, tenantId, params['id']);
        await refuseOverfull(deps, endpoint.id);
        const { snapshots, ...more } = await findSnapshots(deps, endpoint, body);
        const events = snapshots.map((snapshot) =>
          toSend(webhookEvent(snapshot), snapshot.messageId),
        );
        for (let start = 0; start < events.length; start += inOneInsert)
          await store.webhookDeliveries.keepAnew(
            endpoint.id,
            events.slice(start, start + inOneInsert),
          );
        logger.info({ endpointId: endpoint.id, tenantId, queued: events.length }, 'webhook.replay');
        return { status: 202, body: { queued: events.length, ...more } };
      },
    }),
  ];
}

async function enabledEndpoint(
  deps: WebhookAttemptRoutesDeps,
  tenantId: string,
  id: string | undefined,
): Promise<WebhookEndpoint> {
  const endpoint = await ownEndpoint(deps, tenantId, id);
  if (endpoint.isEnabled) return endpoint;
  throw problem('endpoint-disabled', {
    detail: `It is disabled (${endpoint.disabled?.code ?? 'by-hand'}); enable it first.`,
  });
}

async function refuseOverfull(deps: WebhookAttemptRoutesDeps, endpointId: string): Promise<void> {
  const waiting = await deps.store.webhookDeliveries.count(endpointId, mostWaiting);
  if (waiting >= mostWaiting)
    throw problem('rate-limited', {
      detail: `${mostWaiting} events wait for this endpoint already.`,
      retryAfterSeconds: 60,
    });
}

interface Found {
  readonly snapshots: readonly Snapshot[];
  readonly until?: string;
  readonly nextCursor?: string;
}

/** The newest snapshots that the endpoint wants to hear of. Messages of other tenants are not there. */
async function findSnapshots(
  { index }: WebhookAttemptRoutesDeps,
  { tenantId, statuses }: WebhookEndpoint,
  { messageIds, from, until = new Date().toISOString(), cursor }: Static<typeof ReplaySchema>,
): Promise<Found> {
  if (from === undefined) {
    const found = await Promise.all((messageIds ?? []).map((id) => index.get(id)));
    const snapshots = found.filter(
      (snapshot) =>
        snapshot?.tenantId === tenantId &&
        isTold(snapshot.status) &&
        statuses.includes(snapshot.status),
    );
    return { snapshots: snapshots as Snapshot[] };
  }
  const { items, nextCursor } = await readPage(
    { limit: mostInPage, ...(cursor !== undefined && { cursor }) },
    (page) => index.changedBetween({ tenantId, statuses, from, until }, page),
    changeKey,
  );
  return { snapshots: items, ...(nextCursor !== undefined && { until, nextCursor }) };
}

function toSend(event: WebhookEvent, messageId?: string): WebhookEventToSend {
  return {
    eventId: event.id,
    type: event.type,
    ...(messageId !== undefined && { messageId }),
    body: JSON.stringify(event),
  };
}

/** What is wrong between the fields. */
function contradictions({
  messageIds,
  from,
  until,
  cursor,
}: Static<typeof ReplaySchema>): FieldFault[] {
  if (messageIds === undefined && from === undefined)
    return [{ pointer: '/from', detail: 'is required, unless messageIds are given' }];
  if (messageIds !== undefined)
    return (['from', 'until', 'cursor'] as const)
      .filter((field) => ({ from, until, cursor })[field] !== undefined)
      .map((field) => ({
        pointer: `/${field}`,
        detail: 'cannot be given together with messageIds',
      }));
  return until !== undefined && from !== undefined && Date.parse(from) >= Date.parse(until)
    ? [{ pointer: '/until', detail: 'must be later than from' }]
    : [];
}

function refuse(faults: readonly FieldFault[]): void {
  const [first] = faults;
  if (first === undefined) return;
  throw problem('validation-failed', {
    detail: `${first.pointer} ${first.detail}`,
    errors: faults,
  });
}
