/** Histories of deliveries as files: the list of their events for people, the whole as protobuf for replays. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import proto from '@temporalio/proto';

const { EventType } = proto.temporal.api.enums.v1;
const { History } = proto.temporal.api.history.v1;
type History = proto.temporal.api.history.v1.IHistory;

interface Recorded {
  readonly events: readonly string[];
  /** Base64 of temporal.api.history.v1.History; its payloads are encrypted under the key of `delivery-runs.ts`. */
  readonly history: string;
}

/** Where the history of a path is kept. */
export function historyFile(name: string): string {
  return fileURLToPath(new URL(`data/histories/${name}.json`, import.meta.url));
}

/** A history as it is kept. */
export function toRecorded(history: History): Recorded {
  return {
    events: (history.events ?? []).map(({ eventType }) => EventType[eventType ?? 0] ?? ''),
    // Not proto3 JSON: the SDK's own conversion needs its packages to share one copy of protobufjs.
    history: Buffer.from(History.encode(history).finish()).toString('base64'),
  };
}

export function writeHistory(name: string, recorded: Recorded): void {
  const file = historyFile(name);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, `${JSON.stringify(recorded, null, 2)}\n`);
}

/** Reads one. Errors: it was never recorded. */
export function readHistory(name: string): History {
  const { history } = JSON.parse(readFileSync(historyFile(name), 'utf8')) as Recorded;
  return History.decode(Buffer.from(history, 'base64'));
}
