/** What admin's routes work with. */
import type { TSchema } from 'typebox';
import type { Connector } from '../contracts/channel.ts';
import { problem, type FieldFault } from '../contracts/problems.ts';
import type { Logger } from '../platform/logger.ts';
import { createValidator, type Validator } from '../platform/validate.ts';
import type { Store } from '../store/index.ts';

/** The one caller there is until people have accounts of their own. */
export interface Administrator {
  readonly name: 'admin';
}

export interface AdminDeps {
  readonly store: Store;
  readonly connectors: ReadonlyMap<string, Connector>;
  readonly logger: Logger;
}

export const defaultTenantId = 'demo';

const validators = new WeakMap<TSchema, Validator>();

/** Faults of a value by a schema, which is compiled once. */
export function schemaFaults(schema: TSchema, value: unknown): FieldFault[] {
  let validator = validators.get(schema);
  if (validator === undefined) {
    validator = createValidator(schema);
    validators.set(schema, validator);
  }
  return validator.faults(value);
}

/** Throws validation-failed when there are faults. */
export function refuse(faults: readonly FieldFault[]): void {
  const [first] = faults;
  if (first === undefined) return;
  const more = faults.length > 1 ? ` (and ${faults.length - 1} more)` : '';
  throw problem('validation-failed', {
    detail: `${first.pointer} ${first.detail}${more}`,
    errors: faults,
  });
}

/** Errors: validation-failed that names the field which the tenant came in. */
export async function requireTenant(
  store: Store,
  tenantId: string,
  pointer: '/tenantId' | 'query/tenantId',
): Promise<void> {
  if ((await store.tenants.get(tenantId)) === undefined)
    refuse([{ pointer, detail: `names no tenant: there is no "${tenantId}"` }]);
}
