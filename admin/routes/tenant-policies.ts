/** A tenant's policy: quiet hours, frequency caps, its share of an account. */
import {
  TenantPolicyEditSchema,
  TenantPolicySchema,
  type TenantPolicyEdit,
} from '../../contracts/tenant-policy.ts';
import type { FieldFault } from '../../contracts/problems.ts';
import { route, type Route } from '../../platform/http.ts';
import { localeFault, withCanonicalLocale } from '../../contracts/locale.ts';
import { timeZoneFault } from '../../platform/time-zone.ts';
import { refuse, requireTenantOfPath, type AdminDeps, type Administrator } from '../deps.ts';
import { expectedVersion, ifMatchHeader, versioned } from '../../platform/versions.ts';

const tag = 'Tenants';
const path = '/v1/tenants/:id/policy';
const params = { id: 'Id of the tenant.' };

/** The routes. */
export function tenantPolicyRoutes({
  store,
  connectors,
  logger,
}: AdminDeps): Route<Administrator>[] {
  return [
    route<Administrator>({
      method: 'get',
      path,
      operationId: 'getTenantPolicy',
      summary: "A tenant's policy: when and how often its recipients are reached",
      description: 'One that was never edited is the default, version 1.',
      tag,
      params,
      responses: { 200: { description: 'The policy.', schema: TenantPolicySchema } },
      problems: ['not-found'],
      handle: async ({ params: { id = '' } }) => {
        await requireTenantOfPath(store, id);
        return versioned(200, await store.tenantPolicies.get(id));
      },
    }),
    route<Administrator, typeof TenantPolicyEditSchema>({
      method: 'put',
      path,
      operationId: 'putTenantPolicy',
      summary: "Replace a tenant's policy",
      description:
        'In force everywhere within 2 seconds, for messages that are accepted already too.',
      tag,
      params,
      headers: ifMatchHeader,
      body: TenantPolicyEditSchema,
      responses: { 200: { description: 'Replaced.', schema: TenantPolicySchema } },
      problems: ['not-found', 'version-conflict', 'precondition-required'],
      handle: async ({ params: { id = '' }, headers, body, requestId }) => {
        await requireTenantOfPath(store, id);
        const version = expectedVersion(headers);
        refuse(policyFaults(body, new Set([...connectors.values()].map(({ channel }) => channel))));
        const policy = await store.tenantPolicies.put(id, version, withCanonicalLocale(body));
        logger.info({ tenantId: id, version: policy.version, requestId }, 'tenant-policy.edited');
        return versioned(200, policy);
      },
    }),
  ];
}

function policyFaults(
  { timeZone, locale, quietHours, requiresConsent = [] }: TenantPolicyEdit,
  known: ReadonlySet<string>,
): readonly FieldFault[] {
  const zoneFault = timeZoneFault(timeZone);
  const unknownLocale = locale === undefined ? undefined : localeFault(locale);
  const isEmpty = quietHours !== undefined && quietHours.from === quietHours.to;
  return [
    ...(zoneFault === undefined ? [] : [{ pointer: '/timeZone', detail: zoneFault }]),
    ...(unknownLocale === undefined ? [] : [{ pointer: '/locale', detail: unknownLocale }]),
    ...(isEmpty ? [{ pointer: '/quietHours/to', detail: 'must be another time than from' }] : []),
    ...requiresConsent.flatMap(({ channels = [] }, rule) =>
      channels.flatMap((channel, at) =>
        known.has(channel)
          ? []
          : [
              {
                pointer: `/requiresConsent/${rule}/channels/${at}`,
                detail: `is no channel; there are ${[...known].toSorted().join(', ')}`,
              },
            ],
      ),
    ),
  ];
}
