/** Consent: what a person has agreed to, or taken back, and the proof of it. Carried by: services ↔ ingest; store → activities. */
import { Type, type Static } from 'typebox';
import { NameSchema, ToSchema } from './message.ts';
import { ChannelSchema, optionalKinds } from './people.ts';

/** What a consent is to: messages of a kind. Critical messages and one-time passwords need none. */
export const purposes = optionalKinds;
export type Purpose = (typeof purposes)[number];
export const consentActions = ['granted', 'withdrawn'] as const;
export type ConsentAction = (typeof consentActions)[number];
/** The source of what a person said through a channel itself: a reply, a complaint. */
export const providerSource = 'provider';

export const PurposeSchema = Type.Enum([...purposes], {
  description: 'What it is for: messages of this kind of template.',
});
export const ConsentActionSchema = Type.Enum([...consentActions]);

export const PostConsentSchema = Type.Object(
  {
    to: ToSchema,
    action: ConsentActionSchema,
    purpose: PurposeSchema,
    channel: Type.Optional(
      Type.Unsafe<string>({
        ...ChannelSchema,
        description:
          'Consent is given to a channel. A withdrawal without one holds for every channel.',
      }),
    ),
    occurredAt: Type.Optional(
      Type.String({
        format: 'date-time',
        description:
          'When the person said it; default now. With it, the same record sent again is the same record.',
      }),
    ),
    source: Type.Unsafe<string>({
      ...NameSchema,
      description: 'Where they said it, in a word of yours. No personal data.',
      examples: ['web-form'],
    }),
    textVersion: Type.Optional(
      Type.Unsafe<string>({
        ...NameSchema,
        description: 'Version of the text that they were shown; needed where consent is granted.',
        examples: ['2026-11'],
      }),
    ),
    locale: Type.Optional(
      Type.String({
        pattern: '^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$',
        maxLength: 35,
        description: 'Language of that text (BCP 47).',
        examples: ['zh-CN'],
      }),
    ),
    evidence: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 2000,
        description:
          'What proves it: the form, the IP address, the recording. Kept sealed, and gone when the person is erased.',
        examples: ['POST /newsletter from 203.0.113.7, double opt-in mail opened'],
      }),
    ),
  },
  { additionalProperties: false },
);
export type PostConsent = Static<typeof PostConsentSchema>;

const { to, occurredAt: _optional, source: _word, ...said } = PostConsentSchema.properties;
export const ConsentSchema = Type.Object({
  id: Type.String({ examples: ['cns_0f3c…'] }),
  to: Type.Optional(
    Type.Unsafe<Static<typeof to>>({
      ...to,
      description: 'Absent where only its keyed hash is kept: after an erasure, and of replies.',
    }),
  ),
  ...said,
  source: Type.String({
    description: `As it was recorded; \`${providerSource}\`: the person said it through the channel.`,
  }),
  occurredAt: Type.String({ format: 'date-time' }),
  recordedAt: Type.String({ format: 'date-time' }),
});
export type Consent = Static<typeof ConsentSchema>;
