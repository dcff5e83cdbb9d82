/** Stage 6: publishes a snapshot of a message. At least once, always under the same id. */
import type { Snapshot } from '../contracts/result.ts';
import type { Names } from '../contracts/topics.ts';
import { withoutRedaction, type Logger } from '../platform/logger.ts';
import { publishSnapshot } from '../platform/publish-snapshot.ts';
import type { Publisher } from '../platform/queue.ts';

/** Makes the report activity. Errors: the broker did not take it; the server calls again. */
export function createReport(deps: {
  readonly publisher: Publisher;
  readonly names: Names;
  readonly logger: Logger;
}) {
  const logger = withoutRedaction(deps.logger);
  return async function report(snapshot: Snapshot): Promise<void> {
    await publishSnapshot(deps, snapshot);
    const { messageId, tenantId, channel, accountId, status, attempts, reason } = snapshot;
    logger.info(
      { messageId, tenantId, channel, accountId, status, attempts, reason },
      'result.emitted',
    );
  };
}
