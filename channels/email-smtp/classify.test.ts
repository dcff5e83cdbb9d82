import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { OutcomeClass, SendOutcome } from '../../contracts/outcome.ts';
import {
  classifyAccepted,
  classifyFailure,
  quietMailText,
  readReply,
  type SmtpError,
} from './classify.ts';
import { clientErrors, meaningOfReply, replyCodes, type Stage } from './codes.ts';

const to = { email: 'li.lei@mail.example.com' };
const fail = (error: Omit<SmtpError, 'message'> & { message?: string }, dotMayHaveLeft = false) =>
  classifyFailure({ message: 'm', ...error }, { to, dotMayHaveLeft, jitter: 0 });

/** As nodemailer marks the errors of each stage. */
const marks = {
  connect: { code: 'EPROTOCOL', command: 'CONN' },
  auth: { code: 'EAUTH', command: 'AUTH PLAIN' },
  mail: { code: 'EENVELOPE', command: 'MAIL FROM' },
  rcpt: { code: 'EENVELOPE', command: 'RCPT TO' },
  data: { code: 'EENVELOPE', command: 'DATA' },
  dot: { code: 'EMESSAGE', command: 'DATA' },
} as const satisfies Record<Exclude<Stage, 'bounce'>, object>;
const stages = Object.keys(marks) as (keyof typeof marks)[];

const minuteMs = 60_000;
const wait = (ms: number) => ({ retryAfterMs: ms });
const account = { scope: 'account', ...wait(minuteMs) };

/** Every row of the table, written out so that a change of it shows here: stage, reply, outcome. */
type Row = readonly [Stage, string, OutcomeClass, object?];
const documented: readonly Row[] = [
  ['rcpt', '450 4.2.0', 'transient', wait(5 * minuteMs)],
  ['rcpt', '450 4.2.1', 'rate-limited', { scope: 'recipient', ...wait(5 * minuteMs) }],
  ['rcpt', '452 4.2.2', 'transient', wait(60 * minuteMs)],
  ['mail', '550 5.1.0', 'auth-invalid'],
  ['rcpt', '550 5.1.7', 'auth-invalid'],
  ['dot', '550 5.1.8', 'auth-invalid'],
  ['rcpt', '550 5.1.1', 'recipient-invalid'],
  ['rcpt', '550 5.1.2', 'recipient-invalid'],
  ['rcpt', '501 5.1.3', 'recipient-invalid'],
  ['rcpt', '551 5.1.6', 'recipient-invalid'],
  ['rcpt', '556 5.1.10', 'recipient-invalid'],
  ['dot', '550 5.1.1', 'recipient-invalid'],
  ['rcpt', '550 5.2.1', 'recipient-invalid'],
  ['rcpt', '552 5.2.2', 'transient', wait(60 * minuteMs)],
  ['dot', '552 5.2.2', 'transient', wait(60 * minuteMs)],
  ['dot', '552 5.2.3', 'content-rejected'],
  ['rcpt', '550 5.2.0', 'recipient-refused'],
  ['rcpt', '550 5.2.4', 'recipient-refused'],
  ['mail', '452 4.3.1', 'rate-limited', account],
  ['dot', '552 5.3.1', 'transient', wait(60 * minuteMs)],
  ['connect', '521 5.3.2', 'auth-invalid'],
  ['rcpt', '521 5.3.2', 'recipient-invalid'],
  ['dot', '554 5.3.3', 'content-rejected'],
  ['mail', '552 5.3.4', 'content-rejected'],
  ['dot', '554 5.3.5', 'transient', wait(60 * minuteMs)],
  ['rcpt', '550 5.4.1', 'recipient-invalid'],
  ['rcpt', '550 5.4.4', 'recipient-invalid'],
  ['dot', '550 5.4.5', 'quota-exhausted'],
  ['dot', '554 5.4.7', 'transient', wait(60 * minuteMs)],
  ['rcpt', '554 5.4.6', 'recipient-refused'],
  ['rcpt', '452 4.5.3', 'rate-limited', account],
  ['rcpt', '552 5.5.3', 'rate-limited', account],
  ['dot', '554 5.6.0', 'content-rejected'],
  ['auth', '454 4.7.0', 'transient', wait(0)],
  ['connect', '421 4.7.0', 'rate-limited', account],
  ['rcpt', '451 4.7.1', 'transient', wait(5 * minuteMs)],
  ['auth', '432 4.7.12', 'auth-invalid'],
  ['dot', '421 4.7.28', 'rate-limited', account],
  ['rcpt', '550 5.7.2', 'recipient-refused'],
  ...[4, 8, 9, 10, 11, 13, 14, 20, 21, 22, 23, 24, 25, 26, 27, 29].map((detail): Row => [
    'dot',
    `550 5.7.${detail}`,
    'auth-invalid',
  ]),
  ['rcpt', '550 5.7.17', 'recipient-invalid'],
  ['rcpt', '550 5.7.18', 'recipient-invalid'],
  ['dot', '550 5.7.28', 'rate-limited', account],
  ['connect', '554 5.7.1', 'auth-invalid'],
  ['auth', '535 5.7.3', 'auth-invalid'],
  ['mail', '553 5.7.1', 'auth-invalid'],
  ['rcpt', '550 5.7.1', 'recipient-refused'],
  ['dot', '554 5.7.1', 'content-rejected'],
  ['connect', '421', 'transient', wait(0)],
  ['rcpt', '421', 'transient', wait(0)],
  ['dot', '421', 'transient', wait(0)],
  ['auth', '432', 'auth-invalid'],
  ['auth', '454', 'transient', wait(0)],
  ['rcpt', '450', 'transient', wait(5 * minuteMs)],
  ['rcpt', '451', 'transient', wait(5 * minuteMs)],
  ['dot', '451', 'transient', wait(5 * minuteMs)],
  ['dot', '452', 'rate-limited', account],
  ['mail', '455', 'transient', wait(0)],
  ['dot', '499', 'transient', wait(0)],
  ['mail', '530', 'auth-invalid'],
  ['auth', '534', 'auth-invalid'],
  ['auth', '535', 'auth-invalid'],
  ['auth', '538', 'auth-invalid'],
  ['rcpt', '555', 'auth-invalid'],
  ['connect', '554', 'auth-invalid'],
  ['auth', '504', 'auth-invalid'],
  ['mail', '500', 'transient', wait(0)],
  ['mail', '502', 'transient', wait(0)],
  ['mail', '503', 'transient', wait(0)],
  ['mail', '552', 'content-rejected'],
  ['mail', '550', 'auth-invalid'],
  ['mail', '553', 'auth-invalid'],
  ['rcpt', '500', 'transient', wait(0)],
  ['rcpt', '501', 'recipient-invalid'],
  ['rcpt', '502', 'transient', wait(0)],
  ['rcpt', '503', 'transient', wait(0)],
  ['rcpt', '504', 'transient', wait(0)],
  ['rcpt', '521', 'recipient-invalid'],
  ['rcpt', '550', 'recipient-invalid'],
  ['rcpt', '551', 'recipient-invalid'],
  ['rcpt', '552', 'transient', wait(60 * minuteMs)],
  ['rcpt', '553', 'recipient-invalid'],
  ['rcpt', '556', 'recipient-invalid'],
  ['rcpt', '554', 'recipient-refused'],
  ['data', '503', 'transient', wait(0)],
  ['data', '554', 'recipient-refused'],
  ['dot', '500', 'ambiguous'],
  ['dot', '501', 'ambiguous'],
  ['dot', '502', 'ambiguous'],
  ['dot', '503', 'ambiguous'],
  ['dot', '504', 'ambiguous'],
  ['dot', '550', 'content-rejected'],
  ['dot', '552', 'content-rejected'],
  ['dot', '554', 'content-rejected'],
];

