/** Webhook endpoints as administrators see them: tenants make and edit them themselves. */
import { Type } from 'typebox';
import { NameSchema } from '../../contracts/message.ts';
import { problem } from '../../contracts/problems.ts';
import { WebhookEndpointSchema } from '../../contracts/webhooks.ts';
import { route, type Reply, type Route } from '../../platform/http.ts';
import { defaultTenantId, requireTenant, type AdminDeps, type Administrator } from '../deps.ts';
import { pageQuery, pageSchema, readPage } from '../../platform/pages.ts';
import { versioned } from '../../platform/versions.ts';

const ListQuerySchema = Type.Object(
  {
    tenantId: Type.Optional(
      Type.String({ ...NameSchema, description: `Default ${defaultTenantId}.` }),
    ),
    ...pageQuery,
  },
  { additionalProperties: false },
);
const DisableSchema = Type.Object(
  {
    reason: Type.String({
      minLength: 1,
      maxLength: 200,
      pattern: '\\S',
      description: 'Why, for the tenant to read.',
    }),
  },
  { additionalProperties: false },
);

const tag = 'Webhook endpoints';
const params = { id: 'Id of the endpoint: whe_…' };

/** The routes. */
export function webhookEndpointRoutes({ store, logger }: AdminDeps): Route<Administrator>[] {
  const reply = async (id: string): Promise<Reply> => {
    const endpoint = await store.webhookEndpoints.find(id);
    if (endpoint === undefined)
      throw problem('not-found', { detail: `There is no webhook endpoint with the id "${id}".` });
    return versioned(200, endpoint);
  };
  return [
    route<Administrator, never, typeof ListQuerySchema>({
      method: 'get',
      path: '/v1/webhook-endpoints',
      operationId: 'listWebhookEndpoints',
      summary: "A tenant's webhook endpoints",
      tag,
      query: ListQuerySchema,
      responses: { 200: { description: 'A page.', schema: pageSchema(WebhookEndpointSchema) } },
      problems: [],
      handle: async ({ query }) => {
        const { tenantId = defaultTenantId } = query;
        await requireTenant(store, tenantId, 'query/tenantId');
        const page = await readPage(
          query,
          (wanted) => store.webhookEndpoints.list(tenantId, wanted),
          ({ id }) => id,
        );
        return { status: 200, body: page };
      },
    }),
    route<Administrator, typeof DisableSchema>({
      method: 'post',
      path: '/v1/webhook-endpoints/:id/disable',
      operationId: 'disableWebhookEndpoint',
      summary: 'Send nothing more to an endpoint',
      description: 'In force within 2 seconds. Its tenant cannot enable it.',
      tag,
      params,
      body: DisableSchema,
      responses: { 200: { description: 'Disabled.', schema: WebhookEndpointSchema } },
      problems: ['not-found'],
      handle: async ({ params: { id = '' }, body: { reason }, requestId }) => {
        await store.webhookEndpoints.disable(id, { code: 'by-administrator', detail: reason });
        const replied = await reply(id);
        logger.info({ endpointId: id, requestId }, 'webhook-endpoint.disabled-by-hand');
        return replied;
      },
    }),
    route<Administrator>({
      method: 'post',
      path: '/v1/webhook-endpoints/:id/enable',
      operationId: 'enableWebhookEndpoint',
      summary: 'Let an endpoint go on',
      description: 'Whoever or whatever disabled it. What waits for it is sent.',
      tag,
      params,
      responses: { 200: { description: 'Enabled.', schema: WebhookEndpointSchema } },
      problems: ['not-found'],
      handle: async ({ params: { id = '' }, requestId }) => {
        await store.webhookEndpoints.enable(id);
        const replied = await reply(id);
        logger.info({ endpointId: id, requestId }, 'webhook-endpoint.enabled-by-hand');
        return replied;
      },
    }),
  ];
}
