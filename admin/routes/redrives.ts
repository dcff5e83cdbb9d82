/** Redrives: failed messages sent again, by id or by filter, at a chosen rate. */
import { Type } from 'typebox';
import { NameSchema } from '../../contracts/message.ts';
import { problem, type FieldFault } from '../../contracts/problems.ts';
import {
  PostRedriveSchema,
  RedriveSchema,
  redriveStates,
  type PostRedrive,
} from '../../contracts/redrive.ts';
import { route, type Route } from '../../platform/http.ts';
import { countRedrive, RedriveCountSchema } from '../../search/index.ts';
import { redriveListKey } from '../../store/index.ts';
import { refuse, requireTenant, type AdminDeps, type Administrator } from '../deps.ts';
import { pageQuery, pageSchema, readPage } from '../../platform/pages.ts';

const ListQuerySchema = Type.Object(
  {
    tenantId: Type.Optional(Type.String({ ...NameSchema, description: 'Only those of a tenant.' })),
    state: Type.Optional(
      Type.Enum([...redriveStates], { description: 'Only those in this state.' }),
    ),
    ...pageQuery,
  },
  { additionalProperties: false },
);

const RequestSchema = Type.Object(
  {
    ...PostRedriveSchema.properties,
    dryRun: Type.Optional(
      Type.Boolean({ description: 'Only counts what would be sent again, and does nothing.' }),
    ),
  },
  { additionalProperties: false },
);

const tag = 'Redrives';
const idParam = { id: 'Id of the redrive: rdr_…' };

/** The routes. */
export function redriveRoutes({ store, logger, search }: AdminDeps): Route<Administrator>[] {
  const notFound = (id: string) =>
    problem('not-found', { detail: `There is no redrive with the id "${id}".` });
  return [
    route<Administrator, typeof RequestSchema>({
      method: 'post',
      path: '/v1/redrives',
      operationId: 'createRedrive',
      summary: 'Send failed messages again',
      description:
        'Each gets a new delivery under its own id, with a new life, at once: also where it had a sendAt or an orderingKey. One that a delivery is open for is left alone, as is one that was sent, whatever a receipt said of it later.',
      tag,
      body: RequestSchema,
      responses: {
        200: { description: 'A dry run: what it would go through.', schema: RedriveCountSchema },
        202: {
          description: 'Taken up within seconds; Location says where to look.',
          schema: RedriveSchema,
        },
      },
      problems: ['search-unavailable'],
      handle: async ({ body: { dryRun, ...body }, requestId }) => {
        refuse(contradictions(body));
        if (body.tenantId !== undefined) await requireTenant(store, body.tenantId, '/tenantId');
        refuse(await accountFaults(body));
        if (dryRun === true) {
          if (search === undefined) throw problem('search-unavailable');
          return { status: 200, body: await countRedrive(search, body) };
        }
        const redrive = await store.redrives.create(body);
        const { id, tenantId, ratePerSecond } = redrive;
        logger.info({ redriveId: id, tenantId, ratePerSecond, requestId }, 'redrive.created');
        return { status: 202, body: redrive, headers: { location: `/v1/redrives/${id}` } };
      },
    }),
    route<Administrator, never, typeof ListQuerySchema>({
      method: 'get',
      path: '/v1/redrives',
      operationId: 'listRedrives',
      summary: 'Redrives, newest first',
      tag,
      query: ListQuerySchema,
      responses: { 200: { description: 'A page.', schema: pageSchema(RedriveSchema) } },
      problems: [],
      handle: async ({ query }) => {
        const { tenantId, state } = query;
        if (tenantId !== undefined) await requireTenant(store, tenantId, 'query/tenantId');
        return {
          status: 200,
          body: await readPage(
            query,
            (page) => store.redrives.list({ ...page, tenantId, state }),
            redriveListKey,
          ),
        };
      },
    }),
    route<Administrator>({
      method: 'get',
      path: '/v1/redrives/:id',
      operationId: 'getRedrive',
      summary: 'How far a redrive has come',
      tag,
      params: idParam,
      responses: { 200: { description: 'The redrive.', schema: RedriveSchema } },
      problems: ['not-found'],
      handle: async ({ params: { id = '' } }) => {
        const redrive = await store.redrives.get(id);
        if (redrive === undefined) throw notFound(id);
        return { status: 200, body: redrive };
      },
    }),
    route<Administrator>({
      method: 'post',
      path: '/v1/redrives/:id/cancel',
      operationId: 'cancelRedrive',
      summary: 'Start no more of its messages',
      description:
        'In force within a second. What it has started is delivered; recall takes messages back. One that has ended stays as it is.',
      tag,
      params: idParam,
      responses: { 200: { description: 'The redrive as it is now.', schema: RedriveSchema } },
      problems: ['not-found'],
      handle: async ({ params: { id = '' }, requestId }) => {
        const redrive = await store.redrives.cancel(id);
        if (redrive === undefined) throw notFound(id);
        logger.info({ redriveId: id, state: redrive.state, requestId }, 'redrive.cancelled');
        return { status: 200, body: redrive };
      },
    }),
  ];

  async function accountFaults({ tenantId, filter }: PostRedrive): Promise<FieldFault[]> {
    const id = filter?.accountId;
    if (id === undefined) return [];
    const account = await store.channelAccounts.get(id);
    const pointer = '/filter/accountId';
    if (account === undefined)
      return [{ pointer, detail: `names no channel account: there is no "${id}"` }];
    return tenantId === undefined || account.tenantId === tenantId
      ? []
      : [{ pointer, detail: `is an account of another tenant than "${tenantId}"` }];
  }
}

/** What is wrong between the fields. */
function contradictions({ ids, filter }: PostRedrive): FieldFault[] {
  if (ids !== undefined && filter !== undefined)
    return [{ pointer: '/filter', detail: 'cannot be given together with ids' }];
  if (ids === undefined && filter === undefined)
    return [{ pointer: '/filter', detail: 'is required, unless ids are given' }];
  const { acceptedFrom, acceptedTo } = filter ?? {};
  return acceptedFrom !== undefined &&
    acceptedTo !== undefined &&
    Date.parse(acceptedFrom) >= Date.parse(acceptedTo)
    ? [{ pointer: '/filter/acceptedTo', detail: 'must be later than acceptedFrom' }]
    : [];
}
