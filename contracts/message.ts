/**
 * A message: what a service POSTs (service → ingest) and what a lane carries (ingest → bridge, indexer).
 * Recipient, variables and content are personal: a lane carries them only inside `sealed`.
 */
import { Type, type Static } from 'typebox';
import { priorities } from './topics.ts';

export const kinds = ['otp', 'notice', 'marketing'] as const;
export type Kind = (typeof kinds)[number];

/** What follows from a template's kind unless the message says otherwise. Life in seconds. */
export const kindDefaults = {
  otp: { priority: 'critical', lifeSeconds: 600, onAmbiguous: 'give-up' },
  notice: { priority: 'normal', lifeSeconds: 86_400, onAmbiguous: 'resend' },
  marketing: { priority: 'bulk', lifeSeconds: 86_400, onAmbiguous: 'give-up' },
} as const satisfies Record<Kind, object>;

/** Largest message body a service may POST. */
export const maxMessageBytes = 64 * 1024;
export const maxBatchItems = 1000;

export const NameSchema = Type.String({
  pattern: '^[a-z0-9][a-z0-9._-]{0,63}$',
  description: 'Lower-case letters, digits, dot, dash and underscore; 1 to 64 characters.',
});

/** E.164 with the plus sign, or a mainland China mobile number of 11 digits. */
export const PhoneSchema = Type.String({
  pattern: '^(\\+[1-9][0-9]{6,14}|1[3-9][0-9]{9})$',
  description: 'E.164 (+8613900001111) or a mainland China mobile number (13900001111).',
  examples: ['13900001111'],
});

export const ToSchema = Type.Object(
  { phone: PhoneSchema },
  { additionalProperties: false, description: 'One recipient, by address.' },
);
export type To = Static<typeof ToSchema>;

export const VariablesSchema = Type.Record(
  Type.String({ pattern: '^[A-Za-z_][A-Za-z0-9_]{0,63}$' }),
  Type.Union([Type.String({ maxLength: 20_000 }), Type.Number(), Type.Boolean()]),
  { description: "Values of the template's variables.", examples: [{ code: '493817' }] },
);
export type Variables = Record<string, string | number | boolean>;

export const MetadataSchema = Type.Record(
  Type.String({ pattern: '^[A-Za-z0-9_.-]{1,64}$' }),
  Type.String({ maxLength: 256 }),
  {
    maxProperties: 20,
    additionalProperties: false,
    description:
      'Your own keys (order number, campaign), searchable, returned as they are. No personal data.',
    examples: [{ orderId: 'SO-1001' }],
  },
);

export const PostMessageSchema = Type.Object(
  {
    to: ToSchema,
    template: NameSchema,
    variables: Type.Optional(VariablesSchema),
    channel: Type.Optional(
      Type.String({
        pattern: '^[a-z]{2,20}$',
        description: "Wanted channel; default: the template's first one.",
        examples: ['sms'],
      }),
    ),
    priority: Type.Optional(
      Type.Enum([...priorities], { description: "Lane; default: by the template's kind." }),
    ),
    expiresIn: Type.Optional(
      Type.Integer({
        minimum: 10,
        maximum: 518_400,
        description: "Life in seconds from acceptance; default: by the template's kind.",
      }),
    ),
    metadata: Type.Optional(MetadataSchema),
  },
  { additionalProperties: false },
);
export type PostMessage = Static<typeof PostMessageSchema>;

/** Version of the lane payload. A reader parks what is newer than it knows. */
export const acceptedMessageVersion = 1;

export const AcceptedMessageSchema = Type.Object({
  version: Type.Literal(acceptedMessageVersion),
  id: Type.String(),
  tenantId: Type.String(),
  acceptedAt: Type.String(),
  expiresAt: Type.String(),
  /** Hash of the request, to tell a repeat from another message under the same key. */
  requestHash: Type.String(),
  template: Type.String(),
  kind: Type.Enum([...kinds]),
  connector: Type.String(),
  channel: Type.String(),
  accountId: Type.String(),
  priority: Type.Enum([...priorities]),
  recipientHash: Type.String(),
  recipientMasked: Type.String(),
  metadata: Type.Record(Type.String(), Type.String()),
  /** Sealed JSON of SealedRequest. */
  sealed: Type.String(),
  traceparent: Type.Optional(Type.String()),
});
export type AcceptedMessage = Static<typeof AcceptedMessageSchema>;

/** What `sealed` holds. */
export interface SealedRequest {
  readonly to: To;
  readonly variables: Variables;
}
