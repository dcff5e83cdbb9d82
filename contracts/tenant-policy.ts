/** When and how often a tenant's recipients may be reached. Carried by: admin API ↔ people; store → activities. */
import { Type, type Static } from 'typebox';
import { LocaleSchema } from './locale.ts';
import { ChannelSchema, optionalKinds, TimeZoneSchema } from './people.ts';

const KindsSchema = Type.Array(Type.Enum([...optionalKinds]), {
  minItems: 1,
  uniqueItems: true,
  description: 'Kinds of template it holds for; one-time passwords and critical messages pass.',
  examples: [['marketing']],
});
const ClockSchema = Type.String({
  pattern: '^([01][0-9]|2[0-3]):[0-5][0-9]$',
  description: 'Time of day, 00:00 to 23:59.',
  examples: ['22:00'],
});

const QuietHoursSchema = Type.Object(
  { from: ClockSchema, to: ClockSchema, kinds: KindsSchema },
  {
    additionalProperties: false,
    description:
      "By the clock on the recipient's wall, over midnight where to is before from. Messages are held until they end, never dropped.",
  },
);
export type QuietHours = Static<typeof QuietHoursSchema>;

const FrequencyCapSchema = Type.Object(
  {
    kinds: KindsSchema,
    count: Type.Integer({ minimum: 1, maximum: 1000 }),
    windowSeconds: Type.Integer({ minimum: 60, maximum: 31 * 86_400 }),
  },
  {
    additionalProperties: false,
    description:
      'At most count messages of these kinds, together, to one recipient in any windowSeconds; what is more is not sent.',
  },
);
export type FrequencyCap = Static<typeof FrequencyCapSchema>;

const ConsentRuleSchema = Type.Object(
  {
    kinds: KindsSchema,
    channels: Type.Optional(
      Type.Array(ChannelSchema, {
        minItems: 1,
        maxItems: 20,
        uniqueItems: true,
        description: 'Default: every channel.',
      }),
    ),
  },
  {
    additionalProperties: false,
    description:
      'Messages of these kinds go through these channels only to who has granted consent and not withdrawn it.',
  },
);

export const TenantPolicyEditSchema = Type.Object(
  {
    timeZone: Type.Unsafe<string>({
      ...TimeZoneSchema,
      description: 'Time zone (IANA) of recipients whose own is not known.',
    }),
    locale: Type.Optional(
      Type.Unsafe<string>({
        ...LocaleSchema,
        description:
          'Language (BCP 47) of recipients whose own is not known, or not one of the template.',
      }),
    ),
    quietHours: Type.Optional(QuietHoursSchema),
    frequencyCaps: Type.Optional(Type.Array(FrequencyCapSchema, { maxItems: 10 })),
    requiresConsent: Type.Optional(Type.Array(ConsentRuleSchema, { maxItems: 10 })),
    weight: Type.Optional(
      Type.Number({
        minimum: 0.001,
        maximum: 1000,
        description: 'Share of the tenant where several wait for one account; default 1.',
      }),
    ),
    requiresReview: Type.Optional(
      Type.Boolean({
        description:
          'Whether a template comes into force only after another person has approved it. Default false.',
      }),
    ),
  },
  { additionalProperties: false },
);
export type TenantPolicyEdit = Static<typeof TenantPolicyEditSchema>;

export const TenantPolicySchema = Type.Object({
  ...TenantPolicyEditSchema.properties,
  weight: Type.Number(),
  version: Type.Integer(),
});
export type TenantPolicy = Static<typeof TenantPolicySchema>;

/** Of a tenant whose policy was never edited. */
export const defaultTenantPolicy: TenantPolicy = {
  timeZone: 'Asia/Shanghai',
  weight: 1,
  version: 1,
};
