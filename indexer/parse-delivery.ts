/** What the indexer reads: lane messages and events, as snapshots. */
import { AcceptedMessageSchema } from '../contracts/message.ts';
import { documentVersion, MessageEventSchema, type Snapshot } from '../contracts/result.ts';
import { sequences } from '../contracts/sequences.ts';
import { snapshotBase } from '../contracts/snapshot-base.ts';
import type { Names } from '../contracts/topics.ts';
import type { Delivery } from '../platform/queue.ts';
import { createValidator } from '../platform/validate.ts';

export type Parsed =
  | { readonly result: 'snapshot'; readonly snapshot: Snapshot }
  | {
      readonly result: 'unusable';
      readonly reason: 'unparsable' | 'too-new';
      readonly detail: string;
    };

const laneValidator = createValidator(AcceptedMessageSchema);
const eventValidator = createValidator(MessageEventSchema);
/** Both payloads have had only this version. */
const newestVersion = 1;

/** Whether a topic is a lane; the indexer's other topics carry events. */
export function isLane(names: Names, topic: string): boolean {
  return topic !== names.results && topic !== names.retries;
}

/** Reads one delivery. No text of the body gets into `detail`: it may be personal. */
export function parseDelivery(names: Names, delivery: Delivery): Parsed {
  let body: unknown;
  try {
    body = JSON.parse(delivery.body.toString('utf8'));
  } catch {
    return unparsable('the body is not JSON');
  }
  const version = versionOf(isLane(names, delivery.topic) ? body : property(body, 'data'));
  if (typeof version === 'number' && version > newestVersion)
    return {
      result: 'unusable',
      reason: 'too-new',
      detail: `version ${version}; the newest known here is ${newestVersion}`,
    };
  const snapshot = isLane(names, delivery.topic) ? readLane(body) : readEvent(body);
  if (typeof snapshot === 'string') return unparsable(snapshot);
  const fault = placeFault(snapshot);
  return fault === undefined ? { result: 'snapshot', snapshot } : unparsable(fault);
}

const unparsable = (detail: string): Parsed => ({
  result: 'unusable',
  reason: 'unparsable',
  detail,
});

/** The snapshot of an accepted message, or what is wrong with it. */
function readLane(body: unknown): Snapshot | string {
  if (!laneValidator.check(body)) return describeFaults(laneValidator.faults(body));
  return {
    ...snapshotBase(body),
    status: 'accepted',
    redrive: 0,
    sequence: sequences.accepted,
    updatedAt: body.acceptedAt,
    attempts: 0,
    sealed: body.sealed,
  };
}

function readEvent(body: unknown): Snapshot | string {
  return eventValidator.check(body) ? body.data : describeFaults(eventValidator.faults(body));
}

/** The day names the index and the version decides what is newer: neither may be nonsense. */
function placeFault(snapshot: Snapshot): string | undefined {
  const { acceptedAt, messageId, redrive, sequence } = snapshot;
  if (!/^20\d\d-\d\d-\d\dT[\d:.]+Z$/.test(acceptedAt) || Number.isNaN(Date.parse(acceptedAt)))
    return 'acceptedAt is not an ISO time in UTC';
  if (messageId === '' || messageId.length > 256) return 'messageId is empty or too long';
  const isVersion = redrive >= 0 && sequence >= 0 && sequence < 2 ** 20;
  return isVersion && Number.isSafeInteger(documentVersion(snapshot))
    ? undefined
    : 'redrive and sequence make no version';
}

function describeFaults(faults: readonly { pointer: string; detail: string }[]): string {
  return faults
    .slice(0, 8)
    .map(({ pointer, detail }) => `${pointer} ${detail}`)
    .join('; ');
}

const versionOf = (value: unknown) => property(value, 'version');

function property(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null
    ? (value as Record<string, unknown>)[name]
    : undefined;
}
