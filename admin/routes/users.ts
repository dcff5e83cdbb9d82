/**
 * Users and their grants. An administrator of some tenants sees and gives grants of these alone; what concerns a user as a whole
 * (name, password, disabling, deleting) needs to administer everywhere the user has a grant.
 */
import { Type } from 'typebox';
import { problem } from '../../contracts/problems.ts';
import {
  everyTenant,
  LoginSchema,
  UserEditSchema,
  UserSchema,
  type Grant,
  type User,
  type UserEdit,
} from '../../contracts/users.ts';
import { route, type Route } from '../../platform/http.ts';
import { refuse, type AdminDeps, type Administrator } from '../deps.ts';
import { pageQuery, pageSchema, readPage } from '../../platform/pages.ts';
import { hasRole, tenantsWith } from '../roles.ts';
import { expectedVersion, ifMatchHeader, versioned } from '../../platform/versions.ts';

const ListQuerySchema = Type.Object(pageQuery, { additionalProperties: false });
const CreateSchema = Type.Object(
  { login: LoginSchema, ...UserEditSchema.properties },
  { additionalProperties: false },
);

const tag = 'People';
const params = { id: 'Id of the user: usr_…' };

/** The routes. */
export function userRoutes({ store, logger }: AdminDeps): Route<Administrator>[] {
  return [
    route<Administrator, typeof CreateSchema, typeof ListQuerySchema>({
      method: 'get',
      path: '/v1/users',
      operationId: 'listUsers',
      summary: 'Users with a grant in a tenant that you administer',
      tag,
      query: ListQuerySchema,
      responses: { 200: { description: 'A page, by id.', schema: pageSchema(UserSchema) } },
      problems: ['forbidden'],
      handle: async ({ query, caller }) => {
        const tenants = tenantsWith(caller, 'administrator');
        const among = tenants === '*' ? undefined : tenants;
        const page = await readPage(
          query,
          (wanted) => store.users.list({ ...wanted, among }),
          ({ id }) => id,
        );
        const items = page.items.map((user) => asSeenBy(caller, user));
        return { status: 200, body: { ...page, items } };
      },
    }),
    route<Administrator, typeof CreateSchema>({
      method: 'post',
      path: '/v1/users',
      operationId: 'createUser',
      summary: 'Create a user with grants',
      description: 'Without a password they can sign in by OIDC alone.',
      tag,
      body: CreateSchema,
      responses: {
        201: { description: 'Created; Location and ETag say where and what.', schema: UserSchema },
      },
      problems: ['name-taken', 'forbidden'],
      handle: async ({ body, caller, requestId }) => {
        requireGrantable(caller, body.grants);
        if (body.grants.length === 0 && !hasRole(caller, 'administrator', everyTenant))
          refuse([{ pointer: '/grants', detail: 'must have one: you would not see the user' }]);
        refuse(await tenantFaults(body.grants));
        const user = await store.users.create(body);
        logger.info({ userId: user.id, grants: user.grants, requestId }, 'user.created');
        return versioned(201, user, `/v1/users/${user.id}`);
      },
    }),
    route<Administrator>({
      method: 'get',
      path: '/v1/users/:id',
      operationId: 'getUser',
      summary: 'One user',
      tag,
      params,
      responses: {
        200: { description: 'With the grants that you administer.', schema: UserSchema },
      },
      problems: ['not-found', 'forbidden'],
      handle: async ({ params: { id = '' }, caller }) =>
        versioned(200, asSeenBy(caller, await seen(caller, id))),
    }),
    route<Administrator, typeof UserEditSchema>({
      method: 'put',
      path: '/v1/users/:id',
      operationId: 'replaceUser',
      summary: 'Change a user and their grants',
      description:
        'In force at the next call. `grants` replaces those of the tenants that you administer; others stay. Disabling, or a new password, ends every session and token of the user. Without `password` it stays.',
      tag,
      params,
      headers: ifMatchHeader,
      body: UserEditSchema,
      responses: { 200: { description: 'As it is now.', schema: UserSchema } },
      problems: ['not-found', 'forbidden', 'version-conflict', 'precondition-required'],
      handle: async ({ params: { id = '' }, headers, body, caller, requestId }) => {
        const version = expectedVersion(headers);
        const user = await seen(caller, id);
        requireGrantable(caller, body.grants);
        if (concernsWhole(user, body)) requireWhole(caller, user);
        refuse(await tenantFaults(body.grants));
        const hidden = user.grants.filter((grant) => !isGrantable(caller, grant));
        const edit = { ...body, grants: [...hidden, ...body.grants] };
        const edited = await store.users.update(id, version, edit);
        const { grants, isDisabled } = edited;
        logger.info({ userId: id, grants, isDisabled, requestId }, 'user.edited');
        return versioned(200, asSeenBy(caller, edited));
      },
    }),
    route<Administrator>({
      method: 'delete',
      path: '/v1/users/:id',
      operationId: 'deleteUser',
      summary: 'Delete a user',
      description: 'Sessions and tokens end at once. The audit log keeps what they did.',
      tag,
      params,
      headers: ifMatchHeader,
      responses: { 204: { description: 'Deleted.' } },
      problems: [
        'not-found',
        'forbidden',
        'version-conflict',
        'precondition-required',
        'validation-failed',
      ],
      handle: async ({ params: { id = '' }, headers, caller, requestId }) => {
        const version = expectedVersion(headers);
        requireWhole(caller, await seen(caller, id));
        await store.users.remove(id, version);
        logger.info({ userId: id, requestId }, 'user.deleted');
        return { status: 204 };
      },
    }),
  ];

  /** The user, if the caller administers a tenant of theirs. Errors: not-found. */
  async function seen(caller: Administrator, id: string): Promise<User> {
    const user = await store.users.get(id);
    const isSeen =
      hasRole(caller, 'administrator', everyTenant) ||
      user?.grants.some((grant) => isGrantable(caller, grant));
    if (user === undefined || isSeen !== true)
      throw problem('not-found', { detail: `There is no user with the id "${id}".` });
    return user;
  }

  async function tenantFaults(grants: readonly Grant[]) {
    const faults = await Promise.all(
      grants.map(async ({ tenantId }, at) =>
        tenantId === everyTenant || (await store.tenants.get(tenantId)) !== undefined
          ? []
          : [
              {
                pointer: `/grants/${at}/tenantId`,
                detail: `names no tenant: there is no "${tenantId}"`,
              },
            ],
      ),
    );
    return faults.flat();
  }
}

