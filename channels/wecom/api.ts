/** Calls of the WeCom API: one host, one app's access token, JSON both ways. */
import { Type, type Static } from 'typebox';
import { Check } from 'typebox/value';
import type { FetchedToken, ProviderTokens } from '../../contracts/channel.ts';
import type { To } from '../../contracts/message.ts';
import { createProviderHttp, type ProviderAnswer } from '../../platform/provider-http.ts';
import { callWithToken, TokenRefused, tokenName } from '../../platform/provider-tokens.ts';
import { parseJson } from '../kit/answers.ts';
import { classifyAnswer, type AnswerMeaning, type ReadAnswer } from './classify.ts';

const defaultBaseUrl = 'https://qyapi.weixin.qq.com';
const httpTimeoutMs = 5000;
/** A call, and the token before it. */
export const callTimeoutMs = 2 * httpTimeoutMs;

export const BaseUrlSchema = Type.Optional(
  Type.String({
    pattern: '^https?://[^\\s?#@]+$',
    maxLength: 200,
    default: defaultBaseUrl,
    description:
      'URL of the API, default https://qyapi.weixin.qq.com. A path in it is put before every call (for the sandbox).',
    examples: [defaultBaseUrl],
  }),
);

export const CorpIdSchema = Type.String({
  pattern: '^[A-Za-z0-9_-]{4,64}$',
  description: 'Corp ID: admin console, My company, at the bottom of the page.',
  examples: ['wwabcdef0123456789'],
});

export const AppSecretsSchema = Type.Object(
  {
    corpSecret: Type.String({
      pattern: '^[A-Za-z0-9_-]{8,256}$',
      description: 'Secret of the app.',
    }),
  },
  { additionalProperties: false, description: "Credentials of one app; tokens are an app's own." },
);

export interface WecomDeps {
  /** Whether `baseUrl` may lead to loopback and private addresses. */
  readonly allowPrivateProviders: boolean;
  readonly tokens: ProviderTokens;
  /** Epoch milliseconds; default the system clock. */
  readonly now?: () => number;
  /** From 0 to below 1; default Math.random. */
  readonly random?: () => number;
}

export interface WecomCall {
  readonly method: 'GET' | 'POST';
  /** `/cgi-bin/message/send` */
  readonly path: string;
  readonly query?: Readonly<Record<string, string>>;
  readonly body?: string;
  readonly signal: AbortSignal;
}

export interface WecomHttp {
  call(call: WecomCall): Promise<ProviderAnswer>;
  close(): Promise<void>;
}

/** Connections to the API; the caller brings token or key in `query`. */
export function createWecomHttp(
  baseUrl: string | undefined,
  { allowPrivateProviders }: Pick<WecomDeps, 'allowPrivateProviders'>,
): WecomHttp {
  const base = new URL(baseUrl ?? defaultBaseUrl);
  const http = createProviderHttp({
    origin: base.origin,
    allowPrivate: allowPrivateProviders,
    timeoutMs: httpTimeoutMs,
  });
  const basePath = base.pathname.replace(/\/+$/, '');
  return {
    call: ({ method, path, query, body, signal }) =>
      http.call({
        method,
        path: `${basePath}${path}?${new URLSearchParams(query).toString()}`,
        headers: { 'content-type': 'application/json; charset=utf-8' },
        ...(body !== undefined && { body }),
        signal,
      }),
    close: () => http.close(),
  };
}

export interface WecomApi {
  /** One call with the app's token; a stale token is renewed and the same bytes are sent once more. */
  call(call: WecomCall & { readonly to?: readonly To[] }): Promise<TextAnswer>;
  close(): Promise<void>;
}

export interface TextAnswer extends ReadAnswer {
  /** The answer's JSON, whatever its fields; undefined where none came. */
  readonly json: unknown;
}

const TokenSchema = Type.Object({
  access_token: Type.String({ minLength: 1, maxLength: 512 }),
  expires_in: Type.Integer({ minimum: 1 }),
});

export interface WecomApiOptions {
  readonly accountId: string;
  /** What the token is for: `wecom-app`. */
  readonly use: string;
  readonly baseUrl: string | undefined;
  readonly corpId: string;
  readonly secrets: Static<typeof AppSecretsSchema>;
  /** Codes that go before the common ones. */
  readonly own?: Readonly<Record<string, AnswerMeaning>>;
  readonly deps: WecomDeps;
}

/** Makes the calls of one app. Its token is shared by all processes and forgotten only by whoever saw it fail. */
export function createWecomApi(options: WecomApiOptions): WecomApi {
  const { corpId, secrets, deps, baseUrl, own } = options;
  const { tokens, random = Math.random } = deps;
  const http = createWecomHttp(baseUrl, deps);
  const key = {
    accountId: options.accountId,
    name: tokenName(options.use, baseUrl ?? defaultBaseUrl, corpId, secrets.corpSecret),
  };

  const fetch = async (): Promise<FetchedToken> => {
    const answer = await http.call({
      method: 'GET',
      path: '/cgi-bin/gettoken',
      query: { corpid: corpId, corpsecret: secrets.corpSecret },
      // Many wait for this one call: it must not end with the caller that happened to make it.
      signal: new AbortController().signal,
    });
    const { outcome } = classifyAnswer(answer, { to: [], random: random() });
    const body = answer.kind === 'answer' ? parseJson(answer.body) : undefined;
    if (outcome.class === 'accepted' && Check(TokenSchema, body))
      return { token: body.access_token, expiresInMs: body.expires_in * 1000 };
    // Whatever became of this call, no message was sent by it.
    throw new TokenRefused(
      outcome.class === 'auth-invalid' || outcome.class === 'rate-limited'
        ? outcome
        : { ...withoutId(outcome), class: 'transient' },
    );
  };

  return {
    call: async ({ to = [], query, ...rest }) => {
      let last: TextAnswer | undefined;
      const outcome = await callWithToken({
        tokens,
        key,
        fetch,
        call: async (token) => {
          const answer = await http.call({ ...rest, query: { ...query, access_token: token } });
          const json = answer.kind === 'answer' ? parseJson(answer.body) : undefined;
          last = { ...classifyAnswer(answer, { own, to, random: random() }), json };
          return last.outcome;
        },
      });
      // Another outcome than the last call's is that of the token.
      return last?.outcome === outcome ? last : { outcome, body: undefined, json: undefined };
    },
    close: () => http.close(),
  };
}

function withoutId({ providerCode, providerMessage }: ReadAnswer['outcome']) {
  return {
    ...(providerCode !== undefined && { providerCode }),
    ...(providerMessage !== undefined && { providerMessage }),
  };
}

/** Outcome of a call that can be made twice without harm: what is unknown may simply be asked again. */
export function harmless({ outcome }: ReadAnswer): ReadAnswer['outcome'] {
  return outcome.class === 'ambiguous' ? { ...outcome, class: 'transient' } : outcome;
}
