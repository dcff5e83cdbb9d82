/**
 * One open event stream (server-sent events) of an inbox. It reads the changes from the store at the pace at which its
 * reader takes them, so that nothing piles up here, and it is ended when the reader takes nothing for too long.
 */
import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import type { InboxEvent } from '../../contracts/inbox.ts';
import { Problem } from '../../contracts/problems.ts';
import { pause } from '../../platform/lifecycle.ts';
import type { Inbox, InboxPosition } from '../../store/index.ts';

export type StreamEnd = 'reader-left' | 'too-slow' | 'token-expired' | 'server-stops';

export interface StreamOptions {
  readonly response: ServerResponse;
  readonly owner: string;
  /** The last change that the reader has seen; undefined: it wants what comes from now on; NaN: not one of ours. */
  readonly after: number | undefined;
  readonly inbox: Pick<Inbox, 'changes' | 'position'>;
  /** How long a reader may leave what was written unread. */
  readonly drainMs: number;
}

export interface EventStream {
  /** The inbox's last number: goes on when that is not what was told last. */
  saw(lastNumber: number): void;
  /** Something has happened here: look at once. */
  wake(): void;
  /** Shows the reader and what is between us that the stream lives. */
  beat(): void;
  end(why: StreamEnd): void;
  /** Resolves once nothing more is written. */
  readonly ended: Promise<StreamEnd>;
}

const changesInQuery = 50;
const storeRetryMs = 1000;
/** For a reader to take the end. */
const lingerMs = 1000;
/** EventSource connects again after this long. */
const reconnectMs = 3000;

/** Begins the answer and follows the inbox until an end. */
export function openEventStream(options: StreamOptions): EventStream {
  const { response, owner, inbox, drainMs } = options;
  const closing = new AbortController();
  let cursor = options.after;
  let endedBy: StreamEnd = 'reader-left';
  let isWanted = true;
  let wakeUp = () => {};
  let isBlocked = false;

  const end = (why: StreamEnd) => {
    if (closing.signal.aborted) return;
    endedBy = why;
    closing.abort();
    wakeUp();
    // Who does not read does not read an end either.
    if (why === 'too-slow') return void response.destroy();
    response.end();
    setTimeout(() => response.destroy(), lingerMs).unref();
  };
  const write = async (text: string) => {
    if (closing.signal.aborted || response.write(text)) return;
    isBlocked = true;
    const timer = setTimeout(() => end('too-slow'), drainMs);
    // An end is not waited for: it is seen by its signal.
    await once(response, 'drain', { signal: closing.signal }).catch(() => {});
    clearTimeout(timer);
    isBlocked = false;
  };

  /** Tells what has happened since the cursor; true: perhaps there is more. */
  const step = async (): Promise<boolean> => {
    if (cursor === undefined) {
      const position = await inbox.position(owner);
      cursor = position.number;
      await write(eventText('ready', position.number, { unread: position.unread }));
      return false;
    }
    const changes = Number.isNaN(cursor)
      ? ({ result: 'gap', position: await inbox.position(owner) } as const)
      : await inbox.changes(owner, cursor, changesInQuery);
    if (changes.result === 'gap') {
      cursor = changes.position.number;
      await write(resyncText(changes.position));
      return false;
    }
    for (const event of changes.events) await write(changeText(event));
    cursor = changes.through;
    return cursor < changes.position.number;
  };
  const run = async () => {
    await write(`retry: ${reconnectMs}\n\n`);
    while (!closing.signal.aborted) {
      isWanted = false;
      try {
        if (await step()) continue;
      } catch (error) {
        // The reader keeps its stream, and is told once the database answers: EventSource gives up for good on a 503.
        if (!(error instanceof Problem) || error.code !== 'store-unavailable') throw error;
        await pause(storeRetryMs, closing.signal);
        continue;
      }
      if (!isWanted && !closing.signal.aborted)
        await new Promise<void>((resolve) => (wakeUp = resolve));
    }
  };

  response.once('close', () => end('reader-left'));
  response.on('error', () => end('reader-left'));
  // One request, one stream: the connection ends with it.
  response.shouldKeepAlive = false;
  response.socket?.setKeepAlive(true, 30_000);
  response.writeHead(200, {
    'content-type': 'text/event-stream; charset=utf-8',
    'cache-control': 'no-store',
    'x-accel-buffering': 'no',
  });
  response.flushHeaders();
  const wake = () => {
    isWanted = true;
    wakeUp();
  };
  return {
    saw: (lastNumber) => {
      if (cursor !== lastNumber) wake();
    },
    wake,
    beat: () => {
      if (!isBlocked && !closing.signal.aborted) response.write(': \n\n');
    },
    end,
    ended: run().then(
      () => endedBy,
      (error: unknown) => {
        end('server-stops');
        throw error;
      },
    ),
  };
}

function eventText(name: string, id: number, data: object): string {
  return `event: ${name}\nid: ${id}\ndata: ${JSON.stringify(data)}\n\n`;
}

function changeText(event: InboxEvent): string {
  const { kind, number, ...data } = event;
  return eventText(kind, number, data);
}

/** What the reader has is of no use: it must read its list anew. */
function resyncText({ number, unread }: InboxPosition): string {
  return eventText('resync', number, { unread });
}