for (const [stage, reply, outcome, more = {}] of documented)
  test(`${stage} ${reply} is ${outcome}`, () => {
    assert.ok(stage !== 'bounce');
    const response = `${reply} said the server`;
    const got: Record<string, unknown> = {
      retryAfterMs: 0,
      ...fail({ ...marks[stage], response }, stage === 'dot'),
    };
    assert.equal(got['class'], outcome);
    assert.equal(got['providerCode'], reply);
    assert.equal(got['providerMessage'], 'said the server');
    for (const [field, value] of Object.entries(more)) assert.equal(got[field], value, field);
  });

test('every row of the table is tried above', () => {
  const tried = new Set(documented.map(([stage, reply]) => rowOf(stage, reply)));
  // Reports come by mail: receipts.test.ts tries that row.
  assert.deepEqual(
    Object.keys(replyCodes).filter((row) => !tried.has(row)),
    ['bounce 5*'],
  );
});

/** The row that decides about a reply: the rule of the table, told a second time. */
function rowOf(stage: Stage, reply: string): string {
  const [code = '', status] = reply.split(' ');
  const statuses =
    status === undefined ? [] : [status, `${status.split('.').slice(0, 2).join('.')}.*`];
  const wanted = [...statuses, code, `${code.slice(0, 1)}*`].flatMap((each) => [
    `${stage} ${each}`,
    each,
  ]);
  return wanted.find((row) => Object.hasOwn(replyCodes, row)) ?? '';
}

test('a status of another class than its reply code is not believed', () => {
  assert.equal(meaningOfReply('rcpt', '550', '4.2.2'), 'recipient-invalid');
  assert.equal(meaningOfReply('rcpt', '450', '5.1.1'), 'transient (in 5 min)');
});

