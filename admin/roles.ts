/** What a person's grants come to. */
import { everyTenant, type Role } from '../contracts/users.ts';
import type { Administrator } from './deps.ts';

type Holder = Pick<Administrator, 'grants'>;

/** In which tenants a person has a role, or one that includes it; '*': in all of them. */
export function tenantsWith({ grants }: Holder, role: Role): '*' | readonly string[] {
  const tenants = grants
    .filter((grant) => role === 'viewer' || grant.role === role || grant.role === 'administrator')
    .map(({ tenantId }) => tenantId);
  return tenants.includes(everyTenant) ? '*' : [...new Set(tenants)];
}

/** Whether a person has a role in a tenant; the tenant '*' asks for all of them. */
export function hasRole(holder: Holder, role: Role, tenantId: string): boolean {
  const tenants = tenantsWith(holder, role);
  return tenants === '*' || tenants.includes(tenantId);
}
