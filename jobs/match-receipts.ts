/**
 * Receipts → messages. A receipt names its message through the delivery key the provider echoes; it becomes a snapshot in
 * the upper range of the message's sequence. One that comes before its message has ended is parked and tried again.
 */
import { messageOfDeliveryKey } from '../platform/delivery-key.ts';
import {
  OptOutNoticeSchema,
  ReceiptSchema,
  type OptOutNotice,
  type Receipt,
  type Snapshot,
} from '../contracts/result.ts';
import { sequences } from '../contracts/sequences.ts';
import { isEnd, mayMove } from '../contracts/status.ts';
import type { Names } from '../contracts/topics.ts';
import type { ReceiptSignal } from '../contracts/workflows.ts';
import { pause } from '../platform/lifecycle.ts';
import type { Logger } from '../platform/logger.ts';
import type { Metrics } from '../platform/metrics.ts';
import { publishSnapshot } from '../platform/publish-snapshot.ts';
import type { Delivery, Publisher, Receiver } from '../platform/queue.ts';
import { createValidator } from '../platform/validate.ts';

export interface MatchDeps {
  readonly receiver: Receiver;
  readonly publisher: Publisher;
  readonly names: Names;
  readonly logger: Logger;
  readonly metrics: Metrics;
  /** The newest snapshot that the index holds. Errors: the index does not answer. */
  readonly snapshotOf: (messageId: string) => Promise<Snapshot | undefined>;
  /** The same by the provider's id, for providers that echo nothing of ours; seen a second after it was written. */
  readonly snapshotByProviderId: (of: {
    tenantId: string;
    channel: string;
    providerId: string;
  }) => Promise<Snapshot | undefined>;
  /** Keeps a person's word. Errors: the store does not answer. */
  readonly recordOptOut: (notice: OptOutNotice) => Promise<void>;
  /** Tells the run of a message that waits for its receipt; false: it runs no more. Errors: Temporal does not answer. */
  readonly tellRun: (messageId: string, news: ReceiptSignal) => Promise<boolean>;
  readonly parked: {
    park(receipt: Receipt, nextTryAtMs: number): Promise<void>;
    due(nowMs: number, limit: number): Promise<readonly ParkedReceipt[]>;
    settle(id: string): Promise<void>;
    postpone(id: string, nextTryAtMs: number): Promise<void>;
  };
}

interface ParkedReceipt {
  readonly id: string;
  readonly receipt: Receipt;
  readonly parkedAt: string;
}

/** How long a receipt may wait for its message before it is given up as unknown. */
const giveUpAfterMs = 24 * 3600 * 1000;
const firstRetryMs = 2000;
/** Parked receipts that are looked at together. */
const mostAtOnce = 32;
const receiptValidator = createValidator(ReceiptSchema);
const optOutValidator = createValidator(OptOutNoticeSchema);

type Match = 'published' | 'told-run' | 'too-early' | 'unknown' | 'superseded';

/** Receives and matches until stopped. */
export function matchReceipts(deps: MatchDeps): { stop(): Promise<void> } {
  const { logger } = deps;
  const stopped = new AbortController();
  const matched = deps.metrics.counter(
    'receipts_matched_total',
    'Receipts by what became of them.',
    ['result'],
  );

  const receiveLoop = async () => {
    while (!stopped.signal.aborted) {
      try {
        const deliveries = await deps.receiver.receive(deps.names.receipts, 32);
        await Promise.all(deliveries.map(take));
        if (deliveries.length > 0) await deps.receiver.acknowledge(deliveries);
      } catch (error) {
        logger.warn({ error }, 'receipts.postponed');
        await pause(1000, stopped.signal);
      }
    }
  };
  const take = async (delivery: Delivery) => {
    const value = parse(delivery);
    if (optOutValidator.check(value)) {
      await deps.recordOptOut(value);
      const { tenantId, accountId, channel, isOut, how } = value;
      logger.info({ tenantId, accountId, channel, isOut, how }, 'opt-out.recorded');
      matched.inc({ result: 'opt-out' });
      return;
    }
    const receipt = receiptValidator.check(value) ? value : undefined;
    if (receipt === undefined) {
      logger.error({ key: delivery.key }, 'receipt.unreadable');
      matched.inc({ result: 'unreadable' });
      return;
    }
    // An index that cannot say now is asked again soon, not only when the broker hands the receipt out anew.
    const result = await match(deps, receipt).catch((error: unknown) => {
      logger.warn({ accountId: receipt.accountId, error }, 'receipt.postponed');
      return 'too-early' as const;
    });
    if (result === 'too-early') await deps.parked.park(receipt, Date.now() + firstRetryMs);
    matched.inc({ result });
  };
  const takeParked = async ({ id, receipt, parkedAt }: ParkedReceipt) => {
    const ageMs = Date.now() - Date.parse(parkedAt);
    const result = await match(deps, receipt);
    if (result === 'too-early' && ageMs <= giveUpAfterMs)
      return deps.parked.postpone(id, Date.now() + Math.max(firstRetryMs, ageMs));
    if (result === 'too-early')
      logger.warn(
        { accountId: receipt.accountId, providerId: receipt.providerId },
        'receipt.unknown',
      );
    matched.inc({ result: result === 'too-early' ? 'unknown' : result });
    await deps.parked.settle(id);
  };
  const parkedLoop = async () => {
    while (!stopped.signal.aborted) {
      try {
        const due = await deps.parked.due(Date.now(), mostAtOnce);
        // Together: one after the other, those of a campaign would come later and later.
        await Promise.all(due.map(takeParked));
        if (due.length === mostAtOnce) continue;
      } catch (error) {
        logger.warn({ error }, 'receipts.postponed');
      }
      await pause(1000, stopped.signal);
    }
  };
  const loops = Promise.all([receiveLoop(), parkedLoop()]);
  return {
    stop: async () => {
      stopped.abort();
      await loops;
    },
  };
}

