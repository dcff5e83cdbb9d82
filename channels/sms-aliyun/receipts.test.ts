import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ReceiptRequest } from '../../contracts/channel.ts';
import { batchMemberId } from './batch-ids.ts';
import { optOutReplies, parseReceipts, receiptCodes } from './receipts.ts';

const now = () => Date.parse('2026-01-02T03:04:05Z');
const parse = (body: unknown, change: Partial<ReceiptRequest> = {}, token?: string) =>
  parseReceipts(
    {
      method: 'POST',
      query: {},
      headers: {},
      body: Buffer.from(typeof body === 'string' ? body : JSON.stringify(body)),
      ...change,
    },
    { token, now },
  );
const receiptsOf = (body: unknown) => {
  const parsed = parse(body);
  assert.equal(parsed.result, 'receipts');
  return parsed.result === 'receipts' ? parsed.receipts : [];
};
const report = {
  phone_number: '13900001111',
  send_time: '2017-01-01 00:00:00',
  report_time: '2017-01-01 00:00:05',
  success: true,
  err_code: 'DELIVERED',
  err_msg: '用户接收成功',
  sms_size: '1',
  biz_id: '12345^0',
  out_id: 'msg_x.0.abc',
};

test('reads a delivered receipt, times from UTC+8, and acknowledges as the provider wants', () => {
  assert.deepEqual(parse([report]), {
    result: 'receipts',
    receipts: [
      {
        deliveryKey: 'msg_x.0.abc',
        providerId: '12345^0',
        status: 'delivered',
        providerCode: 'DELIVERED',
        providerMessage: '用户接收成功',
        occurredAt: '2016-12-31T16:00:05.000Z',
      },
    ],
    reply: {
      status: 200,
      contentType: 'application/json;charset=utf-8',
      body: '{"code":0,"msg":"接收成功"}',
    },
  });
});

for (const [code, outcome] of Object.entries(receiptCodes).filter(
  ([, each]) => each !== 'delivered',
))
  test(`a failure with ${code} is ${outcome}`, () => {
    const [receipt] = receiptsOf([{ ...report, success: false, err_code: code }]);
    assert.equal(receipt?.status, 'failed');
    assert.equal(receipt?.outcome, outcome);
  });

test('an unknown failure is transient: the address may be fine', () => {
  const [receipt] = receiptsOf([{ ...report, success: false, err_code: 'XX:1' }]);
  assert.equal(receipt?.outcome, 'transient');
});

test('a failure that says DELIVERED stays a failure', () => {
  const [receipt] = receiptsOf([{ ...report, success: false }]);
  assert.deepEqual([receipt?.status, receipt?.outcome], ['failed', 'transient']);
});

test('keeps the array, duplicates included, and masks numbers in texts', () => {
  const receipts = receiptsOf([report, report, { ...report, err_msg: '13900001111 ok' }]);
  assert.equal(receipts.length, 3);
  assert.equal(receipts[2]?.providerMessage, '139******11 ok');
});

test('empty ids are left out; a receipt without any is skipped', () => {
  const receipts = receiptsOf([
    { ...report, out_id: '' },
    { ...report, biz_id: null },
    { ...report, out_id: '', biz_id: '' },
  ]);
  assert.equal(receipts.length, 2);
  assert.ok(receipts[0] !== undefined && !('deliveryKey' in receipts[0]));
  assert.ok(receipts[1] !== undefined && !('providerId' in receipts[1]));
});

test('falls back to the send time, then to now', () => {
  const times = receiptsOf([
    { ...report, report_time: '' },
    { ...report, report_time: 'x', send_time: '2017-99-99 00:00:00' },
  ]).map((receipt) => receipt.occurredAt);
  assert.deepEqual(times, ['2016-12-31T16:00:00.000Z', '2026-01-02T03:04:05.000Z']);
});

