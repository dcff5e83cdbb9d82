/** Holds every call to the table of permissions: the role first, then the tenant, before the handler sees it. */
import { problem } from '../contracts/problems.ts';
import { everyTenant, type Role } from '../contracts/users.ts';
import type { Route, RouteInput } from '../platform/http.ts';
import type { Store } from '../store/index.ts';
import { refuse, type Administrator } from './deps.ts';
import { owners, permissions, type Mention, type Permission } from './permissions.ts';
import { hasRole, tenantsWith } from './roles.ts';

export type Input = RouteInput<unknown, unknown, Administrator>;

/** What is held of an operation that the table does not have. */
const unlisted: Permission = { role: 'administrator', tenant: { in: 'installation' } };

/** The permission that an operation needs. */
export function permissionOf({ operationId }: Pick<Route, 'operationId'>): Permission {
  return Object.hasOwn(permissions, operationId)
    ? (permissions[operationId] ?? unlisted)
    : unlisted;
}

/** Before the body is read. Errors: forbidden (nowhere the role that is needed; names it). */
export function permitRole(entry: Pick<Route, 'operationId'>, caller: Administrator): void {
  const { role, tenant } = permissionOf(entry);
  if (role === undefined) return;
  const tenants = tenantsWith(caller, role);
  if (tenants === '*') return;
  if (tenant.in === 'installation') throw lacking(role);
  if (tenants.length === 0) throw problem('forbidden', { detail: `This needs the role ${role}.` });
}

/**
 * The call as the handler may see it, its tenant in its place, and that tenant where there is one. To whom a tenant or a thing
 * is not to be seen, it is not there. Errors: not-found, validation-failed (the tenant), forbidden.
 */
export async function permit(
  store: Store,
  entry: Route<Administrator>,
  input: Input,
): Promise<{ readonly input: Input; readonly tenantId?: string | undefined }> {
  const { role, tenant } = permissionOf(entry);
  const { caller } = input;
  switch (tenant.in) {
    case 'installation':
    case 'nothing':
    case 'grants':
      return { input };
    case 'path': {
      const id = input.params[tenant.param] ?? '';
      const tenantId = await owners[tenant.kind](store, id);
      const reach = reachOf(caller, role, tenantId);
      if (reach === 'unseen')
        throw problem('not-found', { detail: `There is no ${words(tenant.kind)} "${id}".` });
      if (reach === 'lacking') throw lacking(role, tenantId);
      return { input, tenantId };
    }
    case 'query': {
      const { query } = input as { query: { tenantId?: string } };
      const pointer = 'query/tenantId';
      const tenantId = choose(caller, role, { asked: query.tenantId, pointer });
      return { input: { ...input, query: { ...query, ...tenantId } }, ...tenantId };
    }
    case 'body': {
      // A body of bytes says nothing of a tenant.
      const { body = {} } = input as { body?: { tenantId?: string } };
      let asked = body.tenantId;
      for (const mention of tenant.mentions?.(body as never) ?? []) {
        const owner = await owners[mention.kind](store, mention.id);
        requireNamed(caller, role, { ...mention, owner });
        // Who has all tenants means what they say.
        if (tenantsWith(caller, role ?? 'viewer') !== '*') asked ??= owner;
      }
      const tenantId = choose(caller, role, { asked, pointer: '/tenantId' });
      return { input: { ...input, body: { ...body, ...tenantId } }, ...tenantId };
    }
  }
}

/** The tenant that is asked for, or the caller's only one; nothing: all are theirs, and none is asked for. */
function choose(
  caller: Administrator,
  role: Role | undefined,
  { asked, pointer }: { readonly asked: string | undefined; readonly pointer: string },
): { readonly tenantId?: string } {
  if (asked !== undefined) {
    requireNamed(caller, role, { kind: 'tenant', id: asked, pointer, owner: asked });
    return { tenantId: asked };
  }
  const tenants = tenantsWith(caller, role ?? 'viewer');
  if (tenants === '*') return {};
  const [only, ...others] = tenants;
  if (only === undefined) throw lacking(role);
  if (others.length > 0)
    refuse([{ pointer, detail: `is required: you have ${tenants.toSorted().join(', ')}` }]);
  return { tenantId: only };
}

/** Errors: validation-failed, as for what there is none of; forbidden. */
function requireNamed(
  caller: Administrator,
  role: Role | undefined,
  { kind, id, pointer, owner }: Mention & { readonly owner: string | undefined },
): void {
  const reach = reachOf(caller, role, owner);
  if (reach === 'lacking') throw lacking(role, owner);
  if (reach === 'unseen')
    refuse([{ pointer, detail: `names no ${words(kind)}: there is no "${id}"` }]);
}

/** How far a caller gets at what is of a tenant; what is of none, or is not there, is for those with the role in all. */
function reachOf(
  caller: Administrator,
  role: Role | undefined,
  tenantId: string | undefined,
): 'reached' | 'lacking' | 'unseen' {
  const where = tenantId ?? everyTenant;
  if (hasRole(caller, role ?? 'viewer', where)) return 'reached';
  return hasRole(caller, 'viewer', where) ? 'lacking' : 'unseen';
}

/** The role that is needed, and in which tenant; absent: in all. */
export function lacking(role: Role | undefined, tenantId?: string) {
  const where = tenantId === undefined ? 'all tenants' : `tenant "${tenantId}"`;
  return problem('forbidden', { detail: `This needs the role ${role ?? 'viewer'} in ${where}.` });
}

function words(kind: string): string {
  return kind.replaceAll('-', ' ');
}

/** The tenant of who has grants in one alone: whose administrators are told what they tried. */
export function homeOf(caller: Administrator | undefined): string | undefined {
  if (caller === undefined) return undefined;
  const tenants = tenantsWith(caller, 'viewer');
  return tenants === '*' || tenants.length > 1 ? undefined : tenants[0];
}
