import assert from 'node:assert/strict';
import { after, beforeEach, test } from 'node:test';
import { request } from 'undici';
import { sandboxSmsAliyun } from './demo.ts';
import { mountSimulator } from '../sandbox/start-sandbox.ts';
import { canonicalQuery, signAcs3, type SignedCall } from './sign.ts';
import { mentionsUrl } from './simulator-desk.ts';
import { defaultSimulatorSettings, smsUnits } from './simulator-settings.ts';
import { createSmsAliyunSimulator } from './simulator.ts';

const simulator = createSmsAliyunSimulator(sandboxSmsAliyun);
const listener = await mountSimulator(simulator, { host: '127.0.0.1', port: 0 });
after(async () => {
  await listener.close();
  await simulator.close();
});
beforeEach(() => simulator.reset());

interface Answer {
  readonly status: number;
  readonly Code?: string;
  readonly Message?: string;
  readonly BizId?: string;
  readonly TotalCount?: number;
  readonly SmsSendDetailDTOs?: { readonly SmsSendDetailDTO: readonly Record<string, unknown>[] };
}

async function call(
  query: Record<string, string>,
  change: Partial<SignedCall> & { readonly headers?: Record<string, string> } = {},
): Promise<Answer> {
  const headers = signAcs3({
    host: listener.url.slice(7),
    action: 'SendSms',
    query,
    accessKeyId: 'sandbox',
    accessKeySecret: 'sandbox-secret',
    ...change,
  });
  const answer = await request(`${listener.url}/?${canonicalQuery(query)}`, {
    method: 'POST',
    headers: { ...headers, ...change.headers },
  });
  return { status: answer.statusCode, ...((await answer.body.json()) as object) };
}

const otp = {
  PhoneNumbers: '13900001111',
  SignName: '消息中心',
  TemplateCode: 'SMS_1001',
  TemplateParam: '{"code":"1234"}',
  OutId: 'out-1',
};
const notice = { ...otp, TemplateCode: 'SMS_1003', TemplateParam: '{"text":"您好"}' };
const saying = (text: string) => ({ ...notice, TemplateParam: JSON.stringify({ text }) });
const codes = async (queries: readonly Record<string, string>[]) => {
  const got: string[] = [];
  for (const query of queries) got.push((await call(query)).Code ?? '');
  return got;
};

test('accepts a good call into both ledgers and notes it', async () => {
  const answer = await call(otp);
  assert.deepEqual([answer.status, answer.Code, answer.Message], [200, 'OK', 'OK']);
  assert.ok(BigInt((answer.BizId ?? '').replace('^0', '')) > 2n ** 53n);
  assert.equal(simulator.accepted.count('outId', 'out-1'), 1);
  const [shown] = simulator.device.find().entries;
  assert.equal(shown?.text, '【消息中心】您的验证码是1234，5分钟内有效。');
  assert.equal(simulator.calls.count('code', 'OK'), 1);
});

test('refuses wrong credentials, dates and nonces as the gateway does', async () => {
  const wrong = await call(otp, { accessKeySecret: 'wrong' });
  assert.deepEqual([wrong.status, wrong.Code], [400, 'SignatureDoesNotMatch']);
  const unknown = await call(otp, { accessKeyId: 'nobody' });
  assert.deepEqual([unknown.status, unknown.Code], [404, 'InvalidAccessKeyId.NotFound']);
  const minutesAgo = (minutes: number) =>
    new Date(Date.now() - minutes * 60_000).toISOString().replace(/\.\d+Z$/, 'Z');
  for (const minutes of [16, -16])
    assert.equal((await call(otp, { date: minutesAgo(minutes) })).Code, 'InvalidTimeStamp.Expired');
  assert.equal((await call(otp, { date: minutesAgo(14), nonce: 'once' })).Code, 'OK');
  const replayed = await call(otp, { nonce: 'once' });
  assert.deepEqual([replayed.status, replayed.Code], [400, 'SignatureNonceUsed']);
  assert.equal(simulator.accepted.total(), 1);
});

test('refuses what is not covered by the signature', async () => {
  const missing = await call(otp, { headers: { authorization: 'none' } });
  assert.equal(missing.Code, 'IncompleteSignature');
  const unsigned = await call(otp, { headers: { 'x-acs-extra': '1' } });
  assert.equal(unsigned.Code, 'SignatureDoesNotMatch');
  const untyped = await call(otp, { headers: { 'content-type': 'application/json' } });
  assert.equal(untyped.Code, 'SignatureDoesNotMatch');
  const otherBody = await call(otp, { headers: { 'x-acs-content-sha256': 'a'.repeat(64) } });
  assert.equal(otherBody.Code, 'SignatureDoesNotMatch');
  const version = await call(otp, { version: '2016-01-01' });
  assert.equal(version.Code, 'InvalidVersion');
  assert.equal((await call(otp, { action: 'SendFax' })).Code, 'InvalidAction.NotFound');
});