test('after the final dot only a refusal of the mail is believed, whatever else is said', () => {
  const refusal = '550 5.1.1 no such user';
  for (const stage of stages) {
    const outcome = fail({ ...marks[stage], response: refusal }, true);
    assert.equal(outcome.class, stage === 'dot' ? 'recipient-invalid' : 'ambiguous', stage);
  }
  const noise = ['<html>', '25', '354 go ahead', '250', '', '5500 x', 'HTTP/1.1 400 Bad Request'];
  for (const response of noise)
    assert.equal(fail({ ...marks.dot, response }, true).class, 'ambiguous', response);
});

test('before the dot a line that is no reply took nothing', () => {
  for (const stage of stages.filter((each) => each !== 'dot'))
    assert.equal(fail({ ...marks[stage], response: '<html>' }).class, 'transient', stage);
});

test('errors without a reply: surely not taken before the dot, perhaps after it', () => {
  const wanted: Record<string, OutcomeClass> = {
    ...Object.fromEntries(
      ['EDNS', 'EPRIVATE', 'ECONNECTION', 'ESOCKET', 'ETLS', 'ETIMEDOUT', 'EPROTOCOL'].map(
        (code) => [code, 'transient'] as const,
      ),
    ),
    ESTREAM: 'transient',
    EABORT: 'transient',
    EAUTH: 'auth-invalid',
    EENVELOPE: 'recipient-invalid',
    EMESSAGE: 'content-rejected',
  };
  assert.deepEqual(Object.keys(clientErrors).sort(), Object.keys(wanted).sort());
  for (const [code, outcome] of Object.entries(wanted)) {
    assert.equal(fail({ code, command: 'CONN' }).class, outcome, code);
    assert.equal(fail({ code, command: 'CONN' }, true).class, 'ambiguous', code);
  }
  assert.equal(fail({ code: 'ENEW' }).class, 'transient');
  assert.equal(fail({ code: 'constructor' }).class, 'transient');
  const refused = fail({ code: 'ESOCKET', originalCode: 'ECONNREFUSED' });
  assert.equal(refused.providerCode, 'ESOCKET ECONNREFUSED');
});

test('replies are read with and without status, of one line and of several', () => {
  assert.deepEqual(readReply('550-5.7.26 first\r\n550-5.7.26 second\r\n550 5.7.26 third'), {
    code: '550',
    status: '5.7.26',
    text: 'first 5.7.26 second 5.7.26 third',
  });
  assert.deepEqual(readReply('550 #5.1.0 Address rejected'), {
    code: '550',
    status: '5.1.0',
    text: 'Address rejected',
  });
  assert.equal(readReply('550 5.1.1: gone')?.status, '5.1.1');
  assert.equal(readReply('550 1.2.3.4 is listed')?.status, undefined);
  assert.equal(readReply('550')?.code, '550');
  assert.equal(readReply('5501 x'), undefined);
  assert.equal(readReply(undefined), undefined);
});

const providerId = (outcome: SendOutcome) =>
  outcome.class === 'accepted' ? outcome.providerId : undefined;

test('the provider id is the queue id where the server names one, else the Message-ID', () => {
  const idOf = (response: string, serverMessageId?: string) =>
    providerId(classifyAccepted({ response, serverMessageId }, '<m@example.com>', to));
  assert.equal(idOf('250 2.0.0 Ok: queued as 4Fk2Xz1Q2wz9'), '4Fk2Xz1Q2wz9'); // Postfix
  assert.equal(idOf('250 OK id=1rXyZa-000Abc-2D'), '1rXyZa-000Abc-2D'); // Exim
  assert.equal(idOf('250 OK'), '<m@example.com>');
  assert.equal(
    idOf('250 Ok 0100-0', '<0100-0@email.amazonses.com>'),
    '<0100-0@email.amazonses.com>',
  );
});

test('no address gets into a message', () => {
  const texts = [
    '<li.lei@mail.example.com>: no such user',
    'LI.LEI@MAIL.EXAMPLE.COM refused',
    'user "Li.Lei" unknown',
    'bounce+abc@bounce.example.com is not yours',
    'SRS0=x=y=mail.example.com=li.lei@relay.example',
  ];
  for (const text of texts)
    for (const quiet of [
      quietMailText(text, to),
      fail({ ...marks.rcpt, response: `550 ${text}` }).providerMessage ?? '',
      fail({ code: 'ESOCKET', message: text }).providerMessage ?? '',
    ])
      assert.doesNotMatch(quiet, /li\.lei|@/i, quiet);
  assert.equal(quietMailText('x'.repeat(1000)).length, 300);
  assert.equal(quietMailText('a\r\nb\0c', { email: 'a@b.cn' }), 'a b c');
});
