/** A message as its tenant sees it: a snapshot without what only we need, and the recipient masked. */
import { Type, type Static } from 'typebox';
import { localeSources } from './locale.ts';
import { kinds } from './message.ts';
import { ReasonSchema, type Snapshot } from './result.ts';
import { statuses } from './status.ts';
import { priorities } from './topics.ts';

const time = (description: string) => Type.String({ format: 'date-time', description });

export const PublicMessageSchema = Type.Object({
  id: Type.String({ examples: ['msg_01k4z8v3m2q7w9c5x1y6t0r8na'] }),
  status: Type.Enum([...statuses]),
  reason: Type.Optional(ReasonSchema),
  template: Type.String(),
  templateVersion: Type.Optional(
    Type.Integer({ description: 'The version it was sent with; known once sending began.' }),
  ),
  locale: Type.Optional(
    Type.String({
      description:
        'The language it was rendered in; known once sending began, of a template that names its languages.',
      examples: ['zh-CN'],
    }),
  ),
  localeFrom: Type.Optional(
    Type.Enum([...localeSources], {
      description: 'Who asked for that language; template: nobody whose language it has.',
    }),
  ),
  wantedLocale: Type.Optional(Type.String({ description: 'The language that was asked for.' })),
  channel: Type.String({ examples: ['sms'] }),
  connector: Type.String({ examples: ['sms-aliyun'] }),
  accountId: Type.String(),
  priority: Type.Enum([...priorities]),
  kind: Type.Enum([...kinds]),
  to: Type.String({
    description: 'The recipient, masked; empty once the person was erased.',
    examples: ['139****0000'],
  }),
  metadata: Type.Record(Type.String(), Type.String()),
  batch: Type.Optional(Type.String()),
  orderingKey: Type.Optional(Type.String()),
  sendAt: Type.Optional(time('Not sent before.')),
  attempts: Type.Integer({ description: 'Provider calls concluded so far.' }),
  providerId: Type.Optional(Type.String({ description: "The provider's own id of the message." })),
  acceptedAt: time('When the message was accepted.'),
  expiresAt: time('After this no attempt is begun.'),
  updatedAt: time('When the status became what it is.'),
  nextAttemptAt: Type.Optional(time('When it is tried again.')),
  erasedAt: Type.Optional(time('When what tells of its recipient was erased.')),
});
export type PublicMessage = Static<typeof PublicMessageSchema>;

/** The tenant's view of a snapshot. */
export function publicMessage(snapshot: Snapshot): PublicMessage {
  const { reason, templateVersion, providerId, nextAttemptAt, batch, orderingKey, sendAt } =
    snapshot;
  const { locale, localeFrom, wantedLocale } = snapshot;
  return {
    id: snapshot.messageId,
    status: snapshot.status,
    ...(reason !== undefined && { reason }),
    template: snapshot.template,
    ...(templateVersion !== undefined && { templateVersion }),
    ...(locale !== undefined && { locale }),
    ...(localeFrom !== undefined && { localeFrom }),
    ...(wantedLocale !== undefined && { wantedLocale }),
    channel: snapshot.channel,
    connector: snapshot.connector,
    accountId: snapshot.accountId,
    priority: snapshot.priority,
    kind: snapshot.kind,
    to: snapshot.recipientMasked,
    metadata: snapshot.metadata,
    ...(batch !== undefined && { batch }),
    ...(orderingKey !== undefined && { orderingKey }),
    ...(sendAt !== undefined && { sendAt }),
    attempts: snapshot.attempts,
    ...(providerId !== undefined && { providerId }),
    acceptedAt: snapshot.acceptedAt,
    expiresAt: snapshot.expiresAt,
    updatedAt: snapshot.updatedAt,
    ...(nextAttemptAt !== undefined && { nextAttemptAt }),
    ...(snapshot.erasedAt !== undefined && { erasedAt: snapshot.erasedAt }),
  };
}
