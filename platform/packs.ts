/** Merges JSON messages to one topic that are published together into few larger ones, bounded in count, bytes and time. */
import { PublishError, type Outgoing } from './queue.ts';

/** Most messages and bytes of a pack: a receive of 32 packs still fits well into memory. */
const mostMessages = 64;
const mostBytes = 128 * 1024;
/** How long the first message of a pack waits for company. */
const lingerMs = 5;
/** Messages in hand above which publishing is refused at once rather than kept in memory. */
const mostInHand = 20_000;

interface Waiting {
  readonly outgoing: Outgoing;
  readonly deadline: number;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

export interface Packs {
  /** Resolves once the pack that it is in is stored. Errors: as of `send`; too many in hand. */
  add(outgoing: Outgoing, deadline: number): Promise<void>;
  /** Sends what waits for company, and waits for all that is in hand. */
  drain(): Promise<void>;
}

/** `send` publishes one pack before a time in epoch milliseconds: a message as it is where it is alone, else an array of them. */
export function createPacks(
  send: (pack: Outgoing, deadline: number) => Promise<void>,
  limits: { readonly mostInHand?: number } = {},
): Packs {
  const most = limits.mostInHand ?? mostInHand;
  let waiting: Waiting[] = [];
  let waitingBytes = 0;
  let inHand = 0;
  const sending = new Set<Promise<void>>();
  let timer: NodeJS.Timeout | undefined;

  const flush = () => {
    clearTimeout(timer);
    timer = undefined;
    const pack = waiting;
    waiting = [];
    waitingBytes = 0;
    if (pack.length === 0) return;
    // Nobody waits longer than asked.
    const deadline = Math.min(...pack.map((each) => each.deadline));
    const sent: Promise<void> = send(packed(pack.map(({ outgoing }) => outgoing)), deadline)
      .then(
        () => pack.forEach(({ resolve }) => resolve()),
        (error: unknown) => pack.forEach(({ reject }) => reject(error)),
      )
      .finally(() => {
        inHand -= pack.length;
        sending.delete(sent);
      });
    sending.add(sent);
  };
  return {
    drain: async () => {
      flush();
      await Promise.all(sending);
    },
    add: (outgoing, deadline) => {
      if (inHand >= most)
        return Promise.reject(
          new PublishError(`${inHand} messages already wait for the broker`, 'no'),
        );
      return new Promise<void>((resolve, reject) => {
        const bytes = Buffer.byteLength(outgoing.body);
        if (waiting.length > 0 && waitingBytes + bytes > mostBytes) flush();
        inHand += 1;
        waitingBytes += bytes;
        waiting.push({ outgoing, deadline, resolve, reject });
        if (waiting.length >= mostMessages || waitingBytes >= mostBytes) flush();
        else timer ??= setTimeout(flush, lingerMs);
      });
    },
  };
}

function packed(messages: readonly Outgoing[]): Outgoing {
  const [first] = messages;
  if (first !== undefined && messages.length === 1) return first;
  return {
    key: messages.flatMap(({ key }) => key),
    body: `[${messages.map(({ body }) => String(body)).join(',')}]`,
  };
}
