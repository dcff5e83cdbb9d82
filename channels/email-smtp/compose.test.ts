import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { test } from 'node:test';
import PostalMime from 'postal-mime';
import { createComposer, type ComposedMail } from './compose.ts';
import type { MailContent, SmtpSecrets, SmtpSettings } from './schemas.ts';

const deliveryKey = `msg_${'a'.repeat(26)}.0.${'0'.repeat(16)}`;
const settings: SmtpSettings = {
  host: 'smtp.example.com',
  port: 465,
  security: 'tls',
  from: { name: '消息中心', address: 'notice@example.com' },
};
const outcomeOf = (
  content: MailContent,
  more: Partial<SmtpSettings> = {},
  dkim?: SmtpSecrets['dkim'],
) =>
  createComposer(
    { ...settings, ...more },
    dkim,
  )({
    address: 'li.lei@mail.example.com',
    content,
    deliveryKey,
  });
async function compose(content: MailContent, more: Partial<SmtpSettings> = {}) {
  const mail = await outcomeOf(content, more);
  assert.ok(!('class' in mail), JSON.stringify(mail));
  return mail;
}
const headersOf = async ({ raw }: ComposedMail) =>
  Object.fromEntries((await PostalMime.parse(raw)).headers.map(({ key, value }) => [key, value]));

test('the headers are ours, and only ours', async () => {
  const mail = await compose(
    { subject: 'Hello', text: 'x', listUnsubscribe: 'https://example.com/u?a=1&b=2' },
    { replyTo: 'help@example.com' },
  );
  const headers = await headersOf(mail);
  assert.deepEqual(Object.keys(headers).sort(), [
    'auto-submitted',
    'content-transfer-encoding',
    'content-type',
    'date',
    'from',
    'list-unsubscribe',
    'list-unsubscribe-post',
    'message-id',
    'mime-version',
    'reply-to',
    'subject',
    'to',
    'x-delivery-ref',
  ]);
  assert.equal(headers['x-delivery-ref'], deliveryKey);
  assert.equal(headers['message-id'], mail.messageId);
  assert.equal(headers['to'], 'li.lei@mail.example.com');
  assert.equal(headers['reply-to'], 'help@example.com');
  assert.equal(headers['list-unsubscribe'], '<https://example.com/u?a=1&b=2>');
  assert.equal(headers['list-unsubscribe-post'], 'List-Unsubscribe=One-Click');
  assert.match(headers['from'] ?? '', /<notice@example\.com>$/);
});

test('nothing that a template says begins a header', async () => {
  const breaks = ['\r\n', '\n', '\r', '\u2028', '\u0085', '\v', '\f', '\0'];
  for (const mark of breaks) {
    const mail = await compose({
      subject: `Hello${mark}Bcc: spy@evil.example`,
      text: `x${mark}${mark}Bcc: spy@evil.example`,
      html: `<p>${mark}</p>`,
      listUnsubscribe: `https://example.com/${mark}Bcc:%20spy`,
    }).catch((error: unknown) => assert.fail(`${JSON.stringify(mark)}: ${String(error)}`));
    const headers = await headersOf(mail);
    assert.equal(headers['bcc'], undefined, JSON.stringify(mark));
    assert.equal(headers['subject'], 'Hello Bcc: spy@evil.example');
    assert.deepEqual(mail.envelope.to, ['li.lei@mail.example.com']);
  }
});

test('a long link stays whole', async () => {
  const url = `https://example.com/unsubscribe?token=${'0123456789abcdef'.repeat(50)}`;
  const headers = await headersOf(await compose({ subject: 's', text: 'x', listUnsubscribe: url }));
  assert.equal(headers['list-unsubscribe'], `<${url}>`);
});

test("what cannot be sent is the template's fault", async () => {
  const faulty: readonly MailContent[] = [
    { subject: ' \r\n ', text: 'x' },
    { subject: 's' },
    { subject: 's', text: '' },
    { subject: 's', text: 'x', listUnsubscribe: 'http://example.com' },
    { subject: 's', text: 'x', listUnsubscribe: 'mailto:a@example.com' },
    { subject: 's', text: 'x', listUnsubscribe: 'not a url' },
    { subject: 's', text: 'x', listUnsubscribe: '' },
    { subject: 's', text: 'x', listUnsubscribe: `https://example.com/${'长'.repeat(200)}` },
  ];
  for (const content of faulty) {
    const mail = await outcomeOf(content);
    assert.ok('class' in mail && mail.class === 'template-invalid', JSON.stringify(content));
  }
});

test('the envelope carries the delivery key where bounces find it', async () => {
  const content = { subject: 's', text: 'x' };
  const plain = await compose(content);
  assert.equal(plain.envelope.from, 'notice@example.com');
  assert.equal(plain.envelope.size, plain.raw.length);
  assert.deepEqual(plain.envelope.dsn, {
    ret: 'HDRS',
    envid: deliveryKey,
    notify: ['FAILURE', 'DELAY'],
    orcpt: 'rfc822;li.lei@mail.example.com',
  });
  const verp = await compose(content, {
    bounceDomain: 'b.example.com',
    bouncePrefix: 'ret',
    wantsDeliveryReport: true,
  });
  assert.equal(verp.envelope.from, `ret+${deliveryKey.slice(4)}@b.example.com`);
  assert.deepEqual(verp.envelope.dsn?.notify, ['SUCCESS', 'FAILURE', 'DELAY']);
});

test('a repeat is the same mail but for its date', async () => {
  const [first, second] = [
    await compose({ subject: 's', text: 'x' }),
    await compose({ subject: 's', text: 'x' }),
  ];
  const { date: _, ...rest } = await headersOf(first);
  const { date: __, ...again } = await headersOf(second);
  assert.deepEqual(again, rest);
});

test('a DKIM key that cannot sign is told, not left out', async () => {
  const { privateKey } = generateKeyPairSync('ed25519');
  const pem = String(privateKey.export({ type: 'pkcs8', format: 'pem' }));
  for (const key of [pem, '-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n']) {
    const dkim = { domainName: 'example.com', keySelector: 's1', privateKey: key };
    const mail = await outcomeOf({ subject: 's', text: 'x' }, {}, dkim);
    assert.ok('class' in mail && mail.class === 'auth-invalid');
  }
});
