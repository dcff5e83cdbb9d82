/** The live client of one WeChat account: one kind of message, one call for each. */
import { createHash } from 'node:crypto';
import type {
  AccountAccess,
  ConnectorClient,
  ProviderTokens,
  SendRequest,
} from '../../contracts/channel.ts';
import { addressAs } from '../../contracts/message.ts';
import type { SendOutcome } from '../../contracts/outcome.ts';
import { createProviderHttp, type ProviderAnswer } from '../../platform/provider-http.ts';
import { callWithToken, tokenName } from '../../platform/provider-tokens.ts';
import { classifyAnswer } from './classify.ts';
import { defaultBaseUrl, type WechatSecrets, type WechatSettings } from './schemas.ts';
import { readToken, tokenRequest } from './token.ts';
import { unfitField } from './values.ts';

/** Of one HTTP call; a send is two where a token is needed first. */
const httpTimeoutMs = 5000;
export const callTimeoutMs = 2 * httpTimeoutMs;

/** What all three kinds of content have. */
export interface WechatContent {
  readonly templateId: string;
  readonly data: Readonly<Record<string, string>>;
}

/** One kind of message: where it is sent and how its body is written, without recipient, template and data. */
export interface MessageKind<Content extends WechatContent> {
  readonly path: string;
  readonly more: (content: Content, deliveryKey: string) => Readonly<Record<string, unknown>>;
}

export interface ClientOptions<Content extends WechatContent> {
  readonly account: AccountAccess<WechatSettings, WechatSecrets>;
  readonly kind: MessageKind<Content>;
  readonly tokens: ProviderTokens;
  readonly allowPrivateProviders: boolean;
  readonly now: () => number;
  /** From 0 to below 1. */
  readonly random: () => number;
}

/** Opens the connections of one account. */
export function createWechatClient<Content extends WechatContent>(
  options: ClientOptions<Content>,
): ConnectorClient<Content> {
  const { account, kind, tokens, now, random } = options;
  const { appId } = account.settings;
  const { appSecret } = account.secrets;
  const baseUrl = new URL(account.settings.baseUrl ?? defaultBaseUrl);
  const basePath = baseUrl.pathname.replace(/\/+$/, '');
  const http = createProviderHttp({
    origin: baseUrl.origin,
    allowPrivate: options.allowPrivateProviders,
    timeoutMs: httpTimeoutMs,
  });

  const post = (path: string, body: unknown, signal: AbortSignal): Promise<ProviderAnswer> =>
    http.call({
      method: 'POST',
      path: basePath + path,
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
      signal,
    });
  const context = () => ({ nowMs: now(), jitter: random() });
  const fetchToken = async () => {
    const { path, body } = tokenRequest(appId, appSecret);
    // Others wait for this token, too: it does not end with the call that happened to ask first.
    return readToken(await post(path, body, new AbortController().signal), context());
  };
  const call = (path: string, body: unknown, signal: AbortSignal): Promise<SendOutcome> =>
    callWithToken({
      tokens,
      key: { accountId: account.id, name: tokenName('wechat', appId, appSecret) },
      fetch: fetchToken,
      call: async (token) => {
        const query = `?access_token=${encodeURIComponent(token)}`;
        return classifyAnswer(await post(path + query, body, signal), context());
      },
    });

  return {
    send: async ({ to, content, deliveryKey, signal }: SendRequest<Content>) => {
      const openid = addressAs('openid', to);
      if (openid === undefined)
        return { class: 'recipient-invalid', providerMessage: 'the address is not an openid' };
      const unfit = unfitField(content.data);
      if (unfit !== undefined)
        return {
          class: 'content-rejected',
          providerCode: `local:${unfit}`,
          providerMessage: `the value does not fit its field, field ${unfit}`,
        };
      return call(
        kind.path,
        {
          touser: openid,
          template_id: content.templateId,
          ...kind.more(content, deliveryKey),
          data: Object.fromEntries(
            Object.entries(content.data).map(([field, value]) => [field, { value }]),
          ),
        },
        signal,
      );
    },
    verify: async (signal) => {
      // Asks for the quota of the very interface that messages will go to: secret, allowlist, and whether it is ours to call.
      const outcome = await call('/cgi-bin/openapi/quota/get', { cgi_path: kind.path }, signal);
      if (outcome.class === 'duplicate') return { class: 'accepted', providerId: appId };
      return outcome.class === 'ambiguous' ? { ...outcome, class: 'transient' } : outcome;
    },
    close: () => http.close(),
  };
}

/** `client_msg_id` of a delivery: 32 characters, the length of WeChat's own examples being all that is known of its limit. */
export function clientMsgId(deliveryKey: string): string {
  return createHash('sha256').update(deliveryKey).digest('hex').slice(0, 32);
}
