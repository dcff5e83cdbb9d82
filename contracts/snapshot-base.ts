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
  };
}
