/**
 * How an FCM account gets its access token: an RS256 JWT of the service account for a bearer token (RFC 7523,
 * developers.google.com/identity/protocols/oauth2/service-account).
 */
import { createPrivateKey, sign, type KeyObject } from 'node:crypto';
import { Type } from 'typebox';
import { Check } from 'typebox/value';
import type { FetchedToken } from '../../contracts/channel.ts';
import type { SendOutcome } from '../../contracts/outcome.ts';
import type { ProviderAnswer, ProviderHttp } from '../../platform/provider-http.ts';
import { TokenRefused } from '../../platform/provider-tokens.ts';
import { parseJson, retryAfterMs, unreadableAnswer, withoutAnswer } from '../kit/answers.ts';

export const messagingScope = 'https://www.googleapis.com/auth/firebase.messaging';
export const grantType = 'urn:ietf:params:oauth:grant-type:jwt-bearer';
const grantLifeSeconds = 3600;

export interface ServiceAccount {
  readonly clientEmail: string;
  readonly key: KeyObject;
  /** Where tokens come from; the audience of the JWT. */
  readonly tokenUri: string;
}

/** A private key from a key file, also where its line ends are still written as `\n`. Errors: name the account, not the key. */
export function readPrivateKey(pem: string, accountId: string): KeyObject {
  try {
    const key = createPrivateKey(pem.replaceAll('\\n', '\n'));
    if (key.asymmetricKeyType === 'rsa') return key;
  } catch {
    // what OpenSSL says may quote the key
  }
  throw new Error(`the secrets of account ${accountId} do not fit push-fcm: /privateKey`);
}

/** RSASSA-PKCS1-v1_5 with SHA-256 over a JWS signing input (RFC 7518 3.3), base64url. */
export function signRs256(input: string, key: KeyObject): string {
  return sign('sha256', Buffer.from(input), key).toString('base64url');
}

/** The JWT that a token is asked for with. */
export function makeGrant(account: ServiceAccount, nowMs: number): string {
  const iat = Math.floor(nowMs / 1000);
  const claims = {
    iss: account.clientEmail,
    scope: messagingScope,
    aud: account.tokenUri,
    iat,
    exp: iat + grantLifeSeconds,
  };
  const input = [{ alg: 'RS256', typ: 'JWT' }, claims]
    .map((part) => Buffer.from(JSON.stringify(part)).toString('base64url'))
    .join('.');
  return `${input}.${signRs256(input, account.key)}`;
}

const TokenSchema = Type.Object({
  access_token: Type.String({ minLength: 1 }),
  expires_in: Type.Number({ exclusiveMinimum: 0 }),
});
/** RFC 6749 5.2. */
const RefusalSchema = Type.Object({
  error: Type.String({ minLength: 1, maxLength: 100 }),
  error_description: Type.Optional(Type.String()),
});

export interface TokenSource {
  readonly http: ProviderHttp;
  readonly account: ServiceAccount;
  readonly now: () => number;
  readonly random: () => number;
}

/**
 * Asks for a token once. It has a deadline of its own and no caller's signal: many callers wait for one fetch.
 * Errors: TokenRefused with the outcome for those who wanted it.
 */
export async function fetchToken(source: TokenSource): Promise<FetchedToken> {
  const { http, account, now, random } = source;
  const form = new URLSearchParams({ grant_type: grantType, assertion: makeGrant(account, now()) });
  const answer = await http.call({
    method: 'POST',
    path: new URL(account.tokenUri).pathname,
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
    body: form.toString(),
    signal: new AbortController().signal,
  });
  const body = answer.kind === 'answer' ? parseJson(answer.body) : undefined;
  if (answer.kind === 'answer' && answer.status === 200 && Check(TokenSchema, body))
    return { token: body.access_token, expiresInMs: body.expires_in * 1000 };
  throw new TokenRefused(refusalOf(answer, body, { nowMs: now(), jitter: random() }));
}

function refusalOf(
  answer: ProviderAnswer,
  body: unknown,
  context: { readonly nowMs: number; readonly jitter: number },
): SendOutcome {
  if (answer.kind !== 'answer') return certain(withoutAnswer(answer));
  const { status, headers } = answer;
  const waitMs = retryAfterMs(headers, context.nowMs);
  // 401 and 400 with an error of RFC 6749: the key was revoked, the account is gone, or our clock is wrong.
  if (Check(RefusalSchema, body) && status >= 400 && status < 500 && status !== 429)
    return {
      class: 'auth-invalid',
      providerCode: body.error,
      providerMessage: (body.error_description ?? '').slice(0, 300),
    };
  return certain(unreadableAnswer(status, waitMs, context.jitter));
}

/** Whatever became of the call for a token: no message was sent. */
function certain(outcome: SendOutcome): SendOutcome {
  return outcome.class === 'ambiguous' ? { ...outcome, class: 'transient' } : outcome;
}
