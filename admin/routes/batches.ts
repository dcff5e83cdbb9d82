/** Batches of all tenants. `POST /v1/stops` pauses, resumes and recalls them, as it does any batch. */
import { Type } from 'typebox';
import { BatchSchema } from '../../contracts/batch.ts';
import { NameSchema } from '../../contracts/message.ts';
import { problem } from '../../contracts/problems.ts';
import { route, type Route } from '../../platform/http.ts';
import { batchListKey } from '../../store/index.ts';
import { requireTenant, type AdminDeps, type Administrator } from '../deps.ts';
import { pageQuery, pageSchema, readPage } from '../../platform/pages.ts';

const ListQuerySchema = Type.Object(
  {
    tenantId: Type.Optional(Type.String({ ...NameSchema, description: 'Only those of a tenant.' })),
    ...pageQuery,
  },
  { additionalProperties: false },
);
const tag = 'Batches';

/** The routes. */
export function batchRoutes({ store }: AdminDeps): Route<Administrator>[] {
  return [
    route<Administrator, never, typeof ListQuerySchema>({
      method: 'get',
      path: '/v1/batches',
      operationId: 'listBatches',
      summary: 'Batches of all tenants, newest first',
      tag,
      query: ListQuerySchema,
      responses: { 200: { description: 'A page.', schema: pageSchema(BatchSchema) } },
      problems: [],
      handle: async ({ query }) => {
        const { tenantId } = query;
        if (tenantId !== undefined) await requireTenant(store, tenantId, 'query/tenantId');
        const page = await readPage(
          query,
          (wanted) => store.batches.list({ ...wanted, tenantId }),
          batchListKey,
        );
        return { status: 200, body: page };
      },
    }),
    route<Administrator>({
      method: 'get',
      path: '/v1/batches/:id',
      operationId: 'getBatch',
      summary: 'How far a batch has come',
      description:
        'It is paused or recalled by POST /v1/stops with its id: {"action":"pause","scope":{"kind":"batch","value":"bat_…"},"tenantId":…}.',
      tag,
      params: { id: 'Id of the batch: bat_…' },
      responses: { 200: { description: 'The batch.', schema: BatchSchema } },
      problems: ['not-found'],
      handle: async ({ params: { id = '' } }) => {
        const batch = await store.batches.get(id);
        if (batch === undefined)
          throw problem('not-found', { detail: `There is no batch with the id "${id}".` });
        return { status: 200, body: batch };
      },
    }),
  ];
}
