/** Tenants and their API keys: what a service needs to connect. */
import { Type } from 'typebox';
import { apiScopes, ApiScopesSchema } from '../../contracts/api-scopes.ts';
import { NameSchema } from '../../contracts/message.ts';
import { problem } from '../../contracts/problems.ts';
import { route, type Route } from '../../platform/http.ts';
import { refuse, requireTenantOfPath, type AdminDeps, type Administrator } from '../deps.ts';
import { pageQuery, pageSchema, readPage } from '../../platform/pages.ts';
import { tenantsWith } from '../roles.ts';

const LabelSchema = Type.String({
  minLength: 1,
  maxLength: 200,
  pattern: '\\S',
  description: 'For people.',
});
const TenantSchema = Type.Object({
  id: NameSchema,
  name: Type.String(),
  createdAt: Type.String(),
});
const CreateTenantSchema = Type.Object(
  { id: NameSchema, name: LabelSchema },
  { additionalProperties: false },
);
const ListQuerySchema = Type.Object(pageQuery, { additionalProperties: false });
const CreateKeySchema = Type.Object(
  {
    name: LabelSchema,
    scopes: Type.Optional(ApiScopesSchema),
    expiresAt: Type.Optional(
      Type.String({
        format: 'date-time',
        description: 'Not taken any more from then on; default: never.',
        examples: ['2027-12-31T00:00:00Z'],
      }),
    ),
  },
  { additionalProperties: false },
);
const KeySchema = Type.Object({
  id: Type.String(),
  tenantId: Type.String(),
  name: Type.String(),
  scopes: Type.Array(Type.Enum([...apiScopes])),
  createdAt: Type.String(),
  expiresAt: Type.Optional(Type.String()),
  revokedAt: Type.Optional(Type.String()),
  lastUsedAt: Type.Optional(Type.String({ description: 'To the minute.' })),
});
const NewKeySchema = Type.Object({
  ...KeySchema.properties,
  key: Type.String({
    description: 'The key itself, `mck_…`: shown this once, kept only as a hash.',
  }),
});

const tag = 'Tenants';
const tenantParam = { id: 'Id of the tenant.' };

/** The routes of tenants and their keys. */
export function tenantRoutes({ store, logger }: AdminDeps): Route<Administrator>[] {
  return [
    route<Administrator, typeof CreateTenantSchema, typeof ListQuerySchema>({
      method: 'get',
      path: '/v1/tenants',
      operationId: 'listTenants',
      summary: 'Tenants, by id',
      tag,
      query: ListQuerySchema,
      responses: { 200: { description: 'A page.', schema: pageSchema(TenantSchema) } },
      problems: [],
      handle: async ({ query, caller }) => {
        const seen = tenantsWith(caller, 'viewer');
        const among = seen === '*' ? undefined : seen;
        return {
          status: 200,
          body: await readPage(
            query,
            (page) => store.tenants.list({ ...page, among }),
            (tenant) => tenant.id,
          ),
        };
      },
    }),
    route<Administrator, typeof CreateTenantSchema>({
      method: 'post',
      path: '/v1/tenants',
      operationId: 'createTenant',
      summary: 'Create a tenant',
      tag,
      body: CreateTenantSchema,
      responses: { 201: { description: 'Created.', schema: TenantSchema } },
      problems: ['name-taken'],
      handle: async ({ body, requestId }) => {
        const tenant = await store.tenants.create(body.id, body.name);
        logger.info({ tenantId: tenant.id, requestId }, 'tenant.created');
        return { status: 201, body: tenant };
      },
    }),
    route<Administrator>({
      method: 'get',
      path: '/v1/tenants/:id/api-keys',
      operationId: 'listApiKeys',
      summary: 'API keys of a tenant, revoked ones too, without their secrets',
      tag,
      params: tenantParam,
      responses: {
        200: { description: 'All.', schema: Type.Object({ items: Type.Array(KeySchema) }) },
      },
      problems: ['not-found'],
      handle: async ({ params: { id = '' } }) => {
        await requireTenantOfPath(store, id);
        return { status: 200, body: { items: await store.apiKeys.list(id) } };
      },
    }),
    route<Administrator, typeof CreateKeySchema>({
      method: 'post',
      path: '/v1/tenants/:id/api-keys',
      operationId: 'createApiKey',
      summary: 'Create an API key for a service',
      description:
        'Two keys of one name may be live at a time: make the new one, give it to the service, revoke the old one.',
      tag,
      params: tenantParam,
      body: CreateKeySchema,
      responses: { 201: { description: 'Created; the only sight of it.', schema: NewKeySchema } },
      problems: ['not-found', 'too-many-keys'],
      handle: async ({ params: { id = '' }, body, requestId }) => {
        await requireTenantOfPath(store, id);
        const { expiresAt, ...wanted } = body;
        if (expiresAt !== undefined && Date.parse(expiresAt) <= Date.now())
          refuse([{ pointer: '/expiresAt', detail: 'is in the past' }]);
        const created = await store.apiKeys.create(id, {
          ...wanted,
          ...(expiresAt !== undefined && { expiresAt: new Date(expiresAt) }),
        });
        const { scopes } = created;
        logger.info({ tenantId: id, keyId: created.id, scopes, requestId }, 'api-key.created');
        return { status: 201, body: created, headers: { 'cache-control': 'no-store' } };
      },
    }),
    route<Administrator>({
      method: 'delete',
      path: '/v1/tenants/:id/api-keys/:keyId',
      operationId: 'revokeApiKey',
      summary: 'Revoke an API key',
      description: 'In force everywhere within 2 seconds.',
      tag,
      params: { ...tenantParam, keyId: 'Id of the key: the middle part of it.' },
      responses: { 204: { description: 'Revoked.' } },
      problems: ['not-found'],
      handle: async ({ params: { id = '', keyId = '' }, requestId }) => {
        if (!(await store.apiKeys.revoke(id, keyId)))
          throw problem('not-found', { detail: `Tenant "${id}" has no live key "${keyId}".` });
        logger.info({ tenantId: id, keyId, requestId }, 'api-key.revoked');
        return { status: 204 };
      },
    }),
  ];
}
