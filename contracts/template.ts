/** Templates and channel accounts as administrators edit them. Carried by: admin API ↔ people; store → everyone. */
import { Type, type Static } from 'typebox';
import { LocaleSchema } from './locale.ts';
import { kinds, NameSchema } from './message.ts';

export const VariableSchema = Type.Object(
  {
    type: Type.Enum(['string', 'number', 'boolean']),
    required: Type.Optional(Type.Boolean({ description: 'Default true.' })),
    maxLength: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: 20_000,
        description: 'Of a string, in characters (code points).',
      }),
    ),
    description: Type.Optional(Type.String({ maxLength: 500 })),
  },
  { additionalProperties: false },
);
export type Variable = Static<typeof VariableSchema>;

export const TemplateEditSchema = Type.Object(
  {
    name: NameSchema,
    kind: Type.Enum([...kinds], {
      description: 'Decides lane, default life and what happens when an answer is lost.',
    }),
    description: Type.Optional(Type.String({ maxLength: 1000 })),
    variables: Type.Record(
      Type.String({ pattern: '^[A-Za-z_][A-Za-z0-9_]{0,63}$' }),
      VariableSchema,
      {
        additionalProperties: false,
        maxProperties: 100,
        description: 'Declared variables. A message must give exactly these.',
        examples: [{ code: { type: 'string', maxLength: 8 } }],
      },
    ),
    contents: Type.Record(NameSchema, Type.Unknown(), {
      additionalProperties: false,
      minProperties: 1,
      maxProperties: 20,
      description:
        'Content by connector (sms-aliyun), in the order of preference; strings are Liquid templates over the variables. Each connector has a schema of its own.',
      examples: [
        {
          'sms-aliyun': {
            signName: '阿里云',
            templateCode: 'SMS_15305',
            params: { code: '{{code}}' },
            text: '您的验证码是{{code}}',
          },
        },
      ],
    }),
    locale: Type.Optional(
      Type.Unsafe<string>({
        ...LocaleSchema,
        description:
          'Language of contents (BCP 47), for whom none of locales fits; needed where there are locales.',
      }),
    ),
    locales: Type.Optional(
      Type.Record(
        LocaleSchema,
        Type.Record(NameSchema, Type.Unknown(), {
          additionalProperties: false,
          minProperties: 1,
          maxProperties: 20,
        }),
        {
          additionalProperties: false,
          maxProperties: 100,
          description:
            'Contents in other languages, by tag and connector, each in place of the one of contents. What a language lacks is taken from a wider one (zh-Hant-TW, zh-Hant, zh), else from contents.',
          examples: [{ en: { 'sms-aliyun': { signName: 'Aliyun', templateCode: 'SMS_15306' } } }],
        },
      ),
    ),
    isSearchable: Type.Optional(
      Type.Boolean({
        description: 'Whether the rendered text may be kept in the search index. Default false.',
      }),
    ),
  },
  { additionalProperties: false },
);
export type TemplateEdit = Static<typeof TemplateEditSchema>;

export const TemplateSchema = Type.Object({
  id: Type.String(),
  tenantId: Type.String(),
  ...TemplateEditSchema.properties,
  version: Type.Integer(),
  createdAt: Type.String(),
  updatedAt: Type.String(),
});
export type Template = Static<typeof TemplateSchema>;

export const AccountEditSchema = Type.Object(
  {
    name: NameSchema,
    connector: Type.String({
      pattern: '^[a-z]+-[a-z0-9-]{2,40}$',
      description: 'Channel and provider: sms-aliyun.',
      examples: ['sms-aliyun'],
    }),
    settings: Type.Unknown({
      description:
        'What the connector needs, without secrets. Each connector has a schema of its own.',
    }),
    secrets: Type.Optional(
      Type.Unknown({
        description: 'Credentials; encrypted at rest, never readable again. Needed at creation.',
      }),
    ),
    ratePerSecond: Type.Number({
      exclusiveMinimum: 0,
      maximum: 100_000,
      description: 'Most provider calls started in a second.',
    }),
    weight: Type.Optional(
      Type.Number({
        minimum: 0,
        maximum: 1000,
        description:
          "Its share of messages beside the tenant's other accounts of the connector; 0: only when they fail. Default 1.",
      }),
    ),
    isStopped: Type.Optional(
      Type.Boolean({
        description:
          'Stop valve: true holds every message of this account that no other account of the connector can take.',
      }),
    ),
    isSandbox: Type.Optional(
      Type.Boolean({
        description:
          'Whether it leads to a sandbox, where nobody is really reached: test sends go through such accounts only. Default false.',
      }),
    ),
  },
  { additionalProperties: false },
);
export type AccountEdit = Static<typeof AccountEditSchema>;

export const AccountSchema = Type.Object({
  id: Type.String(),
  tenantId: Type.String(),
  name: NameSchema,
  connector: Type.String(),
  channel: Type.String(),
  settings: Type.Unknown(),
  ratePerSecond: Type.Number(),
  weight: Type.Number(),
  isStopped: Type.Boolean(),
  isSandbox: Type.Boolean(),
  slot: Type.Integer({
    description: 'Its lanes. An account has a slot of its own while there are any.',
  }),
  limitInForce: Type.Union([Type.Number(), Type.Null()], {
    description:
      'Calls a second that the Temporal server enforces now; null until the limits controller has set it.',
  }),
  version: Type.Integer(),
  createdAt: Type.String(),
  updatedAt: Type.String(),
});
export type Account = Static<typeof AccountSchema>;
