import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ReceiptRequest } from '../../contracts/channel.ts';
import { complaintTypes, parseReceipts, reportActions } from './receipts.ts';
import { writeReport } from './simulator-reports.ts';

const token = 'a-token-of-16-chars';
const check = { token, now: () => Date.parse('2026-03-01T00:00:00Z') };
const deliveryKey = 'msg_0123456789abcdefghjkmnpqrs.3.0123456789abcdef';
const verp = `bounce+${deliveryKey.slice(4)}@bounce.example.com`;

const request = (body: string, change: Partial<ReceiptRequest> = {}): ReceiptRequest => ({
  method: 'POST',
  query: { token },
  headers: { 'content-type': 'message/rfc822' },
  body: Buffer.from(body),
  ...change,
});
function parse(body: string) {
  const parsed = parseReceipts(request(body), check);
  assert.ok(parsed.result === 'receipts', JSON.stringify(parsed));
  return parsed;
}

/** A bounce as Postfix writes it. */
const postfix = (change: {
  readonly to?: string;
  readonly fields?: string;
  readonly envid?: string;
  readonly returned?: string;
  readonly date?: string;
}) => `Return-Path: <>
X-Original-To: ${change.to ?? verp}
Date: ${change.date ?? 'Sun,  1 Mar 2026 12:30:00 +0800 (CST)'}
From: MAILER-DAEMON@mx.example.net (Mail Delivery System)
Subject: Undelivered Mail Returned to Sender
To: ${change.to ?? verp}
Auto-Submitted: auto-replied
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status;
	boundary="4FkA.1772339400/mx.example.net"

This is a MIME-encapsulated message.

--4FkA.1772339400/mx.example.net
Content-Description: Notification
Content-Type: text/plain; charset=us-ascii

I'm sorry to have to inform you that your message could not
be delivered to one or more recipients.

--4FkA.1772339400/mx.example.net
Content-Description: Delivery report
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.example.net
X-Postfix-Queue-ID: 4FkA
${change.envid === undefined ? '' : `Original-Envelope-Id: ${change.envid}\n`}Arrival-Date: Sun,  1 Mar 2026 12:29:59 +0800 (CST)

${change.fields ?? failedFields}

--4FkA.1772339400/mx.example.net
Content-Description: Undelivered Message Headers
Content-Type: text/rfc822-headers

${change.returned ?? 'Subject: Hello'}

--4FkA.1772339400/mx.example.net--
`;
const failedFields = `Final-Recipient: rfc822; li.lei@mail.example.com
Original-Recipient: rfc822;li.lei@mail.example.com
Action: failed
Status: 5.1.1
Remote-MTA: dns; mail.example.com
Diagnostic-Code: smtp; 550 5.1.1 <li.lei@mail.example.com>: Recipient address
    rejected: User unknown in local recipient table`;
const failed = (status: string, diagnostic = '') =>
  `Final-Recipient: rfc822; li.lei@mail.example.com\nAction: failed\nStatus: ${status}\nDiagnostic-Code: ${diagnostic}`;

test('a bounce of Postfix tells what became of which mail, without the address', () => {
  const expected = {
    deliveryKey,
    status: 'failed',
    outcome: 'recipient-invalid',
    providerCode: '5.1.1',
    providerMessage:
      '550 5.1.1 <***>: Recipient address rejected: User unknown in local recipient table',
    occurredAt: '2026-03-01T04:30:00.000Z',
  };
  for (const body of [
    postfix({}),
    postfix({}).replaceAll('\n', '\r\n'),
    `From x y\n${postfix({})}`,
  ])
    assert.deepEqual(parse(body).receipts, [expected]);
});

test('the mail is found by address, by ENVID, or by the returned headers', () => {
  const other = 'notice@example.com';
  const ways = [
    postfix({ to: `"x" <${verp.toUpperCase()}>` }),
    postfix({ to: other, envid: deliveryKey }),
    postfix({ to: other, returned: `Subject: a\nX-Delivery-Ref: ${deliveryKey}\nTo: x` }),
    postfix({ to: other }).replace('Return-Path: <>', `Delivered-To: ${verp}`),
  ];
  for (const body of ways) assert.equal(parse(body).receipts[0]?.deliveryKey, deliveryKey);
  assert.deepEqual(parse(postfix({ to: other })).receipts, []);
});

