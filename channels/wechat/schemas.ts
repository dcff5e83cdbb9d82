/** What a WeChat account's settings and secrets are, and the content of each kind of message. */
import { Type, type Static } from 'typebox';

export const defaultBaseUrl = 'https://api.weixin.qq.com';

export const SettingsSchema = Type.Object(
  {
    appId: Type.String({
      pattern: '^wx[0-9a-f]{16}$',
      description: 'AppID of the official account or mini-program.',
      examples: ['wx0123456789abcdef'],
    }),
    baseUrl: Type.Optional(
      Type.String({
        pattern: '^https?://[^\\s?#@]+$',
        maxLength: 200,
        default: defaultBaseUrl,
        description:
          'URL of the WeChat API, default https://api.weixin.qq.com. A path in it is put before every call (for the sandbox).',
        examples: [defaultBaseUrl],
      }),
    ),
    allowPlainPushes: Type.Optional(
      Type.Boolean({
        default: false,
        description:
          'Whether pushes in plain mode are taken. Their signature does not cover the body: whoever sees one push can forge others. Default false: safe mode only.',
      }),
    ),
  },
  { additionalProperties: false, description: 'A WeChat account without secrets.' },
);

const AesKeySchema = (description: string) =>
  Type.Optional(Type.String({ pattern: '^[A-Za-z0-9]{43}$', description }));

export const SecretsSchema = Type.Object(
  {
    appSecret: Type.String({
      minLength: 1,
      maxLength: 128,
      pattern: '^[!-~]+$',
      description: 'AppSecret of the account.',
    }),
    pushToken: Type.Optional(
      Type.String({
        pattern: '^[A-Za-z0-9]{3,32}$',
        description:
          'Token of the message push (服务器配置): 3 to 32 letters and digits. Without it every push is refused.',
      }),
    ),
    encodingAesKey: AesKeySchema(
      'EncodingAESKey of the message push, 43 letters and digits. Needed for safe mode.',
    ),
    previousEncodingAesKey: AesKeySchema(
      'The EncodingAESKey before it: still taken while WeChat changes over.',
    ),
  },
  { additionalProperties: false, description: 'Credentials of a WeChat account.' },
);

const DataSchema = Type.Record(
  Type.String({ pattern: '^[A-Za-z_][A-Za-z0-9_]{0,63}$' }),
  Type.String({ maxLength: 2000 }),
  {
    minProperties: 1,
    maxProperties: 30,
    additionalProperties: false,
    description:
      "The WeChat template's fields by name; each value is a Liquid template. The name says what fits: thing1 takes 20 characters.",
    examples: [{ thing1: '{{product}}', time2: '{{time}}' }],
  },
);

const TemplateIdSchema = Type.String({
  minLength: 1,
  maxLength: 128,
  description: 'Id of the template in this account.',
  examples: ['ngqIpbwh8bUfcSsECmogfXcV14J0tQlEpBO27izEYtY'],
});

const JumpSchema = Type.Optional(
  Type.Object(
    {
      appId: Type.String({
        pattern: '^wx[0-9a-f]{16}$',
        description: 'AppID of the mini-program.',
      }),
      pagePath: Type.Optional(
        Type.String({ maxLength: 1024, description: 'Page with its query: pages/index?id=1.' }),
      ),
    },
    {
      additionalProperties: false,
      description: 'Mini-program that a tap opens; it goes before the link.',
    },
  ),
);

const page = (description: string) =>
  Type.Optional(
    Type.String({ maxLength: 1024, description, examples: ['pages/order?id={{orderId}}'] }),
  );

export const TemplateContentSchema = Type.Object(
  {
    templateId: TemplateIdSchema,
    url: Type.Optional(
      Type.String({ maxLength: 2048, description: 'Link that a tap on the message opens.' }),
    ),
    miniprogram: JumpSchema,
    data: DataSchema,
  },
  { additionalProperties: false, description: 'A template message of an official account.' },
);

export const SubscribeContentSchema = Type.Object(
  {
    templateId: TemplateIdSchema,
    page: page('Link that a tap on the message opens.'),
    miniprogram: JumpSchema,
    data: DataSchema,
  },
  {
    additionalProperties: false,
    description: 'A subscription notification of an official account.',
  },
);

export const MiniprogramContentSchema = Type.Object(
  {
    templateId: TemplateIdSchema,
    page: page('Page of the mini-program that a tap opens, with its query.'),
    miniprogramState: Type.Optional(
      Type.Enum(['developer', 'trial', 'formal'], {
        description: 'Which release a tap opens; default formal.',
      }),
    ),
    lang: Type.Optional(
      Type.Enum(['zh_CN', 'en_US', 'zh_HK', 'zh_TW'], {
        description: 'Language of "open the mini-program"; default zh_CN.',
      }),
    ),
    data: DataSchema,
  },
  { additionalProperties: false, description: 'A subscription message of a mini-program.' },
);

export type WechatSettings = Static<typeof SettingsSchema>;
export type WechatSecrets = Static<typeof SecretsSchema>;
export type TemplateContent = Static<typeof TemplateContentSchema>;
export type SubscribeContent = Static<typeof SubscribeContentSchema>;
export type MiniprogramContent = Static<typeof MiniprogramContentSchema>;
