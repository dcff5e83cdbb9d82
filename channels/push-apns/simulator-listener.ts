/** The simulated push server's port: HTTP/2 with or without TLS, one handler for each push, and what can be done to a session. */
import { once } from 'node:events';
import {
  createSecureServer,
  createServer,
  type Http2SecureServer,
  type Http2Server,
  type IncomingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2';
import type { AddressInfo, Socket } from 'node:net';
import { readBody } from '../sandbox/http-listener.ts';
import type { OwnListener } from '../sandbox/simulator.ts';

/** What the provider remembers of one connection. */
export interface ConnectionNotes {
  /** The token it is used with, and since when. */
  token?: { readonly text: string; readonly sinceMs: number };
  /** Unusable until then, after too many tokens. */
  blockedUntilMs: number;
  isTrusted: boolean;
  /** At once, now. */
  streams: number;
  /** The highest id of a stream whose push was taken. */
  lastTaken: number;
  /** The last stream of its GOAWAY: later ones are not looked at. */
  leavesAfter?: number;
}

export interface ServerPush {
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
  readonly connection: ConnectionNotes;
  readonly streamId: number;
  /** Allows this many streams at a time from now on. */
  allowStreams(count: number): void;
  respond(status: number, headers: Readonly<Record<string, string>>, body: string): void;
  /** Head at once, then a byte now and then. */
  drip(status: number, headers: Readonly<Record<string, string>>, body: string): void;
  /** Ends the TCP connection, and with it all streams on it. */
  reset(): void;
  /** GOAWAY after the last stream whose push was taken, then the end of the connection. */
  goAway(reason: string): void;
}

export interface ListenerOptions {
  readonly host: string;
  readonly port: number;
  /** Absent: HTTP/2 without TLS. */
  readonly tls?: { readonly key: string; readonly cert: string } | undefined;
  readonly onPush: (push: ServerPush) => Promise<void>;
}

const maxBodyBytes = 64 * 1024;
const dripMs = 250;
/** Apple's server allows one stream until a token has been accepted. */
const firstStreams = { maxConcurrentStreams: 1 };

/** Listens; port 0 takes a free one. Errors: the port is taken. */
export async function listenH2(options: ListenerOptions): Promise<OwnListener> {
  const { host, tls, onPush } = options;
  const sockets = new Map<number, Socket>();
  const server: Http2Server | Http2SecureServer =
    tls === undefined
      ? createServer({ settings: firstStreams })
      : createSecureServer({ settings: firstStreams, key: tls.key, cert: tls.cert });
  server.on('connection', (socket: Socket) => {
    const { remotePort = 0 } = socket;
    sockets.set(remotePort, socket);
    socket.on('close', () => sockets.delete(remotePort));
    socket.on('error', () => socket.destroy());
  });
  server.on('session', (session: ServerHttp2Session) => {
    const connection: ConnectionNotes = {
      blockedUntilMs: 0,
      isTrusted: false,
      streams: 0,
      lastTaken: 0,
    };
    session.on('error', () => session.destroy());
    session.on('stream', (stream, headers) => {
      stream.on('error', () => stream.destroy());
      const reset = () => sockets.get(session.socket.remotePort ?? 0)?.resetAndDestroy();
      connection.streams += 1;
      stream.on('close', () => (connection.streams -= 1));
      void serve({ stream, headers, connection, reset }, onPush).catch(() => stream.destroy());
    });
  });
  const start = async (port: number) => {
    server.listen({ host, port, backlog: 1024 });
    await once(server, 'listening');
  };
  const stop = async () => {
    if (!server.listening) return;
    const closed = once(server, 'close');
    server.close();
    for (const socket of sockets.values()) socket.destroy();
    await closed;
  };
  await start(options.port);
  const { port } = server.address() as AddressInfo;
  return {
    url: `${tls === undefined ? 'http' : 'https'}://${host}:${port}`,
    setListening: async (isListening) => {
      if (!isListening) return stop();
      if (!server.listening) await start(port);
    },
    close: stop,
  };
}

interface Incoming {
  readonly stream: ServerHttp2Stream;
  readonly headers: IncomingHttpHeaders;
  readonly connection: ConnectionNotes;
  readonly reset: () => void;
}

async function serve(
  { stream, headers, connection, reset }: Incoming,
  onPush: ListenerOptions['onPush'],
): Promise<void> {
  const body = await readBody(stream as never, maxBodyBytes);
  const { session, id: streamId = 0 } = stream;
  await onPush({
    headers,
    body,
    connection,
    streamId,
    allowStreams: (count) => session?.settings({ maxConcurrentStreams: count }),
    respond: (status, extra, text) => {
      if (stream.destroyed) return;
      stream.respond({ ':status': status, ...extra });
      stream.end(text);
    },
    drip: (status, extra, text) => drip(stream, { ':status': status, ...extra }, text),
    reset,
    goAway: (reason) => {
      connection.leavesAfter = connection.lastTaken;
      session?.goaway(0, connection.lastTaken, Buffer.from(JSON.stringify({ reason })));
      // Long enough for the frame to be read before the connection ends.
      setTimeout(reset, 50);
    },
  });
}

function drip(stream: ServerHttp2Stream, headers: Record<string, string | number>, body: string) {
  stream.respond(headers);
  const bytes = Buffer.from(body.padEnd(64));
  let sent = 0;
  const timer = setInterval(() => {
    stream.write(bytes.subarray(sent, sent + 1));
    sent += 1;
    if (sent === bytes.length) stream.end();
  }, dripMs);
  stream.on('close', () => clearInterval(timer));
}
