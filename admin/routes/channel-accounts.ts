/** Channel accounts: credentials at a provider, their limit, their stop valve. Secrets go in and never come out. */
import { Type } from 'typebox';
import { NameSchema } from '../../contracts/message.ts';
import { outcomeClasses } from '../../contracts/outcome.ts';
import { problem, type FieldFault } from '../../contracts/problems.ts';
import { AccountEditSchema, AccountSchema, type AccountEdit } from '../../contracts/template.ts';
import type { Connector } from '../../contracts/channel.ts';
import { route, type Route } from '../../platform/http.ts';
import {
  defaultTenantId,
  refuse,
  requireTenant,
  schemaFaults,
  type AdminDeps,
  type Administrator,
} from '../deps.ts';
import { pageQuery, pageSchema, readPage } from '../../platform/pages.ts';
import { verifyAccount } from '../verify-account.ts';
import { expectedVersion, ifMatchHeader, versioned } from '../../platform/versions.ts';

const TenantIdSchema = Type.Optional(
  Type.String({ ...NameSchema, description: `Whose. Default ${defaultTenantId}.` }),
);
const ListQuerySchema = Type.Object(
  {
    tenantId: TenantIdSchema,
    name: Type.Optional(Type.String({ ...NameSchema, description: 'Only the one of this name.' })),
    ...pageQuery,
  },
  { additionalProperties: false },
);
const CreateSchema = Type.Object(
  { tenantId: TenantIdSchema, ...AccountEditSchema.properties },
  { additionalProperties: false },
);
const VerifyReplySchema = Type.Object({
  works: Type.Boolean({ description: 'Whether the provider took the credentials.' }),
  outcome: Type.Object({
    class: Type.Enum([...outcomeClasses]),
    providerCode: Type.Optional(Type.String()),
    providerMessage: Type.Optional(Type.String()),
  }),
  durationMs: Type.Integer(),
});

const tag = 'Channel accounts';
const idParam = { id: 'Id of the channel account: acc_…' };

