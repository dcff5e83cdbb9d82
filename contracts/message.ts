/**
 * A message: what a service POSTs (service → ingest) and what a lane carries (ingest → bridge, indexer).
 * Recipient, variables and content are personal: a lane carries them only inside `sealed`.
 */
import { Type, type Static } from 'typebox';
import { LocaleSchema } from './locale.ts';
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
/** How far ahead `sendAt` may be. */
export const longestScheduleMs = 90 * 86_400_000;
/** Ways (channel and account) that one message may be tried on. */
export const mostRoutes = 16;

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
        'Your own id of a person, up to 128 letters, digits, `._@:-`, the first a letter or digit: the owner of an inbox, and of the devices registered for push.',
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

/** Kinds of address that a person can be registered with: a `userId` reaches them there. */
export const bookKinds = [
  'phone',
  'email',
  'openid',
  'wecomUserId',
  'externalUserId',
] as const satisfies readonly AddressKind[];

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

/** A channel (push) or a connector (push-apns). */
const channelPattern = '^[a-z]{2,20}(-[a-z0-9-]{2,40})?$';

export const PostMessageSchema = Type.Object(
  {
    to: ToSchema,
    template: NameSchema,
    variables: Type.Optional(VariablesSchema),
    channel: Type.Optional(
      Type.String({
        pattern: channelPattern,
        description:
          "Wanted channel (push) or connector (push-apns); default: the template's first one that takes the address.",
        examples: ['sms'],
      }),
    ),
    priority: Type.Optional(
      Type.Enum([...priorities], { description: "Lane; default: by the template's kind." }),
    ),
    channels: Type.Optional(
      Type.Array(Type.String({ pattern: channelPattern }), {
        minItems: 1,
        maxItems: 5,
        uniqueItems: true,
        description:
          'Channels (or connectors) to try in this order: the next one when one fails, or when it brings no receipt within fallbackAfter. Instead of channel.',
        examples: [['push', 'sms']],
      }),
    ),
    fallbackAfter: Type.Optional(
      Type.Integer({
        minimum: 5,
        maximum: 86_400,
        description:
          'Seconds to wait for a receipt of delivery before the next of channels is tried. Default: only a failure leads on.',
      }),
    ),
    sendAt: Type.Optional(
      Type.String({
        format: 'date-time',
        description: 'When to send it, at most 90 days ahead. Its life counts from then.',
        examples: ['2027-01-01T09:00:00+08:00'],
      }),
    ),
    expiresIn: Type.Optional(
      Type.Integer({
        minimum: 10,
        maximum: 518_400,
        description:
          "Life in seconds from acceptance, or from sendAt; default: by the template's kind.",
      }),
    ),
    timeZone: Type.Optional(
      Type.String({
        maxLength: 64,
        description: "The recipient's time zone (IANA), for quiet hours; default: as registered.",
        examples: ['Asia/Shanghai'],
      }),
    ),
    locale: Type.Optional(
      Type.Unsafe<string>({
        ...LocaleSchema,
        description:
          "The recipient's language (BCP 47), for templates in several; default: as registered, then the tenant's, then the template's.",
      }),
    ),
    orderingKey: Type.Optional(
      Type.String({
        pattern: '^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$',
        description:
          'Messages of one key leave one at a time, in the order of their acceptance. No personal data.',
        examples: ['order-SO-1001'],
      }),
    ),
    onOrderFailure: Type.Optional(
      Type.Enum(['next', 'stop'], {
        description:
          'What the messages behind it do when this one cannot be delivered: go on (next, the default), or wait until somebody lets the key go on (stop). Needs orderingKey.',
      }),
    ),
    batch: Type.Optional(
      Type.String({
        pattern: '^[A-Za-z0-9][A-Za-z0-9._:-]{0,63}$',
        description:
          'Your name of a group of messages (a campaign): searchable, and recalled, paused or resumed as one. No personal data.',
        examples: ['spring-2027'],
      }),
    ),
    metadata: Type.Optional(MetadataSchema),
  },
  { additionalProperties: false },
);
export type PostMessage = Static<typeof PostMessageSchema>;

/** Version of the lane payload. A reader parks what is newer than it knows. */
export const acceptedMessageVersion = 1;

/** One way to a recipient: a connector through one channel account. */
export const RouteSchema = Type.Object({
  connector: Type.String(),
  channel: Type.String(),
  accountId: Type.String(),
});
export type Route = Static<typeof RouteSchema>;

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
  /** Every way in the order they are tried, the one above first; absent: there is only that one. */
  routes: Type.Optional(Type.Array(RouteSchema, { minItems: 1, maxItems: mostRoutes })),
  /** Seconds to wait for a receipt before the next channel is tried. */
  fallbackAfter: Type.Optional(Type.Integer()),
  /** Not to be sent before this ISO time; `expiresAt` counts from it. */
  sendAt: Type.Optional(Type.String()),
  timeZone: Type.Optional(Type.String()),
  /** The language asked for, canonical. */
  locale: Type.Optional(Type.String()),
  orderingKey: Type.Optional(Type.String()),
  onOrderFailure: Type.Optional(Type.Enum(['next', 'stop'])),
  batch: Type.Optional(Type.String()),
  /** Id of the chunk that it was accepted in. */
  chunk: Type.Optional(Type.String()),
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
