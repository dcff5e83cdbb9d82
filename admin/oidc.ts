/** Sign-in at an OpenID Connect provider: authorization code with PKCE, state and nonce, which lie sealed in the browser. */
import * as openid from 'openid-client';
import { Type } from 'typebox';
import { problem } from '../contracts/problems.ts';
import type { Config } from '../platform/config.ts';
import type { Sealer } from '../platform/seal.ts';
import { createValidator } from '../platform/validate.ts';

/** What becomes of somebody whom the provider knows and we do not. */
const newcomerRules = ['refuse', 'link', 'create'] as const;
export type NewcomerRule = (typeof newcomerRules)[number];

interface OidcOptions {
  readonly issuer: string;
  readonly clientId: string;
  readonly clientSecret: string;
  /** Where the provider sends the browser back: the address of /v1/oidc/callback as browsers reach it. */
  readonly redirect: string;
  readonly newcomers: NewcomerRule;
  readonly sealer: Sealer;
}

/** Whom the provider vouches for. */
export interface Identity {
  readonly issuer: string;
  readonly subject: string;
  readonly name?: string;
  /** Only where the provider has verified it. */
  readonly email?: string;
}

export interface Oidc {
  readonly newcomers: NewcomerRule;
  /** Where to send the browser, with a cookie that only the callback reads. Errors: identity-provider-unavailable. */
  start(): Promise<{ readonly location: string; readonly cookie: string }>;
  /** Who came back. Errors: unauthorized, identity-provider-unavailable. */
  finish(returned: {
    readonly query: Readonly<Record<string, string>>;
    readonly cookies: string | undefined;
  }): Promise<Identity>;
  /** Takes the cookie back. */
  readonly endCookie: string;
}

const FlowSchema = Type.Object({
  state: Type.String(),
  nonce: Type.String(),
  verifier: Type.String(),
  endsAt: Type.Number(),
});
const flowValidator = createValidator(FlowSchema);
const flowSeconds = 600;
const cookieName = 'mc_oidc';

/** Makes the client; the provider is asked for its addresses at the first sign-in. Errors: an address is not a URL. */
export function createOidc(options: OidcOptions): Oidc {
  const { issuer, clientId, clientSecret, redirect, newcomers, sealer } = options;
  const issuerUrl = new URL(issuer);
  const redirectUrl = new URL(redirect);
  const attributes = `Path=${redirectUrl.pathname}; HttpOnly; SameSite=Lax${redirectUrl.protocol === 'https:' ? '; Secure' : ''}`;
  let found: Promise<openid.Configuration> | undefined;

  const provider = async () => {
    // A provider on this machine may do without TLS.
    const isLocal = ['127.0.0.1', 'localhost', '[::1]'].includes(issuerUrl.hostname);
    found ??= openid.discovery(issuerUrl, clientId, clientSecret, undefined, {
      timeout: 5,
      ...(isLocal && { execute: [openid.allowInsecureRequests] }),
    });
    return found.catch((error: unknown) => {
      found = undefined;
      throw error;
    });
  };

  return {
    newcomers,
    endCookie: `${cookieName}=; ${attributes}; Max-Age=0`,
    start: () =>
      withMeaning(async () => {
        const flow = {
          state: openid.randomState(),
          nonce: openid.randomNonce(),
          verifier: openid.randomPKCECodeVerifier(),
          endsAt: Date.now() + flowSeconds * 1000,
        };
        const location = openid.buildAuthorizationUrl(await provider(), {
          redirect_uri: redirect,
          scope: 'openid profile email',
          code_challenge: await openid.calculatePKCECodeChallenge(flow.verifier),
          code_challenge_method: 'S256',
          state: flow.state,
          nonce: flow.nonce,
        });
        const sealed = sealer.seal(JSON.stringify(flow), cookieName);
        const cookie = `${cookieName}=${sealed}; ${attributes}; Max-Age=${flowSeconds}`;
        return { location: location.href, cookie };
      }),
    finish: ({ query, cookies }) =>
      withMeaning(async () => {
        const flow = openFlow(sealer, cookies);
        const config = await provider();
        const returnedTo = new URL(redirect);
        returnedTo.search = new URLSearchParams(query).toString();
        const tokens = await openid.authorizationCodeGrant(config, returnedTo, {
          expectedState: flow.state,
          expectedNonce: flow.nonce,
          pkceCodeVerifier: flow.verifier,
          idTokenExpected: true,
        });
        const claims = tokens.claims();
        if (claims === undefined) throw new Error('an ID token was expected and is not there');
        // Many providers tell the address and the name only there.
        const info = config.serverMetadata().userinfo_endpoint
          ? await openid.fetchUserInfo(config, tokens.access_token, claims.sub)
          : {};
        return toIdentity({ ...claims, ...info, iss: claims.iss, sub: claims.sub });
      }),
  };
}

