import assert from 'node:assert/strict';
import { after, beforeEach, test } from 'node:test';
import { request } from 'undici';
import { mountSimulator } from '../sandbox/start-sandbox.ts';
import { demoRobotFeishu, sandboxRobotFeishu } from './demo.ts';
import { createRobotFeishu } from './index.ts';
import { signRobot } from './sign.ts';
import { createRobotFeishuSimulator } from './simulator.ts';

const simulator = createRobotFeishuSimulator(sandboxRobotFeishu);
const listener = await mountSimulator(simulator, { host: '127.0.0.1', port: 0 });
after(() => listener.close());
beforeEach(() => simulator.reset());

interface Change {
  readonly method?: 'GET' | 'POST';
  readonly hookId?: string;
  readonly contentType?: string;
  /** Over the fields of a right message. */
  readonly fields?: Readonly<Record<string, unknown>>;
  readonly body?: string;
}

/** A call to the robot of `ops` that is right but for `change`; its code. */
async function call(change: Change = {}, timestamp: string = seconds()): Promise<number> {
  const sign = signRobot('sandbox-secret-ops', timestamp);
  const message = { timestamp, sign, msg_type: 'text', content: { text: '您好' } };
  const method = change.method ?? 'POST';
  const hookId = change.hookId ?? 'sandbox-feishu-ops';
  const answer = await request(`${listener.url}/open-apis/bot/v2/hook/${hookId}`, {
    method,
    headers: { 'content-type': change.contentType ?? 'application/json' },
    ...(method === 'POST' && {
      body: change.body ?? JSON.stringify({ ...message, ...change.fields }),
    }),
  });
  assert.equal(answer.statusCode, 200);
  return ((await answer.body.json()) as { code: number }).code;
}
function seconds(shiftMs = 0): string {
  return String(Math.floor((Date.now() + shiftMs) / 1000));
}

test('a right call is taken, with the time as text or number', async () => {
  assert.equal(await call(), 0);
  const now = seconds();
  assert.equal(await call({ fields: { timestamp: Number(now) } }, now), 0);
  const [shown] = simulator.device.find().entries;
  assert.deepEqual([shown?.to, shown?.text], ['ops', '您好']);
});

test('what the robot refuses is refused and not taken', async () => {
  const post = (zh_cn: unknown) => ({ fields: { msg_type: 'post', content: { post: { zh_cn } } } });
  const refused: [number, Change, string?][] = [
    [19_001, { hookId: 'somebody-elses' }],
    [9499, { method: 'GET' }],
    [9499, { contentType: 'text/plain' }],
    [9499, { body: 'no json' }],
    [9499, { fields: { content: { text: '长'.repeat(7000) } } }],
    [19_021, {}, seconds(-3_602_000)],
    [19_021, {}, String(Date.now())],
    [19_021, { fields: { sign: 'x' } }],
    [19_021, { fields: { sign: undefined } }],
    [19_021, { fields: { sign: signRobot('other', seconds()) } }],
    [19_002, { fields: { msg_type: undefined } }],
    [9499, { fields: { msg_type: 'audio' } }],
    [9499, { fields: { content: { text: '' } } }],
    [9499, { fields: { content: 'text' } }],
    [9499, post({ title: 'x', content: [{ tag: 'text', text: 'x' }] })],
    [9499, post({ title: 'x', content: [[{ tag: 'a', text: 'x' }]] })],
    [19_007, { hookId: 'sandbox-feishu-disabled' }],
  ];
  for (const [code, change, timestamp] of refused)
    assert.equal(await call(change, timestamp), code, JSON.stringify(change).slice(0, 80));
  assert.equal(simulator.accepted.total(), 0);
});

test('five a second and a hundred a minute, by the simulated clock', async () => {
  const realNow = Date.now;
  const frozenAt = realNow();
  let shiftMs = 0;
  Date.now = () => frozenAt + shiftMs;
  try {
    for (let second = 0; second < 20; second += 1) {
      for (let sent = 0; sent < 5; sent += 1) assert.equal(await call(), 0);
      assert.equal(await call(), 11_232, `the sixth of second ${second}`);
      shiftMs += 1000;
    }
    assert.equal(await call(), 11_232, 'the 101st of the minute');
    shiftMs = 60_001;
    assert.equal(await call(), 0);
  } finally {
    Date.now = realNow;
  }
  assert.equal(simulator.accepted.total(), 101);
});

test('the demo account works, and its magic groups refuse', async (t) => {
  const { settings, secrets } = demoRobotFeishu.account({ url: listener.url, receiptToken: '' });
  const connector = createRobotFeishu({ allowPrivateProviders: true });
  const client = connector.createClient({ id: 'acc', tenantId: 'ten', settings, secrets });
  t.after(() => client.close());
  const send = async (group: string, content: unknown) => {
    const { signal } = new AbortController();
    return (await client.send({ to: { group }, content, deliveryKey: 'k', signal })).class;
  };
  const post = {
    title: '通知',
    lines: [[{ text: 'a' }, { text: 'b', href: 'https://c.example' }]],
  };
  assert.equal(await send('ops', { text: 'x' }), 'accepted');
  assert.equal(await send('disabled', { text: 'x' }), 'auth-invalid');
  assert.equal(await send('keyword', { text: 'x' }), 'content-rejected');
  assert.equal(await send('keyword', { post }), 'accepted');
  assert.equal(simulator.device.find().entries[0]?.text, '通知\nab');
  assert.equal(connector.contentText({ post }), '通知\nab');
  assert.equal(await send('unknown', { text: 'x' }), 'recipient-invalid');
  assert.match(connector.addressFault({ group: 'unknown' }, settings) ?? '', /"unknown"/);
  assert.equal(connector.addressFault({ group: 'ops' }, settings), undefined);
  const calls = simulator.calls.total();
  assert.equal(await send('ops', { text: '长'.repeat(7000) }), 'content-rejected');
  assert.equal(simulator.calls.total(), calls, 'too long, and not sent');
});

test("a group without a robot is the account's fault; verify names it", async (t) => {
  const connector = createRobotFeishu({ allowPrivateProviders: true });
  const client = connector.createClient({
    id: 'acc',
    tenantId: 'ten',
    settings: { groups: ['constructor'], baseUrl: listener.url },
    secrets: { robots: {} },
  });
  t.after(() => client.close());
  const { signal } = new AbortController();
  const to = { group: 'constructor' };
  const sent = await client.send({ to, content: { text: 'x' }, deliveryKey: 'k', signal });
  assert.equal(sent.class, 'auth-invalid');
  const verified = await client.verify(signal);
  assert.equal(verified.class, 'auth-invalid');
  assert.match(verified.providerMessage ?? '', /constructor/);
});
