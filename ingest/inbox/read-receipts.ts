/** What a person has read becomes the status of its message: a receipt like a provider's, on the same topic. */
import { inboxConnector } from '../../contracts/inbox.ts';
import type { Receipt } from '../../contracts/result.ts';
import type { Names } from '../../contracts/topics.ts';
import type { Logger } from '../../platform/logger.ts';
import type { Metrics } from '../../platform/metrics.ts';
import type { Publisher } from '../../platform/queue.ts';
import type { FirstRead } from '../../store/index.ts';

export interface ReadReceiptsDeps {
  readonly publisher: Pick<Publisher, 'publish'>;
  /** Keeps a receipt in the database, where jobs finds it. Errors: store-unavailable. */
  readonly park: (receipt: Receipt) => Promise<void>;
  readonly names: Names;
  readonly logger: Logger;
  readonly metrics: Metrics;
}

export type TellRead = (tenantId: string, items: readonly FirstRead[]) => Promise<void>;

/** The person waits for it. */
const publishDeadlineMs = 2000;
const receiptsAtOnce = 500;

/**
 * Makes the function that tells of items that were read for the first time; it never fails, because what was read is read.
 * While the broker is away receipts are parked in the database; where that fails, too, the message stays `sent`, which a log
 * line and a counter tell.
 */
export function createTellRead(deps: ReadReceiptsDeps): TellRead {
  const { publisher, park, names, logger, metrics } = deps;
  const told = metrics.counter(
    'inbox_read_receipts_total',
    'Items read for the first time, by how their messages learn of it.',
    ['result'],
  );
  const publish = (receipt: Receipt) =>
    publisher.publish(
      names.receipts,
      { key: receipt.deliveryKey ?? '', body: JSON.stringify(receipt) },
      { deadlineMs: publishDeadlineMs },
    );
  return async (tenantId, items) => {
    const now = new Date().toISOString();
    const receipts = items.map(({ itemId, accountId }): Receipt => ({
      version: 1,
      connector: inboxConnector,
      accountId,
      tenantId,
      receivedAt: now,
      deliveryKey: itemId,
      providerId: itemId,
      status: 'read',
      occurredAt: now,
    }));
    let isBrokerAway = false;
    for (let start = 0; start < receipts.length; start += receiptsAtOnce) {
      const portion = receipts.slice(start, start + receiptsAtOnce);
      // A broker that is away for some is away for all: the rest is parked without asking it again.
      const unpublished: Failed = isBrokerAway
        ? { left: portion }
        : await attempt(portion, publish);
      isBrokerAway = unpublished.left.length > 0;
      const unparked = await attempt(unpublished.left, park);
      const lost = unparked.left.length;
      const parked = unpublished.left.length - lost;
      told.inc({ result: 'published' }, portion.length - parked - lost);
      told.inc({ result: 'parked' }, parked);
      told.inc({ result: 'lost' }, lost);
      const error = unparked.error ?? unpublished.error;
      if (lost > 0) logger.error({ error, tenantId, lost }, 'inbox.read-receipts-lost');
      else if (parked > 0) logger.warn({ error, tenantId, parked }, 'inbox.read-receipts-parked');
    }
  };
}

interface Failed {
  readonly left: readonly Receipt[];
  readonly error?: unknown;
}

/** Those that failed, and one of the errors. */
async function attempt(
  receipts: readonly Receipt[],
  tell: (receipt: Receipt) => Promise<void>,
): Promise<Failed> {
  const results = await Promise.allSettled(receipts.map(tell));
  const failed = results.find((result) => result.status === 'rejected');
  return {
    left: receipts.filter((_, index) => results[index]?.status === 'rejected'),
    ...(failed !== undefined && { error: failed.reason }),
  };
}
