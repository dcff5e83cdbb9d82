/** One HTTP/2 session to a push server: its streams, how many it may have, pings, and what a GOAWAY leaves in doubt. */
import { connect, constants, type ClientHttp2Session, type IncomingHttpHeaders } from 'node:http2';
import { lookupPublic, maxAnswerBytes, type ProviderAnswer } from '../../platform/provider-http.ts';

export interface H2Options {
  /** `https://host:port`; with http, HTTP/2 is spoken without TLS and without asking (prior knowledge). */
  readonly origin: string;
  /** False: names that lead to loopback, private and other special addresses are refused. */
  readonly allowPrivate: boolean;
  readonly connectTimeoutMs: number;
  /** An idle session is pinged this often; one that does not answer is given up. */
  readonly pingAfterMs: number;
  /** PEM of the authorities to trust instead of the usual ones. */
  readonly ca?: string | undefined;
  /** Whether this answer says that the session is of no more use. */
  readonly isFarewell: (answer: H2Answer) => boolean;
}

export type H2Answer = Extract<ProviderAnswer, { kind: 'answer' }>;

/** One request on its way; it is settled once, by the session or by its own time limit. */
export interface H2Ticket {
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  readonly settle: (answer: ProviderAnswer) => void;
  /** Set once bytes may have left: gives the stream up. */
  cancel?: () => void;
}

export interface H2SessionEvents {
  /** There is room for another stream, or there will be none here any more. */
  readonly onChange: () => void;
  /** It never came about. */
  readonly onUnconnected: (cause: string) => void;
}

export interface H2Session {
  /** Whether it is, or may yet become, good for new streams. */
  isUsable(): boolean;
  /** How many streams may be started now. */
  room(): number;
  start(ticket: H2Ticket): void;
  /** No new streams; ends with the last one in hand. */
  retire(): void;
  /** Resolves when it has ended. */
  readonly ended: Promise<void>;
}

/** More streams than this are not put on one session, whatever the server allows. */
const mostStreams = 1000;
const pongWithinMs = 5000;

/** Opens a session. Never throws: what goes wrong is told by the events and the tickets. */
export function openH2Session(options: H2Options, events: H2SessionEvents): H2Session {
  const { origin, allowPrivate, ca } = options;
  const session = connect(origin, {
    ...(allowPrivate ? {} : { lookup: lookupPublic }),
    ...(ca === undefined ? {} : { ca }),
  });
  let isOpen = false;
  let isRetired = false;
  let cause = 'connection closed';
  /** One stream until the server has accepted our credentials: it gives more only then. */
  let isProven = false;
  let inHand = 0;
  let goneAfter: number | undefined;

  const connecting = setTimeout(
    () => session.destroy(new Error(`no connection within ${options.connectTimeoutMs} ms`)),
    options.connectTimeoutMs,
  );
  const stopPinging = pingWhenIdle(session, {
    everyMs: options.pingAfterMs,
    isIdle: () => inHand === 0,
  });
  const retire = () => {
    isRetired = true;
    session.close();
  };
  session.on('connect', () => {
    clearTimeout(connecting);
    isOpen = true;
    events.onChange();
  });
  session.on('remoteSettings', () => events.onChange());
  session.on('error', (error) => {
    cause = describe(error);
  });
  session.on('goaway', (_, lastStreamId) => {
    isRetired = true;
    goneAfter = lastStreamId;
  });
  const ended = new Promise<void>((resolve) => {
    session.on('close', () => {
      clearTimeout(connecting);
      stopPinging();
      if (!isOpen) events.onUnconnected(cause);
      events.onChange();
      resolve();
    });
  });

  const start = (ticket: H2Ticket): void => {
    const stream = requestOn(session, ticket.headers);
    if (stream === undefined) {
      isRetired = true;
      return ticket.settle({ kind: 'not-sent', cause: 'the session takes no more streams' });
    }
    inHand += 1;
    const reader = createReader();
    let failure = cause;
    ticket.cancel = () => stream.close(constants.NGHTTP2_CANCEL);
    stream.on('response', (headers) => reader.start(headers));
    stream.on('data', (chunk: Buffer) => {
      if (!reader.add(chunk)) ticket.cancel?.();
    });
    stream.on('end', () => reader.end());
    stream.on('error', (error) => {
      failure = describe(error);
    });
    stream.on('close', () => {
      inHand -= 1;
      const answer = stream.rstCode === constants.NGHTTP2_NO_ERROR ? reader.answer() : undefined;
      if (answer !== undefined) {
        isProven ||= isTrusted(answer.status);
        if (options.isFarewell(answer)) retire();
        ticket.settle(answer);
      } else if (isUnprocessed(stream))
        ticket.settle({ kind: 'not-sent', cause: 'the server did not process it' });
      else ticket.settle({ kind: 'lost', cause: failure });
      events.onChange();
    });
    stream.end(ticket.body);
  };
  /** RFC 9113: a refused stream (8.7) and those above a GOAWAY's last one (6.8) were not processed in any way. */
  const isUnprocessed = ({ id, rstCode }: { id?: number | undefined; rstCode: number }) =>
    id === undefined ||
    rstCode === constants.NGHTTP2_REFUSED_STREAM ||
    (goneAfter !== undefined && id > goneAfter);

  const isUsable = () => !isRetired && !session.closed && !session.destroyed;
  return {
    isUsable,
    room: () => {
      if (!isOpen || !isUsable()) return 0;
      const allowed = isProven ? (session.remoteSettings.maxConcurrentStreams ?? mostStreams) : 1;
      return Math.min(allowed, mostStreams) - inHand;
    },
    start,
    retire,
    ended,
  };
}

