/** People who administer: users, what they may do where, and how they sign in. Carried by: admin → MySQL. */
import { Type, type Static } from 'typebox';

/** Each but viewer includes viewer; administrator includes all. */
export const roles = ['viewer', 'operator', 'editor', 'approver', 'administrator'] as const;
export type Role = (typeof roles)[number];

/** The tenant of a grant that is for every tenant, those to come too. */
export const everyTenant = '*';

export const GrantSchema = Type.Object(
  {
    role: Type.Enum([...roles], {
      description:
        'viewer: reads. operator: stops, redrives, verifies. editor: templates. approver: publishes. administrator: all, and grants. Each reads.',
    }),
    tenantId: Type.String({
      pattern: '^(\\*|[a-z0-9][a-z0-9._-]{0,63})$',
      description: 'Id of a tenant, or * for all of them.',
    }),
  },
  { additionalProperties: false },
);
export type Grant = Static<typeof GrantSchema>;

export const LoginSchema = Type.String({
  pattern: '^[a-z0-9][a-z0-9._@+-]{0,99}$',
  description: 'Lower-case letters, digits and . _ @ + -; 1 to 100 characters.',
  examples: ['li.lei'],
});
export const NewPasswordSchema = Type.String({
  minLength: 12,
  maxLength: 256,
  description: '12 to 256 characters.',
});
const DisplayNameSchema = Type.String({
  minLength: 1,
  maxLength: 200,
  pattern: '\\S',
  description: 'What people call them.',
});

export const UserEditSchema = Type.Object(
  {
    name: DisplayNameSchema,
    isDisabled: Type.Optional(
      Type.Boolean({ description: 'True: cannot sign in, and what is signed in ends at once.' }),
    ),
    password: Type.Optional(NewPasswordSchema),
    grants: Type.Array(GrantSchema, { maxItems: 200, uniqueItems: true }),
  },
  { additionalProperties: false },
);
export type UserEdit = Static<typeof UserEditSchema>;

export const UserSchema = Type.Object({
  id: Type.String({ examples: ['usr_9x1c7k2m4p8q0r5t'] }),
  login: Type.String(),
  name: Type.String(),
  isDisabled: Type.Boolean(),
  hasPassword: Type.Boolean({ description: 'False: signs in elsewhere (OIDC), or not yet.' }),
  grants: Type.Array(GrantSchema),
  version: Type.Integer(),
  createdAt: Type.String({ format: 'date-time' }),
  updatedAt: Type.String({ format: 'date-time' }),
});
export type User = Static<typeof UserSchema>;

/** session: from a login. token: made by a person for a program. */
export const sessionKinds = ['session', 'token'] as const;

export const SessionSchema = Type.Object({
  id: Type.String({ description: 'The middle part of the bearer token.' }),
  kind: Type.Enum([...sessionKinds]),
  name: Type.Optional(Type.String({ description: 'Of a token.' })),
  createdAt: Type.String({ format: 'date-time' }),
  expiresAt: Type.String({ format: 'date-time' }),
  lastUsedAt: Type.Optional(Type.String({ format: 'date-time', description: 'To the minute.' })),
});
export type Session = Static<typeof SessionSchema>;