const isGrantable = (caller: Administrator, { tenantId }: Grant) =>
  hasRole(caller, 'administrator', tenantId);

function asSeenBy(caller: Administrator, user: User): User {
  return { ...user, grants: user.grants.filter((grant) => isGrantable(caller, grant)) };
}

/** Errors: forbidden, that names the grant which is not the caller's to give. */
function requireGrantable(caller: Administrator, grants: readonly Grant[]): void {
  const at = grants.findIndex((grant) => !isGrantable(caller, grant));
  const grant = grants[at];
  if (grant === undefined) return;
  const where = grant.tenantId === everyTenant ? 'all tenants' : `tenant "${grant.tenantId}"`;
  throw problem('forbidden', {
    detail: `This grant needs the role administrator in ${where}.`,
    errors: [{ pointer: `/grants/${at}`, detail: 'is not yours to give' }],
  });
}

function concernsWhole(user: User, edit: UserEdit): boolean {
  return (
    edit.password !== undefined ||
    edit.name !== user.name ||
    (edit.isDisabled === true) !== user.isDisabled
  );
}

function requireWhole(caller: Administrator, user: User): void {
  if (hasRole(caller, 'administrator', everyTenant)) return;
  if (user.grants.every((grant) => isGrantable(caller, grant))) return;
  throw problem('forbidden', {
    detail: 'This needs the role administrator in every tenant that the user has a grant of.',
  });
}
