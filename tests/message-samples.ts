/** Messages and events for tests of what indexes and finds them. */
import { randomBytes } from 'node:crypto';
import type { AcceptedMessage } from '../contracts/message.ts';
import { toEvent, type Attempt, type Snapshot } from '../contracts/result.ts';
import { sequences } from '../contracts/sequences.ts';
import { encodeBase32 } from '../platform/message-id.ts';
import type { Delivery } from '../platform/queue.ts';

/** An id of the form that ingest makes, for a time; `derived` as from an idempotency key: it does not tell its time. */
export function sampleId(time: number | 'derived' = Date.now()): string {
  const bytes = randomBytes(16);
  if (time === 'derived') bytes[0] = (bytes[0] ?? 0) | 0x80;
  else bytes.writeUIntBE(time, 0, 6);
  return `msg_${encodeBase32(bytes)}`;
}

export function sampleAccepted(changes: Partial<AcceptedMessage> = {}): AcceptedMessage {
  const acceptedAt = changes.acceptedAt ?? new Date().toISOString();
  return {
    version: 1,
    id: sampleId(Date.parse(acceptedAt)),
    tenantId: 'ten_a',
    acceptedAt,
    expiresAt: new Date(Date.parse(acceptedAt) + 600_000).toISOString(),
    requestHash: 'f'.repeat(64),
    template: 'login-code',
    kind: 'otp',
    connector: 'sms-aliyun',
    channel: 'sms',
    accountId: 'acc_1',
    priority: 'critical',
    recipientHash: '0123456789abcdef0123456789abcdef',
    recipientMasked: '139****1111',
    metadata: { orderId: 'SO-1001' },
    sealed: `v1.k1.${'x'.repeat(180)}`,
    ...changes,
  };
}

export function sampleSnapshot(changes: Partial<Snapshot> = {}): Snapshot {
  const {
    id,
    sealed: _sealed,
    requestHash: _requestHash,
    ...fixed
  } = sampleAccepted(changes.acceptedAt === undefined ? {} : { acceptedAt: changes.acceptedAt });
  return {
    ...fixed,
    messageId: id,
    status: 'accepted',
    redrive: 0,
    sequence: sequences.accepted,
    updatedAt: fixed.acceptedAt,
    attempts: 0,
    ...changes,
  };
}

export function sampleAttempt(number: number, outcome: Attempt['outcome']): Attempt {
  return {
    number,
    startedAt: new Date().toISOString(),
    durationMs: 12,
    accountId: 'acc_1',
    outcome,
  };
}

/** All that is ever told of one message: a delivery with a failed attempt, its receipts, and a redrive. Oldest first. */
export function sampleStory(accepted: Snapshot): Snapshot[] {
  const { attempt, end, receipt, sending } = sequences;
  const first = sampleAttempt(1, 'transient');
  const second = sampleAttempt(2, 'accepted');
  const again = sampleAttempt(1, 'accepted');
  const step = (changes: Partial<Snapshot>): Snapshot => ({ ...accepted, ...changes });
  return [
    { ...accepted, sealed: `sealed for ${accepted.messageId}` },
    step({ status: 'sending', sequence: sending }),
    step({ status: 'retrying', sequence: attempt(0, 1), attempts: 1, attempt: first }),
    step({ status: 'sent', sequence: end, attempts: 2, attempt: second, providerId: 'p1' }),
    step({ status: 'failed', sequence: receipt.failed, attempts: 2 }),
    step({ status: 'delivered', sequence: receipt.delivered, attempts: 2 }),
    step({ status: 'read', sequence: receipt.read, attempts: 2 }),
    step({ status: 'sending', redrive: 1, sequence: sending }),
    step({ status: 'sent', redrive: 1, sequence: end, attempts: 1, attempt: again }),
  ];
}

export function eventDelivery(topic: string, snapshot: Snapshot): Delivery {
  return delivery(topic, snapshot.messageId, JSON.stringify(toEvent(snapshot)));
}

export function laneDelivery(topic: string, message: AcceptedMessage): Delivery {
  return delivery(topic, message.id, JSON.stringify(message));
}

export function delivery(topic: string, key: string, body: string): Delivery {
  return { topic, key, body: Buffer.from(body), attempt: 1 };
}

/** The same order for the same seed, so that a failure can be repeated. */
export function shuffled<T>(items: readonly T[], seed: number): T[] {
  let state = seed;
  const random = () => {
    state = (state * 1_664_525 + 1_013_904_223) % 2 ** 32;
    return state / 2 ** 32;
  };
  const result = [...items];
  for (let last = result.length - 1; last > 0; last--) {
    const other = Math.floor(random() * (last + 1));
    [result[last], result[other]] = [result[other] as T, result[last] as T];
  }
  return result;
}
