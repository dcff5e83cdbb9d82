/** WeChat: the connectors `wechat-template`, `wechat-subscribe` and `wechat-miniprogram`. docs/channels/wechat.md explains them. */
import type { TSchema } from 'typebox';
import type {
  AccountAccess,
  ChannelCapabilities,
  Connector,
  ProviderTokens,
} from '../../contracts/channel.ts';
import { addressAs } from '../../contracts/message.ts';
import { checkAccount } from '../kit/check-account.ts';
import {
  callTimeoutMs,
  clientMsgId,
  createWechatClient,
  type MessageKind,
  type WechatContent,
} from './client.ts';
import { lintWechat } from './lint.ts';
import { parsePush } from './receipts.ts';
import {
  MiniprogramContentSchema,
  SecretsSchema,
  SettingsSchema,
  SubscribeContentSchema,
  TemplateContentSchema,
  type MiniprogramContent,
  type SubscribeContent,
  type TemplateContent,
} from './schemas.ts';

export interface WechatDeps {
  /** Whether `baseUrl` may lead to loopback and private addresses. */
  readonly allowPrivateProviders: boolean;
  readonly tokens: ProviderTokens;
  /** Epoch milliseconds; default the system clock. */
  readonly now?: () => number;
  /** From 0 to below 1; default Math.random. */
  readonly random?: () => number;
}

/** Template messages of an official account to its followers. Errors of its methods: an account that does not fit its schemas. */
export function createWechatTemplate(deps: WechatDeps): Connector {
  return createConnector<TemplateContent>(deps, {
    name: 'wechat-template',
    dedupe: { by: 'key', windowMs: 600_000 },
    contentSchema: TemplateContentSchema,
    kind: {
      path: '/cgi-bin/message/template/send',
      more: ({ url, miniprogram }, deliveryKey) => ({
        ...(url !== undefined && { url }),
        ...jumpOf(miniprogram),
        client_msg_id: clientMsgId(deliveryKey),
      }),
    },
  });
}

/** Subscription notifications of an official account. Errors of its methods: an account that does not fit its schemas. */
export function createWechatSubscribe(deps: WechatDeps): Connector {
  return createConnector<SubscribeContent>(deps, {
    name: 'wechat-subscribe',
    dedupe: { by: 'none' },
    contentSchema: SubscribeContentSchema,
    kind: {
      path: '/cgi-bin/message/subscribe/bizsend',
      more: ({ page, miniprogram }) => ({
        ...(page !== undefined && { page }),
        ...jumpOf(miniprogram),
      }),
    },
  });
}

/** Subscription messages of a mini-program. Errors of its methods: an account that does not fit its schemas. */
export function createWechatMiniprogram(deps: WechatDeps): Connector {
  return createConnector<MiniprogramContent>(deps, {
    name: 'wechat-miniprogram',
    dedupe: { by: 'none' },
    contentSchema: MiniprogramContentSchema,
    kind: {
      path: '/cgi-bin/message/subscribe/send',
      more: ({ page, miniprogramState, lang }) => ({
        ...(page !== undefined && { page }),
        ...(miniprogramState !== undefined && { miniprogram_state: miniprogramState }),
        ...(lang !== undefined && { lang }),
      }),
    },
  });
}

interface Definition<Content extends WechatContent> {
  readonly name: string;
  readonly dedupe: ChannelCapabilities['dedupe'];
  readonly contentSchema: TSchema;
  readonly kind: MessageKind<Content>;
}

function createConnector<Content extends WechatContent>(
  deps: WechatDeps,
  definition: Definition<Content>,
): Connector {
  const { allowPrivateProviders, tokens, now = Date.now, random = Math.random } = deps;
  const { name, dedupe, contentSchema, kind } = definition;
  const checked = (account: AccountAccess) =>
    checkAccount(name, { settingsSchema: SettingsSchema, secretsSchema: SecretsSchema }, account);
  return {
    name,
    channel: 'wechat',
    addressKinds: ['openid'],
    capabilities: {
      dedupe,
      receipts: 'push',
      askReceiptsAfterMs: [],
      canReconcile: false,
      reconcileAfterMs: 0,
      recallWithinMs: 0,
      callTimeoutMs,
      attemptBudget: 8,
      // WeChat limits messages to one person (43117) and does not say to how many.
      recipientWindows: { otp: [], notice: [], marketing: [] },
    },
    settingsSchema: SettingsSchema,
    secretsSchema: SecretsSchema,
    contentSchema,
    contentText: (content) => Object.values((content as WechatContent).data).join(' '),
    lint: lintWechat,
    addressFault: (to) =>
      addressAs('openid', to) === undefined ? 'the address is not an openid' : undefined,
    createClient: (account) =>
      createWechatClient({
        account: checked(account),
        kind,
        tokens,
        allowPrivateProviders,
        now,
        random,
      }),
    parseReceipts: (request, account) => parsePush(request, { account: checked(account), now }),
  };
}

function jumpOf(miniprogram: TemplateContent['miniprogram']) {
  if (miniprogram === undefined) return {};
  const { appId, pagePath } = miniprogram;
  return { miniprogram: { appid: appId, ...(pagePath !== undefined && { pagepath: pagePath }) } };
}