/** Status and diagnostic → outcome and code. */
const failures: readonly [string, string, string, string][] = [
  ['5.1.1', '', 'recipient-invalid', '5.1.1'],
  ['5.2.2', 'smtp; 552 5.2.2 full', 'transient', '5.2.2'],
  ['4.4.7', 'smtp; delivery time expired', 'transient', '4.4.7'],
  ['4.7.28', 'smtp; 421 4.7.28 rate', 'transient', '4.7.28'],
  ['5.7.1', 'smtp; 550 5.7.1 spam', 'content-rejected', '5.7.1'],
  ['5.7.26', 'smtp; 550 5.7.26 dmarc', 'auth-invalid', '5.7.26'],
  ['5.4.4', 'X-Postfix; Host not found', 'recipient-invalid', '5.4.4'],
  ['5.4.6', 'smtp; 554 5.4.6 loop', 'recipient-refused', '5.4.6'],
  ['5.0.0', 'smtp; 550 5.1.1 unknown', 'recipient-invalid', '5.1.1'],
  ['5.0.0', 'smtp; 550-5.7.1 no\n 550 5.7.1 spam', 'content-rejected', '5.7.1'],
  ['5.0.0', 'smtp; 550 user unknown', 'recipient-refused', '5.0.0'],
  ['', 'smtp; 550 user unknown', 'recipient-refused', '550'],
  ['nonsense', '', 'recipient-refused', ''],
  ['4.0.0', '', 'transient', '4.0.0'],
];
for (const [status, diagnostic, outcome, code] of failures)
  test(`status ${status} with "${diagnostic}" is ${outcome}`, () => {
    const [receipt] = parse(postfix({ fields: failed(status, diagnostic) })).receipts;
    assert.equal(receipt?.status, 'failed');
    assert.equal(receipt.outcome, outcome);
    assert.equal(receipt.providerCode ?? '', code);
  });

test('actions: only failed and delivered tell something', () => {
  const statusOf = (action: string) =>
    parse(postfix({ fields: `Final-Recipient: rfc822; a@b.cn\nAction: ${action}\nStatus: 2.0.0` }))
      .receipts[0]?.status;
  for (const [action, status] of Object.entries(reportActions))
    assert.equal(statusOf(` ${action.toUpperCase()} `), status, action);
  assert.equal(statusOf('constructor'), undefined);
  assert.equal(statusOf(''), undefined);
  const [delivered] = parse(
    postfix({ fields: 'Final-Recipient: rfc822; a@b.cn\nAction: delivered\nStatus: 2.1.5' }),
  ).receipts;
  assert.deepEqual(delivered, {
    deliveryKey,
    status: 'delivered',
    providerCode: '2.1.5',
    occurredAt: '2026-03-01T04:30:00.000Z',
  });
});

test('of several recipients a failure counts first', () => {
  const delivered = 'Final-Recipient: rfc822; b@b.cn\nAction: delivered\nStatus: 2.0.0';
  const [receipt, ...more] = parse(
    postfix({ fields: `${delivered}\n\n${failed('5.1.1')}` }),
  ).receipts;
  assert.equal(receipt?.status, 'failed');
  assert.deepEqual(more, []);
});

test('a report without a readable date happened when it came', () => {
  for (const date of ['', 'yesterday'])
    assert.equal(parse(postfix({ date })).receipts[0]?.occurredAt, '2026-03-01T00:00:00.000Z');
});

/** The example of RFC 5965, appendix B.2, shortened. */
const arf = (
  change: { type?: string; rcpt?: string; to?: string } = {},
) => `From: <abusedesk@example.com>
Date: Thu, 8 Mar 2026 17:40:36 EDT
Subject: FW: Earn money
To: <abuse@example.net>
MIME-Version: 1.0
Content-Type: multipart/report; report-type=feedback-report;
      boundary="part1_13d.2e68ed54_boundary"

--part1_13d.2e68ed54_boundary
Content-Type: text/plain; charset="US-ASCII"
Content-Transfer-Encoding: 7bit

This is an email abuse report.

--part1_13d.2e68ed54_boundary
Content-Type: message/feedback-report

Feedback-Type: ${change.type ?? 'abuse'}
User-Agent: SomeGenerator/1.0
Version: 1
Original-Mail-From: <somespammer@example.net>
${change.rcpt === undefined ? '' : `Original-Rcpt-To: ${change.rcpt}\n`}Arrival-Date: Thu, 8 Mar 2026 14:00:00 -0500

--part1_13d.2e68ed54_boundary
Content-Type: message/rfc822
Content-Disposition: inline

From: <somespammer@example.net>
Subject: Earn money
To: ${change.to ?? '"Li Lei" <li.lei@mail.example.com>'}

To: <not-this@example.com>
--part1_13d.2e68ed54_boundary--
`;

test('a complaint takes the person out', () => {
  const expected = {
    to: { email: 'li.lei@mail.example.com' },
    isOut: true,
    occurredAt: '2026-03-08T19:00:00.000Z',
    how: 'complaint',
  };
  for (const body of [arf(), arf({ rcpt: '<li.lei@mail.example.com>', to: 'redacted' })]) {
    const parsed = parse(body);
    assert.deepEqual(parsed.optOuts, [expected]);
    assert.deepEqual(parsed.receipts, []);
  }
  for (const type of complaintTypes)
    assert.equal(parse(arf({ type: type.toUpperCase() })).optOuts?.length, 1, type);
});

