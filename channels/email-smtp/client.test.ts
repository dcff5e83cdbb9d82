import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { after, test, type TestContext } from 'node:test';
import { generate } from 'selfsigned';
import { SMTPServer, type SMTPServerOptions } from 'smtp-server';
import type { ConnectorClient } from '../../contracts/channel.ts';
import { createEmailSmtp } from './index.ts';
import { openSession } from './connect.ts';
import { transfer } from './transfer.ts';

const content = { subject: 'Hello', text: 'Hello' };
const deliveryKey = `msg_${'a'.repeat(26)}.0.${'0'.repeat(16)}`;
const never = new AbortController().signal;
const clients: ConnectorClient[] = [];
after(() => Promise.all(clients.map((client) => client.close())));

function clientAt(
  port: number,
  {
    settings = {},
    secrets = {},
    allowPrivateProviders = true,
  }: {
    settings?: object;
    secrets?: object;
    allowPrivateProviders?: boolean;
  } = {},
): ConnectorClient {
  const client = createEmailSmtp({ allowPrivateProviders }).createClient({
    id: 'acc_1',
    tenantId: 'ten_1',
    settings: {
      host: '127.0.0.1',
      port,
      security: 'none',
      from: { address: 'notice@example.com' },
      ...settings,
    },
    secrets: { user: 'u', password: 'p', receiptToken: 'x'.repeat(16), ...secrets },
  });
  clients.push(client);
  return client;
}
const send = (client: ConnectorClient, change: { name?: string; signal?: AbortSignal } = {}) =>
  client.send({
    to: { email: `${change.name ?? 'li.lei'}@mail.example.com` },
    content,
    deliveryKey,
    signal: change.signal ?? never,
  });

