import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { after, beforeEach, test } from 'node:test';
import { request } from 'undici';
import { createSmsAliyun } from '../sms-aliyun/index.ts';
import { listenHttp } from './http-listener.ts';
import { startSandbox } from './start-sandbox.ts';

const sandbox = await startSandbox({ clockScale: 2 });
const connector = createSmsAliyun({ allowPrivateProviders: true });
const clientOf = (url: string) =>
  connector.createClient({
    id: 'acc',
    tenantId: 'ten',
    settings: { endpoint: `${url}/sms-aliyun` },
    secrets: { accessKeyId: 'sandbox', accessKeySecret: 'sandbox-secret' },
  });
const client = clientOf(sandbox.url);
after(async () => {
  await client.close();
  await sandbox.close();
});
beforeEach(async () => void (await control('POST', '/reset')));

async function control(method: 'GET' | 'POST' | 'PUT' | 'DELETE', path: string, body?: unknown) {
  const answer = await request(sandbox.controlUrl + path, {
    method,
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const text = await answer.body.text();
  const isJson = String(answer.headers['content-type']).startsWith('application/json');
  return { status: answer.statusCode, body: isJson ? (JSON.parse(text) as unknown) : text };
}
const send = (deliveryKey: string, text = '您好', phone = '13900001111') =>
  client.send({
    to: { phone },
    content: { signName: '消息中心', templateCode: 'SMS_1003', params: { text } },
    deliveryKey,
    signal: new AbortController().signal,
  });

test('the ledgers are asked by key, time and limit', async () => {
  for (const key of ['a', 'b', 'b']) await send(key);
  const device = await control('GET', '/sms-aliyun/device?outId=b&limit=1');
  const found = device.body as { total: number; matched: number; entries: { text: string }[] };
  assert.deepEqual([found.total, found.matched, found.entries.length], [3, 2, 1]);
  assert.equal(found.entries[0]?.text, '【消息中心】您好');
  assert.deepEqual((await control('GET', '/sms-aliyun/duplicates')).body, [
    { outId: 'b', count: 2 },
  ]);
  const summary = (await control('GET', '/sms-aliyun/summary')).body as Record<string, number>;
  assert.deepEqual([summary['device'], summary['deviceOutIds']], [3, 2]);
  const seconds = await control('GET', '/sms-aliyun/calls/per-second?action=SendSms');
  const counts = (seconds.body as { count: number }[]).map(({ count }) => count);
  assert.equal(
    counts.reduce((sum, count) => sum + count, 0),
    3,
  );
});

test('faults are added, listed, counted down and removed', async () => {
  const rule = { kind: 'error', status: 200, code: 'isv.OUT_OF_SERVICE', nextCalls: 1 };
  await control('POST', '/sms-aliyun/faults', rule);
  assert.equal((await send('x')).class, 'quota-exhausted');
  assert.equal((await send('x')).class, 'accepted');
  const added = await control('POST', '/sms-aliyun/faults', {
    kind: 'reset',
    to: '13900002222',
  });
  const { id } = added.body as { id: number };
  assert.equal((await send('y')).class, 'accepted');
  assert.equal(((await control('GET', '/sms-aliyun/faults')).body as unknown[]).length, 1);
  assert.equal((await control('DELETE', `/sms-aliyun/faults?id=${id}`)).status, 200);
  assert.equal((await control('DELETE', `/sms-aliyun/faults?id=${id}`)).status, 400);
});

test('settings, templates, signatures and credentials are changed while it runs', async () => {
  await control('PUT', '/sms-aliyun/settings', { balance: 0 });
  assert.equal((await send('x')).providerCode, 'isv.AMOUNT_NOT_ENOUGH');
  await control('POST', '/sms-aliyun/reset');
  const settings = await control('GET', '/sms-aliyun/settings');
  assert.equal((settings.body as { balance: unknown }).balance, null);
  assert.equal((settings.body as { clockScale: unknown }).clockScale, 2);
  await control('POST', '/sms-aliyun/templates', {
    templateCode: 'SMS_2',
    text: '${a}！',
    kind: 'marketing',
  });
  await control('POST', '/sms-aliyun/signatures', { signName: '新签名' });
  const outcome = await client.send({
    to: { phone: '13900001111' },
    content: { signName: '新签名', templateCode: 'SMS_2', params: { a: '哈' } },
    deliveryKey: 'n',
    signal: new AbortController().signal,
  });
  assert.equal(outcome.class, 'accepted');
  const credential = { accessKeyId: 'sandbox', accessKeySecret: null as string | null };
  await control('POST', '/sms-aliyun/credentials', credential);
  assert.equal((await send('x')).class, 'auth-invalid');
  credential.accessKeySecret = 'sandbox-secret';
  await control('POST', '/sms-aliyun/credentials', credential);
  assert.equal((await send('x')).class, 'accepted');
});

test('wrong control calls are told so', async () => {
  assert.equal((await control('GET', '/nothing')).status, 404);
  assert.equal((await control('POST', '/sms-aliyun/faults', { kind: 'fire' })).status, 400);
  assert.equal((await control('PUT', '/sms-aliyun/settings', { tempo: 2 })).status, 400);
  assert.equal((await control('GET', '/sms-aliyun/device?limit=many')).status, 400);
  assert.equal((await request(`${sandbox.url}/sms-other/`)).statusCode, 404);
});

test('refuses connections while it does not listen, and is back on the same port', async () => {
  await control('PUT', '/listening', { isListening: false });
  assert.equal((await send('down')).class, 'transient');
  await control('PUT', '/listening', { isListening: true });
  assert.equal((await send('up')).class, 'accepted');
});

test('the page shows messages as phones would, and no markup of theirs', async () => {
  await send('page', '<script>alert(1)</script>');
  const page = await control('GET', '/');
  assert.ok(typeof page.body === 'string');
  assert.match(page.body, /【消息中心】&lt;script&gt;/);
  assert.doesNotMatch(page.body, /<script/);
});

test('questions stay fast with 100,000 messages', async () => {
  const { accepted, device } = sandbox.smsAliyun;
  const heapBefore = process.memoryUsage().heapUsed;
  for (let n = 0; n < 100_000; n += 1) {
    const common = { at: Date.now(), phone: `139${n % 50_000}`, text: `text ${n}` };
    const message = { ...common, outId: `out-${n}`, bizId: `${n}^0`, templateCode: 'SMS_1003' };
    device.add(message);
    accepted.add({ ...message, smsSize: 1, sendStatus: 1, errCode: '', reportAt: undefined });
  }
  const heapMiB = (process.memoryUsage().heapUsed - heapBefore) / 2 ** 20;
  const startedAt = Date.now();
  for (let n = 0; n < 50; n += 1) {
    await control('GET', `/sms-aliyun/device?outId=out-${n}`);
    await control('GET', '/sms-aliyun/summary');
  }
  await control('GET', '/sms-aliyun/duplicates');
  const elapsedMs = Date.now() - startedAt;
  assert.ok(elapsedMs < 2000, `100 questions took ${elapsedMs} ms`);
  assert.ok(heapMiB < 200, `200,000 entries take ${heapMiB} MiB`);
});

test('runs as a process and ends on SIGTERM, even with a call hanging', async () => {
  const [port, controlPort] = [await freePort(), await freePort()];
  const ports = { MC_SANDBOX_PORT: port, MC_SANDBOX_CONTROL_PORT: controlPort };
  const child = spawn(process.execPath, ['--import', 'tsx', 'channels/sandbox/main.ts'], {
    env: ports,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const exited = once(child, 'exit');
  let output = '';
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
  const deadline = Date.now() + 20_000;
  while (!output.includes('process.started')) {
    assert.ok(Date.now() < deadline && child.exitCode === null, output);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  const other = clientOf(`http://127.0.0.1:${port}`);
  assert.equal((await other.verify(new AbortController().signal)).class, 'accepted');
  await request(`http://127.0.0.1:${controlPort}/sms-aliyun/faults`, {
    method: 'POST',
    body: JSON.stringify({ kind: 'accept-then-hang' }),
  });
  const hanging = other.verify(new AbortController().signal);
  await new Promise((resolve) => setTimeout(resolve, 100));
  child.kill('SIGTERM');
  const [code] = (await exited) as [number | null];
  assert.equal(code, 0);
  assert.equal((await hanging).class, 'transient');
  await other.close();
});

async function freePort(): Promise<string> {
  const listener = await listenHttp(() => undefined, { host: '127.0.0.1', port: 0 });
  await listener.close();
  return new URL(listener.url).port;
}
