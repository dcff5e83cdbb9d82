import assert from 'node:assert/strict';
import { after, beforeEach, test } from 'node:test';
import { createMailbox } from '../conformance-kit.ts';
import { startSandbox } from '../sandbox/start-sandbox.ts';
import { batchBizId, batchMemberId, batchOutId } from './batch-ids.ts';
import { createSmsAliyun } from './index.ts';

const mailbox = await createMailbox();
const sandbox = await startSandbox({
  smsAliyun: {
    signatures: ['消息中心', '第二签名'],
    settings: {
      receiptUrl: mailbox.url,
      receiptMedianMs: 10,
      receiptP99Ms: 40,
      receiptDuplicateRate: 0,
    },
  },
});
const { smsAliyun } = sandbox;
const account = {
  id: 'acc',
  tenantId: 'ten',
  settings: { endpoint: `${sandbox.url}/sms-aliyun` },
  secrets: { accessKeyId: 'sandbox', accessKeySecret: 'sandbox-secret' },
};
const connector = createSmsAliyun({ allowPrivateProviders: true });
const client = connector.createClient(account);
after(async () => {
  await client.close();
  await sandbox.close();
  await mailbox.close();
});
beforeEach(() => smsAliyun.reset());

const badNumber = '19999990101';
const badWord = '19999990102';
let keys = 0;
const message = (phone: string, change: object = {}) => {
  keys += 1;
  return {
    to: { phone },
    deliveryKey: `msg_${String(keys).padStart(26, '0')}.0.0123456789abcdef`,
    content: { signName: '消息中心', templateCode: 'SMS_1003', params: { text: '好' }, ...change },
  };
};
const many = (count: number) =>
  Array.from({ length: count }, (_, n) => message(`139${String(n).padStart(8, '0')}`));
const send = async (messages: readonly ReturnType<typeof message>[], by = client) => {
  const outcomes = await by.sendBatch?.(messages, new AbortController().signal);
  assert.equal(outcomes?.length, messages.length);
  return outcomes ?? [];
};
const classes = async (messages: readonly ReturnType<typeof message>[]) =>
  (await send(messages)).map((outcome) => outcome.class);
/** Action, numbers and code of every call, in order. */
const calls = () =>
  smsAliyun.calls
    .find({ order: 'oldest', limit: 1000 })
    .entries.map(({ action, numbers, code }) => `${action} ${numbers} ${code}`);

test('a hundred messages are one call; each has its own text, signature and id', async () => {
  const messages = many(100).map((each, n) => ({
    ...each,
    content: {
      ...each.content,
      signName: n % 2 === 0 ? '消息中心' : '第二签名',
      params: { text: `${n}` },
    },
  }));
  const outcomes = await send(messages);
  assert.deepEqual(calls(), ['SendBatchSms 100 OK']);
  const outId = batchOutId(messages.map(({ deliveryKey }) => deliveryKey));
  assert.match(outId, /^batch\.[0-9a-f]{32}$/);
  const shown = smsAliyun.device.find({ where: { outId }, order: 'oldest' }).entries;
  assert.deepEqual([shown[0]?.text, shown[99]?.text], ['【消息中心】0', '【第二签名】99']);
  const [{ bizId } = { bizId: '' }] = shown;
  for (const [n, outcome] of outcomes.entries()) {
    const number = `139${String(n).padStart(8, '0')}`;
    assert.ok(outcome.class === 'accepted');
    assert.equal(outcome.providerId, batchMemberId(bizId, number));
    assert.match(outcome.providerId, /^\d+\^0\.[0-9a-f]{6}$/);
    assert.equal(batchBizId(outcome.providerId, number), bizId);
  }
});

test('one call for each template, one after the other, outcomes in order', async () => {
  const order = { templateCode: 'SMS_1002', params: { orderId: '1' } };
  const messages = [
    message('13900000001'),
    message('13900000002', order),
    message(badNumber),
    message('13900000003', order),
    message('13900000004', { templateCode: 'SMS_0' }),
    message('13900000005', { templateCode: 'SMS_0' }),
  ];
  assert.deepEqual(await classes(messages), [
    'accepted',
    'accepted',
    'recipient-invalid',
    'accepted',
    'template-invalid',
    'template-invalid',
  ]);
  // The template is the same for all: halving would not help. Halves come after all others.
  assert.deepEqual(calls(), [
    'SendBatchSms 2 isv.MOBILE_NUMBER_ILLEGAL',
    'SendBatchSms 2 OK',
    'SendBatchSms 2 isv.SMS_TEMPLATE_ILLEGAL',
    'SendSms 1 OK',
    'SendSms 1 isv.MOBILE_NUMBER_ILLEGAL',
  ]);
});

