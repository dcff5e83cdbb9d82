/**
 * The webhook endpoints as the process that sends to them reads them: a copy in memory, brought up to date twice a second.
 * It says from when its newest look is, so that nobody takes "there is none" from a look that is older than the question.
 */
import type { ToldStatus } from '../contracts/webhooks.ts';
import { pause } from '../platform/lifecycle.ts';
import type { Logger } from '../platform/logger.ts';
import type { Store } from './index.ts';
import { createMirror } from './mirror.ts';
import type { KnownEndpoint } from './webhook-endpoints.ts';

export interface EndpointsInForce {
  /** The tenant's enabled endpoints that want to hear of this status. */
  wanting(tenantId: string, status: ToldStatus): readonly KnownEndpoint[];
  /** An endpoint that is there and enabled. */
  enabled(endpointId: string): KnownEndpoint | undefined;
  /** Whether an endpoint is there, enabled or not. */
  exists(endpointId: string): boolean;
  /** Resolves once a look that began after this call is in force, or when it is closed. */
  looked(): Promise<void>;
  /** Whether the last complete look is older than 5 s. */
  readonly isStale: boolean;
  close(): Promise<void>;
}

export interface OpenEndpointsOptions {
  readonly store: Pick<Store, 'webhookEndpoints'>;
  readonly logger: Logger;
  /** Default 500. */
  readonly lookEveryMs?: number;
}

const staleMs = 5000;

/** Resolves once they were read, or could not be; follows them until closed. */
export async function openWebhookEndpoints(
  options: OpenEndpointsOptions,
): Promise<EndpointsInForce> {
  const { store, logger, lookEveryMs = 500 } = options;
  const endpoints = new Map<string, KnownEndpoint>();
  const byTenant = new Map<string, Map<string, KnownEndpoint>>();
  const enter = (known: KnownEndpoint) => {
    const { id, tenantId } = known.endpoint;
    const own = byTenant.get(tenantId) ?? new Map<string, KnownEndpoint>();
    if (known.isDeleted) {
      endpoints.delete(id);
      own.delete(id);
    } else {
      endpoints.set(id, known);
      own.set(id, known);
    }
    if (own.size > 0) byTenant.set(tenantId, own);
    else byTenant.delete(tenantId);
  };
  const mirror = createMirror({
    kind: 'webhook-endpoints',
    changedSince: (revision, limit) => store.webhookEndpoints.changedSince(revision, limit),
    enter,
    clear: () => {
      endpoints.clear();
      byTenant.clear();
    },
    logger,
  });
  const closing = new AbortController();
  let isFailing = false;
  /** When the last good look began, on the clock that nobody sets. */
  let lookedAt: number | undefined;
  let waiting: { readonly since: number; readonly resolve: () => void }[] = [];

  const look = async () => {
    const startedAt = performance.now();
    try {
      await mirror.follow(await store.webhookEndpoints.revision());
      lookedAt = startedAt;
      const due = waiting.filter(({ since }) => since <= startedAt);
      waiting = waiting.filter(({ since }) => since > startedAt);
      for (const { resolve } of due) resolve();
      if (isFailing) logger.info('webhook-endpoints.following-again');
      isFailing = false;
    } catch (error) {
      if (!isFailing) logger.warn({ error }, 'webhook-endpoints.cannot-read');
      isFailing = true;
    }
  };
  await look();
  const loop = (async () => {
    while (!closing.signal.aborted) {
      await pause(lookEveryMs, closing.signal);
      if (!closing.signal.aborted) await look();
    }
  })();

  return {
    wanting: (tenantId, status) =>
      [...(byTenant.get(tenantId)?.values() ?? [])].filter(
        ({ endpoint }) => endpoint.isEnabled && endpoint.statuses.includes(status),
      ),
    enabled: (endpointId) => {
      const known = endpoints.get(endpointId);
      return known?.endpoint.isEnabled === true ? known : undefined;
    },
    exists: (endpointId) => endpoints.has(endpointId),
    looked: () =>
      new Promise((resolve) => {
        if (closing.signal.aborted) resolve();
        else waiting.push({ since: performance.now(), resolve });
      }),
    get isStale() {
      return lookedAt === undefined || performance.now() - lookedAt > staleMs;
    },
    close: async () => {
      closing.abort();
      await loop;
      for (const { resolve } of waiting) resolve();
    },
  };
}