function parse(delivery: Delivery): unknown {
  try {
    return JSON.parse(delivery.body.toString('utf8'));
  } catch {
    return undefined;
  }
}

/** The message a receipt is about, once its run has ended. */
async function findMessage(
  deps: MatchDeps,
  { tenantId, accountId, connector, deliveryKey, providerId, status }: Receipt,
): Promise<Snapshot | 'too-early' | 'unknown'> {
  if (deliveryKey === undefined) {
    if (providerId === undefined) return 'unknown';
    // By channel, not by account: a WeChat appid has one receipt address for the kinds of message that it sends.
    const channel = connector.split('-', 1)[0] ?? connector;
    const seen = await deps.snapshotByProviderId({ tenantId, channel, providerId });
    // The search lags a second behind; the document itself does not.
    const found = seen === undefined ? undefined : await deps.snapshotOf(seen.messageId);
    // Perhaps its answer is still on its way to us, perhaps it is nobody's of ours: time tells.
    return found !== undefined && isDue(found) ? found : 'too-early';
  }
  const reference = messageOfDeliveryKey(deliveryKey);
  // A reference that we never gave is somebody else's message on the same provider account.
  if (reference === undefined) return 'unknown';
  const snapshot = await deps.snapshotOf(reference.messageId);
  if (snapshot === undefined || snapshot.redrive < reference.redrive || !isDue(snapshot))
    return 'too-early';
  // Another channel may have followed: that an earlier one has delivered counts, that it failed is known.
  const isOfItsWay = snapshot.accountId === accountId || status !== 'failed';
  const isOurs =
    isOfItsWay && snapshot.tenantId === tenantId && snapshot.redrive === reference.redrive;
  return isOurs ? snapshot : 'unknown';
}

/** Whether a receipt can be taken now: the run has ended, or waits for it. */
function isDue({ status, reason }: Snapshot): boolean {
  return isEnd(status) || reason?.code === 'awaiting-receipt';
}

async function match(deps: MatchDeps, receipt: Receipt): Promise<Match> {
  const snapshot = await findMessage(deps, receipt);
  if (typeof snapshot === 'string') return snapshot;
  if (!isEnd(snapshot.status)) return tellRun(deps, snapshot.messageId, receipt);
  // Late news of an earlier state, or a repeat of what is known.
  if (!mayMove(snapshot.status, receipt.status)) return 'superseded';
  const said = saidOf(receipt);
  const { attempt: _told, reason: _before, ...base } = snapshot;
  const next: Snapshot = {
    ...base,
    status: receipt.status,
    sequence: sequences.receipt[receipt.status],
    updatedAt: receipt.occurredAt,
    ...(receipt.providerId !== undefined && { providerId: receipt.providerId }),
    ...(receipt.status === 'failed' && {
      reason: { code: receipt.outcome ?? 'undelivered', ...(said !== '' && { detail: said }) },
    }),
  };
  await publishSnapshot(deps, next);
  deps.logger.info(
    {
      messageId: next.messageId,
      tenantId: next.tenantId,
      accountId: next.accountId,
      status: next.status,
      providerCode: receipt.providerCode,
    },
    'receipt.matched',
  );
  return 'published';
}

async function tellRun(deps: MatchDeps, messageId: string, receipt: Receipt): Promise<Match> {
  const { accountId, status, outcome } = receipt;
  const detail = saidOf(receipt);
  const isTold = await deps.tellRun(messageId, {
    accountId,
    status,
    ...(outcome !== undefined && { code: outcome }),
    ...(detail !== '' && { detail }),
  });
  // It has just ended: the index is about to say so.
  return isTold ? 'told-run' : 'too-early';
}

/** The provider's words. */
function saidOf({ providerCode, providerMessage }: Receipt): string {
  return [providerCode, providerMessage].filter((part) => part !== undefined).join(': ');
}
