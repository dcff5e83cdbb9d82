/** Redrives: failed messages sent again. Carried by: admin → MySQL → jobs. */
import { Type, type Static } from 'typebox';
import { NameSchema } from './message.ts';

/** Ends after which a message may be sent again. `unknown` may have been sent: only for who asks for it by name. */
export const redrivenStatuses = ['failed', 'expired', 'unknown'] as const;
export type RedrivenStatus = (typeof redrivenStatuses)[number];
export const defaultRedrivenStatuses = [
  'failed',
  'expired',
] as const satisfies readonly RedrivenStatus[];

export const mostRedriveIds = 1000;
const secondsOfLife = { minimum: 10, maximum: 518_400 } as const;

const word = (description: string) => Type.String({ minLength: 1, maxLength: 128, description });
const time = (description: string) => Type.String({ format: 'date-time', description });

const RedriveFilterSchema = Type.Object(
  {
    status: Type.Optional(
      Type.Array(Type.Enum([...redrivenStatuses]), {
        minItems: 1,
        maxItems: redrivenStatuses.length,
        uniqueItems: true,
        description:
          'Ends to send again; default failed and expired. unknown may have been sent, so that its recipient may get it twice.',
      }),
    ),
    template: Type.Optional(NameSchema),
    channel: Type.Optional(word('Channel: sms, push.')),
    accountId: Type.Optional(word('Channel account through which it was tried last: acc_…')),
    batch: Type.Optional(word("The service's name of a group of messages.")),
    reason: Type.Optional(word('Code of the reason: recipient-invalid, expired.')),
    acceptedFrom: Type.Optional(time('Accepted at this time or later.')),
    acceptedTo: Type.Optional(time('Accepted before this time.')),
  },
  { additionalProperties: false },
);

export const PostRedriveSchema = Type.Object(
  {
    tenantId: Type.Optional(
      Type.String({ ...NameSchema, description: "Only this tenant's messages; default: all." }),
    ),
    ids: Type.Optional(
      Type.Array(
        Type.String({ pattern: '^msg_[0-9a-hjkmnp-tv-z]{26}$', description: 'A message id.' }),
        {
          minItems: 1,
          maxItems: mostRedriveIds,
          uniqueItems: true,
          description: 'These messages, where they have failed or expired. Instead of filter.',
        },
      ),
    ),
    filter: Type.Optional(RedriveFilterSchema),
    ratePerSecond: Type.Number({
      exclusiveMinimum: 0,
      maximum: 1000,
      description: 'Messages started in a second, evenly.',
    }),
    expiresIn: Type.Optional(
      Type.Integer({
        ...secondsOfLife,
        description: 'Seconds of new life, from its start; default: as long as its first life.',
      }),
    ),
    reason: Type.String({
      minLength: 1,
      maxLength: 200,
      pattern: '\\S',
      description: 'Why, for people. No personal data.',
    }),
  },
  { additionalProperties: false },
);
export type PostRedrive = Static<typeof PostRedriveSchema>;

export const redriveStates = ['running', 'done', 'cancelled'] as const;
export type RedriveState = (typeof redriveStates)[number];

const count = (description: string) => Type.Integer({ minimum: 0, description });

/** How far a redrive has come. */
export const RedriveProgressSchema = Type.Object({
  found: count('Messages looked at, or in hand.'),
  started: count('Sent again.'),
  alreadyOpen: count('Left alone: a delivery of theirs was under way.'),
  skipped: Type.Record(Type.String(), Type.Integer(), {
    description:
      'Left alone, by why: their status where it is none to send again; not-found; no-end: its run has ended without telling how, as one does that is terminated; ended-well: sent, though a receipt may say otherwise; request-gone: too old, what was asked is no longer kept.',
    examples: [{ sent: 2, 'not-found': 1 }],
  }),
});
export type RedriveProgress = Static<typeof RedriveProgressSchema>;

export const RedriveSchema = Type.Object({
  id: Type.String({ examples: ['rdr_9x1c7k2m4p8q0r5t'] }),
  ...PostRedriveSchema.properties,
  state: Type.Enum([...redriveStates]),
  ...RedriveProgressSchema.properties,
  createdAt: time('When it was asked for; messages that fail later are not part of it.'),
  updatedAt: time('When its counts were written.'),
  endedAt: Type.Optional(time('When it was done or cancelled.')),
});
export type Redrive = Static<typeof RedriveSchema>;

/** Where a redrive goes on after a kill: messages in hand, then the next page. */
export const RedrivePlaceSchema = Type.Object({
  /** Ids in hand whose results are not in the counts yet. */
  page: Type.Array(Type.String()),
  /** (acceptedAt in ms, id) of the last message taken in hand. */
  after: Type.Optional(Type.Tuple([Type.Integer(), Type.String()])),
  isLastPage: Type.Boolean(),
});
export type RedrivePlace = Static<typeof RedrivePlaceSchema>;
