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

/**
 * The kinds of address a message can be sent to, one of them each. `isPersonal`: masked wherever it is shown.
 * A new kind is one line here; ingest, search and masking follow it.
 */
export const addressKinds = {
  phone: { isPersonal: true, schema: PhoneSchema },
  email: {
    isPersonal: true,
    schema: Type.String({
      maxLength: 254,
      // One @, no spaces, no quotes or angle brackets, a dot in the domain: what SMTP servers in use take.
      pattern: '^[^\\s@<>()\\[\\]",;:\\\\]{1,64}@[A-Za-z0-9-]{1,63}(\\.[A-Za-z0-9-]{1,63})+$',
      description: 'Mail address.',
      examples: ['li.lei@example.com'],
    }),
  },
  openid: {
    isPersonal: true,
    schema: Type.String({
      pattern: '^[A-Za-z0-9_-]{16,64}$',
      description: 'WeChat openid: a person as one official account or mini-program knows them.',
      examples: ['oABCD0123456789abcdefghijklm'],
    }),
  },
  userId: {
    isPersonal: true,
    schema: Type.String({
      pattern: '^[A-Za-z0-9][A-Za-z0-9._@:-]{0,127}$',
      description:
        'Your own id of a person: the owner of an inbox, and of the devices registered for push.',
      examples: ['u-1001'],
    }),
  },
  deviceToken: {
    isPersonal: true,
    schema: Type.String({
      pattern: '^[A-Za-z0-9:_+/=.-]{8,1024}$',
      description:
        "One device: the push service's token or registration id. Better: register it and send to userId.",
    }),
  },
  wecomUserId: {
    isPersonal: true,
    schema: Type.String({
      pattern: '^[A-Za-z0-9][A-Za-z0-9_.@-]{0,63}$',
      description: 'Member of a WeCom corporation.',
      examples: ['zhangsan'],
    }),
  },
  externalUserId: {
    isPersonal: true,
    schema: Type.String({
      pattern: '^[A-Za-z0-9_-]{8,64}$',
      description: 'Customer (external contact) of a WeCom corporation.',
      examples: ['woAJ2GCAAAXtWyujaWJHDDGi0mACH71w'],
    }),
  },
  group: {
    isPersonal: false,
    schema: Type.String({
      pattern: '^[a-z0-9][a-z0-9._-]{0,63}$',
      description: "A group chat: the name of its robot in the channel account's secrets.",
      examples: ['ops'],
    }),
  },
  endpoint: {
    isPersonal: false,
    schema: Type.String({
      pattern: '^[a-z0-9][a-z0-9._-]{0,63}$',
      description: 'A webhook endpoint: its name in the channel account.',
      examples: ['orders'],
    }),
  },
} as const;
export type AddressKind = keyof typeof addressKinds;

/** One recipient: exactly one address. */
export type To = {
  [Kind in AddressKind]: { readonly [K in Kind]: string };
}[AddressKind];

export const ToSchema = Type.Unsafe<To>(
  Type.Object(
    Object.fromEntries(
      Object.entries(addressKinds).map(([kind, { schema }]) => [kind, Type.Optional(schema)]),
    ),
    {
      additionalProperties: false,
      minProperties: 1,
      maxProperties: 1,
      description: `One recipient, by exactly one of ${Object.keys(addressKinds).join(', ')}.`,
      examples: [{ phone: '13900001111' }],
    },
  ),
);

/** Kind and value of the one address. Errors: none, for a `To` that was validated. */
export function addressOf(to: To): { readonly kind: AddressKind; readonly value: string } {
  const [entry] = Object.entries(to) as [AddressKind, string][];
  if (entry === undefined) throw new Error('a recipient without an address');
  return { kind: entry[0], value: entry[1] };
}

/** The address, where it is of this kind. */
export function addressAs(kind: AddressKind, to: To): string | undefined {
  return (to as Partial<Record<AddressKind, string>>)[kind];
}

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
        pattern: '^[a-z]{2,20}(-[a-z0-9-]{2,40})?$',
        description:
          "Wanted channel (push) or connector (push-apns); default: the template's first one that takes the address.",
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
