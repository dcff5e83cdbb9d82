/** The live client of one Huawei push project: messages:send for one or many devices, and messages:revoke. */
import { Type, type Static } from 'typebox';
import type { AccountAccess, ConnectorClient, ProviderTokens } from '../../contracts/channel.ts';
import { addressAs } from '../../contracts/message.ts';
import type { SendOutcome } from '../../contracts/outcome.ts';
import { createProviderHttp } from '../../platform/provider-http.ts';
import { callWithToken, tokenName } from '../../platform/provider-tokens.ts';
import { classifyAnswer, type CallResult } from './classify.ts';
import { makeJwt, readPrivateKey, tokenLifeSeconds } from './jwt.ts';
import {
  batchIds,
  batchProviderId,
  bodyBytes,
  buildBody,
  maxBodyBytes,
  sentNotifyId,
  singleIds,
  type CallIds,
  type HuaweiContent,
} from './message.ts';

export const callTimeoutMs = 5000;
/** Huawei takes a notification back until it is tapped or gone; a day is how long it keeps one by default. */
export const recallWithinMs = 24 * 3_600_000;
export const maxTokens = 1000;
const defaultBaseUrl = 'https://push-api.cloud.huawei.com';
const defaultTokenUri = 'https://oauth-login.cloud.huawei.com/oauth2/v3/token';

const Url = { pattern: '^https?://[^\\s?#@]+$', maxLength: 200 };
const Id = { pattern: '^[A-Za-z0-9._-]{1,128}$' };

export const SettingsSchema = Type.Object(
  {
    projectId: Type.String({ ...Id, description: 'Project ID, `project_id` of the key file.' }),
    clientId: Type.String({
      ...Id,
      description: "The app's Client ID in AppGallery Connect: messages are taken back under it.",
    }),
    callbackUser: Type.Optional(
      Type.String({
        maxLength: 200,
        description: 'Name of the receipt callback, as set at Huawei; needed with callbackKey.',
      }),
    ),
    baseUrl: Type.Optional(
      Type.String({
        ...Url,
        default: defaultBaseUrl,
        description:
          'URL of the push API, default https://push-api.cloud.huawei.com. A path in it is put before every call (for the sandbox).',
      }),
    ),
    tokenUri: Type.Optional(
      Type.String({
        ...Url,
        default: defaultTokenUri,
        description:
          '`token_uri` of the key file: the audience of our tokens; nothing is sent there.',
      }),
    ),
  },
  { additionalProperties: false, description: 'A Huawei push project without secrets.' },
);

export const SecretsSchema = Type.Object(
  {
    keyId: Type.String({ ...Id, description: '`key_id` of the key file.' }),
    subAccount: Type.String({ ...Id, description: '`sub_account` of the key file.' }),
    privateKey: Type.String({
      pattern: '^-----BEGIN (RSA )?PRIVATE KEY-----',
      maxLength: 8192,
      description: '`private_key` of the key file (PEM).',
    }),
    callbackKey: Type.Optional(
      Type.String({
        minLength: 16,
        maxLength: 512,
        description:
          'Key of the receipt callback, as set at Huawei. Without it receipts are not checked, and anyone who finds the address can forge them.',
      }),
    ),
  },
  { additionalProperties: false, description: 'Service account of the project.' },
);

export type HuaweiSettings = Static<typeof SettingsSchema>;
export type HuaweiSecrets = Static<typeof SecretsSchema>;

export interface ClientOptions {
  readonly account: AccountAccess<HuaweiSettings, HuaweiSecrets>;
  readonly allowPrivateProviders: boolean;
  readonly tokens: ProviderTokens;
  readonly now: () => number;
  /** From 0 to below 1. */
  readonly random: () => number;
}

/** No device has it: Huawei checks who we are and what we may send before it looks at tokens. */
const probeToken = 'verify';
const probe = { title: 'verify', body: 'verify' };

