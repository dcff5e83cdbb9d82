/** Disables an endpoint that should not be called any more, and says so. */
import type { DisableCode } from '../../contracts/webhooks.ts';
import type { Names } from '../../contracts/topics.ts';
import type { Logger } from '../../platform/logger.ts';
import type { Publisher } from '../../platform/queue.ts';
import type { KnownEndpoint, WebhookEndpoints } from '../../store/index.ts';

export interface DisableDeps {
  readonly endpoints: Pick<WebhookEndpoints, 'disable'>;
  readonly publisher: Pick<Publisher, 'publish'>;
  readonly names: Pick<Names, 'alerts'>;
  readonly logger: Logger;
}

const alertDeadlineMs = 3000;

/** Once, however many ask for it. Errors: the store or the queue does not answer. */
export async function disableEndpoint(
  { endpoints, publisher, names, logger }: DisableDeps,
  { endpoint: { id: endpointId, tenantId } }: KnownEndpoint,
  reason: { readonly code: DisableCode; readonly detail: string },
): Promise<void> {
  if (!(await endpoints.disable(endpointId, reason))) return;
  logger.error({ endpointId, tenantId, reason }, 'webhook-endpoint.disabled');
  const at = new Date().toISOString();
  const kind = 'webhook-endpoint-disabled';
  await publisher.publish(
    names.alerts,
    {
      key: endpointId,
      body: JSON.stringify({ version: 1, at, kind, tenantId, endpointId, reason }),
    },
    { deadlineMs: alertDeadlineMs },
  );
}
