/** What admin's routes work with. */
import type { TSchema } from 'typebox';
import type { Connector } from '../contracts/channel.ts';
import { problem, type FieldFault } from '../contracts/problems.ts';
import type { Grant, Session } from '../contracts/users.ts';
import type { Logger } from '../platform/logger.ts';
import { createValidator, type Validator } from '../platform/validate.ts';
import type { ExplainDeps, ReplayDeps, SearchDeps } from '../search/index.ts';
import type { Store } from '../store/index.ts';
import type { Oidc } from './oidc.ts';

/** Who calls: `admin` is the holder of MC_ADMIN_TOKEN, everybody else a user by a session or token. */
export interface Administrator {
  readonly id: string;
  readonly name: string;
  readonly grants: readonly Grant[];
  readonly session?: Pick<Session, 'id' | 'kind'>;
}

export interface AdminDeps {
  readonly store: Store;
  readonly connectors: ReadonlyMap<string, Connector>;
  readonly logger: Logger;
  /** Absent: nobody signs in by an identity provider. */
  readonly oidc?: Oidc | undefined;
  /** What is known of messages; absent: the routes about messages are left out. */
  readonly search?: AdminSearch;
}

export type AdminSearch = Omit<
  SearchDeps<Administrator> & ExplainDeps<Administrator> & Pick<ReplayDeps, 'openRequest'>,
  'tenantOf' | 'audience' | 'store'
>;

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

/** For a tenant in the path. Errors: not-found. */
export async function requireTenantOfPath(store: Store, id: string): Promise<void> {
  if ((await store.tenants.get(id)) === undefined)
    throw problem('not-found', { detail: `There is no tenant "${id}".` });
}