test('a receipt of a batch, or of somebody else, is named by BizId and number', () => {
  const providerId = batchMemberId('12345^0', '13900001111');
  assert.match(providerId, /^12345\^0\.[0-9a-f]{6}$/);
  const spellings = ['13900001111', '+8613900001111', '8613900001111', '008613900001111'];
  for (const phone_number of spellings) {
    const [receipt] = receiptsOf([{ ...report, phone_number, out_id: 'batch.0123' }]);
    assert.equal(receipt?.providerId, providerId);
    assert.ok(receipt !== undefined && !('deliveryKey' in receipt));
  }
  const [other] = receiptsOf([{ ...report, phone_number: '85261234567', out_id: 'order-7' }]);
  assert.equal(other?.providerId, batchMemberId('12345^0', '85261234567'));
  assert.ok(other !== undefined && !('deliveryKey' in other));
  for (const lacking of [{ biz_id: '' }, { phone_number: null }])
    assert.deepEqual(receiptsOf([{ ...report, out_id: 'batch.0123', ...lacking }]), []);
});

const reply = {
  phone_number: '13900001111',
  content: 'TD',
  send_time: '2017-09-01 00:00:00',
  dest_code: '1234',
  sequence_id: '1234567890',
};
const optOutsOf = (body: unknown) => {
  const parsed = parse(body);
  assert.ok(parsed.result === 'receipts' && parsed.reply.status === 200);
  return parsed.optOuts;
};

test('a reply that says so is an opt-out', () => {
  const optOut = {
    to: { phone: '13900001111' },
    isOut: true,
    occurredAt: '2017-08-31T16:00:00.000Z',
    how: 'reply-td',
  };
  const spelled = ['td', ' Td\n', 'ｔＤ', 'r', '退订 '];
  for (const content of [...optOutReplies, ...spelled])
    assert.deepEqual(optOutsOf([{ ...reply, content }]), [optOut], content);
  const [late] = optOutsOf([{ ...reply, send_time: '', sequence_id: 5 }]) ?? [];
  assert.equal(late?.occurredAt, '2026-01-02T03:04:05.000Z');
});

test('other replies are acknowledged and yield nothing', () => {
  for (const content of ['', '谢谢', 'TDX', 'NO', '不退订', '0000', 'T D', '1'])
    assert.equal(optOutsOf([{ ...reply, content }]), undefined, content);
  assert.equal(optOutsOf([{ ...reply, phone_number: '139****1111' }]), undefined);
  assert.equal(optOutsOf([{ ...reply, content: null }]), undefined);
  assert.deepEqual(receiptsOf([reply]), []);
});

test('replies and receipts of one push are both read', () => {
  const foreign = { ...reply, phone_number: '85261234567', content: 'N' };
  const parsed = parse([{ ...reply, content: '好' }, report, foreign, reply]);
  assert.ok(parsed.result === 'receipts');
  assert.equal(parsed.receipts.length, 1);
  assert.deepEqual(
    parsed.optOuts?.map(({ to }) => to),
    [{ phone: '+85261234567' }, { phone: '13900001111' }],
  );
});

test('an opt-out with a forged token is refused', () => {
  const query = { token: 'somebody-elses-token' };
  const parsed = parse([reply], { query }, 'a-token-of-16-ch');
  assert.ok(parsed.result === 'refused' && parsed.reason === 'signature');
});

test('refuses what is not a JSON array or not a POST', () => {
  for (const body of ['', 'hello', '{}', 'null', '{"success":true}', '[{'])
    assert.equal(parse(body).result, 'refused', body);
  assert.equal(parse([report], { method: 'GET' }).result, 'refused');
});

test('a token must be the right one', () => {
  const token = 'a-token-of-16-ch';
  const withToken = (query: { readonly token?: string }) =>
    parse([report], { query: { ...query } }, token);
  assert.equal(withToken({ token }).result, 'receipts');
  for (const query of [{}, { token: '' }, { token: 'wrong' }, { token: `${token}x` }]) {
    const parsed = withToken(query);
    assert.ok(parsed.result === 'refused' && parsed.reason === 'signature');
  }
});