/** The client that the settings say; undefined: none. Errors: the settings are not usable. */
export function oidcOf(config: Config, sealer: Sealer): Oidc | undefined {
  const { oidcIssuer, oidcClientId, oidcClientSecret, oidcRedirect, oidcNewcomers } = config;
  if (oidcIssuer === '') return undefined;
  const newcomers = newcomerRules.find((rule) => rule === oidcNewcomers);
  if (newcomers === undefined)
    throw new Error(`MC_OIDC_NEWCOMERS must be one of ${newcomerRules.join(', ')}`);
  if (!URL.canParse(oidcIssuer) || !URL.canParse(oidcRedirect) || oidcClientId === '')
    throw new Error('MC_OIDC_ISSUER needs MC_OIDC_CLIENT_ID, and MC_OIDC_REDIRECT as an address');
  return createOidc({
    issuer: oidcIssuer,
    clientId: oidcClientId,
    clientSecret: oidcClientSecret,
    redirect: oidcRedirect,
    newcomers,
    sealer,
  });
}

/** Errors: unauthorized (no such cookie, not ours, too old). */
function openFlow(sealer: Sealer, cookies = '') {
  const [, sealed] = new RegExp(`(?:^|; *)${cookieName}=([^;]+)`).exec(cookies) ?? [];
  const refusal = problem('unauthorized', {
    detail: 'This sign-in was not begun here, or over 10 minutes ago; begin at /v1/oidc/start.',
  });
  if (sealed === undefined) throw refusal;
  let flow: unknown;
  try {
    flow = JSON.parse(sealer.open(sealed, cookieName).toString('utf8'));
  } catch {
    throw refusal;
  }
  if (!flowValidator.check(flow) || flow.endsAt < Date.now()) throw refusal;
  return flow;
}

function toIdentity(
  claims: Readonly<Record<string, unknown>> & { iss: string; sub: string },
): Identity {
  const { iss, sub, name, email, email_verified: isVerified } = claims;
  return {
    issuer: iss,
    subject: sub,
    ...(typeof name === 'string' && name.trim() !== '' && { name: name.slice(0, 200) }),
    ...(typeof email === 'string' && isVerified === true && { email: email.toLowerCase() }),
  };
}

/** What the provider refuses, or what does not fit together, is `unauthorized`; a provider that does not answer is not. */
async function withMeaning<T>(call: () => Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (error) {
    if (
      error instanceof openid.AuthorizationResponseError ||
      error instanceof openid.ResponseBodyError
    )
      throw problem('unauthorized', {
        detail: `The identity provider says: ${error.error}.`,
        cause: error,
      });
    if (
      error instanceof openid.WWWAuthenticateChallengeError ||
      (error instanceof openid.ClientError && !isAway(error))
    )
      throw problem('unauthorized', {
        detail: 'The answer of the identity provider does not fit this sign-in; begin anew.',
        cause: error,
      });
    if (isAway(error))
      throw problem('identity-provider-unavailable', { retryAfterSeconds: 5, cause: error });
    throw error;
  }
}

function isAway(error: unknown): boolean {
  const { code } = error as { code?: string };
  return (
    code === 'OAUTH_TIMEOUT' ||
    code === 'OAUTH_RESPONSE_IS_NOT_CONFORM' ||
    code === 'OAUTH_RESPONSE_IS_NOT_JSON' ||
    (error instanceof TypeError && error.message === 'fetch failed')
  );
}
