/**
 * What we tell of a message: snapshots and attempts, as CloudEvents 1.0 JSON.
 * Carried by: ingest, bridge, worker, jobs → RocketMQ results and retries → indexer, services.
 */
import { Type, type Static } from 'typebox';
import { outcomeClasses } from './outcome.ts';
import { statuses, type Status } from './status.ts';
import { localeSources } from './locale.ts';
import { kinds, RouteSchema } from './message.ts';
import { documentVersion } from './sequences.ts';
import { priorities } from './topics.ts';

export { documentVersion, sequences } from './sequences.ts';

const literals = <T extends string>(values: readonly T[]) => Type.Enum([...values]);

/** What an attempt may come to: an outcome class, or one of our own words. */
export const attemptOutcomes = [...outcomeClasses, 'recipient-window', 'reconciled'] as const;

export const AttemptSchema = Type.Object({
  number: Type.Integer({
    description: 'Counted from 1 over everything that was tried for the message.',
  }),
  startedAt: Type.String({ format: 'date-time' }),
  durationMs: Type.Integer(),
  accountId: Type.String(),
  outcome: Type.Enum([...attemptOutcomes], {
    description:
      'Outcome class; recipient-window: our own per-recipient limit held it back, the provider was not called; reconciled: the provider was asked about an earlier call.',
  }),
  providerCode: Type.Optional(Type.String()),
  providerMessage: Type.Optional(Type.String()),
  providerId: Type.Optional(Type.String()),
  nextAttemptAt: Type.Optional(Type.String({ format: 'date-time' })),
});
export type Attempt = Static<typeof AttemptSchema>;

/** Why a message ended as it did, or waits. `code` is an outcome class or one of our own words. */
export const ReasonSchema = Type.Object({
  code: Type.String(),
  detail: Type.Optional(Type.String()),
});
export type Reason = Static<typeof ReasonSchema>;
/** The code of an account's circuit while its provider fails call after call. */
export const providerDown = 'provider-down';

export const SnapshotSchema = Type.Object({
  version: Type.Literal(1),
  messageId: Type.String(),
  tenantId: Type.String(),
  status: literals(statuses),
  redrive: Type.Integer(),
  sequence: Type.Integer(),
  acceptedAt: Type.String(),
  expiresAt: Type.String(),
  updatedAt: Type.String(),
  kind: literals(kinds),
  template: Type.String(),
  templateVersion: Type.Optional(Type.Integer()),
  /** The language it is rendered in, and who asked for it. */
  locale: Type.Optional(Type.String()),
  localeFrom: Type.Optional(literals(localeSources)),
  connector: Type.String(),
  channel: Type.String(),
  accountId: Type.String(),
  priority: literals(priorities),
  recipientHash: Type.String(),
  recipientMasked: Type.String(),
  metadata: Type.Record(Type.String(), Type.String()),
  batch: Type.Optional(Type.String()),
  chunk: Type.Optional(Type.String()),
  orderingKey: Type.Optional(Type.String()),
  sendAt: Type.Optional(Type.String()),
  /** What a redrive needs beside it. */
  routes: Type.Optional(Type.Array(RouteSchema)),
  fallbackAfter: Type.Optional(Type.Integer()),
  timeZone: Type.Optional(Type.String()),
  wantedLocale: Type.Optional(Type.String()),
  sealed: Type.Optional(Type.String()),
  attempts: Type.Integer({ description: 'Provider calls concluded so far.' }),
  /** What its attempts came to since it was last redriven, each word once. */
  attemptOutcomes: Type.Optional(Type.Array(Type.String())),
  providerCodes: Type.Optional(Type.Array(Type.String())),
  reason: Type.Optional(ReasonSchema),
  providerId: Type.Optional(Type.String()),
  nextAttemptAt: Type.Optional(Type.String()),
  /** Only where the template says that its content may be searched. */
  content: Type.Optional(Type.String()),
  /** When its person was erased: recipient, metadata and request are gone. */
  erasedAt: Type.Optional(Type.String()),
  /** The attempt this snapshot tells of; indexed as a document of its own. */
  attempt: Type.Optional(AttemptSchema),
});
export type Snapshot = Static<typeof SnapshotSchema>;

export const MessageEventSchema = Type.Object({
  specversion: Type.Literal('1.0'),
  id: Type.String(),
  source: Type.String(),
  type: Type.String(),
  subject: Type.String(),
  time: Type.String(),
  datacontenttype: Type.Literal('application/json'),
  sequence: Type.String(),
  data: SnapshotSchema,
});
export type MessageEvent = Static<typeof MessageEventSchema>;

/** Wraps a snapshot as the CloudEvent that is published for it. */
export function toEvent(snapshot: Snapshot): MessageEvent {
  return {
    specversion: '1.0',
    id: `${snapshot.messageId}/${snapshot.redrive}/${snapshot.sequence}`,
    source: 'message-center',
    type: `message.${snapshot.status satisfies Status}`,
    subject: snapshot.messageId,
    time: snapshot.updatedAt,
    datacontenttype: 'application/json',
    sequence: String(documentVersion(snapshot)),
    data: snapshot,
  };
}

/** The events of one broker message: one alone, or several as in CloudEvents' JSON batch format. None is checked here. */
export function eventsIn(body: unknown): readonly unknown[] {
  return Array.isArray(body) ? body : [body];
}

/** Carried by: ingest → receipts topic → jobs. A provider's word on a message, already verified and parsed. */
export const ReceiptSchema = Type.Object({
  version: Type.Literal(1),
  connector: Type.String(),
  accountId: Type.String(),
  tenantId: Type.String(),
  receivedAt: Type.String(),
  /** Our reference as the provider echoed it, or the provider's id: at least one of them. */
  deliveryKey: Type.Optional(Type.String()),
  providerId: Type.Optional(Type.String()),
  status: Type.Enum(['delivered', 'read', 'failed']),
  /** For failed: what it means for the address. */
  outcome: Type.Optional(literals(outcomeClasses)),
  providerCode: Type.Optional(Type.String()),
  providerMessage: Type.Optional(Type.String()),
  occurredAt: Type.String(),
});
export type Receipt = Static<typeof ReceiptSchema>;

/**
 * Carried by: ingest → receipts topic → jobs. A person said through a channel that they want no more, or want it again;
 * the recipient as a keyed hash.
 */
export const OptOutNoticeSchema = Type.Object({
  version: Type.Literal(1),
  type: Type.Literal('opt-out'),
  tenantId: Type.String(),
  accountId: Type.String(),
  channel: Type.String(),
  recipientHash: Type.String(),
  isOut: Type.Boolean(),
  how: Type.String(),
  occurredAt: Type.String(),
});
export type OptOutNotice = Static<typeof OptOutNoticeSchema>;

/** Why a message can never start. */
export const parkReasons = ['unparsable', 'too-large', 'too-new', 'too-old'] as const;
export type ParkReason = (typeof parkReasons)[number];

/** What is parked because nobody can process it; kept with its reason, never dropped silently. */
export const ParkedSchema = Type.Object({
  version: Type.Literal(1),
  parkedAt: Type.String(),
  by: Type.String(),
  reason: Type.String(),
  detail: Type.String(),
  topic: Type.String(),
  bodyBase64: Type.String(),
});
export type Parked = Static<typeof ParkedSchema>;
