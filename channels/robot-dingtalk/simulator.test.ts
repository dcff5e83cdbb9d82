import assert from 'node:assert/strict';
import { after, beforeEach, test } from 'node:test';
import { request } from 'undici';
import { mountSimulator } from '../sandbox/start-sandbox.ts';
import { demoRobotDingtalk, sandboxRobotDingtalk } from './demo.ts';
import { createRobotDingtalk } from './index.ts';
import { signRobot } from './sign.ts';
import { createRobotDingtalkSimulator } from './simulator.ts';

const simulator = createRobotDingtalkSimulator(sandboxRobotDingtalk);
const listener = await mountSimulator(simulator, { host: '127.0.0.1', port: 0 });
after(() => listener.close());
beforeEach(() => simulator.reset());

interface Change {
  readonly method?: 'GET' | 'POST';
  readonly path?: string;
  readonly query?: Readonly<Record<string, string>>;
  readonly contentType?: string;
  readonly body?: string;
}
const hello = { msgtype: 'text', text: { content: '您好' } };

/** A call to the robot of `ops` that is right but for `change`; its HTTP status and code. */
async function call(change: Change = {}, timestamp = String(Date.now())): Promise<number> {
  const query = new URLSearchParams({
    access_token: 'sandbox-dingtalk-ops',
    timestamp,
    sign: signRobot('SECsandbox-ops', timestamp),
    ...change.query,
  });
  const method = change.method ?? 'POST';
  const answer = await request(
    `${listener.url}${change.path ?? '/robot/send'}?${query.toString()}`,
    {
      method,
      headers: { 'content-type': change.contentType ?? 'application/json' },
      ...(method === 'POST' && { body: change.body ?? JSON.stringify(hello) }),
    },
  );
  assert.equal(answer.statusCode, 200);
  return ((await answer.body.json()) as { errcode: number }).errcode;
}
const text = (content: string) => JSON.stringify({ msgtype: 'text', text: { content } });

test('a right call is taken', async () => {
  assert.equal(await call(), 0);
  assert.deepEqual(
    simulator.device.find().entries.map(({ to, text }) => [to, text]),
    [['ops', '您好']],
  );
});

test('what the robot refuses is refused and not taken', async () => {
  const hourAgo = String(Date.now() - 3_601_000);
  const seconds = String(Math.floor(Date.now() / 1000));
  const refused: [number, Change, string?][] = [
    [404, { path: '/robot/sent' }],
    [43_002, { method: 'GET' }],
    [43_004, { contentType: 'text/plain' }],
    [40_035, { query: { access_token: '' } }],
    [300_005, { query: { access_token: 'somebody-elses' } }],
    [310_000, {}, hourAgo],
    [310_000, {}, seconds],
    [310_000, { query: { sign: 'x' } }],
    [310_000, { query: { sign: signRobot('SECother', seconds) } }],
    [40_035, { body: '' }],
    [460_101, { body: text('x'.repeat(20_000)) }],
    [400_105, { body: JSON.stringify({ ...hello, msgtype: 'image' }) }],
    [400_105, { body: 'no json' }],
    [300_001, { body: JSON.stringify({ msgtype: 'text', text: { content: '' } }) }],
    [300_001, { body: JSON.stringify({ msgtype: 'markdown', markdown: { text: 'x' } }) }],
    [300_001, { body: JSON.stringify({ ...hello, at: { atMobiles: '139' } }) }],
  ];
  for (const [code, change, timestamp] of refused)
    assert.equal(await call(change, timestamp), code, JSON.stringify(change).slice(0, 80));
  assert.equal(simulator.accepted.total(), 0);
});

test('more than 20 in a minute: ten minutes of silence, by the simulated clock', async () => {
  simulator.configure({ clockScale: 1 });
  for (let sent = 0; sent < 20; sent += 1) assert.equal(await call(), 0);
  assert.equal(await call(), 130_101);
  // 61 s later the minute is over, and the silence is not.
  const realNow = Date.now;
  try {
    const shift = (ms: number) => {
      Date.now = () => realNow() + ms;
    };
    shift(61_000);
    assert.equal(await call(), 130_101);
    shift(601_000);
    assert.equal(await call(), 0);
  } finally {
    Date.now = realNow;
  }
  assert.equal(simulator.accepted.total(), 21);
});

test('a robot has a limit of its own', async () => {
  simulator.configure({ perMinute: 1 });
  const timestamp = String(Date.now());
  const sales = {
    access_token: 'sandbox-dingtalk-sales',
    sign: signRobot('SECsandbox-sales', timestamp),
  };
  assert.equal(await call(), 0);
  assert.equal(await call(), 130_101);
  assert.equal(await call({ query: sales }, timestamp), 0);
});

test('the demo account works, and its magic groups refuse', async (t) => {
  const { settings, secrets } = demoRobotDingtalk.account({ url: listener.url, receiptToken: '' });
  const connector = createRobotDingtalk({ allowPrivateProviders: true });
  const client = connector.createClient({ id: 'acc', tenantId: 'ten', settings, secrets });
  t.after(() => client.close());
  const send = async (group: string, words: string) => {
    const { signal } = new AbortController();
    const to = { group };
    return (await client.send({ to, content: { text: words }, deliveryKey: 'k', signal })).class;
  };
  assert.equal(await send('ops', 'x'), 'accepted');
  assert.equal(await send('gone', 'x'), 'recipient-invalid');
  assert.equal(await send('keyword', 'x'), 'content-rejected');
  assert.equal(await send('keyword', '通知 x'), 'accepted');
  assert.equal(await send('unknown', 'x'), 'recipient-invalid');
  assert.match(connector.addressFault({ group: 'unknown' }, settings) ?? '', /"unknown"/);
  assert.equal(connector.addressFault({ group: 'ops' }, settings), undefined);
});

test("a group without a robot is the account's fault; verify names it", async (t) => {
  const connector = createRobotDingtalk({ allowPrivateProviders: true });
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
