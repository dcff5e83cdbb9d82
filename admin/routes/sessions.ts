/** Sessions: a login gives a bearer token, which ends when it is told to, expires, or its user is disabled. */
import { Type } from 'typebox';
import { problem } from '../../contracts/problems.ts';
import { LoginSchema, SessionSchema, UserSchema } from '../../contracts/users.ts';
import { route, type Route } from '../../platform/http.ts';
import type { AdminDeps, Administrator } from '../deps.ts';

/** A working day, so that nobody signs in twice in one. */
export const sessionMs = 12 * 3_600_000;

const CreateSchema = Type.Object(
  { login: LoginSchema, password: Type.String({ minLength: 1, maxLength: 256 }) },
  { additionalProperties: false },
);
export const SignedInSchema = Type.Object({
  token: Type.String({
    description: 'Bearer token `mcs_…`: shown this once, kept only as a hash.',
  }),
  expiresAt: SessionSchema.properties.expiresAt,
  user: UserSchema,
});

const tag = 'People';

/** The routes. */
export function sessionRoutes({ store, logger }: AdminDeps): Route<Administrator>[] {
  return [
    route<Administrator, typeof CreateSchema>({
      method: 'post',
      path: '/v1/sessions',
      operationId: 'createSession',
      summary: 'Sign in',
      description:
        'Gives a bearer token for 12 hours. Ten tries of one login in 5 minutes, wherever they come from; then Retry-After says when.',
      tag,
      auth: 'none',
      body: CreateSchema,
      responses: { 201: { description: 'Signed in.', schema: SignedInSchema } },
      problems: ['unauthorized', 'rate-limited', 'store-unavailable'],
      handle: async ({ body: { login, password }, requestId }) => {
        const user = await verifyPassword(store, login, password);
        if (user === undefined)
          throw problem('unauthorized', { detail: 'Login or password is wrong.' });
        const expiresAt = new Date(Date.now() + sessionMs);
        const { id, token } = await store.sessions.create({
          userId: user.id,
          kind: 'session',
          expiresAt,
        });
        logger.info({ userId: user.id, sessionId: id, requestId }, 'session.created');
        return {
          status: 201,
          body: { token, expiresAt: expiresAt.toISOString(), user },
          headers: { 'cache-control': 'no-store' },
        };
      },
    }),
    route<Administrator>({
      method: 'delete',
      path: '/v1/sessions/current',
      operationId: 'deleteCurrentSession',
      summary: 'Sign out',
      description: 'Ends the session or token that the call is made with, at once.',
      tag,
      responses: { 204: { description: 'Ended.' } },
      problems: ['not-found'],
      handle: async ({ caller: { id, session } }) => {
        if (session === undefined)
          throw problem('not-found', { detail: 'MC_ADMIN_TOKEN is no session.' });
        await store.sessions.revoke(id, session.id);
        return { status: 204 };
      },
    }),
  ];
}

/** Whose password it is. Errors: rate-limited, also for one that is right. */
export async function verifyPassword(store: AdminDeps['store'], login: string, password: string) {
  const retryAfterSeconds = await store.loginTries.spend(login);
  if (retryAfterSeconds !== undefined)
    throw problem('rate-limited', {
      retryAfterSeconds,
      detail: 'This login was tried too often; Retry-After says when it may be tried again.',
    });
  const user = await store.users.verify(login, password);
  if (user !== undefined) await store.loginTries.forget(login);
  return user;
}
