/** The live client of one WeCom app: message/send to one member or a thousand, and message/recall. */
import { Type, type Static } from 'typebox';
import type { AccountAccess, ConnectorClient, SendRequest } from '../../contracts/channel.ts';
import { addressAs, type To } from '../../contracts/message.ts';
import type { SendOutcome } from '../../contracts/outcome.ts';
import {
  BaseUrlSchema,
  CorpIdSchema,
  createWecomApi,
  harmless,
  type AppSecretsSchema,
  type TextAnswer,
  type WecomDeps,
} from './api.ts';
import { appMessageBody, contentFault, type AppContent } from './app-message.ts';
import { membersOf } from './classify.ts';

export const AppSettingsSchema = Type.Object(
  {
    corpId: CorpIdSchema,
    agentId: Type.Integer({
      minimum: 1,
      description: 'AgentId of the app: admin console, App management.',
      examples: [1000002],
    }),
    baseUrl: BaseUrlSchema,
  },
  { additionalProperties: false, description: 'A WeCom app without its secret.' },
);

type Settings = Static<typeof AppSettingsSchema>;
type Secrets = Static<typeof AppSecretsSchema>;

export const maxBatch = 1000;
export const recallWithinMs = 86_400_000;

/** Marks ids of calls with several recipients, whose recall would take the message from all of them. */
const sharedPrefix = 'shared:';

/** Opens the connections of one app. `send` is one message/send with a body that is the same for every repeat. */
export function createWecomAppClient(
  account: AccountAccess<Settings, Secrets>,
  deps: WecomDeps,
): ConnectorClient<AppContent> {
  const { corpId, agentId, baseUrl } = account.settings;
  const api = createWecomApi({
    accountId: account.id,
    use: 'wecom-app',
    baseUrl,
    corpId,
    secrets: account.secrets,
    deps,
  });

  const sendAll = async (
    messages: readonly Omit<SendRequest<AppContent>, 'signal'>[],
    signal: AbortSignal,
  ): Promise<readonly SendOutcome[]> => {
    const members = messages.flatMap(({ to, deliveryKey }) => {
      const userId = addressAs('wecomUserId', to);
      return userId === undefined ? [] : [{ userId, deliveryKey, to }];
    });
    const [first] = messages;
    const fault = first && contentFault(first.content);
    if (first === undefined || fault !== undefined)
      return messages.map(() => ({ class: 'content-rejected', providerMessage: fault ?? '' }));
    const answer =
      members.length === 0
        ? undefined
        : await api.call({
            method: 'POST',
            path: '/cgi-bin/message/send',
            body: appMessageBody({ agentId, content: first.content, deliveries: members }),
            signal,
            to: members.map(({ to }) => to),
          });
    return messages.map(({ to }) =>
      answer === undefined || addressAs('wecomUserId', to) === undefined
        ? { class: 'recipient-invalid', providerMessage: 'is not a member of a corporation' }
        : outcomeFor(answer, to, { isShared: members.length > 1 }),
    );
  };

  return {
    send: async ({ signal, ...message }) => {
      const [outcome] = await sendAll([message], signal);
      return outcome ?? { class: 'transient' };
    },
    sendBatch: sendAll,
    recall: async ({ providerId, signal, to }) => {
      if (providerId === undefined || providerId.startsWith(sharedPrefix))
        return { class: 'content-rejected', providerMessage: notRecallable(providerId) };
      const body = JSON.stringify({ msgid: providerId });
      const path = '/cgi-bin/message/recall';
      const { outcome } = await api.call({ method: 'POST', path, body, signal, to: [to] });
      return outcome.class === 'accepted' ? { ...outcome, providerId } : outcome;
    },
    verify: async (signal) => {
      const query = { agentid: String(agentId) };
      return harmless(await api.call({ method: 'GET', path: '/cgi-bin/agent/get', query, signal }));
    },
    close: () => api.close(),
  };
}

function notRecallable(providerId: string | undefined): string {
  return providerId === undefined
    ? 'the answer with its id was lost, and nothing else names it'
    : 'it was sent in one call with others, and would be taken from them too';
}

/** One recipient's part of an answer: `errcode` 0 comes with lists of those who got nothing. */
function outcomeFor(
  { outcome, body }: TextAnswer,
  to: To,
  { isShared }: { readonly isShared: boolean },
): SendOutcome {
  if (outcome.class !== 'accepted' && outcome.providerCode !== allRefused) return outcome;
  const userId = (addressAs('wecomUserId', to) ?? '').toLowerCase();
  const codeOr = (list: string) => (outcome.class === 'accepted' ? list : allRefused);
  if (membersOf(body?.unlicenseduser).has(userId))
    return {
      class: 'recipient-refused',
      providerCode: codeOr('unlicenseduser'),
      providerMessage: "the member has no licence for the corporation's apps",
    };
  if (membersOf(body?.invaliduser).has(userId))
    return {
      class: 'recipient-invalid',
      providerCode: codeOr('invaliduser'),
      providerMessage: 'no such member, or outside of what the app can see',
    };
  if (outcome.class !== 'accepted') return outcome;
  // Without an id nothing is lost but the recall: what answers a repeat is not documented.
  if (outcome.providerId === '') return { class: 'duplicate', providerCode: '0' };
  return isShared ? { ...outcome, providerId: sharedPrefix + outcome.providerId } : outcome;
}

/** "All recipients are invalid": the lists say why, where they come with it. */
const allRefused = '81013';
