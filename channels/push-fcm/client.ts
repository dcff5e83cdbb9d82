/** The live client of one FCM project: messages:send for one device, with a token of its service account. */
import { Type, type Static } from 'typebox';
import type { AccountAccess, ConnectorClient, ProviderTokens } from '../../contracts/channel.ts';
import { addressAs, type To } from '../../contracts/message.ts';
import type { SendOutcome } from '../../contracts/outcome.ts';
import { createProviderHttp } from '../../platform/provider-http.ts';
import { callWithToken, tokenName } from '../../platform/provider-tokens.ts';
import { classifyAnswer } from './classify.ts';
import { fetchToken, readPrivateKey } from './grant.ts';
import { buildRequest, maxPayloadBytes, payloadBytes, type FcmContent } from './message.ts';

const messageTimeoutMs = 5000;
const tokenTimeoutMs = 3000;
/** A call that has to ask for a token first. */
export const callTimeoutMs = messageTimeoutMs + tokenTimeoutMs;
const defaultBaseUrl = 'https://fcm.googleapis.com';
const defaultTokenUri = 'https://oauth2.googleapis.com/token';

const Url = { pattern: '^https?://[^\\s?#@]+$', maxLength: 200 };

export const SettingsSchema = Type.Object(
  {
    projectId: Type.String({
      pattern: '^[a-z0-9][a-z0-9.:-]{2,62}$',
      description: 'Project ID of Firebase, `project_id` of the key file.',
      examples: ['my-app-12345'],
    }),
    baseUrl: Type.Optional(
      Type.String({
        ...Url,
        default: defaultBaseUrl,
        description:
          'URL of FCM, default https://fcm.googleapis.com. A path in it is put before every call (for the sandbox).',
      }),
    ),
    tokenUri: Type.Optional(
      Type.String({
        ...Url,
        default: defaultTokenUri,
        description:
          '`token_uri` of the key file, default https://oauth2.googleapis.com/token: where tokens come from.',
      }),
    ),
  },
  { additionalProperties: false, description: 'An FCM project without secrets.' },
);

export const SecretsSchema = Type.Object(
  {
    clientEmail: Type.String({
      pattern: '^[^\\s@]{1,100}@[^\\s@]{1,200}$',
      description: '`client_email` of the key file.',
    }),
    privateKey: Type.String({
      pattern: '^-----BEGIN (RSA )?PRIVATE KEY-----',
      maxLength: 8192,
      description: '`private_key` of the key file (PEM).',
    }),
  },
  { additionalProperties: false, description: 'Service account of the project.' },
);

export type FcmSettings = Static<typeof SettingsSchema>;
export type FcmSecrets = Static<typeof SecretsSchema>;

export interface ClientOptions {
  readonly account: AccountAccess<FcmSettings, FcmSecrets>;
  readonly allowPrivateProviders: boolean;
  readonly tokens: ProviderTokens;
  readonly now: () => number;
  /** From 0 to below 1. */
  readonly random: () => number;
}

/** Nobody subscribes to it, and the message is only checked. */
const probe = {
  validate_only: true,
  message: { topic: 'message-center-verify', data: { mcRef: 'verify' } },
};

/** Opens the connections of one account. Errors: the private key is none. */
export function createFcmClient(options: ClientOptions): ConnectorClient<FcmContent> {
  const { account, allowPrivateProviders, tokens, now, random } = options;
  const { projectId, baseUrl = defaultBaseUrl, tokenUri = defaultTokenUri } = account.settings;
  const { clientEmail, privateKey } = account.secrets;
  const key = readPrivateKey(privateKey, account.id);
  const base = new URL(baseUrl);
  const path = `${base.pathname.replace(/\/+$/, '')}/v1/projects/${projectId}/messages:send`;
  const open = (origin: string, timeoutMs: number) =>
    createProviderHttp({ origin, allowPrivate: allowPrivateProviders, timeoutMs });
  const http = open(base.origin, messageTimeoutMs);
  const tokenHttp = open(new URL(tokenUri).origin, tokenTimeoutMs);
  const tokenKey = {
    accountId: account.id,
    name: tokenName('fcm', tokenUri, clientEmail, privateKey),
  };

  const post = async (to: To, request: unknown, signal: AbortSignal): Promise<SendOutcome> =>
    callWithToken({
      tokens,
      key: tokenKey,
      fetch: () =>
        fetchToken({ http: tokenHttp, account: { clientEmail, key, tokenUri }, now, random }),
      call: async (token) => {
        const answer = await http.call({
          method: 'POST',
          path,
          headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
          body: JSON.stringify(request),
          signal,
        });
        return classifyAnswer(answer, { to, nowMs: now(), jitter: random() });
      },
    });

  return {
    send: async ({ to, content, deliveryKey, signal }) => {
      const token = addressAs('deviceToken', to);
      if (token === undefined)
        return { class: 'recipient-invalid', providerMessage: 'not a device token' };
      const sizeBytes = payloadBytes(content, deliveryKey);
      if (sizeBytes > maxPayloadBytes)
        return {
          class: 'content-rejected',
          providerMessage: `the payload has ${sizeBytes} bytes, FCM takes ${maxPayloadBytes}`,
        };
      return post(to, buildRequest({ token, content, deliveryKey, nowMs: now() }), signal);
    },
    verify: async (signal) => {
      const outcome = await post({ deviceToken: probe.message.topic }, probe, signal);
      // Nothing was asked for that could have been done twice.
      return outcome.class === 'ambiguous' ? { ...outcome, class: 'transient' } : outcome;
    },
    close: async () => {
      await Promise.all([http.close(), tokenHttp.close()]);
    },
  };
}
