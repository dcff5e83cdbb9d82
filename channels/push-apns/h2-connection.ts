/** HTTP/2 to one push server for one account: calls wait in order for a place on the one session, which is replaced when it ends. */
import { isIP } from 'node:net';
import { isPrivateAddress, type ProviderAnswer } from '../../platform/provider-http.ts';
import { openH2Session, type H2Options, type H2Session, type H2Ticket } from './h2-session.ts';

export interface H2Request {
  /** With the pseudo headers `:method` and `:path`. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  readonly signal: AbortSignal;
}

export interface H2Connection {
  /** One request, never repeated. Never throws for what a network or provider does. */
  call(request: H2Request): Promise<ProviderAnswer>;
  /** Waits for the calls in hand, then ends all sessions. */
  close(): Promise<void>;
}

export type H2ConnectionOptions = H2Options & {
  /** For one whole call: waiting for a place, connecting, and the answer to its end. */
  readonly timeoutMs: number;
};

/** Makes a connection; nothing is opened before the first call. Errors: an origin that is not an http(s) URL. */
export function createH2Connection(options: H2ConnectionOptions): H2Connection {
  const { timeoutMs } = options;
  const forbidden = forbiddenOrigin(options);
  const sessions = new Set<H2Session>();
  const waiting: H2Ticket[] = [];
  const inHand = new Set<Promise<ProviderAnswer>>();
  let current: H2Session | undefined;
  let isClosed = false;

  const open = (): H2Session => {
    const session = openH2Session(options, {
      onChange: () => pump(),
      // Nobody else waits for this session: whoever comes later opens the next one.
      onUnconnected: (cause) => {
        for (const ticket of waiting.splice(0)) ticket.settle({ kind: 'not-sent', cause });
      },
    });
    sessions.add(session);
    void session.ended.then(() => sessions.delete(session));
    return session;
  };
  const pump = (): void => {
    while (waiting.length > 0) {
      if (current === undefined || !current.isUsable()) current = open();
      if (current.room() <= 0) return;
      const ticket = waiting.shift();
      if (ticket !== undefined) current.start(ticket);
    }
  };

  const callOnce = ({ headers, body, signal }: H2Request): Promise<ProviderAnswer> =>
    new Promise((resolve) => {
      if (forbidden !== undefined) return resolve({ kind: 'not-sent', cause: forbidden });
      if (isClosed) return resolve({ kind: 'not-sent', cause: 'the client is closed' });
      if (signal.aborted) return resolve({ kind: 'not-sent', cause: 'aborted' });
      const ticket: H2Ticket = {
        headers,
        body,
        settle: (answer) => {
          clearTimeout(timer);
          signal.removeEventListener('abort', onAbort);
          resolve(answer);
        },
      };
      const giveUp = (cause: string) => {
        const place = waiting.indexOf(ticket);
        if (place >= 0) waiting.splice(place, 1);
        ticket.settle({ kind: ticket.cancel === undefined ? 'not-sent' : 'lost', cause });
        ticket.cancel?.();
      };
      const onAbort = () => giveUp('aborted');
      const timer = setTimeout(
        () => giveUp(`no complete answer within ${timeoutMs} ms`),
        timeoutMs,
      );
      signal.addEventListener('abort', onAbort, { once: true });
      waiting.push(ticket);
      pump();
    });

  return {
    call: (request) => {
      const call = callOnce(request);
      inHand.add(call);
      void call.then(() => inHand.delete(call));
      return call;
    },
    close: async () => {
      isClosed = true;
      await Promise.all(inHand);
      for (const session of sessions) session.retire();
      await Promise.all([...sessions].map(({ ended }) => ended));
    },
  };
}

/** A literal address is never looked up, so it is checked here; without TLS only simulators are spoken to. */
function forbiddenOrigin({ origin, allowPrivate }: H2Options): string | undefined {
  const { protocol, hostname } = new URL(origin);
  if (allowPrivate) return undefined;
  if (protocol !== 'https:') return 'EPLAIN: HTTP/2 without TLS is not allowed';
  const host = hostname.replace(/^\[|\]$/g, '');
  return isIP(host) !== 0 && isPrivateAddress(host)
    ? 'EPRIVATE: private addresses are not allowed'
    : undefined;
}
