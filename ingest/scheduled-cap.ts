/** How many messages of a tenant may wait for their time: each is an open run in Temporal. */
import type { Client } from '@temporalio/client';
import { problem } from '../contracts/problems.ts';
import type { Logger } from '../platform/logger.ts';

/** A tenant's number is as old as this at most; a flood within it goes over the cap by as much. */
const countEveryMs = 10_000;
const deadlineMs = 2000;

/**
 * Makes the check. Errors: the problem too-many-scheduled. While Temporal does not answer nobody is refused: the message
 * waits in RocketMQ until it does.
 */
export function createScheduledCap(deps: {
  readonly client: Client;
  readonly logger: Logger;
  readonly most: number;
}): (tenantId: string) => Promise<void> {
  const { client, logger, most } = deps;
  const counts = new Map<string, { atMs: number; count: Promise<number> }>();
  const count = async (tenantId: string): Promise<number> => {
    const query = `McTenant = '${tenantId}' AND ExecutionStatus = 'Running' AND ExecutionTime > '${new Date().toISOString()}'`;
    try {
      return await client.withDeadline(
        Date.now() + deadlineMs,
        async () => (await client.workflow.count(query)).count,
      );
    } catch (error) {
      logger.warn({ server: 'Temporal', tenantId, error }, 'scheduled.not-counted');
      return 0;
    }
  };
  return async (tenantId) => {
    let known = counts.get(tenantId);
    if (known === undefined || Date.now() - known.atMs > countEveryMs)
      counts.set(tenantId, (known = { atMs: Date.now(), count: count(tenantId) }));
    if ((await known.count) < most) return;
    throw problem('too-many-scheduled', {
      detail: `${most} messages of this tenant wait for their sendAt already.`,
      errors: [{ pointer: '/sendAt', detail: 'too many messages are scheduled' }],
      retryAfterSeconds: 60,
    });
  };
}
