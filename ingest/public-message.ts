/** A message as its tenant sees it: a snapshot without what only we need, and the recipient masked. */
import { Type, type Static } from 'typebox';
import { kinds } from '../contracts/message.ts';
import { ReasonSchema, type Snapshot } from '../contracts/result.ts';
import { statuses } from '../contracts/status.ts';
import { priorities } from '../contracts/topics.ts';

const time = (description: string) => Type.String({ format: 'date-time', description });

export const PublicMessageSchema = Type.Object({
  id: Type.String({ examples: ['msg_01k4z8v3m2q7w9c5x1y6t0r8na'] }),
  status: Type.Enum([...statuses]),
  reason: Type.Optional(ReasonSchema),
  template: Type.String(),
  templateVersion: Type.Optional(
    Type.Integer({ description: 'The version it was sent with; known once sending began.' }),
  ),
  channel: Type.String({ examples: ['sms'] }),
  connector: Type.String({ examples: ['sms-aliyun'] }),
  accountId: Type.String(),
  priority: Type.Enum([...priorities]),
  kind: Type.Enum([...kinds]),
  to: Type.String({ description: 'The recipient, masked.', examples: ['139****0000'] }),
  metadata: Type.Record(Type.String(), Type.String()),
  attempts: Type.Integer({ description: 'Provider calls concluded so far.' }),
  providerId: Type.Optional(Type.String({ description: "The provider's own id of the message." })),
  acceptedAt: time('When the message was accepted.'),
  expiresAt: time('After this no attempt is begun.'),
  updatedAt: time('When the status became what it is.'),
  nextAttemptAt: Type.Optional(time('When it is tried again.')),
});
export type PublicMessage = Static<typeof PublicMessageSchema>;

/** The tenant's view of a snapshot. */
export function publicMessage(snapshot: Snapshot): PublicMessage {
  const { reason, templateVersion, providerId, nextAttemptAt } = snapshot;
  return {
    id: snapshot.messageId,
    status: snapshot.status,
    ...(reason !== undefined && { reason }),
    template: snapshot.template,
    ...(templateVersion !== undefined && { templateVersion }),
    channel: snapshot.channel,
    connector: snapshot.connector,
    accountId: snapshot.accountId,
    priority: snapshot.priority,
    kind: snapshot.kind,
    to: snapshot.recipientMasked,
    metadata: snapshot.metadata,
    attempts: snapshot.attempts,
    ...(providerId !== undefined && { providerId }),
    acceptedAt: snapshot.acceptedAt,
    expiresAt: snapshot.expiresAt,
    updatedAt: snapshot.updatedAt,
    ...(nextAttemptAt !== undefined && { nextAttemptAt }),
  };
}
