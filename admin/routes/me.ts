/** What people do for themselves: who am I, another password, tokens for programs. */
import { Type } from 'typebox';
import { problem } from '../../contracts/problems.ts';
import { GrantSchema, NewPasswordSchema, SessionSchema } from '../../contracts/users.ts';
import { route, type Route } from '../../platform/http.ts';
import type { AdminDeps, Administrator } from '../deps.ts';
import { verifyPassword } from './sessions.ts';

const MeSchema = Type.Object({
  id: Type.String(),
  login: Type.Optional(Type.String()),
  name: Type.String(),
  grants: Type.Array(GrantSchema),
});
const ChangePasswordSchema = Type.Object(
  {
    currentPassword: Type.String({ minLength: 1, maxLength: 256 }),
    newPassword: NewPasswordSchema,
  },
  { additionalProperties: false },
);
const CreateTokenSchema = Type.Object(
  {
    name: Type.String({
      minLength: 1,
      maxLength: 200,
      pattern: '\\S',
      description: 'What it is for.',
    }),
    expiresInDays: Type.Optional(
      Type.Integer({ minimum: 1, maximum: 365, description: 'Default 90.' }),
    ),
  },
  { additionalProperties: false },
);
const NewTokenSchema = Type.Object({
  ...SessionSchema.properties,
  token: Type.String({
    description: 'Bearer token `mcs_…`: shown this once, kept only as a hash.',
  }),
});

const tag = 'People';
const defaultTokenDays = 90;
const dayMs = 86_400_000;

/** The routes. */
export function meRoutes({ store, logger }: AdminDeps): Route<Administrator>[] {
  return [
    route<Administrator>({
      method: 'get',
      path: '/v1/me',
      operationId: 'getMe',
      summary: 'Who the caller is, and what they may do where',
      tag,
      responses: { 200: { description: 'The caller.', schema: MeSchema } },
      problems: [],
      handle: async ({ caller: { id, name, grants, session } }) => {
        const user = session === undefined ? undefined : await store.users.get(id);
        return { status: 200, body: { id, ...(user && { login: user.login }), name, grants } };
      },
    }),
    route<Administrator, typeof ChangePasswordSchema>({
      method: 'post',
      path: '/v1/me/password',
      operationId: 'changePassword',
      summary: 'Change your password',
      description: 'Ends all your sessions and tokens, this one too: sign in again.',
      tag,
      body: ChangePasswordSchema,
      responses: { 204: { description: 'Changed.' } },
      problems: ['forbidden', 'rate-limited'],
      handle: async ({ caller, body: { currentPassword, newPassword }, requestId }) => {
        requirePerson(caller);
        const user = await store.users.get(caller.id);
        if (
          user === undefined ||
          (await verifyPassword(store, user.login, currentPassword)) === undefined
        )
          throw problem('validation-failed', {
            detail: '/currentPassword is wrong',
            errors: [{ pointer: '/currentPassword', detail: 'is wrong' }],
          });
        const { id, version, name, grants, isDisabled } = user;
        await store.users.update(id, version, { name, grants, isDisabled, password: newPassword });
        logger.info({ userId: id, requestId }, 'user.password-changed');
        return { status: 204 };
      },
    }),
    route<Administrator>({
      method: 'get',
      path: '/v1/me/tokens',
      operationId: 'listTokens',
      summary: 'Your live sessions and tokens',
      tag,
      responses: {
        200: { description: 'All.', schema: Type.Object({ items: Type.Array(SessionSchema) }) },
      },
      problems: [],
      handle: async ({ caller }) => ({
        status: 200,
        body: { items: await store.sessions.list(caller.id) },
      }),
    }),
    route<Administrator, typeof CreateTokenSchema>({
      method: 'post',
      path: '/v1/me/tokens',
      operationId: 'createToken',
      summary: 'Make a token for a program of yours',
      description: 'It may do what you may, except making tokens and changing the password.',
      tag,
      body: CreateTokenSchema,
      responses: { 201: { description: 'Made; the only sight of it.', schema: NewTokenSchema } },
      problems: ['forbidden'],
      handle: async ({ caller, body: { name, expiresInDays = defaultTokenDays }, requestId }) => {
        requirePerson(caller);
        const expiresAt = new Date(Date.now() + expiresInDays * dayMs);
        const made = await store.sessions.create({
          userId: caller.id,
          kind: 'token',
          name,
          expiresAt,
        });
        logger.info({ userId: caller.id, sessionId: made.id, requestId }, 'token.created');
        return { status: 201, body: made, headers: { 'cache-control': 'no-store' } };
      },
    }),
    route<Administrator>({
      method: 'delete',
      path: '/v1/me/tokens/:id',
      operationId: 'revokeToken',
      summary: 'End a session or token of yours, at once',
      tag,
      params: { id: 'Id of the session or token: the middle part of it.' },
      responses: { 204: { description: 'Ended.' } },
      problems: ['not-found'],
      handle: async ({ caller, params: { id = '' } }) => {
        if (!(await store.sessions.revoke(caller.id, id)))
          throw problem('not-found', { detail: `You have no live session or token "${id}".` });
        return { status: 204 };
      },
    }),
  ];
}

/** A program cannot prolong its own life, nor take its person's place. Errors: forbidden. */
function requirePerson({ session }: Administrator): void {
  if (session?.kind !== 'session')
    throw problem('forbidden', { detail: 'This needs a session: sign in with a password.' });
}