/** Opens the connections of one account. Errors: the private key is none. */
export function createHuaweiClient(options: ClientOptions): ConnectorClient<HuaweiContent> {
  const { account, tokens, now, random } = options;
  const { projectId, clientId, baseUrl = defaultBaseUrl } = account.settings;
  const { tokenUri = defaultTokenUri } = account.settings;
  const { keyId, subAccount, privateKey } = account.secrets;
  const key = readPrivateKey(privateKey, account.id);
  const base = new URL(baseUrl);
  const basePath = base.pathname.replace(/\/+$/, '');
  const http = createProviderHttp({
    origin: base.origin,
    allowPrivate: options.allowPrivateProviders,
    timeoutMs: callTimeoutMs,
  });
  const tokenKey = {
    accountId: account.id,
    name: tokenName('huawei', tokenUri, keyId, subAccount, privateKey),
  };

  /** One call; what it came to for each of the tokens it names. */
  const post = async (
    path: string,
    body: { readonly tokens: readonly string[]; readonly json: unknown },
    signal: AbortSignal,
  ): Promise<CallResult> => {
    let result: CallResult | undefined;
    const outcome = await callWithToken({
      tokens,
      key: tokenKey,
      fetch: async () => ({
        token: makeJwt({ keyId, subAccount, key, tokenUri }, now()),
        expiresInMs: tokenLifeSeconds * 1000,
      }),
      call: async (token) => {
        const answer = await http.call({
          method: 'POST',
          path: basePath + path,
          headers: {
            authorization: `Bearer ${token}`,
            'content-type': 'application/json',
            'push-type': '0',
          },
          body: JSON.stringify(body.json),
          signal,
        });
        result = classifyAnswer(answer, body.tokens, { nowMs: now(), jitter: random() });
        return result.outcome;
      },
    });
    return { outcome, refused: result?.refused ?? new Map<string, SendOutcome>() };
  };
  const sendTo = async (
    list: readonly string[],
    message: { readonly content: HuaweiContent; readonly ids: CallIds },
    signal: AbortSignal,
  ): Promise<CallResult> => {
    const { content, ids } = message;
    const sizeBytes = bodyBytes(content, ids);
    if (sizeBytes > maxBodyBytes) return { outcome: tooBig(sizeBytes), refused: new Map() };
    return post(
      `/v3/${projectId}/messages:send`,
      { tokens: list, json: buildBody(content, ids, list) },
      signal,
    );
  };
  const sendOne = async (
    token: string | undefined,
    message: { readonly content: HuaweiContent; readonly ids: CallIds },
    signal: AbortSignal,
  ): Promise<SendOutcome> => {
    if (token === undefined) return noToken;
    const { outcome, refused } = await sendTo([token], message, signal);
    return refused.get(token) ?? outcome;
  };

  return {
    send: ({ to, content, deliveryKey, signal }) =>
      sendOne(addressAs('deviceToken', to), { content, ids: singleIds(deliveryKey) }, signal),
    sendBatch: async (messages, signal) => {
      const [first] = messages;
      if (first === undefined) return [];
      if (messages.length === 1) {
        const { to, content, deliveryKey } = first;
        const ids = singleIds(deliveryKey);
        return [await sendOne(addressAs('deviceToken', to), { content, ids }, signal)];
      }
      const list = messages.map(({ to }) => addressAs('deviceToken', to));
      const known = list.filter((token) => token !== undefined);
      const ids = batchIds(messages.map(({ deliveryKey }) => deliveryKey));
      const { outcome, refused } = await sendTo(known, { content: first.content, ids }, signal);
      return list.map((token) => {
        if (token === undefined) return noToken;
        const own = refused.get(token) ?? outcome;
        return own.class === 'accepted'
          ? { ...own, providerId: batchProviderId(own.providerId, ids.notifyId, token) }
          : own;
      });
    },
    recall: async ({ to, deliveryKey, providerId, signal }) => {
      const token = addressAs('deviceToken', to);
      if (token === undefined) return noToken;
      const json = { notifyId: sentNotifyId({ deliveryKey, providerId }), token: [token] };
      const { outcome, refused } = await post(
        `/v1/${clientId}/messages:revoke`,
        { tokens: [token], json },
        signal,
      );
      return refused.get(token) ?? outcome;
    },
    verify: async (signal) => {
      const outcome = await sendOne(
        probeToken,
        { content: probe, ids: singleIds('verify') },
        signal,
      );
      // All was well but the token, which is none.
      if (outcome.class === 'recipient-invalid') return { class: 'accepted', providerId: 'verify' };
      return outcome.class === 'ambiguous' ? { ...outcome, class: 'transient' } : outcome;
    },
    close: () => http.close(),
  };
}

const noToken: SendOutcome = { class: 'recipient-invalid', providerMessage: 'not a device token' };

const tooBig = (sizeBytes: number): SendOutcome => ({
  class: 'content-rejected',
  providerMessage: `the message has ${sizeBytes} bytes, Huawei takes ${maxBodyBytes}`,
});