test('more than a hundred of a template are more than one call; a single one is a SendSms', async () => {
  const messages = many(101);
  assert.ok((await classes(messages)).every((each) => each === 'accepted'));
  assert.deepEqual(calls(), ['SendBatchSms 100 OK', 'SendSms 1 OK']);
  assert.equal(smsAliyun.accepted.count('outId', messages[100]?.deliveryKey ?? ''), 1);
  assert.deepEqual(await send([]), []);
});

test('bad ones are found by halves, and nobody else is left out or sent to twice', async () => {
  const messages = many(40);
  messages[3] = message(badNumber);
  messages[17] = message('13911111111', { params: { text: 'http://a.b' } });
  messages[18] = message('13922222222', { params: {} });
  messages[30] = message('13933333333', { signName: '陌生' });
  messages[39] = message(badWord);
  const outcomes = await classes(messages);
  const bad = new Map([...outcomes.entries()].filter(([, outcome]) => outcome !== 'accepted'));
  assert.deepEqual(Object.fromEntries(bad), {
    3: 'recipient-invalid',
    17: 'content-rejected',
    18: 'template-invalid',
    30: 'template-invalid',
    39: 'content-rejected',
  });
  assert.equal(smsAliyun.accepted.total(), 35);
  assert.equal(smsAliyun.device.distinct('phone'), 35);
});

test("a number's full window holds up that number only", async () => {
  const otp = { templateCode: 'SMS_1001', params: { code: '1' } };
  await send([message('13900000001', otp)]);
  const messages = ['13900000001', '13900000002'].map((phone) => message(phone, otp));
  assert.deepEqual(await classes(messages), ['rate-limited', 'accepted']);
});

test('a number is never twice in a call, however it is written', async () => {
  const spellings = ['13900000001', '+8613900000001', '13900000002'];
  const outcomes = await send(spellings.map((phone) => message(phone)));
  assert.deepEqual(
    outcomes.map((outcome) => outcome.class),
    ['accepted', 'transient', 'accepted'],
  );
  assert.match(outcomes[1]?.providerMessage ?? '', /^another message of the same call/);
  assert.deepEqual(calls(), ['SendBatchSms 2 OK']);
  // Calls for different templates are different calls.
  const order = { templateCode: 'SMS_1002', params: { orderId: '1' } };
  const both = [message('13900000001'), message('13900000001', order)];
  assert.deepEqual(await classes(both), ['accepted', 'accepted']);
});

test('an impossible number is refused without a call', async () => {
  const messages = [message('+8612345678901'), message('13900000001')];
  assert.deepEqual(await classes(messages), ['recipient-invalid', 'accepted']);
  assert.deepEqual(calls(), ['SendSms 1 OK']);
});

test('a lost answer is ambiguous for all of its call and is not followed by another', async () => {
  for (const kind of ['accept-then-reset', 'reset', 'accept-then-error', 'html-200'] as const) {
    smsAliyun.reset();
    smsAliyun.faults.add({ kind, nextCalls: 1, status: 500 });
    assert.deepEqual(await classes(many(3)), ['ambiguous', 'ambiguous', 'ambiguous'], kind);
    assert.equal(calls().length, 1, kind);
  }
});

test('an ambiguous half is left alone while the other half is taken', async () => {
  smsAliyun.faults.add({ kind: 'accept-then-reset', to: '13900000000' });
  assert.deepEqual(await classes([...many(2), message('13955555555'), message(badNumber)]), [
    'ambiguous',
    'ambiguous',
    'accepted',
    'recipient-invalid',
  ]);
  assert.equal(smsAliyun.accepted.total(), 3);
});

test('what is wrong with the account ends the matter at the first call', async () => {
  smsAliyun.faults.add({ kind: 'error', status: 400, code: 'Throttling.User' });
  const other = { templateCode: 'SMS_1002', params: { orderId: '1' } };
  const messages = [...many(3), message('13912121212', other)];
  assert.deepEqual(new Set(await classes(messages)), new Set(['rate-limited']));
  assert.equal(calls().length, 1);
});

test('what there is no time for is transient and was not sent', async () => {
  let nowMs = Date.now();
  // Every look at the clock takes a second.
  const hurried = createSmsAliyun({ allowPrivateProviders: true, now: () => (nowMs += 1000) });
  const late = hurried.createClient(account);
  const messages = [...many(15), message(badNumber)];
  const outcomes = await send(messages, late);
  await late.close();
  assert.deepEqual(
    outcomes.map((outcome) => outcome.class),
    [...Array<string>(8).fill('accepted'), ...Array<string>(8).fill('transient')],
  );
  assert.equal(smsAliyun.accepted.total(), 8);
});

