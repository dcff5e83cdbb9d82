/** Result webhooks: a tenant's services are told what became of its messages. The parts of it, in start order. */
import type { Names } from '../../contracts/topics.ts';
import type { Logger } from '../../platform/logger.ts';
import type { Metrics } from '../../platform/metrics.ts';
import type { Publisher, Receiver } from '../../platform/queue.ts';
import { openWebhookEndpoints, type Store, type WebhookAttempts } from '../../store/index.ts';
import { createAttemptLog, keptAttempts } from './attempt-log.ts';
import { createEndpointLanes } from './endpoint-lanes.ts';
import { retryWebhooks } from './retry-webhooks.ts';
import { callTimeoutMs, createSendWebhook } from './send-webhook.ts';
import { tellResults } from './tell-results.ts';

export interface RunWebhooksDeps {
  /** Of a group of its own on the results. */
  readonly receiver: Receiver;
  readonly publisher: Pick<Publisher, 'publish'>;
  readonly names: Pick<Names, 'results' | 'alerts'>;
  readonly store: Pick<Store, 'webhookEndpoints' | 'webhookDeliveries' | 'webhookAttempts'>;
  /** Whether endpoints may be plain http, and at loopback and private addresses. */
  readonly allowPrivate: boolean;
  readonly logger: Logger;
  readonly metrics: Metrics;
  /** For one call; default 15,000. */
  readonly timeoutMs?: number;
  /** Epoch milliseconds; default the system clock. */
  readonly now?: () => number;
}

const keptMs = 7 * 86_400_000;

/** Runs until stopped; any number of processes may. */
export async function runWebhooks(deps: RunWebhooksDeps): Promise<{ stop(): Promise<void> }> {
  const { store, allowPrivate, logger, timeoutMs = callTimeoutMs } = deps;
  const inForce = await openWebhookEndpoints({ store, logger });
  const lanes = createEndpointLanes({ allowPrivate, timeoutMs });
  const attempts = createAttemptLog({ attempts: store.webhookAttempts, logger });
  const [endpoints, deliveries] = [store.webhookEndpoints, store.webhookDeliveries];
  const send = createSendWebhook({ ...deps, lanes, endpoints, deliveries, attempts });
  const parts = { ...deps, inForce, lanes, endpoints, deliveries, send };
  const retries = retryWebhooks(parts);
  const telling = tellResults(parts);
  return {
    stop: async () => {
      await Promise.all([telling.stop(), retries.stop()]);
      await Promise.all([attempts.stop(), inForce.close()]);
      await lanes.close();
    },
  };
}

/** Removes at most `limit` attempts beyond the newest 1,000 of an endpoint, or older than a week. */
export async function purgeAttempts(
  attempts: Pick<WebhookAttempts, 'overfull' | 'trim' | 'purge'>,
  limit: number,
): Promise<number> {
  let removed = await attempts.purge(Date.now() - keptMs, limit);
  for (const endpointId of await attempts.overfull(keptAttempts))
    if (removed < limit) removed += await attempts.trim(endpointId, keptAttempts, limit - removed);
  return removed;
}
