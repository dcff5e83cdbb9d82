/** Stops: recall, pause and resume everything of a batch, template, tenant or channel account. */
import { Type } from 'typebox';
import { NameSchema } from '../../contracts/message.ts';
import {
  ChosenScopeSchema,
  stopActions,
  StopReasonSchema,
  StopReplySchema,
  StopSchema,
  type ChosenScope,
  type Stop,
} from '../../contracts/stops.ts';
import { route, type Reply, type Route } from '../../platform/http.ts';
import { untilConfirmed } from '../../store/index.ts';
import {
  defaultTenantId,
  refuse,
  requireTenant,
  type AdminDeps,
  type Administrator,
} from '../deps.ts';
import { pageQuery, pageSchema, readPage } from '../../platform/pages.ts';

const CreateSchema = Type.Object(
  {
    action: Type.Enum([...stopActions], {
      description:
        'recall: what was accepted until now ends as recalled. pause: nothing is sent until it is resumed.',
    }),
    scope: ChosenScopeSchema,
    tenantId: Type.Optional(
      Type.String({
        ...NameSchema,
        description: `Whose batch or template. Default ${defaultTenantId}; tenants and accounts say it themselves.`,
      }),
    ),
    reason: StopReasonSchema,
  },
  { additionalProperties: false },
);
const ListQuerySchema = Type.Object(
  {
    tenantId: Type.Optional(Type.String({ ...NameSchema, description: 'Only of this tenant.' })),
    ...pageQuery,
  },
  { additionalProperties: false },
);

const tag = 'Stops';
const lateReply = {
  description: 'Stored; the processes in `missing` have not confirmed it within 5 seconds.',
  schema: StopReplySchema,
};

/** The routes. */
export function stopRoutes({ store, logger }: AdminDeps): Route<Administrator>[] {
  const reply = async (stop: Stop, status: number): Promise<Reply> => {
    const body = await untilConfirmed(store.members, stop);
    return { status: body.missing.length === 0 ? status : 202, body };
  };
  return [
    route<Administrator, typeof CreateSchema>({
      method: 'post',
      path: '/v1/stops',
      operationId: 'createStop',
      summary: 'Recall or pause a batch, template, tenant or channel account',
      description:
        'Answers once every process that starts or sends obeys it, or can send nothing because it has lost touch for 2 seconds. From then on only calls that were under way reach a provider. A pause of what is paused changes nothing.',
      tag,
      body: CreateSchema,
      responses: {
        201: { description: 'In force everywhere.', schema: StopReplySchema },
        202: lateReply,
      },
      problems: [],
      handle: async ({ body, requestId }) => {
        const { action, scope, reason } = body;
        const tenantId = await ownerOf(store, scope, body.tenantId);
        const stop = await store.stops.create({ action, scope, tenantId, reason });
        const replied = await reply(stop, 201);
        logger.info({ ...eventOf(stop), status: replied.status, requestId }, 'stop.created');
        return replied;
      },
    }),
    route<Administrator, typeof CreateSchema, typeof ListQuerySchema>({
      method: 'get',
      path: '/v1/stops',
      operationId: 'listStops',
      summary: 'Recalls and pauses, newest first',
      tag,
      query: ListQuerySchema,
      responses: { 200: { description: 'A page.', schema: pageSchema(StopSchema) } },
      problems: [],
      handle: async ({ query }) => {
        const { tenantId } = query;
        if (tenantId !== undefined) await requireTenant(store, tenantId, 'query/tenantId');
        const page = await readPage(
          query,
          (wanted) => store.stops.list({ ...wanted, tenantId }),
          ({ id }) => id,
        );
        return { status: 200, body: page };
      },
    }),
    route<Administrator>({
      method: 'post',
      path: '/v1/stops/:id/resume',
      operationId: 'resumeStop',
      summary: 'Let what was paused go on',
      description:
        'What it held is rendered anew, with the newest version of its template. A repeat changes nothing.',
      tag,
      params: { id: 'Id of the pause: stp_…' },
      responses: {
        200: { description: 'Ended everywhere.', schema: StopReplySchema },
        202: lateReply,
      },
      problems: ['not-found', 'recall-final'],
      handle: async ({ params: { id = '' }, requestId }) => {
        const stop = await store.stops.resume(id);
        const replied = await reply(stop, 200);
        logger.info({ ...eventOf(stop), status: replied.status, requestId }, 'stop.resumed');
        return replied;
      },
    }),
  ];
}

/** The tenant of a scope. Errors: validation-failed that names what there is none of. */
async function ownerOf(
  store: AdminDeps['store'],
  { kind, value }: ChosenScope,
  asked: string | undefined,
): Promise<string> {
  const unknown = (what: string): never => {
    refuse([{ pointer: '/scope/value', detail: `names no ${what}: there is no "${value}"` }]);
    throw new Error('a fault was not refused');
  };
  switch (kind) {
    case 'tenant':
      if ((await store.tenants.get(value)) === undefined) unknown('tenant');
      return sameTenant(value, asked);
    case 'account': {
      // A removed one too: what waits for it may still be taken back.
      const known = await store.channelAccounts.find(value);
      return sameTenant((known ?? unknown('channel account')).account.tenantId, asked);
    }
    case 'template':
    case 'batch': {
      const tenantId = asked ?? defaultTenantId;
      await requireTenant(store, tenantId, '/tenantId');
      if (kind === 'template' && (await store.templates.findByName(tenantId, value)) === undefined)
        unknown('template of this tenant');
      return tenantId;
    }
  }
}

function sameTenant(tenantId: string, asked: string | undefined): string {
  if (asked !== undefined && asked !== tenantId)
    refuse([{ pointer: '/tenantId', detail: 'is not the tenant of this scope' }]);
  return tenantId;
}

const eventOf = ({ id, action, scope, tenantId, revision }: Stop) => ({
  stopId: id,
  action,
  scope,
  tenantId,
  revision,
});
