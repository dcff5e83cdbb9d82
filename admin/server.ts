/** The administration API: its routes, who may call them, its document. */
import { createHash, timingSafeEqual } from 'node:crypto';
import type { Express } from 'express';
import { problem } from '../contracts/problems.ts';
import { everyTenant } from '../contracts/users.ts';
import { createApp, type Route } from '../platform/http.ts';
import type { Metrics } from '../platform/metrics.ts';
import { createDocsPage, createOpenapi } from '../platform/openapi.ts';
import type { Store } from '../store/index.ts';
import type { AdminDeps, Administrator } from './deps.ts';
import { accountHealthRoutes } from './routes/account-health.ts';
import { batchRoutes } from './routes/batches.ts';
import { channelAccountRoutes } from './routes/channel-accounts.ts';
import { circuitRoutes } from './routes/circuits.ts';
import { connectorRoutes } from './routes/connectors.ts';
import { secretRoutes } from './routes/secrets.ts';
import { guardRoutes } from './guard.ts';
import { auditRoutes } from './routes/audit.ts';
import { meRoutes } from './routes/me.ts';
import { oidcRoutes } from './routes/oidc.ts';
import { sessionRoutes } from './routes/sessions.ts';
import { messageRoutes } from './routes/messages.ts';
import { stopRoutes } from './routes/stops.ts';
import { redriveRoutes } from './routes/redrives.ts';
import { templateFileRoutes } from './routes/template-files.ts';
import { templateLintRoutes } from './routes/template-lint.ts';
import { templateReplayRoutes } from './routes/template-replay.ts';
import { templateTestRoutes } from './routes/template-test.ts';
import { templateVersionRoutes } from './routes/template-versions.ts';
import { templateRoutes } from './routes/templates.ts';
import { tenantQuotaRoutes } from './routes/tenant-quotas.ts';
import { tenantResultTopicRoutes } from './routes/tenant-result-topic.ts';
import { tenantPolicyRoutes } from './routes/tenant-policies.ts';
import { tenantRoutes } from './routes/tenants.ts';
import { userRoutes } from './routes/users.ts';
import { webhookEndpointRoutes } from './routes/webhook-endpoints.ts';

const minTokenLength = 24;
/** The holder of MC_ADMIN_TOKEN, whom no user can lock out. */
const firstAdministrator: Administrator = {
  id: 'admin',
  name: 'admin',
  grants: [{ role: 'administrator', tenantId: everyTenant }],
};

/** Every route of the API. */
export function adminRoutes(deps: AdminDeps): Route<Administrator>[] {
  return [
    ...tenantRoutes(deps),
    ...tenantPolicyRoutes(deps),
    ...tenantQuotaRoutes(deps),
    ...tenantResultTopicRoutes(deps),
    ...connectorRoutes(deps),
    ...channelAccountRoutes(deps),
    ...accountHealthRoutes(deps),
    ...secretRoutes(deps),
    ...circuitRoutes(deps),
    ...batchRoutes(deps),
    ...stopRoutes(deps),
    ...redriveRoutes(deps),
    ...templateFileRoutes(deps),
    ...templateLintRoutes(deps),
    ...templateRoutes(deps),
    ...sessionRoutes(deps),
    ...oidcRoutes(deps),
    ...meRoutes(deps),
    ...userRoutes(deps),
    ...auditRoutes(deps),
    ...templateVersionRoutes(deps),
    ...templateTestRoutes(deps),
    ...templateReplayRoutes(deps),
    ...messageRoutes(deps),
    ...webhookEndpointRoutes(deps),
  ];
}

/** The OpenAPI document. Needs no server: nothing of the routes' dependencies is touched before a request. */
export function adminOpenapi(): Record<string, unknown> {
  return createOpenapi(
    {
      title: 'Message Center administration',
      description:
        'Tenants and their keys, channel accounts, templates, the people who may edit them. What is versioned answers an ETag, and an edit sends it back as If-Match.',
      version: '1',
      keyDescription: 'A session or access token `mcs_…`, or MC_ADMIN_TOKEN.',
    },
    adminRoutes({ search: {} } as AdminDeps),
  );
}

/** Builds the application. Errors: the token is shorter than 24 characters. */
export function createAdminApp(
  options: AdminDeps & {
    readonly adminToken: string;
    readonly metrics: Metrics;
    /** Whether the tables are up to date; absent: they are. */
    readonly isMigrated?: () => boolean;
  },
): Express {
  const { adminToken, metrics, logger, store, isMigrated = () => true } = options;
  const authenticate = createAuthenticate(adminToken, store);
  return createApp<Administrator>({
    routes: guardRoutes(adminRoutes(options), { deps: options, authenticate }),
    authenticate,
    logger,
    metrics,
    notReady: () =>
      store.ping().then(
        () => (isMigrated() ? [] : ['MySQL']),
        () => ['MySQL'],
      ),
    openapi: adminOpenapi(),
    docsPage: createDocsPage('Message Center administration'),
  });
}

/** Who calls, by their token. Errors: the token of the first administrator is too short; then unauthorized, store-unavailable. */
export function createAuthenticate(adminToken: string, store: Store) {
  if (adminToken.length < minTokenLength)
    throw new Error(`MC_ADMIN_TOKEN must have ${minTokenLength} characters or more`);
  const wanted = digest(adminToken);
  return async (headers: Readonly<Record<string, string | undefined>>): Promise<Administrator> => {
    const [, token = ''] = /^Bearer +(\S+)$/i.exec(headers['authorization'] ?? '') ?? [];
    // Digests have one length, so that the comparison tells nothing of the token's.
    if (timingSafeEqual(digest(token), wanted)) return firstAdministrator;
    const found = await store.sessions.findByToken(token);
    if (found === undefined)
      throw problem('unauthorized', {
        detail:
          'Send `Authorization: Bearer <token>`: a live one of POST /v1/sessions, or MC_ADMIN_TOKEN.',
      });
    return { ...found.user, session: found.session };
  };
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
