/** `/v1/webhook-endpoints`: where a service is told what became of its messages. */
import { isIP } from 'node:net';
import { Type } from 'typebox';
import { problem } from '../contracts/problems.ts';
import {
  WebhookEndpointEditSchema,
  WebhookEndpointSchema,
  type WebhookEndpoint,
  type WebhookEndpointEdit,
} from '../contracts/webhooks.ts';
import { route, type Route } from '../platform/http.ts';
import type { Logger } from '../platform/logger.ts';
import { pageQuery, pageSchema, readPage } from '../platform/pages.ts';
import { isPrivateAddress } from '../platform/provider-http.ts';
import { expectedVersion, ifMatchHeader, versioned } from '../platform/versions.ts';
import type { Store } from '../store/index.ts';

export interface WebhookEndpointRoutesDeps {
  readonly store: Pick<Store, 'webhookEndpoints'>;
  /** Whether endpoints may be plain http, and at loopback and private addresses. */
  readonly allowPrivateProviders: boolean;
  readonly logger: Logger;
}

const { tenantId: _tenantId, ...publicProperties } = WebhookEndpointSchema.properties;
/** The endpoint as its tenant sees it. */
export const PublicEndpointSchema = Type.Object(publicProperties);
const WithSecretSchema = Type.Object({
  ...publicProperties,
  secret: Type.String({ description: 'Signs what is posted: whsec_… Shown this once.' }),
});
const RotateSchema = Type.Object(
  {
    overlapSeconds: Type.Optional(
      Type.Integer({
        minimum: 0,
        maximum: 7 * 86_400,
        description:
          'For so long the secret until now signs, too. Default a day; 0: it has leaked, and ends at once.',
      }),
    ),
  },
  { additionalProperties: false },
);
const ListQuerySchema = Type.Object(pageQuery, { additionalProperties: false });

export const webhookTag = 'webhooks';
export const endpointPath = '/v1/webhook-endpoints/:id';
export const endpointParams = { id: 'Id of the endpoint: whe_…' };
const defaultOverlapSeconds = 86_400;