test('requires its parameters', async () => {
  for (const name of ['PhoneNumbers', 'SignName', 'TemplateCode'] as const) {
    const { [name]: _, ...rest } = otp;
    const answer = await call(rest);
    assert.deepEqual([answer.status, answer.Code], [400, `Missing${name}`]);
  }
});

test('checks numbers, parameters, signature, template, length and links', async () => {
  const cases: [Record<string, string>, string][] = [
    [{ ...otp, PhoneNumbers: '12345678901' }, 'isv.MOBILE_NUMBER_ILLEGAL'],
    [{ ...otp, PhoneNumbers: '13900001111,1390000' }, 'isv.MOBILE_NUMBER_ILLEGAL'],
    [{ ...otp, PhoneNumbers: '13900001111,' }, 'isv.MOBILE_NUMBER_ILLEGAL'],
    [{ ...otp, PhoneNumbers: Array(1001).fill('1').join() }, 'isv.MOBILE_COUNT_OVER_LIMIT'],
    [{ ...otp, TemplateParam: '{"code":1234}' }, 'isv.INVALID_JSON_PARAM'],
    [{ ...otp, TemplateParam: '{code}' }, 'isv.INVALID_JSON_PARAM'],
    [{ ...otp, TemplateParam: '[]' }, 'isv.INVALID_JSON_PARAM'],
    [{ ...otp, TemplateParam: '{"other":"1"}' }, 'isv.TEMPLATE_MISSING_PARAMETERS'],
    [{ ...otp, SignName: '别人' }, 'isv.SMS_SIGNATURE_ILLEGAL'],
    [{ ...otp, TemplateCode: 'SMS_9' }, 'isv.SMS_TEMPLATE_ILLEGAL'],
    [{ ...otp, OutId: 'x'.repeat(256) }, 'isv.INVALID_PARAMETERS'],
    [saying('x'.repeat(495)), 'isv.PARAM_LENGTH_LIMIT'],
    [saying('http://a.b'), 'isv.PARAM_NOT_SUPPORT_URL'],
  ];
  for (const [query, code] of cases) assert.equal((await call(query)).Code, code);
  assert.equal(simulator.accepted.total(), 0);
  assert.equal((await call(saying('x'.repeat(494)))).Code, 'OK');
});

test('sees links where a phone would', () => {
  const links = 'HTTP://x https://x.y www.x foo.com/… txt.co.uk 见foo.com。 a.b.cn/x t.cn';
  for (const text of links.split(' ')) assert.ok(mentionsUrl(text), text);
  for (const text of [
    '1.5kg',
    '3.14',
    'v2.0.1',
    '您好。com',
    'foo.company',
    'U.S.',
    '12:30',
    'a.b',
  ])
    assert.ok(!mentionsUrl(text), text);
});

test('one-time passwords: 1 a minute, 5 an hour, 10 a day, with the exact texts', async () => {
  const settings = { clockScale: 1 };
  const limited = async () => (await call(otp)).Message;
  assert.equal(await limited(), 'OK');
  assert.equal(await limited(), '触发分钟级流控Permits:1');
  const { windows } = defaultSimulatorSettings;
  assert.ok(windows !== null);
  simulator.configure({ ...settings, windows: { ...windows, otp: windows.otp.slice(1) } });
  for (let n = 0; n < 4; n += 1) assert.equal(await limited(), 'OK');
  assert.equal(await limited(), '触发小时级流控Permits:5');
  simulator.configure({ windows: { ...windows, otp: windows.otp.slice(2) } });
  for (let n = 0; n < 5; n += 1) assert.equal(await limited(), 'OK');
  assert.equal(await limited(), '触发天级流控Permits:10');
  assert.equal((await call({ ...otp, PhoneNumbers: '13900002222' })).Code, 'OK');
  assert.equal(simulator.accepted.total(), 11);
});

test('windows roll, can be sped up, waived for test numbers, and turned off', async () => {
  simulator.configure({ clockScale: 60 });
  assert.deepEqual(await codes([otp, otp]), ['OK', 'isv.BUSINESS_LIMIT_CONTROL']);
  await new Promise((resolve) => setTimeout(resolve, 1050));
  assert.equal((await call(otp)).Code, 'OK');
  simulator.configure({ clockScale: 1, exemptPhones: ['13900001111'] });
  assert.deepEqual(await codes([otp, otp, otp]), ['OK', 'OK', 'OK']);
  simulator.configure({ exemptPhones: [], windows: null });
  assert.deepEqual(await codes([otp, otp, otp]), ['OK', 'OK', 'OK']);
});

test('notices: 50 a day for each template and number', async () => {
  for (let n = 0; n < 50; n += 1) assert.equal((await call(notice)).Code, 'OK');
  assert.equal((await call(notice)).Message, '触发天级流控Permits:50');
  const other = { ...otp, TemplateCode: 'SMS_1002', TemplateParam: '{"orderId":"1"}' };
  assert.equal((await call(other)).Code, 'OK');
});

