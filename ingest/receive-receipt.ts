/** A provider's receipt call: verified and parsed by the connector, stored on the receipts topic, then acknowledged. */
import type { AccountAccess, Connector, ReceiptRequest } from '../contracts/channel.ts';
import { problem } from '../contracts/problems.ts';
import type { To } from '../contracts/message.ts';
import type { OptOutNotice, Receipt } from '../contracts/result.ts';
import type { Names } from '../contracts/topics.ts';
import type { Reply } from '../platform/http.ts';
import type { Logger } from '../platform/logger.ts';
import type { Metrics } from '../platform/metrics.ts';
import { PublishError, type Publisher } from '../platform/queue.ts';

export interface ReceiptDeps {
  readonly connectors: ReadonlyMap<string, Connector>;
  readonly account: (
    accountId: string,
  ) => Promise<{ connector: string; access: AccountAccess } | undefined>;
  readonly hashRecipient: (tenantId: string, to: To) => string;
  readonly publisher: Publisher;
  readonly names: Names;
  readonly logger: Logger;
  readonly metrics: Metrics;
}

/** Makes the handler. It answers the provider only after the broker has stored every receipt of the call. */
export function createReceiveReceipt(deps: ReceiptDeps) {
  const received = deps.metrics.counter(
    'receipts_received_total',
    'Receipt calls by what became of them.',
    ['connector', 'result'],
  );
  return async function receiveReceipt(
    connectorName: string,
    accountId: string,
    request: ReceiptRequest,
  ): Promise<Reply> {
    const connector = deps.connectors.get(connectorName);
    const found = await deps.account(accountId);
    if (connector?.parseReceipts === undefined || found?.connector !== connectorName) {
      received.inc({
        connector: connector === undefined ? 'unknown' : connectorName,
        result: 'unknown-account',
      });
      throw problem('not-found', { detail: 'There is no such receipt address.' });
    }
    const parsed = connector.parseReceipts(request, found.access);
    if (parsed.result === 'refused') {
      received.inc({ connector: connectorName, result: parsed.reason });
      deps.logger.warn(
        { connector: connectorName, accountId, reason: parsed.reason, detail: parsed.detail },
        'receipt.refused',
      );
      throw problem(parsed.reason === 'signature' ? 'forbidden' : 'malformed-request', {
        detail: parsed.detail,
      });
    }
    const receivedAt = new Date().toISOString();
    const { tenantId } = found.access;
    const receipts = parsed.receipts.map((entry): Receipt => ({
      version: 1,
      connector: connectorName,
      accountId,
      tenantId,
      receivedAt,
      ...entry,
    }));
    const optOuts = (parsed.optOuts ?? []).map(({ to, isOut, how, occurredAt }): OptOutNotice => ({
      version: 1,
      type: 'opt-out',
      tenantId,
      accountId,
      channel: connector.channel,
      recipientHash: deps.hashRecipient(tenantId, to),
      isOut,
      how,
      occurredAt,
    }));
    const keyed = [
      ...receipts.map((value) => ({
        key: value.deliveryKey ?? value.providerId ?? accountId,
        value,
      })),
      ...optOuts.map((value) => ({ key: value.recipientHash, value })),
    ];
    try {
      await Promise.all(
        keyed.map(({ key, value }) =>
          deps.publisher.publish(
            deps.names.receipts,
            { key, body: JSON.stringify(value) },
            { deadlineMs: 3000 },
          ),
        ),
      );
    } catch (error) {
      if (!(error instanceof PublishError)) throw error;
      // Not acknowledged: the provider pushes again.
      throw problem('broker-unavailable', {
        detail: 'The receipts could not be stored now.',
        retryAfterSeconds: 10,
        stored: error.stored,
        cause: error,
      });
    }
    received.inc({ connector: connectorName, result: 'stored' }, parsed.receipts.length);
    if (optOuts.length > 0)
      received.inc({ connector: connectorName, result: 'opt-out' }, optOuts.length);
    deps.logger.info(
      { connector: connectorName, accountId, count: parsed.receipts.length },
      'receipt.stored',
    );
    const { status, contentType, body } = parsed.reply;
    return { status, text: { contentType, value: body } };
  };
}
