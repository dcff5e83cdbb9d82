/** A small HTTP server that can be taken off the net and put back on the same port. */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type RequestListener } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';

export interface HttpListener {
  /** `http://host:port`, without a slash at the end. */
  readonly url: string;
  /** False: connections are refused as if nobody listened. */
  readonly setListening: (isListening: boolean) => Promise<void>;
  readonly isListening: () => boolean;
  /** Ends all connections, also those that hang. */
  readonly close: () => Promise<void>;
}

/** Listens; port 0 takes a free one. Errors: the port is taken. */
export async function listenHttp(
  handler: RequestListener,
  address: { readonly host: string; readonly port: number },
): Promise<HttpListener> {
  const sockets = new Set<Socket>();
  // A hanging answer is a fault under test, so the server itself must not end it.
  const server = createServer({ requestTimeout: 0, keepAliveTimeout: 60_000 }, handler);
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
  });
  const start = async (port: number) => {
    server.listen({ host: address.host, port, backlog: 1024 });
    await once(server, 'listening');
  };
  const stop = async () => {
    if (!server.listening) return;
    const closed = once(server, 'close');
    server.close();
    for (const socket of sockets) socket.destroy();
    await closed;
  };
  await start(address.port);
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://${address.host.includes(':') ? `[${address.host}]` : address.host}:${port}`,
    setListening: async (isListening) => {
      if (!isListening) return stop();
      if (!server.listening) await start(port);
    },
    isListening: () => server.listening,
    close: stop,
  };
}

/** Reads a request's whole body. Errors: the client went away, or more than `maxBytes`. */
export async function readBody(request: IncomingMessage, maxBytes: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let sizeBytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    sizeBytes += chunk.length;
    if (sizeBytes > maxBytes) throw new Error(`the body is longer than ${maxBytes} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}