/** The routes of channel accounts. */
export function channelAccountRoutes(deps: AdminDeps): Route<Administrator>[] {
  const { store, connectors, logger } = deps;
  const notFound = (id: string) =>
    problem('not-found', { detail: `There is no channel account with the id "${id}".` });

  return [
    route<Administrator, typeof AccountEditSchema, typeof ListQuerySchema>({
      method: 'get',
      path: '/v1/channel-accounts',
      operationId: 'listChannelAccounts',
      summary: 'Channel accounts of a tenant, by name',
      tag,
      query: ListQuerySchema,
      responses: { 200: { description: 'A page.', schema: pageSchema(AccountSchema) } },
      problems: [],
      handle: async ({ query }) => {
        const { tenantId = defaultTenantId, name } = query;
        await requireTenant(store, tenantId, 'query/tenantId');
        const page = await readPage(
          query,
          (wanted) => store.channelAccounts.list(tenantId, { ...wanted, name }),
          (account) => account.name,
        );
        return { status: 200, body: page };
      },
    }),
    route<Administrator, typeof CreateSchema>({
      method: 'post',
      path: '/v1/channel-accounts',
      operationId: 'createChannelAccount',
      summary: 'Create a channel account',
      description: 'GET /v1/connectors has the schemas of `settings` and `secrets`.',
      tag,
      body: CreateSchema,
      responses: {
        201: {
          description: 'Created; Location and ETag say where and what.',
          schema: AccountSchema,
        },
      },
      problems: ['name-taken'],
      handle: async ({ body, requestId }) => {
        const { tenantId = defaultTenantId, ...edit } = body;
        await requireTenant(store, tenantId, '/tenantId');
        const connector = requireFitting(connectors, edit, 'creation');
        const { channel } = connector;
        const account = await store.channelAccounts.create({ tenantId, channel, edit });
        logger.info({ ...editEvent(account, edit), requestId }, 'channel-account.created');
        return versioned(201, account, `/v1/channel-accounts/${account.id}`);
      },
    }),
    route<Administrator>({
      method: 'get',
      path: '/v1/channel-accounts/:id',
      operationId: 'getChannelAccount',
      summary: 'One channel account',
      tag,
      params: idParam,
      responses: { 200: { description: 'The account.', schema: AccountSchema } },
      problems: ['not-found'],
      handle: async ({ params: { id = '' } }) => {
        const account = await store.channelAccounts.get(id);
        if (account === undefined) throw notFound(id);
        return versioned(200, account);
      },
    }),
    route<Administrator, typeof AccountEditSchema>({
      method: 'put',
      path: '/v1/channel-accounts/:id',
      operationId: 'replaceChannelAccount',
      summary: 'Change a channel account',
      description:
        'Without `secrets` the stored ones stay. The connector cannot change. In force within 2 seconds, `isStopped` too.',
      tag,
      params: idParam,
      headers: ifMatchHeader,
      body: AccountEditSchema,
      responses: { 200: { description: 'The account as it is now.', schema: AccountSchema } },
      problems: ['not-found', 'version-conflict', 'precondition-required', 'name-taken'],
      handle: async ({ params: { id = '' }, headers, body, requestId }) => {
        const version = expectedVersion(headers);
        requireFitting(connectors, body, 'change');
        const account = await store.channelAccounts.update(id, version, body);
        logger.info({ ...editEvent(account, body), requestId }, 'channel-account.edited');
        return versioned(200, account);
      },
    }),
    route<Administrator>({
      method: 'delete',
      path: '/v1/channel-accounts/:id',
      operationId: 'deleteChannelAccount',
      summary: 'Delete a channel account',
      description: 'Messages that wait for it are not sent any more; they end as failed.',
      tag,
      params: idParam,
      headers: ifMatchHeader,
      responses: { 204: { description: 'Deleted.' } },
      problems: ['not-found', 'version-conflict', 'precondition-required', 'validation-failed'],
      handle: async ({ params: { id = '' }, headers, requestId }) => {
        const account = await store.channelAccounts.remove(id, expectedVersion(headers));
        const { tenantId, name, version } = account;
        logger.info(
          { tenantId, accountId: id, name, version, requestId },
          'channel-account.deleted',
        );
        return { status: 204 };
      },
    }),
    route<Administrator>({
      method: 'post',
      path: '/v1/channel-accounts/:id/verify',
      operationId: 'verifyChannelAccount',
      summary: 'Ask the provider whether the account works',
      description: 'One harmless authenticated call; nothing is sent to anyone.',
      tag,
      params: idParam,
      responses: { 200: { description: 'What it came to.', schema: VerifyReplySchema } },
      problems: ['not-found'],
      handle: async ({ params: { id = '' }, requestId }) => {
        const account = await store.channelAccounts.get(id);
        const access = account && (await store.channelAccounts.access(id));
        if (account === undefined || access === undefined) throw notFound(id);
        const connector = connectors.get(account.connector);
        if (connector === undefined)
          throw problem('channel-unavailable', {
            detail: `This installation has no connector "${account.connector}" any more.`,
          });
        const verified = await verifyAccount(connector, access);
        await store.accountVerifications.record(id, verified);
        const { tenantId } = account;
        logger.info(
          { tenantId, accountId: id, connector: connector.name, ...verified, requestId },
          'channel-account.verified',
        );
        return { status: 200, body: verified };
      },
    }),
  ];
}

/** The edit's connector, if settings and secrets fit it. Errors: validation-failed with every fault. */
function requireFitting(
  connectors: ReadonlyMap<string, Connector>,
  edit: AccountEdit,
  occasion: 'creation' | 'change',
): Connector {
  const connector = connectors.get(edit.connector);
  if (connector === undefined) {
    const known = [...connectors.keys()].join(', ');
    const detail = `is not a connector; there are: ${known}`;
    throw problem('validation-failed', {
      detail: `/connector ${detail}`,
      errors: [{ pointer: '/connector', detail }],
    });
  }
  const under = (pointer: string) => (fault: FieldFault) => ({
    ...fault,
    pointer: pointer + fault.pointer,
  });
  const faults = schemaFaults(connector.settingsSchema, edit.settings).map(under('/settings'));
  if (edit.secrets !== undefined || occasion === 'creation')
    faults.push(
      ...schemaFaults(connector.secretsSchema, edit.secrets ?? {}).map(under('/secrets')),
    );
  refuse(faults);
  return connector;
}

function editEvent(
  account: { id: string; tenantId: string; version: number; slot: number },
  edit: AccountEdit,
): Record<string, unknown> {
  return {
    tenantId: account.tenantId,
    accountId: account.id,
    name: edit.name,
    connector: edit.connector,
    version: account.version,
    slot: account.slot,
    ratePerSecond: edit.ratePerSecond,
    ...(edit.weight !== undefined && { weight: edit.weight }),
    isStopped: edit.isStopped === true,
    isSandbox: edit.isSandbox === true,
    hasNewSecrets: edit.secrets !== undefined,
  };
}
