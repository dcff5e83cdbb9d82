import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { after, test } from 'node:test';
import {
  createProviderHttp,
  isPrivateAddress,
  maxAnswerBytes,
  type ProviderHttpOptions,
} from './provider-http.ts';

const cleanups: (() => unknown)[] = [];
after(async () => {
  for (const cleanup of cleanups.toReversed()) await cleanup();
});

/** A raw TCP server: `onRequest` runs for every complete request head, with its count from 1. */
async function listen(
  onRequest: (socket: Socket, count: number) => void,
  onConnect?: (socket: Socket) => void,
) {
  let requests = 0;
  let connections = 0;
  const sockets = new Set<Socket>();
  const server: Server = createServer((socket) => {
    connections += 1;
    sockets.add(socket);
    socket.on('error', () => undefined);
    socket.on('close', () => sockets.delete(socket));
    onConnect?.(socket);
    let text = '';
    socket.on('data', (chunk) => {
      text += chunk.toString('latin1');
      for (let end = text.indexOf('\r\n\r\n'); end >= 0; end = text.indexOf('\r\n\r\n')) {
        text = text.slice(end + 4);
        onRequest(socket, (requests += 1));
      }
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  cleanups.push(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return {
    port,
    origin: `http://127.0.0.1:${port}`,
    requests: () => requests,
    connections: () => connections,
  };
}

function client(origin: string, options: Partial<ProviderHttpOptions> = {}) {
  const http = createProviderHttp({ origin, allowPrivate: true, timeoutMs: 400, ...options });
  cleanups.push(() => http.close());
  return (signal: AbortSignal = new AbortController().signal) =>
    http.call({ method: 'POST', path: '/?a=1', headers: { 'x-test': '1' }, signal });
}

const answer = (body: string, head = '') =>
  `HTTP/1.1 200 OK\r\ncontent-length: ${Buffer.byteLength(body)}\r\n${head}\r\n${body}`;

test('gives status, headers in lower case and body of an answer', async () => {
  const server = await listen((socket) =>
    socket.write('HTTP/1.1 429 No\r\nX-ACS-Retry-After: 250\r\ncontent-length: 6\r\n\r\n接收'),
  );
  const got = await client(server.origin)();
  assert.equal(got.kind, 'answer');
  assert.ok(got.kind === 'answer');
  assert.equal(got.status, 429);
  assert.equal(got.headers['x-acs-retry-after'], '250');
  assert.equal(got.body, '接收');
});

test('an HTML page is an answer like any other', async () => {
  const server = await listen((socket) =>
    socket.write('HTTP/1.1 502 Bad Gateway\r\ncontent-length: 13\r\n\r\n<html></html>'),
  );
  const got = await client(server.origin)();
  assert.ok(got.kind === 'answer' && got.status === 502 && got.body.startsWith('<html'));
});

test('a refused connection is not sent', async () => {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  const got = await client(`http://127.0.0.1:${port}`)();
  assert.equal(got.kind, 'not-sent');
  assert.match(got.kind === 'not-sent' ? got.cause : '', /ECONNREFUSED/);
});

test('a failed TLS handshake is not sent', async () => {
  const server = await listen(
    () => undefined,
    (socket) => socket.on('data', () => socket.write('this is not TLS at all\r\n\r\n')),
  );
  const got = await client(`https://127.0.0.1:${server.port}`)();
  assert.equal(got.kind, 'not-sent');
});

test('a handshake that never ends is not sent', async () => {
  const server = await listen(() => undefined);
  const call = client(`https://127.0.0.1:${server.port}`, {
    connectTimeoutMs: 100,
    timeoutMs: 5000,
  });
  const got = await call();
  assert.equal(got.kind, 'not-sent');
  assert.match(got.kind === 'not-sent' ? got.cause : '', /CONNECT_TIMEOUT/);
});

test('a deadline that passes while connecting is not sent', async () => {
  const server = await listen(() => undefined);
  const got = await client(`https://127.0.0.1:${server.port}`)();
  assert.equal(got.kind, 'not-sent');
});

test('a reset as soon as the connection stands is not sent only if nothing was written', async () => {
  const server = await listen(
    () => undefined,
    (socket) => socket.resetAndDestroy(),
  );
  const got = await client(server.origin)();
  assert.notEqual(got.kind, 'answer');
  assert.equal(server.requests(), 0);
});

test('a reset after the request was read is lost', async () => {
  const server = await listen((socket) => socket.resetAndDestroy());
  assert.equal((await client(server.origin)()).kind, 'lost');
  assert.equal(server.requests(), 1);
});

test('a reset on a reused connection is lost and never repeated', async () => {
  const server = await listen((socket, count) =>
    count === 1 ? socket.write(answer('one')) : socket.resetAndDestroy(),
  );
  const call = client(server.origin, { maxConnections: 1 });
  assert.equal((await call()).kind, 'answer');
  assert.equal((await call()).kind, 'lost');
  assert.equal(server.requests(), 2);
  assert.equal(server.connections(), 1);
});

test('a polite close on a reused connection after the request was read is lost as well', async () => {
  const server = await listen((socket, count) =>
    count === 1 ? socket.write(answer('one')) : socket.end(),
  );
  const call = client(server.origin, { maxConnections: 1 });
  assert.equal((await call()).kind, 'answer');
  assert.equal((await call()).kind, 'lost');
  assert.equal(server.requests(), 2);
});

test('an idle connection that the server closed is replaced without loss', async () => {
  const server = await listen((socket) => {
    socket.write(answer('one'));
    setTimeout(() => socket.end(), 5);
  });
  const call = client(server.origin, { maxConnections: 1 });
  assert.equal((await call()).kind, 'answer');
  await new Promise((resolve) => setTimeout(resolve, 50));
  assert.equal((await call()).kind, 'answer');
  assert.equal(server.requests(), 2);
});

test('an answer that never begins is lost within the deadline', async () => {
  const server = await listen(() => undefined);
  const startedAt = Date.now();
  const got = await client(server.origin)();
  assert.equal(got.kind, 'lost');
  assert.ok(Date.now() - startedAt < 1500);
});

test('a body that drips longer than the deadline is lost', async () => {
  const server = await listen((socket) => {
    socket.write('HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n');
    const timer = setInterval(() => socket.write('x'), 20);
    socket.on('close', () => clearInterval(timer));
  });
  assert.equal((await client(server.origin)()).kind, 'lost');
});

test('a body that ends early is lost', async () => {
  const server = await listen((socket) =>
    socket.end('HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nhalf'),
  );
  assert.equal((await client(server.origin)()).kind, 'lost');
});

test('a body over the limit is lost, one of exactly the limit is read', async () => {
  const server = await listen((socket, count) =>
    socket.write(answer('x'.repeat(maxAnswerBytes + (count === 1 ? 0 : 1)))),
  );
  const call = client(server.origin, { timeoutMs: 5000 });
  const whole = await call();
  assert.ok(whole.kind === 'answer' && whole.body.length === maxAnswerBytes);
  const got = await call();
  assert.match(got.kind === 'lost' ? got.cause : '', /longer than/);
});

test('something that is not HTTP is lost', async () => {
  const server = await listen((socket) => socket.write('hello\r\n\r\n'));
  assert.equal((await client(server.origin)()).kind, 'lost');
});

test('aborted before the start it is not sent, aborted after writing it is lost', async () => {
  const controller = new AbortController();
  const server = await listen(() => controller.abort());
  const call = client(server.origin);
  assert.equal((await call(controller.signal)).kind, 'lost');
  assert.equal((await call(controller.signal)).kind, 'not-sent');
  assert.equal(server.requests(), 1);
});

test('a call that waited in vain for a free connection is not sent, not even later', async () => {
  const server = await listen((socket, count) => {
    if (count === 1) setTimeout(() => socket.write(answer('late')), 300);
  });
  const call = client(server.origin, { maxConnections: 1, timeoutMs: 1000 });
  const controller = new AbortController();
  const first = call();
  const second = call(controller.signal);
  setTimeout(() => controller.abort(), 50);
  assert.deepEqual(await second, { kind: 'not-sent', cause: 'aborted' });
  assert.equal((await first).kind, 'answer');
  await new Promise((resolve) => setTimeout(resolve, 50));
  assert.equal(server.requests(), 1);
});

test('private addresses are refused by literal and by name when they are not allowed', async () => {
  const server = await listen((socket) => socket.write(answer('reached')));
  const hosts = ['127.0.0.1', 'localhost', '[::1]', '[::ffff:127.0.0.1]', '2130706433', '0x7f.1'];
  for (const host of hosts) {
    const got = await client(`http://${host}:${server.port}`, { allowPrivate: false })();
    assert.equal(got.kind, 'not-sent', host);
    assert.match(got.kind === 'not-sent' ? got.cause : '', /EPRIVATE/, host);
  }
  assert.equal(server.connections(), 0);
});

test('tells private from public addresses', () => {
  const privates =
    '0.0.0.0 10.1.2.3 100.64.0.1 127.9.9.9 169.254.169.254 172.31.0.1 192.168.1.1 198.18.0.1 224.0.0.1 255.255.255.255 ' +
    ':: ::1 fc00::1 fd12::1 fe80::1 fe80::1%eth0 ff02::1 ::ffff:10.0.0.1 64:ff9b::a00:1 2002:a00:1::';
  for (const address of privates.split(' ')) assert.ok(isPrivateAddress(address), address);
  const publics = '8.8.8.8 100.63.255.255 172.32.0.1 198.20.0.1 223.5.5.5 2400:3200::1';
  for (const address of publics.split(' ')) assert.ok(!isPrivateAddress(address), address);
});
