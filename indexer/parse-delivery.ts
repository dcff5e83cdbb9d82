/** What the indexer reads: lane messages and events, as snapshots. */
import { ChunkMessageSchema, isChunk, memberMessage } from '../contracts/chunk.ts';
import { AcceptedMessageSchema, type AcceptedMessage } from '../contracts/message.ts';
import {
  documentVersion,
  eventsIn,
  MessageEventSchema,
  type Snapshot,
} from '../contracts/result.ts';
import { sequences } from '../contracts/sequences.ts';
import { snapshotBase } from '../contracts/snapshot-base.ts';
import type { Names } from '../contracts/topics.ts';
import type { Delivery } from '../platform/queue.ts';
import { createValidator } from '../platform/validate.ts';

export interface Parsed {
  /** A chunk tells of many messages, and so do events that travel together. */
  readonly snapshots: readonly Snapshot[];
  /** The first thing that cannot be read in it. */
  readonly fault?: Fault;
}
export interface Fault {
  readonly reason: 'unparsable' | 'too-new';
  readonly detail: string;
}

const laneValidator = createValidator(AcceptedMessageSchema);
const chunkValidator = createValidator(ChunkMessageSchema);
const eventValidator = createValidator(MessageEventSchema);
/** All payloads have had only this version. */
const newestVersion = 1;

/** Whether a topic carries accepted messages, as lanes do; the indexer's other topics carry events. */
export function isLane(names: Names, topic: string): boolean {
  return topic !== names.results && topic !== names.retries;
}

/** Reads one delivery. No text of the body gets into `detail`: it may be personal. */
export function parseDelivery(names: Names, delivery: Delivery): Parsed {
  let body: unknown;
  try {
    body = JSON.parse(delivery.body.toString('utf8'));
  } catch {
    return { snapshots: [], fault: unparsable('the body is not JSON') };
  }
  if (isLane(names, delivery.topic)) return parse(body, versionOf(body), readLane);
  // One that cannot be read takes none of the others with it.
  const events = eventsIn(body).map((event) =>
    parse(event, versionOf(property(event, 'data')), readEvent),
  );
  const fault = events.find((event) => event.fault !== undefined)?.fault;
  const snapshots = events.flatMap((event) => event.snapshots);
  return { snapshots, ...(fault !== undefined && { fault }) };
}

function parse(
  body: unknown,
  version: unknown,
  read: (body: unknown) => readonly Snapshot[] | string,
): Parsed {
  if (typeof version === 'number' && version > newestVersion) {
    const detail = `version ${version}; the newest known here is ${newestVersion}`;
    return { snapshots: [], fault: { reason: 'too-new', detail } };
  }
  const snapshots = read(body);
  if (typeof snapshots === 'string') return { snapshots: [], fault: unparsable(snapshots) };
  const fault = snapshots.map(placeFault).find((each) => each !== undefined);
  return fault === undefined ? { snapshots } : { snapshots: [], fault: unparsable(fault) };
}

const unparsable = (detail: string): Fault => ({ reason: 'unparsable', detail });

/** The snapshots of accepted messages, or what is wrong with them. */
function readLane(body: unknown): readonly Snapshot[] | string {
  if (isChunk(body)) {
    if (!chunkValidator.check(body)) return describeFaults(chunkValidator.faults(body));
    return body.members.map((member) => acceptedSnapshot(memberMessage(body, member)));
  }
  if (!laneValidator.check(body)) return describeFaults(laneValidator.faults(body));
  return [acceptedSnapshot(body)];
}

function acceptedSnapshot(message: AcceptedMessage): Snapshot {
  // Spread last, as in `memberMessage`.
  return {
    status: 'accepted',
    redrive: 0,
    sequence: sequences.accepted,
    updatedAt: message.acceptedAt,
    attempts: 0,
    sealed: message.sealed,
    ...snapshotBase(message),
  };
}

function readEvent(body: unknown): readonly Snapshot[] | string {
  return eventValidator.check(body) ? [body.data] : describeFaults(eventValidator.faults(body));
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
