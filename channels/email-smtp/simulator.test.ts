import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import SMTPConnection from 'nodemailer/lib/smtp-connection';
import { request } from 'undici';
import { createMailbox } from '../conformance-kit.ts';
import { startSandbox, type Sandbox } from '../sandbox/start-sandbox.ts';
import { demoEmailSmtp, sandboxEmailSmtp } from './demo.ts';
import { createEmailSmtp } from './index.ts';
import { createEmailSmtpSimulator } from './simulator.ts';

let sandbox: Sandbox;
let mailbox: Awaited<ReturnType<typeof createMailbox>>;
before(async () => {
  mailbox = await createMailbox();
  sandbox = await startSandbox({ receiptUrls: { 'email-smtp': `${mailbox.url}/?token=t` } });
  sandbox.emailSmtp.configure({
    receiptMedianMs: 20,
    receiptP99Ms: 50,
    receiptDuplicateRate: 0,
  });
});
after(async () => {
  await sandbox.close();
  await mailbox.close();
});

const good = {
  from: 'bounce@bounce.example.com',
  to: 'li.lei@mail.example.com',
  user: 'notice@example.com' as string | undefined,
  password: 'sandbox-password',
  dsn: {} as object,
  lines: [
    'From: notice@example.com',
    'To: li.lei@mail.example.com',
    'Subject: Hello',
    'Date: Sun, 01 Mar 2026 12:30:00 +0800',
    'Message-ID: <a@example.com>',
    'MIME-Version: 1.0',
    '',
    'Hello',
  ],
};
/** The server's last reply to a mail, `250 …` where it was taken. */
function reply(
  change: Partial<typeof good> = {},
  url = sandbox.urlOf('email-smtp'),
): Promise<string> {
  const { from, to, user, password, lines, dsn } = { ...good, ...change };
  const { hostname: host, port } = new URL(url);
  const session = new SMTPConnection({ host, port, ignoreTLS: true, logger: false });
  return new Promise<string>((resolve) => {
    const failed = (error: Error & { response?: string | undefined }) => {
      resolve(error.response ?? error.message);
      session.close();
    };
    session.on('error', failed);
    const send = () =>
      session.send(
        { from, to: [to], dsn },
        Buffer.from(lines.join('\r\n'), 'latin1'),
        (error, info) => {
          if (error) return failed(error);
          resolve(info.response);
          session.quit();
        },
      );
    session.connect((error) => {
      if (error) return failed(error);
      if (user === undefined) return send();
      session.login({ user, pass: password }, (refused) => (refused ? failed(refused) : send()));
    });
  });
}
const withHeader = (name: string, value: string | undefined) => ({
  lines: good.lines.flatMap((line) => {
    if (!line.startsWith(`${name}:`)) return [line];
    return value === undefined ? [] : [`${name}: ${value}`];
  }),
});

test('a good mail is taken', async () => {
  assert.match(await reply(), /^250 2\.0\.0 OK: queued as SBX\d{8}$/);
});

const refusals: readonly [string, Partial<typeof good>, RegExp][] = [
  ['no login', { user: undefined }, /^530 /],
  ['a wrong password', { password: 'x' }, /^535 5\.7\.8 /],
  ['an unknown user', { user: 'x' }, /^535 5\.7\.8 /],
  ['a stranger in the envelope', { from: 'a@evil.example' }, /^553 5\.7\.1 /],
  ['a stranger in From', withHeader('From', 'a@evil.example'), /^550 5\.7\.1 /],
  ['two senders', withHeader('From', 'notice@example.com, b@example.com'), /^550 5\.6\.0 /],
  ['no Date', withHeader('Date', undefined), /^550 5\.6\.0 /],
  ['a Date that is none', withHeader('Date', 'today'), /^550 5\.6\.0 /],
  ['no Message-ID', withHeader('Message-ID', undefined), /^550 5\.6\.0 /],
  ['a Message-ID that is none', withHeader('Message-ID', 'abc'), /^550 5\.6\.0 /],
  ['two subjects', withHeader('Subject', 'a\r\nSubject: b'), /^550 5\.6\.0 /],
  ['no MIME-Version', withHeader('MIME-Version', undefined), /^550 5\.6\.0 /],
  ['a line of 999 bytes', { lines: [...good.lines, 'x'.repeat(999)] }, /^554 5\.6\.0 /],
  ['eight-bit text', { lines: [...good.lines, '\u00e9'] }, /^554 5\.6\.1 /],
  ['a NUL', { lines: [...good.lines, '\0'] }, /^554 5\.6\.0 /],
  [
    'one-click without https',
    withHeader(
      'Subject',
      'a\r\nList-Unsubscribe: <mailto:a@b.cn>\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click',
    ),
    /^550 5\.6\.0 /,
  ],
  ['an unknown mailbox', { to: 'hard-550@mail.example.com' }, /^550 5\.1\.1 /],
  ['a full mailbox', { to: 'full@mail.example.com' }, /^552 5\.2\.2 /],
  ['a closed mailbox', { to: 'blocked+1@mail.example.com' }, /^550 5\.7\.1 /],
  ['spam', { to: 'spam@mail.example.com' }, /^554 5\.7\.1 /],
];
for (const [name, change, wanted] of refusals)
  test(`refused: ${name}`, async () => {
    const before = sandbox.emailSmtp.accepted.total();
    assert.match(await reply(change), wanted);
    assert.equal(sandbox.emailSmtp.accepted.total(), before);
  });

