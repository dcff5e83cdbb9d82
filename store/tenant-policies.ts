/** Policies of tenants: quiet hours, frequency caps, weight. */
import {
  defaultTenantPolicy,
  TenantPolicyEditSchema,
  type TenantPolicy,
  type TenantPolicyEdit,
} from '../contracts/tenant-policy.ts';
import { createValidator } from '../platform/validate.ts';
import type { Database } from './database.ts';
import { createTenantDocuments, type TenantDocuments } from './tenant-documents.ts';

export type TenantPolicies = TenantDocuments<TenantPolicyEdit, TenantPolicy>;

const validator = createValidator(TenantPolicyEditSchema);

export function createTenantPolicies(db: Database): TenantPolicies {
  return createTenantDocuments(db, {
    table: 'tenantPolicies',
    column: 'policy',
    what: 'policy',
    validator,
    initial: defaultTenantPolicy,
  });
}
