import assert from 'node:assert/strict';
import { createServer, type AddressInfo } from 'node:net';
import { test } from 'node:test';
import { assertPortIsFree, portsAt } from './ports.ts';

test('names the busy port, who wanted it and the setting that moves it', async () => {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await assert.rejects(assertPortIsFree(port, 'Temporal'), (error: Error) => {
    assert.match(
      error.message,
      new RegExp(`^Port ${port}, which Temporal wants, is taken by another program; `),
    );
    assert.match(error.message, /MC_PORT_OFFSET/);
    return true;
  });
  await new Promise((resolve) => server.close(resolve));
  await assertPortIsFree(port, 'Temporal');
});

test('adds the offset to every port and keeps them apart', () => {
  const ports = Object.values(portsAt(10_000));
  assert.equal(portsAt(10_000).elasticsearchHttp, 19_200);
  assert.equal(new Set(ports).size, ports.length);
});

test('refuses an offset that leaves the range of ports', () => {
  assert.throws(() => portsAt(60_000), /MC_PORT_OFFSET must be from 0 to \d+, not 60000/);
});