async function until(isSo: () => boolean): Promise<void> {
  const deadline = Date.now() + 5000;
  while (!isSo()) {
    assert.ok(Date.now() < deadline, 'waited for 5 s');
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** A real SMTP server that takes everything but refuses `bad@`; counts what came. */
async function startSmtp(t: TestContext, options: SMTPServerOptions = {}) {
  const seen = { connections: 0, open: 0, mostOpen: 0, mails: 0, logins: [] as string[] };
  const smtp = new SMTPServer({
    logger: false,
    disableReverseLookup: true,
    hideSTARTTLS: true,
    onConnect: (_, callback) => {
      seen.connections += 1;
      seen.open += 1;
      seen.mostOpen = Math.max(seen.mostOpen, seen.open);
      callback();
    },
    onClose: () => void (seen.open -= 1),
    onAuth: ({ method, username, password }, _, callback) => {
      seen.logins.push(method);
      if (username === 'u' && password === 'p') return callback(null, { user: 'u' });
      callback(new Error('no'));
    },
    onRcptTo: ({ address }, _, callback) =>
      callback(address.startsWith('bad@') ? new Error('no such user') : null),
    onData: (stream, _, callback) => {
      stream.resume().on('end', () => {
        seen.mails += 1;
        callback();
      });
    },
    ...options,
  });
  smtp.on('error', () => undefined);
  smtp.listen(0, '127.0.0.1');
  await once(smtp.server, 'listening');
  t.after(() => smtp.close());
  return { port: (smtp.server.address() as AddressInfo).port, seen, smtp };
}

/** Plays a script by hand: told each line, it answers or breaks the connection. */
async function startScript(
  t: TestContext,
  script: { greeting?: string; onLine: (line: string, socket: Socket) => string | undefined },
) {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    if (script.greeting !== undefined) socket.write(`${script.greeting}\r\n`);
    let rest = '';
    socket.on('data', (chunk) => {
      const lines = `${rest}${chunk.toString('latin1')}`.split('\r\n');
      rest = (lines.pop() ?? '').slice(-10);
      for (const line of lines) {
        const answer = script.onLine(line, socket);
        if (answer !== undefined) socket.write(`${answer}\r\n`);
      }
    });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  return (server.address() as AddressInfo).port;
}

/** A polite dialogue up to 354, without extensions. */
function polite(line: string): string | undefined {
  if (line.startsWith('EHLO')) return '250 hello';
  if (/^(MAIL|RCPT|RSET)/.test(line)) return '250 ok';
  if (line === 'DATA') return '354 go ahead';
  return undefined;
}

test('a line that breaks before the final dot took nothing, at whatever step', async (t) => {
  for (const step of ['EHLO', 'MAIL', 'RCPT', 'DATA']) {
    const port = await startScript(t, {
      greeting: '220 hi',
      onLine: (line, socket) => {
        if (!line.startsWith(step)) return polite(line);
        socket.resetAndDestroy();
        return undefined;
      },
    });
    const outcome = await send(
      clientAt(port, { secrets: { user: undefined, password: undefined } }),
    );
    assert.equal(outcome.class, 'transient', `${step}: ${JSON.stringify(outcome)}`);
  }
});

test('a break in the middle of a long mail took nothing; after its dot it may have', async (t) => {
  const raw = Buffer.from(`${'x'.repeat(70)}\r\n`.repeat(500_000));
  for (const breaksAt of ['first bytes', 'dot'] as const) {
    let isData = false;
    const port = await startScript(t, {
      greeting: '220 hi',
      onLine: (line, socket) => {
        if (isData && (breaksAt === 'first bytes' || line === '.')) socket.resetAndDestroy();
        if (line === 'DATA') isData = true;
        return isData && line !== 'DATA' ? undefined : polite(line);
      },
    });
    const endpoint = { host: '127.0.0.1', port, security: 'none', name: 'example.com' } as const;
    const session = await openSession(
      { ...endpoint, login: undefined, ca: undefined, allowPrivate: true },
      never,
    );
    const envelope = { from: 'a@example.com', to: ['b@example.com'] };
    const done = await transfer(session, { raw, envelope }, never);
    assert.ok(done.result === 'failed');
    assert.equal(done.dotMayHaveLeft, breaksAt === 'dot');
  }
});

test('an abort in the middle of a long mail never lets its dot out', async (t) => {
  let received = '';
  let isClosed: Promise<unknown> = Promise.resolve();
  const controller = new AbortController();
  const port = await startScript(t, {
    greeting: '220 hi',
    onLine: (line, socket) => {
      if (line !== 'DATA') return polite(line);
      isClosed = once(socket, 'close');
      socket.pause();
      setTimeout(() => {
        controller.abort(new Error('stop'));
        socket.on('data', (chunk) => (received += chunk.toString('latin1').slice(-10))).resume();
      }, 50);
      return '354 go ahead';
    },
  });
  const endpoint = { host: '127.0.0.1', port, security: 'none', name: 'example.com' } as const;
  const session = await openSession(
    { ...endpoint, login: undefined, ca: undefined, allowPrivate: true },
    never,
  );
  const raw = Buffer.from(`${'x'.repeat(70)}\r\n`.repeat(500_000));
  const envelope = { from: 'a@example.com', to: ['b@example.com'] };
  const done = await transfer(session, { raw, envelope }, controller.signal);
  assert.ok(done.result === 'failed');
  assert.equal(done.dotMayHaveLeft, false);
  await isClosed;
  assert.ok(!received.includes('\r\n.\r\n'));
});

test('servers that do not want us: the account or the server is at fault, not the mail', async (t) => {
  const cases: readonly [string | undefined, string][] = [
    ['554 5.7.1 your address is listed', 'auth-invalid'],
    ['421 4.3.2 too busy', 'transient'],
    ['HTTP/1.1 400 Bad Request', 'transient'],
  ];
  for (const [greeting, outcome] of cases) {
    const port = await startScript(t, { ...(greeting && { greeting }), onLine: polite });
    assert.equal((await send(clientAt(port))).class, outcome, greeting);
  }
});

test('a silent server is given up by the signal, and took nothing', async (t) => {
  const port = await startScript(t, { onLine: polite });
  const outcome = await send(clientAt(port), { signal: AbortSignal.timeout(200) });
  assert.deepEqual([outcome.class, outcome.providerCode], ['transient', 'EABORT']);
  const verified = await clientAt(port).verify(AbortSignal.timeout(200));
  assert.equal(verified.class, 'transient');
});

test('mails share connections, as many as allowed, also after a refusal', async (t) => {
  const { port, seen } = await startSmtp(t);
  const client = clientAt(port, { settings: { maxConnections: 2 } });
  const names = Array.from({ length: 20 }, (_, index) => (index % 4 === 0 ? 'bad' : `p${index}`));
  const outcomes = await Promise.all(names.map((name) => send(client, { name })));
  assert.deepEqual(
    outcomes.map((outcome) => outcome.class),
    names.map((name) => (name === 'bad' ? 'recipient-invalid' : 'accepted')),
  );
  assert.equal(seen.mails, 15);
  assert.equal(seen.mostOpen, 2);
  assert.equal(seen.connections, 2);
});

test('who waits for a connection can be stopped, and nothing is sent', async (t) => {
  let release: (() => void) | undefined;
  const { port, seen } = await startSmtp(t, {
    onData: (stream, _, callback) => {
      stream.resume().on('end', () => {
        seen.mails += 1;
        release = () => callback();
      });
    },
  });
  const client = clientAt(port, { settings: { maxConnections: 1 } });
  const first = send(client);
  const second = await send(client, { signal: AbortSignal.timeout(300) });
  assert.equal(second.class, 'transient');
  await until(() => release !== undefined);
  release?.();
  assert.equal((await first).class, 'accepted');
  assert.equal(seen.mails, 1);
});

test('a connection that the server closed while idle is replaced', async (t) => {
  const { port, seen, smtp } = await startSmtp(t);
  const client = clientAt(port);
  assert.equal((await send(client)).class, 'accepted');
  for (const connection of smtp.connections) connection.close();
  await until(() => seen.open === 0);
  assert.equal((await send(client)).class, 'accepted');
  assert.equal(seen.connections, 2);
});

test('closing waits for what is in hand, and a closed client sends nothing', async (t) => {
  const { port, seen } = await startSmtp(t);
  const client = clientAt(port, { settings: { maxConnections: 1 } });
  const outcomes = Promise.all([send(client), send(client), send(client)]);
  await client.close();
  assert.equal(seen.mails, 3);
  assert.deepEqual(
    (await outcomes).map((outcome) => outcome.class),
    ['accepted', 'accepted', 'accepted'],
  );
  assert.equal((await send(client)).class, 'transient');
  assert.equal(seen.mails, 3);
});

test('the login takes what the server offers', async (t) => {
  for (const method of ['PLAIN', 'LOGIN']) {
    const { port, seen } = await startSmtp(t, { authMethods: [method] });
    assert.equal((await send(clientAt(port))).class, 'accepted');
    assert.deepEqual(seen.logins, [method]);
  }
});

test('a password is never sent where the server has not asked for a login, or the line is plain', async (t) => {
  const lines: string[] = [];
  const port = await startScript(t, {
    greeting: '220 hi',
    onLine: (line) => {
      lines.push(line);
      return line === 'STARTTLS' ? '502 no' : polite(line);
    },
  });
  const outcome = await send(clientAt(port, { settings: { security: 'starttls' } }));
  assert.equal(outcome.class, 'auth-invalid', JSON.stringify(outcome));
  assert.deepEqual(
    lines.map((line) => line.split(' ')[0]),
    ['EHLO', 'STARTTLS'],
  );
});

test('TLS, at once and by STARTTLS, with an authority of our own', async (t) => {
  const { private: key, cert } = await generate([{ name: 'commonName', value: 'localhost' }], {
    extensions: [{ name: 'subjectAltName', altNames: [{ type: 2, value: 'localhost' }] }],
  });
  for (const security of ['tls', 'starttls']) {
    const { port, seen } = await startSmtp(t, {
      key,
      cert,
      secure: security === 'tls',
      hideSTARTTLS: security === 'tls',
    });
    const settings = { host: 'localhost', security };
    const trusting = clientAt(port, { settings: { ...settings, ca: cert } });
    const good = await send(trusting);
    assert.equal(good.class, 'accepted', JSON.stringify(good));
    assert.equal((await trusting.verify(never)).class, 'accepted');
    const untrusted = await send(clientAt(port, { settings }));
    assert.equal(untrusted.class, 'transient', JSON.stringify(untrusted));
    // The same server under a name that is not the certificate's.
    const misnamed = await send(
      clientAt(port, { settings: { ...settings, host: '127.0.0.1', ca: cert } }),
    );
    assert.equal(misnamed.class, 'transient', JSON.stringify(misnamed));
    assert.equal(seen.mails, 1);
  }
});

test('private addresses are refused, as a number and as a name', async (t) => {
  const { port, seen } = await startSmtp(t);
  for (const host of ['127.0.0.1', 'localhost', '::1', '10.0.0.1']) {
    const settings = { host, security: 'tls' };
    const outcome = await send(clientAt(port, { settings, allowPrivateProviders: false }));
    assert.deepEqual([outcome.class, outcome.providerCode], ['transient', 'EPRIVATE'], host);
  }
  const plain = clientAt(port, { allowPrivateProviders: false });
  assert.equal((await send(plain)).class, 'auth-invalid');
  assert.equal((await plain.verify(never)).class, 'auth-invalid');
  assert.equal(seen.connections, 0);
});

test('a name that needs quotes or SMTPUTF8 is refused before anything is sent', async (t) => {
  const { port, seen } = await startSmtp(t);
  const client = clientAt(port);
  for (const name of ['李雷', '.dot', 'dot.', 'a..b', 'a\u0001b', 'x'.repeat(65)])
    assert.equal((await send(client, { name })).class, 'recipient-invalid', name);
  assert.equal(seen.connections, 0);
});