test('an aborted batch sends nothing', async () => {
  const outcomes = await client.sendBatch?.(many(2), AbortSignal.abort());
  assert.deepEqual(
    outcomes?.map((outcome) => outcome.class),
    ['transient', 'transient'],
  );
  assert.equal(calls().length, 0);
});

test('receipts and records of a batch name each message by BizId and number', async () => {
  const messages = [message('+8613900000001'), message('19999990001')];
  const sentAt = new Date().toISOString();
  const ids = (await send(messages)).map((outcome) =>
    outcome.class === 'accepted' ? outcome.providerId : '',
  );
  const pushed = await Promise.all(
    // Pushes of the tests before may still come, for the same numbers.
    ['13900000001', '19999990001'].map((number) =>
      mailbox.pushWith(({ body }) => {
        const reports = JSON.parse(Buffer.from(body).toString('utf8')) as Record<string, string>[];
        return reports.some(
          (report) =>
            report['phone_number'] === number &&
            ids.some((id) => id.startsWith(`${report['biz_id']}.`)),
        );
      }),
    ),
  );
  const receipts = pushed
    .flatMap((request) => {
      const parsed = connector.parseReceipts?.(request, account);
      return parsed?.result === 'receipts' ? parsed.receipts : [];
    })
    .map(({ providerId, deliveryKey, status, outcome }) => ({
      providerId,
      deliveryKey,
      status,
      outcome,
    }));
  const wanted = [
    { providerId: ids[0], deliveryKey: undefined, status: 'delivered', outcome: undefined },
    { providerId: ids[1], deliveryKey: undefined, status: 'failed', outcome: 'recipient-invalid' },
  ];
  for (const each of wanted)
    assert.ok(
      receipts.some((receipt) => JSON.stringify(receipt) === JSON.stringify(each)),
      JSON.stringify(receipts),
    );

  // Another call to the same number must not be mistaken for it.
  smsAliyun.configure({ receiptUrl: null, receiptMedianMs: 3_600_000, receiptP99Ms: 3_600_000 });
  const later = [message('13900000001'), message('13900000002')];
  const laterIds = (await send(later)).map((outcome) =>
    outcome.class === 'accepted' ? outcome.providerId : '',
  );
  const told = await client.askReceipts?.(
    [...messages, ...later].map(({ to, deliveryKey }, n) => ({
      to,
      deliveryKey,
      sentAt,
      providerId: [...ids, ...laterIds][n],
    })),
    new AbortController().signal,
  );
  assert.deepEqual(
    told?.map(({ providerId, deliveryKey, status, outcome }) => [
      providerId,
      deliveryKey,
      status,
      outcome,
    ]),
    [
      [ids[0], messages[0]?.deliveryKey, 'delivered', undefined],
      [ids[1], messages[1]?.deliveryKey, 'failed', 'recipient-invalid'],
    ],
  );
});

test('of a lost call each message is looked up under the calls that it may have been part of', async () => {
  const messages = [...many(5), message(badNumber), ...many(9).slice(5)];
  const everyone = messages.map((_, place) => place);
  const ask = (asked: readonly number[]) =>
    client.reconcileBatch?.({
      messages,
      asked,
      sentAt: new Date().toISOString(),
      signal: new AbortController().signal,
    });
  const found = async (asked: readonly number[]) => (await ask(asked))?.map((each) => each.found);
  assert.deepEqual(await found([0, 7]), ['no', 'no'], 'nothing was called');
  // The bad number stands alone in the end; the answer of one of the other parts is lost.
  smsAliyun.faults.add({
    kind: 'accept-then-reset',
    nextCalls: 1,
    to: messages[7]?.to.phone ?? '',
    action: 'SendBatchSms',
  });
  const outcomes = await send(messages);
  const lost = everyone.filter((place) => outcomes[place]?.class === 'ambiguous');
  const before = calls().length;
  const answers = await found(everyone);
  assert.deepEqual(
    answers,
    everyone.map((place) =>
      outcomes[place]?.class === 'recipient-invalid'
        ? 'no'
        : smsAliyun.accepted.count('phone', messages[place]?.to.phone ?? '') > 0
          ? 'yes'
          : 'no',
    ),
  );
  assert.ok(lost.length > 0 || outcomes.every(({ class: its }) => its !== 'ambiguous'));
  assert.ok(calls().length - before < messages.length, 'one answer holds for all of a call');
});
