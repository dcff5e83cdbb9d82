/** The live client of the DingTalk custom robots of one account. */
import { Type, type Static } from 'typebox';
import type { AccountAccess, ConnectorClient, SendRequest } from '../../contracts/channel.ts';
import { addressAs, type To } from '../../contracts/message.ts';
import { createProviderHttp } from '../../platform/provider-http.ts';
import { classifyAnswer } from './classify.ts';
import { signRobot } from './sign.ts';

export const callTimeoutMs = 5000;
export const defaultBaseUrl = 'https://oapi.dingtalk.com';

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
          'URL of the API, default https://oapi.dingtalk.com. A path in it is put before every call (for the sandbox).',
        examples: [defaultBaseUrl],
      }),
    ),
  },
  { additionalProperties: false, description: 'DingTalk custom robots without secrets.' },
);

export const SecretsSchema = Type.Object(
  {
    robots: Type.Record(
      Type.String({ pattern: namePattern }),
      Type.Object(
        {
          accessToken: Type.String({
            pattern: '^[A-Za-z0-9_-]{16,128}$',
            description: "access_token of the robot's webhook address.",
          }),
          secret: Type.String({
            minLength: 1,
            maxLength: 256,
            description: 'Secret of its security setting 加签; begins with SEC.',
          }),
        },
        { additionalProperties: false },
      ),
      { additionalProperties: false, description: 'Robots by the name of their group.' },
    ),
  },
  { additionalProperties: false, description: 'Credentials of the robots.' },
);

const mentions = {
  atMobiles: Type.Optional(
    Type.Array(Type.String({ minLength: 1, maxLength: 200 }), {
      maxItems: 100,
      description:
        'Mobile numbers of members to alert. In markdown, write @number into the text as well.',
    }),
  ),
  isAtAll: Type.Optional(Type.Boolean({ description: 'True: everybody in the group is alerted.' })),
};

export const ContentSchema = Type.Union(
  [
    Type.Object(
      {
        text: Type.String({
          minLength: 1,
          maxLength: 20_000,
          description: 'Plain text.',
          examples: ['{{service}} is down since {{since}}'],
        }),
        ...mentions,
      },
      { additionalProperties: false },
    ),
    Type.Object(
      {
        markdown: Type.Object(
          {
            title: Type.String({
              minLength: 1,
              maxLength: 1000,
              description: 'What the list of conversations shows.',
            }),
            text: Type.String({
              minLength: 1,
              maxLength: 20_000,
              description: "DingTalk's Markdown: headings, quotes, bold, links, images, lists.",
            }),
          },
          { additionalProperties: false },
        ),
        ...mentions,
      },
      { additionalProperties: false },
    ),
  ],
  { description: 'A message to a group: text or markdown.' },
);

export type DingtalkSettings = Static<typeof SettingsSchema>;
export type DingtalkSecrets = Static<typeof SecretsSchema>;
export type DingtalkContent = Static<typeof ContentSchema>;

export interface ClientOptions {
  readonly account: AccountAccess<DingtalkSettings, DingtalkSecrets>;
  readonly allowPrivateProviders: boolean;
  readonly now: () => number;
  /** From 0 to below 1. */
  readonly random: () => number;
}

/** Opens the connections of one account. `send` is one call to one robot, never repeated here. */
export function createDingtalkClient(options: ClientOptions): ConnectorClient<DingtalkContent> {
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
    send: async ({ to, content, deliveryKey, signal }: SendRequest<DingtalkContent>) => {
      if (addressFault(to, account.settings) !== undefined)
        return {
          class: 'recipient-invalid',
          providerMessage: 'the account has no group of this name',
        };
      const robot = robotOf(addressAs('group', to) ?? '');
      if (robot === undefined)
        return { class: 'auth-invalid', providerMessage: 'the group has no robot in the secrets' };
      const timestamp = String(now());
      const query = new URLSearchParams({
        access_token: robot.accessToken,
        timestamp,
        sign: signRobot(robot.secret, timestamp),
      });
      const answer = await http.call({
        method: 'POST',
        path: `${basePath}/robot/send?${query.toString()}`,
        headers: { 'content-type': 'application/json; charset=utf-8' },
        body: JSON.stringify(bodyOf(content)),
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
  return (settings as DingtalkSettings).groups.includes(group)
    ? undefined
    : `the channel account has no group "${group}"`;
}

/** The message as the robot takes it. */
function bodyOf(content: DingtalkContent): Record<string, unknown> {
  const { atMobiles = [], isAtAll = false } = content;
  const at = { atMobiles, isAtAll };
  return 'text' in content
    ? { msgtype: 'text', text: { content: content.text }, at }
    : { msgtype: 'markdown', markdown: content.markdown, at };
}
