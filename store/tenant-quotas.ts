/** Quotas of tenants; the default is none. */
import {
  defaultTenantQuotas,
  TenantQuotasEditSchema,
  type TenantQuotas,
  type TenantQuotasEdit,
} from '../contracts/tenant-quotas.ts';
import { createValidator } from '../platform/validate.ts';
import type { Database } from './database.ts';
import { createTenantDocuments, type TenantDocuments } from './tenant-documents.ts';

export type TenantQuotasTable = TenantDocuments<TenantQuotasEdit, TenantQuotas>;

const validator = createValidator(TenantQuotasEditSchema);

export function createTenantQuotas(db: Database): TenantQuotasTable {
  return createTenantDocuments(db, {
    table: 'tenantQuotas',
    column: 'quotas',
    what: 'quotas',
    validator,
    initial: defaultTenantQuotas,
  });
}
