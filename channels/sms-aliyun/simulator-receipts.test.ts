import assert from 'node:assert/strict';
import { after, beforeEach, test } from 'node:test';
import { request } from 'undici';
import { listenHttp, readBody } from '../sandbox/http-listener.ts';
import { startSandbox } from '../sandbox/start-sandbox.ts';
import { createSmsAliyun } from './index.ts';
import { parseReceipts } from './receipts.ts';

interface Report {
  readonly phone_number: string;
  readonly out_id: string;
  readonly success: boolean;
  readonly err_code: string;
  readonly sms_size: string;
}

const pushes: Report[][] = [];
let reply = { status: 200, body: '{"code":0,"msg":"ok"}' };
const mailbox = await listenHttp(
  (request, response) => {
    void readBody(request, 1024 * 1024).then((body) => {
      pushes.push(JSON.parse(body.toString()) as Report[]);
      response.writeHead(reply.status).end(reply.body);
    });
  },
  { host: '127.0.0.1', port: 0 },
);
const settings = {
  receiptUrl: mailbox.url,
  receiptMedianMs: 10,
  receiptP99Ms: 40,
  receiptDuplicateRate: 0,
  windows: null,
};
const sandbox = await startSandbox({ smsAliyun: { settings } });
const { smsAliyun } = sandbox;
const client = createSmsAliyun({ allowPrivateProviders: true }).createClient({
  id: 'acc',
  tenantId: 'ten',
  settings: { endpoint: `${sandbox.url}/sms-aliyun` },
  secrets: { accessKeyId: 'sandbox', accessKeySecret: 'sandbox-secret' },
});
after(async () => {
  await client.close();
  await sandbox.close();
  await mailbox.close();
});
beforeEach(() => {
  smsAliyun.reset();
  pushes.length = 0;
  reply = { status: 200, body: '{"code":0,"msg":"ok"}' };
});

const send = (outId: string, phone = '13900001111') =>
  client.send({
    to: { phone },
    content: { signName: '消息中心', templateCode: 'SMS_1003', params: { text: '您好' } },
    deliveryKey: outId,
    signal: new AbortController().signal,
  });
const reports = () => pushes.flat();
async function until(what: string, isSo: () => boolean): Promise<void> {
  const deadline = Date.now() + 5000;
  while (!isSo()) {
    assert.ok(Date.now() < deadline, `${what}; ${JSON.stringify(smsAliyun.receiptCounts())}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

test('every message gets its receipt, many in one push, not in order', async () => {
  smsAliyun.configure({ receiptsPaused: true });
  for (let n = 0; n < 200; n += 1) await send(`out-${n}`);
  await until('all are due', () => smsAliyun.receiptCounts().pending === 200);
  assert.equal(pushes.length, 0);
  smsAliyun.configure({ receiptsPaused: false });
  await until('all came', () => reports().length === 200);
  const ids = reports().map((report) => report.out_id);
  assert.equal(new Set(ids).size, 200);
  assert.notDeepEqual(
    ids,
    ids.map((_, n) => `out-${n}`),
  );
  assert.ok(pushes.length < 200 && pushes.every((push) => push.length <= 100));
  await until('all are acknowledged', () => smsAliyun.receiptCounts().acknowledged === 200);
});

test('magic and scripted numbers fail as carriers say, and show nothing on the phone', async () => {
  smsAliyun.setReceiptCode('13911112222', 'REJECTD');
  await send('a', '19999990001');
  await send('b', '13911112222');
  await send('c', '19999990008');
  await until('two came', () => reports().length === 2);
  const codes = Object.fromEntries(reports().map((each) => [each.out_id, each.err_code]));
  assert.deepEqual(codes, { a: 'MK:0001', b: 'REJECTD' });
  assert.ok(reports().every((each) => !each.success));
  assert.deepEqual([smsAliyun.accepted.total(), smsAliyun.device.total()], [3, 1]);
});

test('duplicates can be made certain', async () => {
  smsAliyun.configure({ receiptDuplicateRate: 1 });
  await send('twice');
  await until('two came', () => reports().length === 2);
});

test('an unacknowledged push is repeated three times, then dropped', async () => {
  smsAliyun.configure({ clockScale: 6000, receiptMedianMs: 0 });
  reply = { status: 200, body: '{"code":"ok"}' };
  await send('nobody-listens');
  await until('it is dropped', () => smsAliyun.receiptCounts().dropped === 1);
  assert.equal(pushes.length, 4);
});

test('a repeat that is acknowledged ends the matter', async () => {
  smsAliyun.configure({ clockScale: 1200, receiptMedianMs: 0 });
  reply = { status: 503, body: '{"code":0}' };
  await send('again');
  await until('a first push', () => pushes.length === 1);
  reply = { status: 200, body: '{"code":0}' };
  await until('it is acknowledged', () => smsAliyun.receiptCounts().acknowledged === 1);
  assert.equal(pushes.length, 2);
});

test('a receipt can come before the answer of the call', async () => {
  smsAliyun.faults.add({ kind: 'receipt-first', nextCalls: 1 });
  const outcome = await send('early');
  assert.equal(outcome.class, 'accepted');
  assert.equal(reports()[0]?.out_id, 'early');
});

test('a reply is pushed as SmsUp until it is acknowledged, and an opt-out is read from it', async () => {
  smsAliyun.configure({ clockScale: 1200 });
  reply = { status: 503, body: '' };
  const control = (body: object) =>
    request(`${sandbox.controlUrl}/sms-aliyun/replies`, {
      method: 'POST',
      body: JSON.stringify(body),
    });
  assert.equal((await control({ phone: '13900001111', content: ' td ' })).statusCode, 200);
  await until('a first push', () => pushes.length === 1);
  reply = { status: 200, body: '{"code":0}' };
  await until('a repeat', () => pushes.length === 2);
  assert.deepEqual(pushes[0], pushes[1]);
  const [entry] = pushes[0] ?? [];
  assert.deepEqual(Object.keys(entry ?? {}).toSorted(), [
    'content',
    'dest_code',
    'phone_number',
    'send_time',
    'sequence_id',
  ]);
  const token = 'a-token-of-16-ch';
  const push = {
    method: 'POST',
    query: { token },
    headers: {},
    body: Buffer.from(JSON.stringify(pushes[0])),
  };
  const check = { token, now: Date.now };
  const parsed = parseReceipts(push, check);
  assert.ok(parsed.result === 'receipts');
  assert.deepEqual(
    parsed.optOuts?.map(({ to, how }) => [to, how]),
    [[{ phone: '13900001111' }, 'reply-td']],
  );
  assert.equal(parseReceipts({ ...push, query: {} }, check).result, 'refused');
  smsAliyun.configure({ receiptUrl: null });
  assert.equal((await control({ phone: '13900001111', content: 'TD' })).statusCode, 400);
  assert.equal((await control({ phone: 'x', content: 'TD' })).statusCode, 400);
});