/** The routes. Errors: problems that name the field; store-unavailable. */
export function webhookEndpointRoutes<Caller extends { readonly tenantId: string }>(
  deps: WebhookEndpointRoutesDeps,
): Route<Caller>[] {
  const { logger } = deps;
  const { webhookEndpoints } = deps.store;
  const tell = (event: string, { id, tenantId, version }: WebhookEndpoint) =>
    logger.info({ endpointId: id, tenantId, version }, event);
  return [
    route<Caller, typeof WebhookEndpointEditSchema>({
      method: 'post',
      path: '/v1/webhook-endpoints',
      operationId: 'createWebhookEndpoint',
      summary: 'Be told what became of messages',
      description:
        'From now on each of these statuses is posted to the URL as a signed CloudEvent, at least once: `README.md` says how to verify it. Up to 20 endpoints.',
      tag: webhookTag,
      body: WebhookEndpointEditSchema,
      responses: { 201: { description: 'Made; keep the secret.', schema: WithSecretSchema } },
      problems: ['too-many-endpoints', 'store-unavailable'],
      handle: async ({ body, caller: { tenantId } }) => {
        checkUrl(body, deps);
        const { endpoint, secret } = await webhookEndpoints.create(tenantId, body);
        tell('webhook-endpoint.created', endpoint);
        const made = { ...publicEndpoint(endpoint), secret };
        return versioned(201, made, `/v1/webhook-endpoints/${endpoint.id}`);
      },
    }),
    route<Caller, never, typeof ListQuerySchema>({
      method: 'get',
      path: '/v1/webhook-endpoints',
      operationId: 'listWebhookEndpoints',
      summary: 'Webhook endpoints',
      tag: webhookTag,
      query: ListQuerySchema,
      responses: { 200: { description: 'A page.', schema: pageSchema(PublicEndpointSchema) } },
      problems: ['store-unavailable'],
      handle: async ({ query, caller: { tenantId } }) => {
        const page = await readPage(
          query,
          (wanted) => webhookEndpoints.list(tenantId, wanted),
          ({ id }) => id,
        );
        return { status: 200, body: { ...page, items: page.items.map(publicEndpoint) } };
      },
    }),
    route<Caller>({
      method: 'get',
      path: endpointPath,
      operationId: 'getWebhookEndpoint',
      summary: 'One webhook endpoint, and how it does',
      tag: webhookTag,
      params: endpointParams,
      responses: { 200: { description: 'The endpoint.', schema: PublicEndpointSchema } },
      problems: ['not-found', 'store-unavailable'],
      handle: async ({ params, caller: { tenantId } }) =>
        versioned(200, publicEndpoint(await ownEndpoint(deps, tenantId, params['id']))),
    }),
    route<Caller, typeof WebhookEndpointEditSchema>({
      method: 'put',
      path: endpointPath,
      operationId: 'putWebhookEndpoint',
      summary: 'Change a webhook endpoint, disable or enable it',
      description:
        'In force within 2 seconds. What waits for an endpoint goes on when it is enabled again within a week; what happened while it was disabled comes by a replay.',
      tag: webhookTag,
      params: endpointParams,
      headers: ifMatchHeader,
      body: WebhookEndpointEditSchema,
      responses: { 200: { description: 'Changed.', schema: PublicEndpointSchema } },
      problems: [
        'not-found',
        'version-conflict',
        'precondition-required',
        'forbidden',
        'store-unavailable',
      ],
      handle: async ({ params: { id = '' }, headers, body, caller: { tenantId } }) => {
        const version = expectedVersion(headers);
        checkUrl(body, deps);
        const of = { tenantId, id, expectedVersion: version };
        const endpoint = await webhookEndpoints.update(of, body);
        tell('webhook-endpoint.edited', endpoint);
        return versioned(200, publicEndpoint(endpoint));
      },
    }),
    route<Caller>({
      method: 'delete',
      path: endpointPath,
      operationId: 'deleteWebhookEndpoint',
      summary: 'Delete a webhook endpoint',
      description: 'What waits for it is not sent any more.',
      tag: webhookTag,
      params: endpointParams,
      headers: ifMatchHeader,
      responses: { 204: { description: 'Deleted.' } },
      problems: ['not-found', 'version-conflict', 'precondition-required', 'store-unavailable'],
      handle: async ({ params: { id = '' }, headers, caller: { tenantId } }) => {
        await webhookEndpoints.remove({ tenantId, id, expectedVersion: expectedVersion(headers) });
        logger.info({ endpointId: id, tenantId }, 'webhook-endpoint.deleted');
        return { status: 204 };
      },
    }),
    route<Caller, typeof RotateSchema>({
      method: 'post',
      path: `${endpointPath}/rotate-secret`,
      operationId: 'rotateWebhookSecret',
      summary: 'Get a new secret',
      description:
        'Both secrets sign for `overlapSeconds`, so that a receiver changes over in its own time; of an overlap under way the older secret ends now.',
      tag: webhookTag,
      params: endpointParams,
      body: RotateSchema,
      responses: { 200: { description: 'Keep the secret.', schema: WithSecretSchema } },
      problems: ['not-found', 'store-unavailable'],
      handle: async ({ params: { id = '' }, body, caller: { tenantId } }) => {
        const { overlapSeconds = defaultOverlapSeconds } = body;
        const { endpoint, secret } = await webhookEndpoints.rotateSecret(
          tenantId,
          id,
          overlapSeconds * 1000,
        );
        tell('webhook-endpoint.secret-rotated', endpoint);
        const rotated = { ...publicEndpoint(endpoint), secret };
        return versioned(200, rotated);
      },
    }),
  ];
}

/** Errors: not-found. */
export async function ownEndpoint(
  { store }: { readonly store: Pick<Store, 'webhookEndpoints'> },
  tenantId: string,
  id = '',
): Promise<WebhookEndpoint> {
  const endpoint = await store.webhookEndpoints.get(tenantId, id);
  if (endpoint === undefined)
    throw problem('not-found', { detail: `There is no webhook endpoint with the id "${id}".` });
  return endpoint;
}

function publicEndpoint(endpoint: WebhookEndpoint) {
  const { tenantId: _own, ...shown } = endpoint;
  return shown;
}

/** What can be known of a URL before it is called; where its name leads is looked at with each call. */
function checkUrl({ url }: WebhookEndpointEdit, deps: WebhookEndpointRoutesDeps): void {
  const fault = urlFault(url, deps.allowPrivateProviders);
  if (fault === undefined) return;
  throw problem('validation-failed', {
    detail: `/url ${fault}`,
    errors: [{ pointer: '/url', detail: fault }],
  });
}

function urlFault(url: string, allowPrivate: boolean): string | undefined {
  if (!URL.canParse(url)) return 'is not a URL';
  if (allowPrivate) return undefined;
  const { protocol, hostname } = new URL(url);
  if (protocol !== 'https:') return 'must begin with https://';
  const host = hostname.replace(/^\[|\]$/g, '');
  if (isIP(host) !== 0 && isPrivateAddress(host)) return 'must be at a public address';
  return undefined;
}
