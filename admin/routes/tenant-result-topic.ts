/** A tenant's own result topic: whether there is one, and what is told there. */
import {
  ResultTopicEditSchema,
  ResultTopicSchema,
  statusesTold,
  type ResultTopic,
} from '../../contracts/result-topic.ts';
import { route, type Route } from '../../platform/http.ts';
import { expectedVersion, ifMatchHeader, versioned } from '../../platform/versions.ts';
import { requireTenantOfPath, type AdminDeps, type Administrator } from '../deps.ts';

const tag = 'Tenants';
const path = '/v1/tenants/:id/result-topic';
const params = { id: 'Id of the tenant.' };

/** The routes; none where the process does not know the names of the installation. */
export function tenantResultTopicRoutes({
  store,
  logger,
  search,
}: AdminDeps): Route<Administrator>[] {
  if (search === undefined) return [];
  const reply = (tenantId: string, settings: ResultTopic) => {
    const statuses = statusesTold(settings);
    const body = { ...settings, statuses, topic: search.names.tenantResults(tenantId) };
    return versioned(200, body);
  };
  return [
    route<Administrator>({
      method: 'get',
      path,
      operationId: 'getTenantResultTopic',
      summary: "A tenant's own result topic",
      description: 'One that was never edited is off, version 1.',
      tag,
      params,
      responses: { 200: { description: 'The setting.', schema: ResultTopicSchema } },
      problems: ['not-found'],
      handle: async ({ params: { id = '' } }) => {
        await requireTenantOfPath(store, id);
        return reply(id, await store.tenantResultTopics.get(id));
      },
    }),
    route<Administrator, typeof ResultTopicEditSchema>({
      method: 'put',
      path,
      operationId: 'putTenantResultTopic',
      summary: "Turn a tenant's own result topic on or off",
      description:
        'What ends from then on is published there too, in force within 2 seconds; the topic is made by itself.',
      tag,
      params,
      headers: ifMatchHeader,
      body: ResultTopicEditSchema,
      responses: { 200: { description: 'Replaced.', schema: ResultTopicSchema } },
      problems: ['not-found', 'version-conflict', 'precondition-required'],
      handle: async ({ params: { id = '' }, headers, body, requestId }) => {
        await requireTenantOfPath(store, id);
        const settings = await store.tenantResultTopics.put(id, expectedVersion(headers), body);
        const { isEnabled, version } = settings;
        logger.info({ tenantId: id, isEnabled, version, requestId }, 'tenant-result-topic.edited');
        return reply(id, settings);
      },
    }),
  ];
}
