/**
 * Others' code against ours: postal-mime reads what we send, nodemailer's own transport sends to our simulator, a DKIM
 * verification written from RFC 6376 checks the signature, and postal-mime reads the reports that our parser reads.
 */
import assert from 'node:assert/strict';
import { createHash, createVerify, generateKeyPairSync } from 'node:crypto';
import { after, before, test } from 'node:test';
import { createTransport } from 'nodemailer';
import PostalMime from 'postal-mime';
import type { OwnListener } from '../sandbox/simulator.ts';
import { demoEmailSmtp, sandboxEmailSmtp } from './demo.ts';
import { createEmailSmtp } from './index.ts';
import { contentType, parseMail, partsOf, textOf } from './mime.ts';
import type { MailContent } from './schemas.ts';
import { createEmailSmtpSimulator } from './simulator.ts';
import { writeReport } from './simulator-reports.ts';

const simulator = createEmailSmtpSimulator(sandboxEmailSmtp);
let listener: OwnListener;
before(async () => {
  const listening = await simulator.listen?.({ host: '127.0.0.1', port: 0 });
  assert.ok(listening !== undefined);
  listener = listening;
});
after(async () => {
  await listener.close();
  await simulator.close();
});

let sent = 0;
/** Sends through our client and gives the bytes that the server got. */
async function sendAndFetch(content: MailContent, secrets: object = {}): Promise<Buffer> {
  sent += 1;
  const deliveryKey = `msg_oracle${String(sent).padStart(20, '0')}.0.${'0'.repeat(16)}`;
  const account = demoEmailSmtp.account({ url: listener.url, receiptToken: 'x'.repeat(16) });
  const client = createEmailSmtp({ allowPrivateProviders: true }).createClient({
    id: 'acc_1',
    tenantId: 'ten_1',
    settings: account.settings,
    secrets: { ...(account.secrets as object), ...secrets },
  });
  const { signal } = new AbortController();
  const to = { email: 'li.lei@mail.example.com' };
  const outcome = await client.send({ to, content, deliveryKey, signal });
  await client.close();
  assert.equal(outcome.class, 'accepted', JSON.stringify(outcome));
  const raw = simulator.rawOf(deliveryKey);
  assert.ok(raw !== undefined);
  return raw;
}

const nasty = {
  ascii: 'Hello, world',
  chinese: '您的验证码是 493817，5分钟内有效。',
  emoji: '👋🏽 family 👨‍👩‍👧‍👦 flag 🇨🇳',
  mixedScripts: 'Ünïcödé Ελληνικά עברית العربية 日本語 한국어',
  longChinese: '长'.repeat(490),
  longWord: 'x'.repeat(490),
  longEmoji: '🎉'.repeat(240),
  encodedWord: '=?UTF-8?Q?not_encoded?= and =?utf-8?B?5L2g5aW9?=',
  equals: 'a=b=3D=\u00e9 100%=',
  quotes: '"quoted" <angle> (round) \\back; comma, a@b.cn',
  tabs: 'a\tb',
  colon: 'Bcc: spy@evil.example',
};
const nastyTexts = {
  ...nasty,
  longLine: 'x'.repeat(5000),
  dots: '.\n..\n.hidden\nend.\n.',
  smuggling: 'a\r\n.\r\nMAIL FROM:<spy@evil.example>\r\n.\r\nb',
  bareSmuggling: 'a\n.\nQUIT\n.\nb',
  fromLine: 'From here\n>From there\nFrom: x',
  mixedBreaks: 'one\r\ntwo\nthree\n\n\nfour',
  boundaryLike: '--boundary\n----_NmP-\n--',
  trailingSpaces: 'a   \nb\t\n  c',
  leadingBreaks: '\n\nlate',
};

