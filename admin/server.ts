/** The administration API: its routes, who may call them, its document. */
import { createHash, timingSafeEqual } from 'node:crypto';
import type { Express } from 'express';
import { problem } from '../contracts/problems.ts';
import { createApp, type Route } from '../platform/http.ts';
import type { Metrics } from '../platform/metrics.ts';
import { createDocsPage, createOpenapi } from '../platform/openapi.ts';
import type { AdminDeps, Administrator } from './deps.ts';
import { channelAccountRoutes } from './routes/channel-accounts.ts';
import { circuitRoutes } from './routes/circuits.ts';
import { connectorRoutes } from './routes/connectors.ts';
import { templateRoutes } from './routes/templates.ts';
import { tenantRoutes } from './routes/tenants.ts';

const minTokenLength = 24;

/** Every route of the API. */
export function adminRoutes(deps: AdminDeps): Route<Administrator>[] {
  return [
    ...tenantRoutes(deps),
    ...connectorRoutes(deps),
    ...channelAccountRoutes(deps),
    ...circuitRoutes(deps),
    ...templateRoutes(deps),
  ];
}

/** The OpenAPI document. Needs no server: nothing of the routes' dependencies is touched before a request. */
export function adminOpenapi(): Record<string, unknown> {
  return createOpenapi(
    {
      title: 'Message Center administration',
      description:
        'Tenants and their keys, channel accounts, templates. What is versioned answers an ETag, and an edit sends it back as If-Match.',
      version: '1',
      keyDescription: 'MC_ADMIN_TOKEN.',
    },
    adminRoutes({} as AdminDeps),
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
  return createApp<Administrator>({
    routes: adminRoutes(options),
    authenticate: createAuthenticate(adminToken),
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

function createAuthenticate(adminToken: string) {
  if (adminToken.length < minTokenLength)
    throw new Error(`MC_ADMIN_TOKEN must have ${minTokenLength} characters or more`);
  const wanted = digest(adminToken);
  return async (headers: Readonly<Record<string, string | undefined>>): Promise<Administrator> => {
    const [, token] = /^Bearer +(\S+)$/i.exec(headers['authorization'] ?? '') ?? [];
    // Digests have one length, so that the comparison tells nothing of the token's.
    if (token === undefined || !timingSafeEqual(digest(token), wanted))
      throw problem('unauthorized', { detail: 'Send `Authorization: Bearer <MC_ADMIN_TOKEN>`.' });
    return { name: 'admin' };
  };
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