/** A new stream, or undefined where the session is ending: Node throws then, before anything is written. */
function requestOn(session: ClientHttp2Session, headers: Readonly<Record<string, string>>) {
  try {
    return session.request(headers, { endStream: false });
  } catch {
    return undefined;
  }
}

/** Whether the answer says that the credentials were accepted. */
const isTrusted = (status: number) => status < 500 && status !== 403 && status !== 429;

function pingWhenIdle(
  session: ClientHttp2Session,
  { everyMs, isIdle }: { readonly everyMs: number; readonly isIdle: () => boolean },
): () => void {
  let pong: NodeJS.Timeout | undefined;
  const timer = setInterval(() => {
    if (!isIdle() || session.connecting || session.closed || pong !== undefined) return;
    pong = setTimeout(() => session.destroy(), Math.min(pongWithinMs, everyMs)).unref();
    session.ping((error) => {
      clearTimeout(pong);
      pong = undefined;
      if (error !== null) session.destroy();
    });
  }, everyMs).unref();
  return () => {
    clearInterval(timer);
    clearTimeout(pong);
  };
}

function createReader() {
  const chunks: Buffer[] = [];
  let sizeBytes = 0;
  let status: number | undefined;
  let headers: Record<string, string> = {};
  let isWhole = false;
  return {
    start(raw: IncomingHttpHeaders & { ':status'?: number | undefined }): void {
      status = raw[':status'];
      headers = Object.fromEntries(
        Object.entries(raw).map(([name, value]) => [name, [value].flat().join(', ')]),
      );
    },
    /** False once the answer is too long. */
    add(chunk: Buffer): boolean {
      sizeBytes += chunk.length;
      if (sizeBytes <= maxAnswerBytes) chunks.push(chunk);
      return sizeBytes <= maxAnswerBytes;
    },
    end(): void {
      isWhole = true;
    },
    /** Undefined: nothing came, or not to its end. */
    answer: (): H2Answer | undefined => {
      if (status === undefined || !isWhole || sizeBytes > maxAnswerBytes) return undefined;
      return { kind: 'answer', status, headers, body: Buffer.concat(chunks).toString('utf8') };
    },
  };
}

/** Code and text of an error; Node puts no path or header into them. */
function describe(error: Error): string {
  const code = 'code' in error && typeof error.code === 'string' ? error.code : error.name;
  return `${code}: ${error.message}`;
}
