import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { test } from 'node:test';
import { batchIds, batchProviderId } from './message.ts';
import { parseReceipts, receiptCodes } from './receipts.ts';

const nowMs = Date.parse('2026-01-31T17:30:00Z');
const callbackKey = Buffer.from('0123456789abcdef0123456789abcdef').toString('base64');
const check = { callbackUser: 'user', callbackKey, now: () => nowMs };

const status = (result: number, more: object = {}) => ({
  biTag: 'msg_a.0.b',
  pushType: 0,
  appPackageName: 'com.example',
  token: 'token-0001',
  requestId: 'R1',
  deliveryStatus: { result, timestamp: nowMs - 1000 },
  ...more,
});

function push(
  statuses: unknown,
  signing: { key?: Buffer; timestamp?: number; nonce?: string; separator?: string } = {},
) {
  const {
    key = Buffer.from(callbackKey, 'base64'),
    timestamp = nowMs,
    nonce = 'a07bfa17-6d82-4b53-a9a2-07cfef5ceef1',
    separator = '; ',
  } = signing;
  const value = createHmac('sha256', key).update(`${timestamp}${nonce}user`).digest('base64');
  return {
    method: 'POST',
    query: {},
    headers: {
      'x-huawei-callback-id': [`timestamp=${timestamp}`, `nonce=${nonce}`, `value=${value}`].join(
        separator,
      ),
    },
    body: Buffer.from(JSON.stringify({ statuses })),
  };
}

function receiptsOf(statuses: unknown) {
  const parsed = parseReceipts(push(statuses), check);
  assert.ok(parsed.result === 'receipts', JSON.stringify(parsed));
  return parsed.receipts;
}

/** Every documented result, written out so that a change of the table shows here. */
const documented: readonly [number, string][] = [
  [0, 'delivered'],
  [2, 'recipient-invalid'],
  [5, 'recipient-invalid'],
  [6, 'recipient-refused'],
  [10, 'transient'],
  [14, 'transient'],
  [15, 'transient'],
  [22, 'transient'],
  [27, 'transient'],
  [31, 'content-rejected'],
  [51, 'transient'],
  [102, 'rate-limited'],
  [144, 'content-rejected'],
  [151, 'transient'],
  [188, 'transient'],
  [191, 'transient'],
  [201, 'transient'],
  [256, 'rate-limited'],
  [259, 'content-rejected'],
  [264, 'recipient-refused'],
  [999, 'transient'],
];
for (const [result, wanted] of documented)
  test(`result ${result} is ${wanted}`, () => {
    const [receipt] = receiptsOf([status(result)]);
    assert.equal(receipt?.status === 'failed' ? receipt.outcome : receipt?.status, wanted);
    assert.equal(receipt?.providerCode, String(result));
    assert.equal(receipt?.occurredAt, '2026-01-31T17:29:59.000Z');
  });

test('every row of the table is tried above', () => {
  const tried = documented.map(([result]) => (result === 999 ? '*' : String(result)));
  assert.deepEqual(new Set(tried), new Set(Object.keys(receiptCodes)));
});

test('a message sent alone is named by its delivery key, one of a batch by call and device', () => {
  const { notifyId, biTag } = batchIds(['k1', 'k2']);
  const receipts = receiptsOf([status(0), status(0, { biTag }), status(0, { biTag: null })]);
  assert.deepEqual(
    receipts.map(({ deliveryKey, providerId }) => [deliveryKey, providerId]),
    [
      ['msg_a.0.b', 'R1'],
      [undefined, batchProviderId('R1', notifyId, 'token-0001')],
      [undefined, 'R1'],
    ],
  );
});

test('entries that tell of no notification are passed over', () => {
  const widget = { ...status(0), deliveryStatus: undefined, formStatus: { formId: 1, result: 0 } };
  assert.equal(receiptsOf([widget, 1, null, status(0)]).length, 1);
  assert.deepEqual(receiptsOf([]), []);
});

test('a signature: keys in Base64 and as text, with and without blanks', () => {
  for (const signing of [
    {},
    { separator: ';' },
    { key: Buffer.from(callbackKey, 'utf8') },
    { timestamp: nowMs - 599_000 },
    { timestamp: nowMs + 599_000 },
  ])
    assert.equal(parseReceipts(push([status(0)], signing), check).result, 'receipts');
});

test('forged, old, unsigned and foreign pushes are refused', () => {
  const good = push([status(0)]);
  const header = good.headers['x-huawei-callback-id'];
  const refused = [
    push([status(0)], { key: Buffer.from('another key') }),
    push([status(0)], { timestamp: nowMs - 601_000 }),
    push([status(0)], { timestamp: nowMs + 601_000 }),
    push([status(0)], { timestamp: Number.NaN }),
    { ...good, headers: {} },
    { ...good, headers: { 'x-huawei-callback-id': '' } },
    { ...good, headers: { 'x-huawei-callback-id': header.replace(/value=.*/, 'value=') } },
    { ...good, headers: { 'x-huawei-callback-id': header.replace('a07bfa17', 'b07bfa17') } },
  ];
  for (const request of refused) {
    const parsed = parseReceipts(request, check);
    assert.ok(parsed.result === 'refused' && parsed.reason === 'signature', JSON.stringify(parsed));
  }
});

test('without a key nothing is checked; what cannot be read is refused all the same', () => {
  const open = { ...check, callbackKey: undefined };
  assert.equal(parseReceipts({ ...push([status(0)]), headers: {} }, open).result, 'receipts');
  const unreadable = { ...push([]), body: Buffer.from('{"statuses":1}') };
  const parsed = parseReceipts(unreadable, check);
  assert.ok(parsed.result === 'refused' && parsed.reason === 'malformed');
  assert.equal(parseReceipts({ ...push([]), method: 'GET' }, check).result, 'refused');
});
