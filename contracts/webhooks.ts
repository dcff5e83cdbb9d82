/**
 * Result webhooks: what a tenant's services are told of their messages, and where.
 * Carried by: jobs → services (events); services ↔ ingest (endpoints, attempts).
 */
import { Type, type Static } from 'typebox';
import { PublicMessageSchema, publicMessage } from './public-message.ts';
import { toEvent, type Snapshot } from './result.ts';
import { endStatuses, type Status } from './status.ts';

/** What can be told: every status after the 202 but the single attempts of a retry, which the timeline has. */
export const toldStatuses = [
  'scheduled',
  'held',
  'sending',
  ...endStatuses,
] as const satisfies readonly Status[];
export type ToldStatus = (typeof toldStatuses)[number];

/** Live endpoints that a tenant may have. */
export const mostEndpoints = 20;
const time = (description: string) => Type.String({ format: 'date-time', description });

export const WebhookEndpointEditSchema = Type.Object(
  {
    url: Type.String({
      pattern: '^https?://[^\\s/?#@]+(?:[/?][^\\s#]*)?$',
      maxLength: 500,
      description:
        'an https URL without user, password and fragment, at a public address. Put no secret into it: it is shown.',
      examples: ['https://shop.example.com/hooks/message-center'],
    }),
    statuses: Type.Optional(
      Type.Array(Type.Enum([...toldStatuses]), {
        minItems: 1,
        uniqueItems: true,
        description: 'Which statuses are told. Default: all that end a delivery, and receipts.',
      }),
    ),
    description: Type.Optional(Type.String({ maxLength: 200 })),
    isEnabled: Type.Optional(
      Type.Boolean({
        description:
          'False: nothing is sent. True: goes on, also after we disabled it. Left out: stays as it is.',
      }),
    ),
  },
  { additionalProperties: false },
);
export type WebhookEndpointEdit = Static<typeof WebhookEndpointEditSchema>;

export const disableCodes = ['by-hand', 'by-administrator', 'gone', 'failing', 'backlog'] as const;
export type DisableCode = (typeof disableCodes)[number];

export const WebhookEndpointSchema = Type.Object({
  id: Type.String({ examples: ['whe_7w9c5x1y6t0r8na2'] }),
  tenantId: Type.String(),
  url: Type.String(),
  statuses: Type.Array(Type.Enum([...toldStatuses])),
  description: Type.Optional(Type.String()),
  isEnabled: Type.Boolean(),
  disabled: Type.Optional(
    Type.Object({
      code: Type.Enum([...disableCodes], {
        description:
          'gone: it answered 410; failing: nothing has succeeded for 5 days; backlog: too much waited for it.',
      }),
      detail: Type.Optional(Type.String()),
      at: time('Since when.'),
    }),
  ),
  failingSince: Type.Optional(time('Nothing has succeeded since then.')),
  previousSecretUntil: Type.Optional(time('Until then the secret before signs, too.')),
  version: Type.Integer(),
  createdAt: time('When it was made.'),
  updatedAt: time('When it was edited last.'),
});
export type WebhookEndpoint = Static<typeof WebhookEndpointSchema>;

export const WebhookAttemptSchema = Type.Object({
  eventId: Type.String({ description: 'The header webhook-id, the same for every attempt.' }),
  type: Type.String({ examples: ['message.delivered'] }),
  messageId: Type.Optional(Type.String()),
  startedAt: time('When the call began.'),
  durationMs: Type.Integer(),
  attempt: Type.Integer({ description: 'Counted from 1 for each event.' }),
  outcome: Type.Enum(['delivered', 'failed', 'given-up'], {
    description: 'failed: it is tried again at nextAttemptAt; given-up: only by a replay.',
  }),
  statusCode: Type.Optional(Type.Integer({ description: 'Missing: there was no answer.' })),
  detail: Type.Optional(Type.String({ description: 'Why there was no answer.' })),
  nextAttemptAt: Type.Optional(time('Not before then.')),
});
export type WebhookAttempt = Static<typeof WebhookAttemptSchema>;

/** A CloudEvents 1.0 event as receivers get it. `id` is also the header webhook-id. */
export const WebhookEventSchema = Type.Object({
  specversion: Type.Literal('1.0'),
  id: Type.String(),
  source: Type.String(),
  type: Type.String(),
  subject: Type.String(),
  time: Type.String(),
  datacontenttype: Type.Literal('application/json'),
  sequence: Type.Optional(
    Type.String({ description: 'A whole number: the higher one of a message is the newer.' }),
  ),
  data: Type.Union([PublicMessageSchema, Type.Object({}, { additionalProperties: false })]),
});
export type WebhookEvent = Static<typeof WebhookEventSchema>;

/** The event of a snapshot with what its tenant may see of it. The same snapshot is always the same event. */
export function webhookEvent(snapshot: Snapshot): WebhookEvent {
  return { ...toEvent(snapshot), data: publicMessage(snapshot) };
}

/** What a test of an endpoint sends. */
export function pingEvent(id: string, endpointId: string): WebhookEvent {
  return {
    specversion: '1.0',
    id,
    source: 'message-center',
    type: 'webhook.ping',
    subject: endpointId,
    time: new Date().toISOString(),
    datacontenttype: 'application/json',
    data: {},
  };
}

/** Whether an endpoint may want to hear of this status at all. */
export function isTold(status: Status): status is ToldStatus {
  return (toldStatuses as readonly Status[]).includes(status);
}
