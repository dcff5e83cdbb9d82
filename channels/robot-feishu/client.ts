/** The live client of the Feishu (Lark) custom robots of one account. */
import { Type, type Static } from 'typebox';
import type { AccountAccess, ConnectorClient, SendRequest } from '../../contracts/channel.ts';
import { addressAs, type To } from '../../contracts/message.ts';
import { createProviderHttp } from '../../platform/provider-http.ts';
import { classifyAnswer } from './classify.ts';
import { signRobot } from './sign.ts';

export const callTimeoutMs = 5000;
export const defaultBaseUrl = 'https://open.feishu.cn';
/** Of a request's body, in UTF-8: 20 KB. */
export const maxBodyBytes = 20 * 1024;

const namePattern = '^[a-z0-9][a-z0-9._-]{0,63}$';

export const SettingsSchema = Type.Object(
  {
    groups: Type.Array(Type.String({ pattern: namePattern }), {
      minItems: 1,
      maxItems: 500,
      uniqueItems: true,
      description: 'Names of the groups that messages can be sent to, one robot each.',
      examples: [['ops']],
    }),
    baseUrl: Type.Optional(
      Type.String({
        pattern: '^https?://[^\\s?#@]+$',
        maxLength: 200,
        default: defaultBaseUrl,
        description:
          'URL of the API, default https://open.feishu.cn; Lark: https://open.larksuite.com. A path in it is put before every call (for the sandbox).',
        examples: [defaultBaseUrl, 'https://open.larksuite.com'],
      }),
    ),
  },
  { additionalProperties: false, description: 'Feishu custom robots without secrets.' },
);

export const SecretsSchema = Type.Object(
  {
    robots: Type.Record(
      Type.String({ pattern: namePattern }),
      Type.Object(
        {
          hookId: Type.String({
            pattern: '^[A-Za-z0-9_-]{8,128}$',
            description: "Last part of the robot's webhook address, after /hook/.",
          }),
          secret: Type.String({
            minLength: 1,
            maxLength: 256,
            description: 'Secret of its security setting 签名校验.',
          }),
        },
        { additionalProperties: false },
      ),
      { additionalProperties: false, description: 'Robots by the name of their group.' },
    ),
  },
  { additionalProperties: false, description: 'Credentials of the robots.' },
);

export const ContentSchema = Type.Union(
  [
    Type.Object(
      {
        text: Type.String({
          minLength: 1,
          maxLength: 20_000,
          description: 'Plain text; <at user_id="all">所有人</at> alerts everybody.',
          examples: ['{{service}} is down since {{since}}'],
        }),
      },
      { additionalProperties: false },
    ),
    Type.Object(
      {
        post: Type.Object(
          {
            title: Type.String({ maxLength: 1000 }),
            lines: Type.Array(
              Type.Array(
                Type.Object(
                  {
                    text: Type.String({ minLength: 1, maxLength: 20_000 }),
                    href: Type.Optional(
                      Type.String({
                        minLength: 1,
                        maxLength: 2000,
                        description: 'Makes the text a link.',
                      }),
                    ),
                  },
                  { additionalProperties: false },
                ),
                { minItems: 1, maxItems: 50 },
              ),
              {
                minItems: 1,
                maxItems: 100,
                description: 'Lines, each made of pieces of text and links.',
              },
            ),
          },
          { additionalProperties: false, description: 'A message with a title and links.' },
        ),
      },
      { additionalProperties: false },
    ),
  ],
  { description: 'A message to a group: text, or a post with title and links.' },
);

export type FeishuSettings = Static<typeof SettingsSchema>;
export type FeishuSecrets = Static<typeof SecretsSchema>;
export type FeishuContent = Static<typeof ContentSchema>;

export interface ClientOptions {
  readonly account: AccountAccess<FeishuSettings, FeishuSecrets>;
  readonly allowPrivateProviders: boolean;
  readonly now: () => number;
  /** From 0 to below 1. */
  readonly random: () => number;
}

/** Opens the connections of one account. `send` is one call to one robot, never repeated here. */
export function createFeishuClient(options: ClientOptions): ConnectorClient<FeishuContent> {
  const { account, now, random } = options;
  const { groups } = account.settings;
  const baseUrl = new URL(account.settings.baseUrl ?? defaultBaseUrl);
  const basePath = baseUrl.pathname.replace(/\/+$/, '');
  const http = createProviderHttp({
    origin: baseUrl.origin,
    allowPrivate: options.allowPrivateProviders,
    timeoutMs: callTimeoutMs,
  });
  const robotOf = (group: string) => {
    const { robots } = account.secrets;
    return Object.hasOwn(robots, group) ? robots[group] : undefined;
  };

  return {
    send: async ({ to, content, deliveryKey, signal }: SendRequest<FeishuContent>) => {
      if (addressFault(to, account.settings) !== undefined)
        return {
          class: 'recipient-invalid',
          providerMessage: 'the account has no group of this name',
        };
      const robot = robotOf(addressAs('group', to) ?? '');
      if (robot === undefined)
        return { class: 'auth-invalid', providerMessage: 'the group has no robot in the secrets' };
      const timestamp = String(Math.floor(now() / 1000));
      const sign = signRobot(robot.secret, timestamp);
      const body = JSON.stringify({ timestamp, sign, ...messageOf(content) });
      const sizeBytes = Buffer.byteLength(body);
      // The robot would answer 9499, which may mean anything.
      if (sizeBytes > maxBodyBytes)
        return {
          class: 'content-rejected',
          providerMessage: `the message has ${sizeBytes} bytes, more than ${maxBodyBytes}`,
        };
      const answer = await http.call({
        method: 'POST',
        path: `${basePath}/open-apis/bot/v2/hook/${robot.hookId}`,
        headers: { 'content-type': 'application/json; charset=utf-8' },
        body,
        signal,
      });
      return classifyAnswer(answer, { to, deliveryKey, nowMs: now(), random: random() });
    },
    // Every call of a robot is a message to people, so only what we know ourselves is checked.
    verify: async () => {
      const missing = groups.filter((group) => robotOf(group) === undefined);
      return missing.length === 0
        ? {
            class: 'accepted',
            providerId: 'settings-only',
            providerMessage: 'every group has a robot; none was called',
          }
        : {
            class: 'auth-invalid',
            providerMessage: `no robot in the secrets for: ${missing.join(', ')}`.slice(0, 300),
          };
    },
    close: () => http.close(),
  };
}

/** What keeps an account from serving an address: a group it does not name. */
export function addressFault(to: To, settings: unknown): string | undefined {
  const group = addressAs('group', to) ?? '';
  return (settings as FeishuSettings).groups.includes(group)
    ? undefined
    : `the channel account has no group "${group}"`;
}

/** The message as the robot takes it. */
/** Size of a message with its signature. */
export function messageBytes(content: FeishuContent): number {
  const timestamp = '0'.repeat(10);
  const sign = signRobot('', timestamp);
  return Buffer.byteLength(JSON.stringify({ timestamp, sign, ...messageOf(content) }));
}

function messageOf(content: FeishuContent): Record<string, unknown> {
  if ('text' in content) return { msg_type: 'text', content: { text: content.text } };
  const { title, lines } = content.post;
  const pieces = lines.map((line) =>
    line.map(({ text, href }) =>
      href === undefined ? { tag: 'text', text } : { tag: 'a', text, href },
    ),
  );
  // People see the one language that is there, whatever theirs is.
  return { msg_type: 'post', content: { post: { zh_cn: { title, content: pieces } } } };
}