test('reports that are no complaint, or name nobody, take nobody out', () => {
  const bodies = [
    ...['not-spam', 'auth-failure', 'virus', 'other', ''].map((type) => arf({ type })),
    arf({ to: 'redacted' }),
    arf({ rcpt: '<redacted>', to: '<>' }),
    arf({ to: 'a@b' }),
  ];
  for (const body of bodies) {
    const parsed = parse(body);
    assert.equal(parsed.optOuts, undefined);
    assert.equal(parsed.reply.status, 200);
  }
});

test('mail that is no report is acknowledged and tells nothing', () => {
  const bodies = [
    `From: li.lei@mail.example.com\nTo: ${verp}\nSubject: Re: Hello\nAuto-Submitted: auto-replied\n\nI am away.`,
    `To: ${verp}\nContent-Type: multipart/mixed; boundary=x\n\n--x\n\ntext\n--x--`,
    `To: ${verp}\nContent-Type: multipart/report; report-type=disposition-notification; boundary=x\n\n--x\n\nread\n--x--`,
    `To: ${verp}`,
  ];
  for (const body of bodies) {
    const parsed = parse(body);
    assert.deepEqual(parsed.receipts, []);
    assert.equal(parsed.optOuts, undefined);
  }
});

test('what is forged or broken is refused', () => {
  const refused = (change: Partial<ReceiptRequest>, body = postfix({})) => {
    const parsed = parseReceipts(request(body, change), check);
    return parsed.result === 'refused' ? parsed.reason : 'taken';
  };
  for (const query of [{}, { token: '' }, { token: `${token}x` }, { token: token.slice(1) }])
    assert.equal(refused({ query }), 'signature');
  assert.equal(refused({ method: 'GET' }), 'malformed');
  const status = 'Content-Type: message/delivery-status';
  for (const body of [
    '',
    '\n\n',
    'hello',
    '{"a":1}',
    '<html>',
    'To: x\nno header\n\n',
    postfix({}).replace(status, 'Content-Type: text/plain'),
    arf().replace('message/feedback-report', 'text/plain'),
  ])
    assert.equal(refused({}, body), 'malformed', body.slice(0, 40));
});

test('hostile mail is read in time', () => {
  const bodies = [
    `To: ${'a'.repeat(500_000)}@`,
    `Content-Type: multipart/report; ${'x="'.repeat(100_000)}\n\n`,
    `Content-Type: multipart/report; boundary=b\n\n${'--b\n\n'.repeat(200_000)}`,
    postfix({ fields: failed('5.1.1', `smtp; 550 ${'@a'.repeat(200_000)}`) }),
    postfix({ fields: `${'\n'.repeat(300_000)}Action: failed` }),
    postfix({ fields: `Action${' '.repeat(300_000)}x` }),
    arf({ to: 'a'.repeat(400_000) }),
    arf({ rcpt: 'a@'.repeat(200_000) }),
    'A: b\n '.repeat(150_000),
    `Content-Type: multipart/report${';x="\\"'.repeat(150_000)}\n\n`,
    postfix({ date: '('.repeat(500_000) }),
    postfix({ fields: failed('5.1.1', 'a'.repeat(500_000)) }),
    `To: x\n${'\t'.repeat(500_000)}`,
  ];
  for (const [index, body] of bodies.entries()) {
    const before = process.cpuUsage();
    parseReceipts(request(body), check);
    const tookMs = process.cpuUsage(before).user / 1000;
    assert.ok(tookMs < 2000, `body ${index} took ${tookMs} ms`);
  }
});

test('what the simulator writes is what we read', () => {
  const mail = {
    sender: verp,
    recipient: 'li.lei@mail.example.com',
    envid: deliveryKey,
    headers: 'To: x',
  };
  const at = new Date('2026-03-01T04:30:00Z');
  const tell = (kind: 'delivered' | 'delayed' | 'complaint') =>
    parse(writeReport({ kind, mail }, at));
  assert.equal(tell('delivered').receipts[0]?.status, 'delivered');
  assert.deepEqual(tell('delayed').receipts, []);
  assert.deepEqual(tell('complaint').optOuts?.[0]?.to, { email: 'li.lei@mail.example.com' });
  const bounce = parse(writeReport({ kind: 'failed', mail, reply: '550 5.1.1 no such user' }, at));
  assert.equal(bounce.receipts[0]?.outcome, 'recipient-invalid');
  assert.equal(bounce.receipts[0]?.occurredAt, at.toISOString());
});
