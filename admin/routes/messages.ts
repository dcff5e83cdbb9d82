/** What operators ask about messages. */
import type { Route } from '../../platform/http.ts';
import { deadLetterRoute, explainRoute, messageRoutes as routesOf } from '../../search/index.ts';
import { defaultTenantId, requireTenant, type AdminDeps, type Administrator } from '../deps.ts';

/** The routes; none where the process has no index. */
export function messageRoutes({ search, store }: AdminDeps): Route<Administrator>[] {
  if (search === undefined) return [];
  const deps = {
    ...search,
    store,
    audience: 'people',
    tenantOf: async ({ query: { tenantId = defaultTenantId } }) => {
      await requireTenant(store, tenantId, 'query/tenantId');
      return tenantId;
    },
  } as const satisfies Parameters<typeof explainRoute<Administrator>>[0];
  return [...routesOf(deps), deadLetterRoute(deps), explainRoute(deps)];
}