test('one full number fails the whole call of many', async () => {
  await call(otp);
  const many = { ...otp, PhoneNumbers: '13900002222,13900001111' };
  assert.equal((await call(many)).Code, 'isv.BUSINESS_LIMIT_CONTROL');
  assert.equal(simulator.accepted.count('phone', '13900002222'), 0);
});

test('takes 1000 numbers in one call under one BizId', async () => {
  const numbers = Array.from({ length: 1000 }, (_, n) => `139${String(n).padStart(8, '0')}`);
  const answer = await call({ ...notice, PhoneNumbers: numbers.join() });
  assert.equal(answer.Code, 'OK');
  assert.equal(simulator.accepted.count('outId', 'out-1'), 1000);
  assert.equal(simulator.accepted.find().entries[0]?.bizId, answer.BizId);
});

test('bills by units of 70 or 67 characters and stops when the balance is gone', async () => {
  assert.deepEqual(
    [1, 70, 71, 134, 135].map((length) => smsUnits('x'.repeat(length))),
    [1, 1, 2, 2, 3],
  );
  simulator.configure({ balance: 3 });
  assert.deepEqual(await codes([saying('x'.repeat(65)), notice, notice]), [
    'OK',
    'OK',
    'isv.AMOUNT_NOT_ENOUGH',
  ]);
  assert.equal(simulator.accepted.find({ order: 'oldest' }).entries[0]?.smsSize, 2);
  assert.equal(simulator.settings().balance, 0);
});

test('throttles an account with the time to wait', async () => {
  simulator.configure({ qps: 2 });
  assert.deepEqual(await codes([notice, notice, notice]), ['OK', 'OK', 'Throttling.User']);
  assert.equal(simulator.accepted.total(), 2);
});

test('shows pages of one day, newest first, with what became of each', async () => {
  simulator.configure({ receiptMedianMs: 0 });
  for (let n = 0; n < 3; n += 1) await call({ ...notice, OutId: `out-${n}` });
  await new Promise((resolve) => setTimeout(resolve, 30));
  const day = new Date(Date.now() + 8 * 3_600_000).toISOString().slice(0, 10).replaceAll('-', '');
  const query = { PhoneNumber: '13900001111', SendDate: day, PageSize: '2', CurrentPage: '2' };
  const ask = (change: Record<string, string>) =>
    call({ ...query, ...change }, { action: 'QuerySendDetails' });
  const answer = await ask({});
  assert.equal(answer.TotalCount, 3);
  const [row, ...rest] = answer.SmsSendDetailDTOs?.SmsSendDetailDTO ?? [];
  assert.equal(rest.length, 0);
  assert.deepEqual(
    [row?.['OutId'], row?.['SendStatus'], row?.['ErrCode']],
    ['out-0', 3, 'DELIVERED'],
  );
  assert.equal((await ask({ SendDate: '20200101' })).TotalCount, 0);
  assert.equal((await ask({ PageSize: '51' })).Code, 'isv.INVALID_PARAMETERS');
  assert.equal((await ask({ SendDate: '' })).Code, 'MissingSendDate');
});

test('SendBatchSms takes up to 100 pairs and refuses unequal arrays', async () => {
  const batch = (numbers: number, signNames: number) => ({
    PhoneNumberJson: JSON.stringify(
      Array.from({ length: numbers }, (_, n) => `139${String(n).padStart(8, '0')}`),
    ),
    SignNameJson: JSON.stringify(Array(signNames).fill('消息中心')),
    TemplateParamJson: JSON.stringify(Array.from({ length: numbers }, () => ({ text: 'x' }))),
    TemplateCode: 'SMS_1003',
  });
  const send = async (numbers: number, signNames: number) =>
    (await call(batch(numbers, signNames), { action: 'SendBatchSms' })).Code;
  assert.equal(await send(100, 100), 'OK');
  assert.equal(await send(101, 101), 'isv.MOBILE_COUNT_OVER_LIMIT');
  assert.equal(await send(3, 2), 'isv.INVALID_PARAMETERS');
});

test('the same seed draws the same faults', () => {
  const drawn = () => {
    const { faults } = createSmsAliyunSimulator({ seed: 7 });
    faults.add({ kind: 'reset', rate: 0.3 });
    return Array.from({ length: 50 }, () => faults.take({ action: 'SendSms', to: [] })?.kind);
  };
  const first = drawn();
  assert.deepEqual(drawn(), first);
  assert.ok(first.includes('reset') && first.includes(undefined));
});

test('a silently dropped message is accepted and never seen', async () => {
  simulator.faults.add({ kind: 'silent-drop', nextCalls: 1 });
  assert.deepEqual(await codes([notice, notice]), ['OK', 'OK']);
  assert.deepEqual([simulator.accepted.total(), simulator.device.total()], [2, 1]);
});
