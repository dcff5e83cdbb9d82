import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ReceiptRequest } from '../../contracts/channel.ts';
import { parseReceipts, receiptCodes } from './receipts.ts';

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

test('replies of people are acknowledged and yield nothing', () => {
  const reply = { phone_number: '139', content: 'TD', send_time: 'x', sequence_id: 1 };
  const parsed = parse([reply]);
  assert.ok(parsed.result === 'receipts' && parsed.receipts.length === 0);
  assert.equal(receiptsOf([reply, report]).length, 1);
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
