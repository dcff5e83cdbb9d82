import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';

/** The way to the database, which a test can cut. */
export async function createLine(host: string, port: number) {
  const sockets = new Set<Socket>();
  let server: Server | undefined;
  let isDeaf = false;
  const open = async (at = 0) => {
    server = createServer((socket) => {
      sockets.add(socket);
      socket.on('error', () => {});
      if (isDeaf) return;
      const far = connect(port, host);
      sockets.add(far);
      far.on('error', () => socket.destroy());
      far.on('close', () => socket.destroy());
      socket.on('close', () => far.destroy());
      socket.pipe(far).pipe(socket);
    });
    server.listen(at, '127.0.0.1');
    await once(server, 'listening');
    return (server.address() as AddressInfo).port;
  };
  const cut = async () => {
    server?.close();
    for (const socket of sockets) socket.destroy();
    sockets.clear();
  };
  const linePort = await open();
  return {
    port: linePort,
    cut,
    mend: async () => {
      isDeaf = false;
      await open(linePort);
    },
    /** Takes connections and never says a word. */
    deafen: async () => {
      await cut();
      isDeaf = true;
      await open(linePort);
    },
  };
}