test('a mail over the limit is refused, announced or not', async () => {
  for (const hidesMaxMailBytes of [false, true]) {
    const simulator = createEmailSmtpSimulator({
      ...sandboxEmailSmtp,
      maxMailBytes: 2000,
      hidesMaxMailBytes,
    });
    const listener = await simulator.listen?.({ host: '127.0.0.1', port: 0 });
    assert.ok(listener !== undefined);
    const lines = [...good.lines, ...Array<string>(30).fill('x'.repeat(100))];
    assert.match(await reply({ lines }, listener.url), /^552 /);
    assert.match(await reply({}, listener.url), /^250 /);
    await listener.close();
    await simulator.close();
  }
});

test('greylisting refuses once, for each address', async () => {
  const to = 'grey+1@mail.example.com';
  assert.match(await reply({ to }), /^451 4\.7\.1 /);
  assert.match(await reply({ to }), /^250 /);
  assert.match(await reply({ to: 'grey+2@mail.example.com' }), /^451 4\.7\.1 /);
});

test('slow@ answers late, drop-after-dot@ takes the mail and no more is heard', async () => {
  sandbox.emailSmtp.configure({ slowMs: 300 });
  const startedAt = Date.now();
  assert.match(await reply({ to: 'slow@mail.example.com' }), /^250 /);
  assert.ok(Date.now() - startedAt >= 300);
  const to = 'drop-after-dot@mail.example.com';
  assert.doesNotMatch(await reply({ to }), /^\d/);
  assert.equal(sandbox.emailSmtp.accepted.count('to', to), 1);
});

const told = async (to: string, notify?: string) => {
  assert.match(await reply({ to, dsn: { envid: `id-${to}`, ...(notify && { notify }) } }), /^250 /);
  const push = await mailbox.pushWith(to);
  return Buffer.from(push.body).toString('latin1');
};

test('bounces come by mail to the envelope sender, and the mailbox stays empty', async () => {
  const to = 'bounce-later+1@mail.example.com';
  const report = await told(to);
  assert.match(report, /^To: <bounce@bounce\.example\.com>\r$/m);
  assert.match(report, /^Original-Envelope-Id: id-bounce-later/m);
  assert.match(report, /^Action: failed\r\nStatus: 5\.1\.1\r$/m);
  assert.equal(sandbox.emailSmtp.accepted.count('to', to), 1);
  assert.equal(sandbox.emailSmtp.device.count('to', to), 0);
});

test('delivery, delay and complaints are told, success only to who asked', async () => {
  assert.match(await told('wang.wu@mail.example.com', 'SUCCESS'), /^Action: delivered\r$/m);
  assert.match(await told('delay-later@mail.example.com', 'DELAY'), /^Action: delayed\r$/m);
  assert.match(await told('complain@mail.example.com'), /^Feedback-Type: abuse\r$/m);
  const silent = [
    ['zhao.liu@mail.example.com', 'FAILURE'],
    ['delay-later+2@mail.example.com', 'FAILURE'],
    ['bounce-later+2@mail.example.com', 'NEVER'],
  ] as const;
  for (const [to, notify] of silent) assert.match(await reply({ to, dsn: { notify } }), /^250 /);
  await told('last@mail.example.com', 'SUCCESS');
  for (const [to] of silent)
    assert.ok(!mailbox.requests.some(({ body }) => Buffer.from(body).includes(to)), to);
});

test('the demo account sends, and the control API shows the mail', async () => {
  const account = demoEmailSmtp.account({
    url: sandbox.urlOf('email-smtp'),
    receiptToken: 'x'.repeat(16),
  });
  const client = createEmailSmtp({ allowPrivateProviders: true }).createClient({
    id: 'acc_1',
    tenantId: 'ten_1',
    settings: account.settings,
    secrets: account.secrets,
  });
  const { signal } = new AbortController();
  const deliveryKey = `msg_${'d'.repeat(26)}.0.${'0'.repeat(16)}`;
  const content = { subject: '您好', text: '您好，世界' };
  const outcome = await client.send({ to: demoEmailSmtp.to, content, deliveryKey, signal });
  assert.equal(outcome.class, 'accepted');
  await client.close();
  const get = async (path: string) => {
    const answer = await request(`${sandbox.controlUrl}/email-smtp/${path}`);
    return (await answer.body.json()) as { raw?: string; entries?: { text: string; to: string }[] };
  };
  const { entries } = await get(`device?ref=${deliveryKey}`);
  assert.deepEqual(
    entries?.map(({ text, to }) => [text, to]),
    [['您好\n您好，世界', 'li.lei@example.com']],
  );
  assert.match((await get(`raw?ref=${deliveryKey}`)).raw ?? '', /^X-Delivery-Ref: msg_d/im);
  assert.equal((await get('raw?ref=unknown')).raw, null);
});

test('off the net, connections are refused; back on it, the port is the same', async () => {
  const url = sandbox.urlOf('email-smtp');
  await sandbox.setListening(false);
  assert.match(await reply({}, url), /ECONNREFUSED/);
  await sandbox.setListening(true);
  assert.match(await reply({}, url), /^250 /);
});