for (const [name, subject] of Object.entries(nasty))
  test(`subject ${name} arrives as it was written`, async () => {
    const email = await PostalMime.parse(await sendAndFetch({ subject, text: 'x' }));
    assert.equal(email.subject, subject.replace(/\s+/g, ' '));
  });

const lines = (text: string | undefined) => text?.replace(/\r\n/g, '\n').replace(/\n$/, '');
for (const [name, body] of Object.entries(nastyTexts))
  test(`text and html ${name} arrive as they were written`, async () => {
    const html = `<p>${body}</p>`;
    const both = await PostalMime.parse(await sendAndFetch({ subject: 's', text: body, html }));
    assert.equal(lines(both.text), lines(body));
    assert.equal(lines(both.html), lines(html));
    const alone = await PostalMime.parse(await sendAndFetch({ subject: 's', text: body }));
    assert.equal(lines(alone.text), lines(body));
    assert.equal(alone.html, undefined);
  });

test('half a surrogate pair becomes a replacement character', async () => {
  const email = await PostalMime.parse(
    await sendAndFetch({ subject: 'a\ud83db', text: 'c\udc4bd', html: '\ud83d' }),
  );
  assert.deepEqual(
    [email.subject, lines(email.text), lines(email.html)],
    ['a\ufffdb', 'c\ufffdd', '\ufffd'],
  );
});

test('nodemailer itself can send to the simulator, and is refused as we are', async () => {
  const { hostname: host, port } = new URL(listener.url);
  const transport = createTransport({
    host,
    port: Number(port),
    ignoreTLS: true,
    auth: { user: 'notice@example.com', pass: 'sandbox-password' },
  });
  const mail = { from: 'notice@example.com', to: 'a@mail.example.com', subject: 's', text: 'x' };
  assert.ok(await transport.verify());
  assert.match((await transport.sendMail(mail)).response, /^250 2\.0\.0 OK: queued as SBX/);
  const refused = transport.sendMail({ ...mail, to: 'hard-550@mail.example.com' });
  await assert.rejects(refused, { code: 'EENVELOPE', command: 'RCPT TO', responseCode: 550 });
  const spam = transport.sendMail({ ...mail, to: 'spam@mail.example.com' });
  await assert.rejects(spam, { code: 'EMESSAGE', command: 'DATA', responseCode: 554 });
  transport.close();
});

test('the DKIM signature holds by RFC 6376, and breaks with the mail', async () => {
  const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const dkim = {
    domainName: 'example.com',
    keySelector: 's1',
    privateKey: String(privateKey.export({ type: 'pkcs8', format: 'pem' })),
  };
  const raw = await sendAndFetch(
    {
      subject: nasty.emoji,
      text: `${nastyTexts.dots}\n${nastyTexts.trailingSpaces}\n\n\n`,
      html: '<p>x</p>',
      listUnsubscribe: `https://example.com/${'u'.repeat(200)}`,
    },
    { dkim },
  );
  const pem = String(publicKey.export({ type: 'spki', format: 'pem' }));
  const text = raw.toString('latin1');
  const { isGood, signed } = verifyDkim(text, pem);
  assert.ok(isGood);
  for (const name of ['from', 'to', 'subject', 'list-unsubscribe', 'list-unsubscribe-post'])
    assert.ok(signed.includes(name), name);
  for (const [from, to] of [
    ['<p>x</p>', '<p>y</p>'],
    ['List-Unsubscribe=One-Click', 'List-Unsubscribe=None'],
    ['/uuu', '/evil'],
  ] as const)
    assert.ok(text.includes(from) && !verifyDkim(text.replace(from, to), pem).isGood, from);
});

