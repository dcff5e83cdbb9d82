/** What can never start: kept on the parked topic with its reason, told as rejected, and an alert. Never dropped silently. */
import { isChunk, mostChunkMembers } from '../contracts/chunk.ts';
import type { Parked, ParkReason, Snapshot } from '../contracts/result.ts';
import { sequences } from '../contracts/sequences.ts';
import type { Names } from '../contracts/topics.ts';
import type { Logger } from '../platform/logger.ts';
import { publishSnapshot } from '../platform/publish-snapshot.ts';
import type { Delivery, Publisher } from '../platform/queue.ts';

export interface ParkDeps {
  readonly publisher: Publisher;
  readonly names: Names;
  readonly logger: Logger;
}

/** Parks one delivery. Errors: the broker did not take it; the delivery is then not acknowledged and comes again. */
export async function park(
  deps: ParkDeps,
  delivery: Delivery,
  fault: { reason: ParkReason; detail: string },
): Promise<void> {
  const { publisher, names, logger } = deps;
  const now = new Date().toISOString();
  const parked: Parked = {
    version: 1,
    parkedAt: now,
    by: 'bridge',
    ...fault,
    topic: delivery.topic,
    bodyBase64: delivery.body.toString('base64'),
  };
  const rejected = rejectedSnapshots(delivery, fault, now);
  await Promise.all([
    publisher.publish(names.parked, { key: delivery.key, body: JSON.stringify(parked) }),
    ...rejected.map((snapshot) => publishSnapshot(deps, snapshot)),
    publisher.publish(names.alerts, {
      key: delivery.key,
      body: JSON.stringify({
        version: 1,
        at: now,
        kind: 'message-parked',
        messageId: delivery.key,
        ...fault,
      }),
    }),
  ]);
  logger.error({ messageId: delivery.key, topic: delivery.topic, ...fault }, 'message.parked');
}

/** One of each message: a chunk has many. */
function rejectedSnapshots(
  delivery: Delivery,
  fault: { reason: ParkReason; detail: string },
  now: string,
): readonly Snapshot[] {
  const raw = readLoosely(delivery.body);
  const members =
    isChunk(raw) && Array.isArray(raw['members']) ? (raw['members'] as unknown[]) : [];
  const messages = members.slice(0, mostChunkMembers).map((member) => ({
    ...raw,
    kind: raw['messageKind'],
    ...(typeof member === 'object' && member),
  }));
  return (messages.length > 0 ? messages : [raw]).map((message) =>
    rejectedSnapshot(delivery, message, { fault, now }),
  );
}

/** As much of a snapshot as can be read from a body that is not one of ours; what cannot be read is "unknown". */
function rejectedSnapshot(
  delivery: Delivery,
  raw: Record<string, unknown>,
  { fault, now }: { readonly fault: { reason: ParkReason; detail: string }; readonly now: string },
): Snapshot {
  const text = (name: string, fallback = 'unknown') => {
    const value = raw[name];
    return typeof value === 'string' && value.length <= 256 ? value : fallback;
  };
  const time = (name: string) => {
    const ms = Date.parse(text(name));
    return Number.isNaN(ms) ? now : new Date(ms).toISOString();
  };
  const oneOf = <T extends string>(name: string, allowed: readonly T[], fallback: T): T =>
    allowed.find((value) => value === raw[name]) ?? fallback;
  return {
    version: 1,
    messageId: text('id', delivery.key === '' ? 'unknown' : delivery.key),
    tenantId: text('tenantId'),
    status: 'rejected',
    redrive: 0,
    sequence: sequences.end,
    acceptedAt: time('acceptedAt'),
    expiresAt: time('expiresAt'),
    updatedAt: now,
    kind: oneOf('kind', ['otp', 'notice', 'marketing'], 'notice'),
    template: text('template'),
    connector: text('connector'),
    channel: text('channel'),
    accountId: text('accountId'),
    priority: oneOf('priority', ['critical', 'normal', 'bulk'], 'normal'),
    recipientHash: text('recipientHash'),
    recipientMasked: text('recipientMasked'),
    metadata: {},
    attempts: 0,
    reason: { code: fault.reason, detail: fault.detail },
  };
}

function readLoosely(body: Buffer): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(body.toString('utf8'));
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}
