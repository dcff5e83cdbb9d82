/** The part of every snapshot that is fixed at acceptance. */
import type { AcceptedMessage } from './message.ts';
import type { Snapshot } from './result.ts';

export type SnapshotBase = Omit<
  Snapshot,
  'status' | 'redrive' | 'sequence' | 'updatedAt' | 'attempts'
>;

export function snapshotBase(message: AcceptedMessage): SnapshotBase {
  return {
    version: 1,
    messageId: message.id,
    tenantId: message.tenantId,
    acceptedAt: message.acceptedAt,
    expiresAt: message.expiresAt,
    kind: message.kind,
    template: message.template,
    connector: message.connector,
    channel: message.channel,
    accountId: message.accountId,
    priority: message.priority,
    recipientHash: message.recipientHash,
    recipientMasked: message.recipientMasked,
    metadata: message.metadata,
    ...(message.batch !== undefined && { batch: message.batch }),
    ...(message.chunk !== undefined && { chunk: message.chunk }),
    ...(message.orderingKey !== undefined && { orderingKey: message.orderingKey }),
    ...(message.sendAt !== undefined && { sendAt: message.sendAt }),
    ...(message.routes !== undefined && { routes: message.routes }),
    ...(message.fallbackAfter !== undefined && { fallbackAfter: message.fallbackAfter }),
    ...(message.timeZone !== undefined && { timeZone: message.timeZone }),
    ...(message.locale !== undefined && { wantedLocale: message.locale }),
  };
}
