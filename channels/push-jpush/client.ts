/** The live client of one JPush app: pushes that are known again by their cid, and reports of what arrived. */
import { createHash } from 'node:crypto';
import { Type, type Static } from 'typebox';
import type {
  AccountAccess,
  ConnectorClient,
  ProviderTokens,
  SendRequest,
} from '../../contracts/channel.ts';
import { addressAs, type To } from '../../contracts/message.ts';
import type { SendOutcome } from '../../contracts/outcome.ts';
import { createProviderHttp } from '../../platform/provider-http.ts';
import { TokenRefused } from '../../platform/provider-tokens.ts';
import { createCidDesk, readCids } from './cids.ts';
import { classifyPush } from './classify.ts';
import { pushJson, type JpushContent } from './message.ts';
import { askReports } from './reports.ts';

/** Of one HTTP call; a send may need two of them. */
const httpTimeoutMs = 5000;
export const callTimeoutMs = 2 * httpTimeoutMs;
const defaultBaseUrl = 'https://api.jpush.cn';
const defaultReportBaseUrl = 'https://report.jpush.cn';

const urlPattern = '^https?://[^\\s?#@]+$';
export const SettingsSchema = Type.Object(
  {
    baseUrl: Type.Optional(
      Type.String({
        pattern: urlPattern,
        maxLength: 200,
        default: defaultBaseUrl,
        description:
          'URL of the push API, default https://api.jpush.cn. A path in it is put before every call (for the sandbox).',
      }),
    ),
    reportBaseUrl: Type.Optional(
      Type.String({
        pattern: urlPattern,
        maxLength: 200,
        default: defaultReportBaseUrl,
        description: 'URL of the report API, default https://report.jpush.cn.',
      }),
    ),
    apnsProduction: Type.Optional(
      Type.Boolean({
        default: true,
        description: 'False for iOS apps that are built for development; default true.',
      }),
    ),
  },
  { additionalProperties: false, description: 'JPush app without its secret.' },
);

export const SecretsSchema = Type.Object(
  {
    appKey: Type.String({ pattern: '^[A-Za-z0-9]{1,64}$', description: 'AppKey of the app.' }),
    masterSecret: Type.String({ minLength: 1, maxLength: 128, description: 'Its Master Secret.' }),
  },
  { additionalProperties: false, description: 'Credentials of the app.' },
);

export type JpushSettings = Static<typeof SettingsSchema>;
export type JpushSecrets = Static<typeof SecretsSchema>;

/** Says what about an address cannot be a registration id, or undefined. */
export function addressFault(to: To): string | undefined {
  const id = addressAs('deviceToken', to);
  // A person's devices are looked up by the engine.
  if (id === undefined || /^[A-Za-z0-9]{8,64}$/.test(id)) return undefined;
  return 'a registration id of JPush is 8 to 64 letters and digits';
}

type Message = Omit<SendRequest<JpushContent>, 'signal'>;

/** Makes the client of one account. */
export function createPushJpushClient(options: {
  readonly account: AccountAccess<JpushSettings, JpushSecrets>;
  readonly allowPrivateProviders: boolean;
  readonly tokens: ProviderTokens;
  readonly now: () => number;
  /** From 0 to below 1. */
  readonly random: () => number;
}): ConnectorClient<JpushContent> {
  const { account, allowPrivateProviders, tokens, now, random } = options;
  const { settings, secrets } = account;
  const credentials = `${secrets.appKey}:${secrets.masterSecret}`;
  const authorization = `Basic ${Buffer.from(credentials).toString('base64')}`;
  const callsTo = (url: string) => {
    const base = new URL(url);
    const prefix = base.pathname.replace(/\/+$/, '');
    const http = createProviderHttp({
      origin: base.origin,
      allowPrivate: allowPrivateProviders,
      timeoutMs: httpTimeoutMs,
    });
    return {
      get: (path: string, signal: AbortSignal) =>
        http.call({ method: 'GET', path: prefix + path, headers: { authorization }, signal }),
      post: (path: string, body: string, signal: AbortSignal) => {
        const headers = { authorization, 'content-type': 'application/json' };
        return http.call({ method: 'POST', path: prefix + path, headers, body, signal });
      },
      close: () => http.close(),
    };
  };
  const api = callsTo(settings.baseUrl ?? defaultBaseUrl);
  const report = callsTo(settings.reportBaseUrl ?? defaultReportBaseUrl);
  const cids = createCidDesk({
    accountId: account.id,
    appKey: secrets.appKey,
    tokens,
    // Others may wait for the same cids, so no one caller can abort it.
    ask: (count) => api.get(`/v3/push/cid?count=${count}`, new AbortController().signal),
    now,
    random,
  });

  /** One push to the devices of these messages, which have one content. */
  const push = async (messages: readonly Message[], signal: AbortSignal): Promise<SendOutcome> => {
    const [first] = messages;
    if (first === undefined || signal.aborted)
      return { class: 'transient', providerMessage: 'aborted' };
    const ref = refOf(messages);
    try {
      const body = pushJson({
        cid: await cids.cidFor(ref),
        registrationIds: messages.map(({ to }) => addressAs('deviceToken', to) ?? ''),
        content: first.content,
        ref,
        apnsProduction: settings.apnsProduction ?? true,
      });
      const answer = await api.post('/v3/push', body, signal);
      return classifyPush(answer, { to: messages.map(({ to }) => to), jitter: random() });
    } catch (error) {
      if (error instanceof TokenRefused) return error.outcome;
      throw error;
    }
  };

  return {
    send: async ({ signal, ...message }) => {
      const fault = faultOf(message.to);
      return fault ?? push([message], signal);
    },
    sendBatch: async (messages, signal) => {
      const good = messages.filter(({ to }) => faultOf(to) === undefined);
      const outcome = await push(good, signal);
      // JPush passes over bad ids among good ones; should it refuse them all for one, it does not say so of each.
      const isForOne = outcome.providerCode === '1003' && outcome.class === 'recipient-invalid';
      const others: SendOutcome =
        isForOne && good.length > 1 ? { ...outcome, class: 'transient' } : outcome;
      return messages.map(({ to }) => faultOf(to) ?? others);
    },
    askReceipts: (messages, signal) =>
      askReports(messages, {
        get: (path) => report.get(path, signal),
        post: (path, body) => report.post(path, body, signal),
        now,
      }),
    verify: async (signal) => {
      const answer = await api.get('/v3/push/cid?count=1', signal);
      try {
        readCids(answer, random());
        return { class: 'accepted', providerId: 'cid' };
      } catch (error) {
        if (error instanceof TokenRefused) return error.outcome;
        throw error;
      }
    },
    close: async () => {
      await Promise.all([api.close(), report.close()]);
    },
  };
}

function faultOf(to: To): SendOutcome | undefined {
  const isDevice = addressAs('deviceToken', to) !== undefined;
  const fault = isDevice ? addressFault(to) : 'not a registration id';
  return fault === undefined ? undefined : { class: 'recipient-invalid', providerMessage: fault };
}

/** What a push is known by: the delivery's key, or one made of all of a batch's. */
function refOf(messages: readonly Message[]): string {
  const [first, ...others] = messages;
  if (first !== undefined && others.length === 0) return first.deliveryKey;
  const hash = createHash('sha256');
  for (const { deliveryKey } of messages) hash.update(`${deliveryKey}\n`);
  return `batch.${hash.digest('hex').slice(0, 32)}`;
}
