/** A reader of server-sent events that keeps what it read, by the rules of WHATWG HTML 9.2.6. */
import { until } from './stack.ts';

export interface ReadEvent {
  readonly name: string;
  readonly id: string;
  readonly data: Record<string, unknown>;
}

export interface EventReader {
  readonly status: number;
  readonly headers: Headers;
  readonly events: readonly ReadEvent[];
  /** Comments so far. */
  readonly comments: () => number;
  readonly lastEventId: () => string;
  /** Whether the other side has ended it. */
  readonly isOver: () => boolean;
  /** Resolves with the events once there are `count`. */
  untilCount(count: number, timeoutMs?: number): Promise<readonly ReadEvent[]>;
  close(): void;
}

/** Opens a stream. */
export async function readEvents(
  url: string,
  headers: Record<string, string> = {},
): Promise<EventReader> {
  const closing = new AbortController();
  const response = await fetch(url, { headers, signal: closing.signal });
  const events: ReadEvent[] = [];
  let lastEventId = '';
  let comments = 0;
  let isOver = false;
  const take = (block: string) => {
    let name = 'message';
    const data: string[] = [];
    for (const line of block.split('\n')) {
      const [, field = '', value = ''] = /^([^:]*):? ?(.*)$/.exec(line) ?? [];
      if (field === '' && line !== '') comments += 1;
      if (field === 'event') name = value;
      if (field === 'id') lastEventId = value;
      if (field === 'data') data.push(value);
    }
    if (data.length > 0)
      events.push({
        name,
        id: lastEventId,
        data: JSON.parse(data.join('\n')) as ReadEvent['data'],
      });
  };
  const read = async () => {
    let rest = '';
    const decoder = new TextDecoder();
    try {
      for await (const chunk of response.body ?? []) {
        const blocks = (rest + decoder.decode(chunk as Uint8Array, { stream: true })).split('\n\n');
        rest = blocks.pop() ?? '';
        blocks.forEach(take);
      }
    } catch {
      // A broken connection is an end like any other.
    }
    isOver = true;
  };
  void read();
  return {
    status: response.status,
    headers: response.headers,
    events,
    comments: () => comments,
    lastEventId: () => lastEventId,
    isOver: () => isOver,
    untilCount: (count, timeoutMs = 10_000) =>
      until(`${count} events`, () => (events.length >= count ? events : undefined), {
        timeoutMs,
        everyMs: 20,
        seen: () => events,
      }),
    close: () => closing.abort(),
  };
}
