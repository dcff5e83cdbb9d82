/** Sign-in at the company's identity provider (OpenID Connect). Off unless MC_OIDC_ISSUER is set. */
import { createHash } from 'node:crypto';
import { Type } from 'typebox';
import { problem } from '../../contracts/problems.ts';
import { LoginSchema, type User } from '../../contracts/users.ts';
import { route, type Route } from '../../platform/http.ts';
import { schemaFaults, type AdminDeps, type Administrator } from '../deps.ts';
import type { Identity, NewcomerRule } from '../oidc.ts';
import { sessionMs, SignedInSchema } from './sessions.ts';

/** Printable ASCII, as the protocol has it; all of it fits into the head of a request. */
const text = (description: string, maxLength = 512) =>
  Type.Optional(Type.String({ pattern: '^[\\x20-\\x7e]*$', maxLength, description }));
/** Providers add parameters of their own. */
const CallbackQuerySchema = Type.Object({
  code: text('From the provider.', 2048),
  state: text('From the provider.'),
  iss: text('From the provider.'),
  error: text('From the provider, when it refused.'),
  error_description: text('From the provider.'),
});

const tag = 'People';

/** The routes. */
export function oidcRoutes({ store, oidc, logger }: AdminDeps): Route<Administrator>[] {
  const requireOidc = () => {
    if (oidc === undefined)
      throw problem('not-found', {
        detail: 'There is no identity provider: MC_OIDC_ISSUER is not set.',
      });
    return oidc;
  };
  return [
    route<Administrator>({
      method: 'get',
      path: '/v1/oidc/start',
      operationId: 'startOidc',
      summary: 'Sign in at the identity provider: open it in a browser',
      tag,
      auth: 'none',
      responses: { 302: { description: 'To the identity provider.' } },
      problems: ['not-found', 'identity-provider-unavailable'],
      handle: async () => {
        const { location, cookie } = await requireOidc().start();
        const headers = { location, 'set-cookie': cookie, 'cache-control': 'no-store' };
        return { status: 302, headers };
      },
    }),
    route<Administrator, never, typeof CallbackQuerySchema>({
      method: 'get',
      path: '/v1/oidc/callback',
      operationId: 'finishOidc',
      summary: 'Where the identity provider sends the browser back',
      tag,
      auth: 'none',
      query: CallbackQuerySchema,
      responses: { 200: { description: 'Signed in.', schema: SignedInSchema } },
      problems: ['unauthorized', 'not-found', 'identity-provider-unavailable', 'store-unavailable'],
      handle: async ({ query: { code, state, iss, error }, headers, requestId }) => {
        const provider = requireOidc();
        const given = Object.entries({ code, state, iss, error }).filter(
          (entry): entry is [string, string] => entry[1] !== undefined,
        );
        const query = Object.fromEntries(given);
        const identity = await provider
          .finish({ query, cookies: headers['cookie'] })
          .catch((error: Error) => {
            // Its words alone: what hangs on it may hold the provider's tokens.
            let innermost: unknown = error;
            while (innermost instanceof Error && innermost.cause instanceof Error)
              innermost = innermost.cause;
            const { code, message } = innermost as Error & { code?: string };
            logger.warn({ code, detail: message, requestId }, 'oidc.refused');
            throw error;
          });
        const user = await userOf(identity, provider.newcomers);
        if (user === undefined || user.isDisabled)
          throw problem('unauthorized', {
            detail: 'You are not a user here: ask an administrator.',
          });
        const expiresAt = new Date(Date.now() + sessionMs);
        const { id, token } = await store.sessions.create({
          userId: user.id,
          kind: 'session',
          expiresAt,
        });
        logger.info({ userId: user.id, sessionId: id, requestId }, 'session.created');
        return {
          status: 200,
          body: { token, expiresAt: expiresAt.toISOString(), user },
          headers: { 'set-cookie': provider.endCookie, 'cache-control': 'no-store' },
        };
      },
    }),
  ];

  /** The user of an identity; whom we do not know yet, by the rule. */
  async function userOf(identity: Identity, rule: NewcomerRule): Promise<User | undefined> {
    const { issuer, subject, email, name } = identity;
    const known = await store.users.findByIdentity(issuer, subject);
    if (known !== undefined || rule === 'refuse') return known;
    const named = email === undefined ? undefined : await store.users.findByLogin(email);
    if (named !== undefined) {
      // A person with a password is let in by it: the provider has no word there.
      if (named.hasPassword || named.isDisabled) return undefined;
      await store.users.linkIdentity(named.id, { issuer, subject });
      return store.users.findByIdentity(issuer, subject);
    }
    if (rule === 'link') return undefined;
    const isLogin = email !== undefined && schemaFaults(LoginSchema, email).length === 0;
    const hash = createHash('sha256')
      .update(JSON.stringify([issuer, subject]))
      .digest('hex');
    const login = isLogin ? email : `oidc.${hash.slice(0, 16)}`;
    return store.users.create({
      login,
      name: name ?? login,
      grants: [],
      identity: { issuer, subject },
    });
  }
}