/** RFC 6376 with relaxed/relaxed and rsa-sha256 over bytes as latin1. */
function verifyDkim(mail: string, publicKey: string) {
  const split = mail.indexOf('\r\n\r\n');
  const headers = mail.slice(0, split).split(/\r\n(?![ \t])/);
  const relaxed = (line: string) => {
    const colon = line.indexOf(':');
    const value = line
      .slice(colon + 1)
      .replace(/\r\n/g, '')
      .replace(/[ \t]+/g, ' ')
      .trim();
    return `${line.slice(0, colon).trim().toLowerCase()}:${value}`;
  };
  const signature = relaxed(headers.find((line) => /^dkim-signature:/i.test(line)) ?? '');
  const tags = new Map(
    signature
      .slice('dkim-signature:'.length)
      .split(';')
      .map((tag) => {
        const [name = '', ...value] = tag.trim().split('=');
        return [name, value.join('=')];
      }),
  );
  const body = mail
    .slice(split + 4)
    .split('\r\n')
    .map((line) => line.replace(/[ \t]+/g, ' ').replace(/ $/, ''))
    .join('\r\n')
    .replace(/(\r\n)*$/, '\r\n');
  const bodyHash = createHash('sha256').update(body, 'latin1').digest('base64');
  const signed = (tags.get('h') ?? '').toLowerCase().split(/\s*:\s*/);
  // From the bottom up, each header once.
  const left = headers.map(relaxed);
  const chosen = signed.flatMap((name) => {
    const at = left.findLastIndex((line) => line.startsWith(`${name}:`));
    return at === -1 ? [] : left.splice(at, 1);
  });
  const input = [...chosen, signature.replace(/([;:]\s*b=)[^;]*/, '$1')].join('\r\n');
  const given = (tags.get('b') ?? '').replace(/\s/g, '');
  return {
    signed,
    isGood:
      tags.get('a') === 'rsa-sha256' &&
      tags.get('bh')?.replace(/\s/g, '') === bodyHash &&
      createVerify('RSA-SHA256').update(input, 'latin1').verify(publicKey, given, 'base64'),
  };
}

test('our reader of reports sees the parts that postal-mime sees', async () => {
  const report = writeReport(
    {
      kind: 'failed',
      reply: '550 5.1.1 no such user',
      mail: { sender: 'b@example.com', recipient: 'a@example.com', envid: 'x', headers: 'To: a' },
    },
    new Date(),
  );
  const encoded = [
    'From: =?utf-8?B?5L2g5aW9?= <a@example.com>',
    'Content-Type: multipart/report; report-type="delivery-status"; boundary="b \\"1"',
    '',
    'preamble',
    '--b "1',
    'Content-Type: text/plain; charset=utf-8',
    'Content-Transfer-Encoding: quoted-printable',
    '',
    'f=C3=BCr =',
    'dich=20',
    '--b "1  ',
    'Content-Type: message/delivery-status',
    'Content-Transfer-Encoding: base64',
    '',
    Buffer.from('Reporting-MTA: dns; x\r\n\r\nAction: failed\r\n').toString('base64'),
    '--b "1--',
    'epilogue',
  ].join('\r\n');
  for (const raw of [report, encoded]) {
    const email = await PostalMime.parse(raw);
    const mail = parseMail(Buffer.from(raw));
    assert.ok(mail !== undefined);
    const parts = partsOf(mail);
    const [first] = parts;
    assert.ok(first !== undefined);
    assert.equal(textOf(first).trim(), email.text?.trim());
    assert.deepEqual(
      parts.slice(1).map((part) => contentType(part).type),
      email.attachments.map(({ mimeType }) => mimeType),
    );
    for (const [index, attachment] of email.attachments.entries()) {
      const part = parts[index + 1];
      assert.ok(part !== undefined && typeof attachment.content !== 'string');
      const theirs = new TextDecoder().decode(attachment.content);
      assert.equal(textOf(part).replace(/\r/g, '').trim(), theirs.replace(/\r/g, '').trim());
    }
    for (const { key, value } of email.headers.filter((each) => each.key !== 'from'))
      assert.equal(mail.headers.get(key)?.replace(/\s+/g, ' '), value.replace(/\s+/g, ' '), key);
  }
});
