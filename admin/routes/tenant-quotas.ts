/** How many messages a tenant may send, by second, day and lane. */
import { TenantQuotasEditSchema, TenantQuotasSchema } from '../../contracts/tenant-quotas.ts';
import { route, type Route } from '../../platform/http.ts';
import { requireTenantOfPath, type AdminDeps, type Administrator } from '../deps.ts';
import { expectedVersion, ifMatchHeader, versioned } from '../../platform/versions.ts';

const tag = 'Tenants';
const path = '/v1/tenants/:id/quotas';
const params = { id: 'Id of the tenant.' };

/** The routes. */
export function tenantQuotaRoutes({ store, logger }: AdminDeps): Route<Administrator>[] {
  return [
    route<Administrator>({
      method: 'get',
      path,
      operationId: 'getTenantQuotas',
      summary: 'How many messages a tenant may send',
      description: 'One that was never edited has none, version 1.',
      tag,
      params,
      responses: { 200: { description: 'The quotas.', schema: TenantQuotasSchema } },
      problems: ['not-found'],
      handle: async ({ params: { id = '' } }) => {
        await requireTenantOfPath(store, id);
        return versioned(200, await store.tenantQuotas.get(id));
      },
    }),
    route<Administrator, typeof TenantQuotasEditSchema>({
      method: 'put',
      path,
      operationId: 'putTenantQuotas',
      summary: "Replace a tenant's quotas",
      description:
        'What is left out has no limit. In force within 2 seconds; what was accepted today counts.',
      tag,
      params,
      headers: ifMatchHeader,
      body: TenantQuotasEditSchema,
      responses: { 200: { description: 'Replaced.', schema: TenantQuotasSchema } },
      problems: ['not-found', 'version-conflict', 'precondition-required'],
      handle: async ({ params: { id = '' }, headers, body, requestId }) => {
        await requireTenantOfPath(store, id);
        const quotas = await store.tenantQuotas.put(id, expectedVersion(headers), body);
        logger.info({ tenantId: id, version: quotas.version, requestId }, 'tenant-quotas.edited');
        return versioned(200, quotas);
      },
    }),
  ];
}
