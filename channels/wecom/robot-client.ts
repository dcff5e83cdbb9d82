/** The live client of group robots: one webhook key for each group, no token, no id, no way to ask or take back. */
import { Type, type Static } from 'typebox';
import type { AccountAccess, ConnectorClient } from '../../contracts/channel.ts';
import { addressAs, type To } from '../../contracts/message.ts';
import type { SendOutcome } from '../../contracts/outcome.ts';
import { BaseUrlSchema, createWecomHttp, harmless, type WecomDeps } from './api.ts';
import { classifyAnswer, robotCodes } from './classify.ts';
import { inLanes } from './lanes.ts';
import { oversize, type LimitedTexts } from './mark.ts';

/** As addresses of the kind `group`. */
const groupPattern = '^[a-z0-9][a-z0-9._-]{0,63}$';

export const RobotSettingsSchema = Type.Object(
  {
    groups: Type.Array(Type.String({ pattern: groupPattern }), {
      minItems: 1,
      maxItems: 200,
      uniqueItems: true,
      description: 'Names of the groups that can be written to; each has a key in the secrets.',
      examples: [['ops']],
    }),
    baseUrl: BaseUrlSchema,
  },
  { additionalProperties: false, description: 'Groups with a robot.' },
);

export const RobotSecretsSchema = Type.Object(
  {
    keys: Type.Record(
      Type.String({ pattern: groupPattern }),
      Type.String({
        pattern: '^[A-Za-z0-9-]{8,128}$',
        description: "What follows key= in the robot's webhook address.",
      }),
      { additionalProperties: false, description: "Group's name → key of its robot." },
    ),
  },
  { additionalProperties: false, description: 'Keys of the robots; who has one can write.' },
);

const phonePattern = '^(@all|1[0-9]{10}|\\{\\{.*\\}\\})$';

export const RobotContentSchema = Type.Object(
  {
    text: Type.Optional(
      Type.Object(
        {
          content: Type.String({
            minLength: 1,
            maxLength: 8000,
            description: 'Plain text. 2048 bytes once rendered.',
          }),
          mentionUserIds: Type.Optional(
            Type.Array(Type.String({ minLength: 1, maxLength: 200 }), {
              maxItems: 100,
              description: 'Members to mention by their id; `@all` for everybody.',
              examples: [['zhangsan', '@all']],
            }),
          ),
          mentionPhones: Type.Optional(
            Type.Array(Type.String({ pattern: phonePattern }), {
              maxItems: 100,
              description: 'Members to mention by mobile number.',
            }),
          ),
        },
        { additionalProperties: false, description: 'A text message.' },
      ),
    ),
    markdown: Type.Optional(
      Type.Object(
        {
          content: Type.String({
            minLength: 1,
            maxLength: 16_000,
            description:
              "WeCom's own small Markdown; `<@userid>` mentions. 4096 bytes once rendered.",
          }),
        },
        { additionalProperties: false, description: 'A Markdown message.' },
      ),
    ),
  },
  {
    additionalProperties: false,
    minProperties: 1,
    maxProperties: 1,
    description: 'A message to a group: either text or markdown.',
    examples: [{ text: { content: '{{service}}告警', mentionUserIds: ['@all'] } }],
  },
);

type Settings = Static<typeof RobotSettingsSchema>;
type Secrets = Static<typeof RobotSecretsSchema>;
export type RobotContent = Static<typeof RobotContentSchema>;

/** The texts with their limits. */
export function robotTexts({ text, markdown }: RobotContent): LimitedTexts {
  return {
    'text.content': { text: text?.content, bytes: 2048 },
    'markdown.content': { text: markdown?.content, bytes: 4096 },
  };
}

/** What is wrong with an address for this account. */
export function robotAddressFault(to: To, settings: unknown): string | undefined {
  const group = addressAs('group', to);
  if (group === undefined) return 'is not a group';
  return (settings as Settings).groups.includes(group)
    ? undefined
    : 'is not a group of this account';
}

/** What people would read. */
export function robotContentText(content: unknown): string {
  const { text, markdown } = content as RobotContent;
  return (text ?? markdown)?.content ?? '';
}

/** The body of webhook/send. */
export function robotMessageBody({ text, markdown }: RobotContent): string {
  if (text === undefined)
    return JSON.stringify({ msgtype: 'markdown', markdown: { content: markdown?.content } });
  const { content, mentionUserIds, mentionPhones } = text;
  return JSON.stringify({
    msgtype: 'text',
    text: {
      content,
      ...(mentionUserIds !== undefined && { mentioned_list: mentionUserIds }),
      ...(mentionPhones !== undefined && { mentioned_mobile_list: mentionPhones }),
    },
  });
}

/** A message of no type: refused by a robot that exists (40008), and told apart from a key that does not (93000). */
const probeBody = JSON.stringify({ msgtype: 'none' });

/** Opens the connections of one account. `send` is one webhook/send; its id is the delivery key, for robots give none. */
export function createWecomRobotClient(
  account: AccountAccess<Settings, Secrets>,
  deps: Pick<WecomDeps, 'allowPrivateProviders' | 'random'>,
): ConnectorClient<RobotContent> {
  const { settings, secrets } = account;
  const { random = Math.random } = deps;
  const http = createWecomHttp(settings.baseUrl, deps);

  const post = async (group: string, body: string, signal: AbortSignal): Promise<SendOutcome> => {
    const key = Object.hasOwn(secrets.keys, group) ? secrets.keys[group] : undefined;
    if (key === undefined)
      return { class: 'auth-invalid', providerMessage: 'the account has no key for this group' };
    const answer = await http.call({
      method: 'POST',
      path: '/cgi-bin/webhook/send',
      query: { key },
      body,
      signal,
    });
    return classifyAnswer(answer, { own: robotCodes, to: [{ group }], random: random() }).outcome;
  };

  return {
    send: async ({ to, content, deliveryKey, signal }) => {
      const fault = robotAddressFault(to, settings);
      if (fault !== undefined) return { class: 'recipient-invalid', providerMessage: fault };
      const size = oversize(robotTexts(content));
      if (size !== undefined) return { class: 'content-rejected', providerMessage: size };
      const outcome = await post(addressAs('group', to) ?? '', robotMessageBody(content), signal);
      return outcome.class === 'accepted' ? { ...outcome, providerId: deliveryKey } : outcome;
    },
    verify: async (signal) => {
      const probed = await inLanes(settings.groups, (group) => post(group, probeBody, signal));
      const outcomes = probed.map((outcome) =>
        // It read the message and found none; a full minute too says that the key is right.
        outcome.class === 'content-rejected' ||
        (outcome.class === 'rate-limited' && outcome.scope === 'recipient')
          ? ({ class: 'accepted', providerId: '' } as const)
          : harmless({ outcome, body: undefined }),
      );
      return (
        outcomes.find((outcome) => outcome.class !== 'accepted') ?? {
          class: 'accepted',
          providerId: '',
        }
      );
    },
    close: () => http.close(),
  };
}
