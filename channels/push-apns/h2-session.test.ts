/** A session whose other side has fallen silent must not be kept for the next call. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { test } from 'node:test';
import { sandboxPushApns } from './demo.ts';
import { openH2Session } from './h2-session.ts';
import { createPushApnsSimulator } from './simulator.ts';

/** A way to the simulator that can be frozen, as when a firewall forgets a connection. */
async function startWire(target: URL) {
  const sockets: Socket[] = [];
  const server = createServer((near) => {
    const far = connect(Number(target.port), target.hostname);
    for (const socket of [near, far]) socket.on('error', () => socket.destroy());
    sockets.push(near, far);
    near.pipe(far).pipe(near);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    freeze: () => {
      for (const socket of sockets) socket.unpipe().pause();
    },
    close: () => {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}

test('an idle session is kept while its pings are answered, and ended when they are not', async () => {
  const simulator = createPushApnsSimulator(sandboxPushApns);
  const listener = await simulator.listen({ host: '127.0.0.1', port: 0 });
  const wire = await startWire(new URL(listener.url));
  let open = () => {};
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  const session = openH2Session(
    {
      origin: wire.origin,
      allowPrivate: true,
      connectTimeoutMs: 5000,
      pingAfterMs: 1000,
      isFarewell: () => false,
    },
    { onChange: () => open(), onUnconnected: assert.fail },
  );
  await opened;
  const patience = (ms: number) =>
    Promise.race([
      session.ended.then(() => 'ended'),
      new Promise((resolve) => setTimeout(resolve, ms, 'kept')),
    ]);
  assert.equal(await patience(2500), 'kept');
  assert.equal(session.room(), 1);
  wire.freeze();
  assert.equal(await patience(10_000), 'ended');
  assert.ok(!session.isUsable());
  wire.close();
  await listener.close();
});
