/** The live client of one APNs account: one push for each send, over one HTTP/2 session that is kept open. */
import { Type, type Static } from 'typebox';
import type {
  AccountAccess,
  ConnectorClient,
  ProviderTokens,
  SendRequest,
} from '../../contracts/channel.ts';
import { addressAs, type To } from '../../contracts/message.ts';
import type { SendOutcome } from '../../contracts/outcome.ts';
import { callWithToken, tokenName } from '../../platform/provider-tokens.ts';
import { classifyAnswer, endsSession } from './classify.ts';
import { createH2Connection } from './h2-connection.ts';
import { apnsIdOf, expiryOf, notificationJson, pushHeaders, type PushContent } from './message.ts';
import { makeProviderToken } from './provider-token.ts';

export const callTimeoutMs = 5000;
const defaultBaseUrl = 'https://api.push.apple.com';

export const SettingsSchema = Type.Object(
  {
    baseUrl: Type.Optional(
      Type.String({
        pattern: '^https?://[^\\s?#@]+$',
        maxLength: 200,
        default: defaultBaseUrl,
        description:
          'URL of the push server: https://api.push.apple.com, or https://api.sandbox.push.apple.com for apps built for development. http:// (HTTP/2 without TLS) is for the sandbox.',
        examples: [defaultBaseUrl],
      }),
    ),
    topic: Type.String({
      pattern: '^[A-Za-z0-9.-]{1,155}$',
      description: "The app's bundle ID.",
      examples: ['com.example.shop'],
    }),
    teamId: Type.String({
      pattern: '^[A-Za-z0-9]{10}$',
      description: 'Team ID of the developer account.',
    }),
    keyId: Type.String({ pattern: '^[A-Za-z0-9]{10}$', description: 'Key ID of the .p8 key.' }),
    ca: Type.Optional(
      Type.String({
        pattern: '^-----BEGIN CERTIFICATE-----',
        maxLength: 20_000,
        description: 'PEM of the authorities to trust instead of the usual ones.',
      }),
    ),
  },
  { additionalProperties: false, description: 'APNs account without its secret.' },
);

export const SecretsSchema = Type.Object(
  {
    privateKey: Type.String({
      pattern: '^-----BEGIN PRIVATE KEY-----',
      maxLength: 2000,
      description: 'Content of the .p8 file.',
    }),
  },
  { additionalProperties: false, description: 'Key that signs the tokens.' },
);

export type ApnsSettings = Static<typeof SettingsSchema>;
export type ApnsSecrets = Static<typeof SecretsSchema>;

export interface ClientOptions {
  readonly account: AccountAccess<ApnsSettings, ApnsSecrets>;
  readonly allowPrivateProviders: boolean;
  readonly tokens: ProviderTokens;
  readonly now: () => number;
  /** From 0 to below 1. */
  readonly random: () => number;
}

const tokenPattern = /^([0-9a-fA-F]{2}){32,100}$/;

/** What is wrong with an address: APNs takes hex tokens only, Apple's are 32 bytes, later ones may be longer. */
export function addressFault(to: To): string | undefined {
  const token = addressAs('deviceToken', to);
  // A person's devices are looked up by the engine.
  if (token === undefined || tokenPattern.test(token)) return undefined;
  return 'a device token of APNs is 64 to 200 hex digits';
}

/** Nobody's token: APNs checks the credentials first and then says BadDeviceToken. */
const nobody = '0'.repeat(64);
const verifying = { title: 'verify', body: 'verify' };

/** Makes the client of one account; it connects with the first call. */
export function createPushApnsClient(options: ClientOptions): ConnectorClient<PushContent> {
  const { account, tokens, now, random } = options;
  const { settings, secrets } = account;
  const { topic, teamId, keyId, ca } = settings;
  const base = new URL(settings.baseUrl ?? defaultBaseUrl);
  const connection = createH2Connection({
    origin: base.origin,
    allowPrivate: options.allowPrivateProviders,
    timeoutMs: callTimeoutMs,
    connectTimeoutMs: 2000,
    pingAfterMs: 60_000,
    ca,
    isFarewell: endsSession,
  });
  const material = { teamId, keyId, privateKey: secrets.privateKey };
  const key = { accountId: account.id, name: tokenName('apns', teamId, keyId, secrets.privateKey) };

  const push = async (
    request: Omit<SendRequest<PushContent>, 'to'> & { readonly device: string },
  ) => {
    const { device, content, deliveryKey, signal } = request;
    const headers = pushHeaders({
      path: `${base.pathname.replace(/\/+$/, '')}/3/device/${device.toLowerCase()}`,
      topic,
      deliveryKey,
      expiresAtMs: expiryOf(content, now()),
    });
    const body = notificationJson(content, deliveryKey);
    const context = { apnsId: apnsIdOf(deliveryKey), nowMs: now(), jitter: random() };
    const call = async (token: string): Promise<SendOutcome> => {
      const authorization = `bearer ${token}`;
      const answer = await connection.call({
        headers: { ...headers, authorization },
        body,
        signal,
      });
      return classifyAnswer(answer, context);
    };
    const fetch = async () => makeProviderToken(material, now());
    const outcome = await callWithToken({ tokens, key, fetch, call });
    // A token made a moment ago and yet expired: our clock is wrong, and every further call would make another one.
    return outcome.class === 'auth-expired'
      ? { ...outcome, class: 'auth-invalid' as const }
      : outcome;
  };

  return {
    send: async ({ to, content, deliveryKey, signal }) => {
      const fault = addressFault(to);
      const device = addressAs('deviceToken', to);
      if (fault !== undefined || device === undefined)
        return { class: 'recipient-invalid', providerMessage: fault ?? 'not a device token' };
      return push({ device, content, deliveryKey, signal });
    },
    verify: async (signal) => {
      const deliveryKey = `verify.${account.id}`.slice(0, 60);
      const outcome = await push({ device: nobody, content: verifying, deliveryKey, signal });
      if (outcome.class === 'recipient-invalid')
        return { class: 'accepted', providerId: apnsIdOf(deliveryKey) };
      // Nothing was asked for that could have been done twice.
      return outcome.class === 'ambiguous' ? { ...outcome, class: 'transient' } : outcome;
    },
    close: () => connection.close(),
  };
}
