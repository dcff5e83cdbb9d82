/** A person as their service registers them: where they are reached, when, and what they want. Carried by: services → ingest; store → activities. */
import { Type, type Static } from 'typebox';
import { LocaleSchema } from './locale.ts';
import { addressAs, addressKinds, bookKinds, type AddressKind, type To } from './message.ts';

type BookKind = (typeof bookKinds)[number];

/** Kinds of message that may be held back. One-time passwords always pass. */
export const optionalKinds = ['notice', 'marketing'] as const;

export const TimeZoneSchema = Type.String({
  maxLength: 64,
  pattern: '^[A-Za-z][A-Za-z0-9_+/-]*$',
  description: 'Time zone of the IANA database.',
  examples: ['Asia/Shanghai'],
});

/** A channel, not a connector: people know nothing of providers. */
export const ChannelSchema = Type.String({
  pattern: '^[a-z]{2,20}$',
  description: 'A channel: sms, push, email.',
  examples: ['sms'],
});

export const PersonSchema = Type.Object(
  {
    addresses: Type.Object(
      {
        phone: Type.Optional(addressKinds.phone.schema),
        email: Type.Optional(addressKinds.email.schema),
        openid: Type.Optional(addressKinds.openid.schema),
        wecomUserId: Type.Optional(addressKinds.wecomUserId.schema),
        externalUserId: Type.Optional(addressKinds.externalUserId.schema),
      } satisfies Record<BookKind, unknown>,
      {
        additionalProperties: false,
        description:
          'Where a message to their userId goes when its channel does not know people by userId. Devices are registered on their own.',
      },
    ),
    timeZone: Type.Optional(TimeZoneSchema),
    locale: Type.Optional(
      Type.Unsafe<string>({
        ...LocaleSchema,
        description: 'Their language (BCP 47), of messages to their userId that name none.',
      }),
    ),
    preferences: Type.Optional(
      Type.Object(
        {
          channels: Type.Optional(
            Type.Record(ChannelSchema, Type.Boolean(), {
              additionalProperties: false,
              maxProperties: 20,
              description: 'false: nothing through this channel; another one may do.',
              examples: [{ sms: false }],
            }),
          ),
          kinds: Type.Optional(
            Type.Object(
              { notice: Type.Optional(Type.Boolean()), marketing: Type.Optional(Type.Boolean()) },
              { additionalProperties: false, description: 'false: no message of this kind.' },
            ),
          ),
        },
        {
          additionalProperties: false,
          description: 'What is not named is wanted. Critical messages pass all the same.',
        },
      ),
    ),
  },
  { additionalProperties: false },
);
export type Person = Static<typeof PersonSchema>;

/**
 * Where a recipient is reached through a connector: the address as it is given, or of a user the first of the connector's
 * kinds that the person is registered with. Undefined: there is none.
 */
export function reachedAt(
  { addressKinds: taken }: { readonly addressKinds: readonly AddressKind[] },
  to: To,
  person: Person | undefined,
): To | undefined {
  if (!isByBook(taken, to)) return to;
  const kind = taken.filter(isBookKind).find((one) => person?.addresses[one] !== undefined);
  return kind === undefined ? undefined : ({ [kind]: person?.addresses[kind] } as To);
}

/** Whether the address book says where: the recipient is a user, and the connector does not know people by `userId`. */
export function isByBook(taken: readonly AddressKind[], to: To): boolean {
  return addressAs('userId', to) !== undefined && !taken.includes('userId');
}

/** Whether a person's registered address may fit a connector that takes these kinds. */
export function mayReachByBook(taken: readonly AddressKind[], to: To): boolean {
  return isByBook(taken, to) && taken.some(isBookKind);
}

function isBookKind(kind: AddressKind): kind is BookKind {
  return (bookKinds as readonly AddressKind[]).includes(kind);
}
