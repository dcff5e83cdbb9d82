/** What can never start: kept on the parked topic with its reason, told as rejected, and an alert. Never dropped silently. */
import { toEvent, type Parked, type Snapshot } from '../contracts/result.ts';
import { sequences } from '../contracts/sequences.ts';
import type { Names } from '../contracts/topics.ts';
import type { Logger } from '../platform/logger.ts';
import type { Delivery, Publisher } from '../platform/queue.ts';

export type ParkReason = 'unparsable' | 'too-large' | 'too-new' | 'too-old';

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
  const rejected = rejectedSnapshot(delivery, fault, now);
  await Promise.all([
    publisher.publish(names.parked, { key: delivery.key, body: JSON.stringify(parked) }),
    publisher.publish(names.results, {
      key: delivery.key,
      body: JSON.stringify(toEvent(rejected)),
    }),
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

/** As much of a snapshot as can be read from a body that is not one of ours; what cannot be read is "unknown". */
function rejectedSnapshot(
  delivery: Delivery,
  fault: { reason: ParkReason; detail: string },
  now: string,
): Snapshot {
  const raw = readLoosely(delivery.body);
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
