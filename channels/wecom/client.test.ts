import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { Connector } from '../../contracts/channel.ts';
import { createProviderTokens } from '../../platform/provider-tokens.ts';
import type { DemoChannel } from '../demo-channel.ts';
import { listenHttp, type HttpListener } from '../sandbox/http-listener.ts';
import { demoWecomApp, demoWecomCustomer, demoWecomRobot, sandboxWecom } from './demo.ts';
import { createWecomApp, createWecomCustomer, createWecomRobot } from './index.ts';
import { markOf } from './mark.ts';
import { createWecomSimulator } from './simulator.ts';

const simulator = createWecomSimulator({
  ...sandboxWecom,
  seed: 1,
  settings: { employeeConfirmsAfterMs: null },
});
const signal = new AbortController().signal;
const deps = { allowPrivateProviders: true, tokens: createProviderTokens() };
const connectors = {
  app: createWecomApp(deps),
  customer: createWecomCustomer(deps),
  robot: createWecomRobot(deps),
};
let listener: HttpListener;
const closers: (() => Promise<void>)[] = [];

before(async () => {
  // A path before every call, as the sandbox has it.
  const prefixed = '/wecom';
  listener = await listenHttp(
    (request, response) => {
      request.url = (request.url ?? '').replace(prefixed, '');
      simulator.handle?.(request, response);
    },
    { host: '127.0.0.1', port: 0 },
  );
});
after(async () => {
  for (const close of closers) await close();
  await listener.close();
  await simulator.close();
});

function open(connector: Connector, demo: DemoChannel, change: object = {}) {
  const account = demo.account({ url: `${listener.url}/wecom`, receiptToken: '' });
  const client = connector.createClient({ id: 'acc_1', tenantId: 'ten_1', ...account, ...change });
  closers.push(() => client.close());
  return client;
}
const visible = (deliveryKey: string) =>
  simulator.device
    .find({ where: { ref: markOf(deliveryKey) } })
    .entries.filter(({ isGone }) => !isGone).length;
const hello = { text: { content: '您好' } };
const sendAs = (wecomUserId: string, deliveryKey: string) => ({
  to: { wecomUserId },
  content: hello,
  deliveryKey,
  signal,
});

test('app: two deliveries of the same words are two messages, a repeat is none', async () => {
  const client = open(connectors.app, demoWecomApp);
  for (const key of ['words-1', 'words-2', 'words-1'])
    assert.equal((await client.send(sendAs('same', key))).class, 'accepted');
  assert.deepEqual([visible('words-1'), visible('words-2')], [1, 1]);
});

test('app: were unknown members not compared, cards would still be two messages', async () => {
  const client = open(connectors.app, demoWecomApp);
  simulator.configure({ ignoresUnknownMembers: true });
  const card = { textcard: { title: 't', description: 'd', url: 'https://a.cn/' } };
  for (const key of ['card-1', 'card-2', 'card-1'])
    await client.send({ ...sendAs('same', key), content: card });
  assert.deepEqual([visible('card-1'), visible('card-2')], [1, 1]);
  // The price of that assumption being wrong: the same text within the interval is swallowed.
  for (const key of ['swallowed-1', 'swallowed-2']) await client.send(sendAs('other', key));
  assert.deepEqual([visible('swallowed-1'), visible('swallowed-2')], [1, 0]);
  simulator.configure({ ignoresUnknownMembers: false });
});

test('app: who is licensed and who is not, in one batch, whatever the case', async () => {
  const client = open(connectors.app, demoWecomApp);
  const ids = ['Wang', 'GONE-x', 'Unlicensed-Y', 'Zhao'];
  const messages = ids.map((wecomUserId, at) => ({
    to: { wecomUserId },
    content: hello,
    deliveryKey: `batch-${at}`,
  }));
  const outcomes = await client.sendBatch?.(messages, signal);
  assert.deepEqual(
    outcomes?.map((outcome) => [outcome.class, outcome.providerCode]),
    [
      ['accepted', '0'],
      ['recipient-invalid', 'invaliduser'],
      ['recipient-refused', 'unlicenseduser'],
      ['accepted', '0'],
    ],
  );
  const again = await client.sendBatch?.(messages.toReversed(), signal);
  assert.deepEqual(again, outcomes?.toReversed());
  assert.equal(
    simulator.device.count('ref', markOf(...messages.map((each) => each.deliveryKey))),
    2,
  );
  const [first] = outcomes ?? [];
  assert.ok(first?.class === 'accepted');
  const recalled = await client.recall?.({
    to: { wecomUserId: 'Wang' },
    deliveryKey: 'batch-0',
    providerId: first.providerId,
    sentAt: new Date().toISOString(),
    signal,
  });
  assert.equal(recalled?.class, 'content-rejected', 'a recall would take it from Zhao too');
});

test('app: a thousand members are one call', async () => {
  const client = open(connectors.app, demoWecomApp);
  const messages = Array.from({ length: 1000 }, (_, at) => ({
    to: { wecomUserId: `many-${at}` },
    content: hello,
    deliveryKey: `many-${at}`,
  }));
  const before = simulator.calls.count('action', 'message/send');
  const outcomes = (await client.sendBatch?.(messages, signal)) ?? [];
  assert.ok(outcomes.every((outcome) => outcome.class === 'accepted'));
  assert.equal(simulator.calls.count('action', 'message/send'), before + 1);
  assert.deepEqual(await client.sendBatch?.([], signal), []);
});

test('app: what WeCom would cut is refused before it is sent', async () => {
  const client = open(connectors.app, demoWecomApp);
  const content = { text: { content: '字'.repeat(683) } };
  const before = simulator.calls.total();
  const outcome = await client.send({ ...sendAs('long', 'long'), content });
  assert.equal(outcome.class, 'content-rejected');
  assert.equal(simulator.calls.total(), before);
});

test('app: recipient windows keep what WeCom drops silently at zero', async () => {
  const client = open(connectors.app, demoWecomApp);
  const [window] = connectors.app.capabilities.recipientWindows.notice;
  const before = simulator.dropped();
  for (let at = 0; at < (window?.count ?? 0); at += 1)
    await client.send(sendAs('busy', `busy-${at}`));
  assert.equal(simulator.dropped(), before);
  // And without them:
  assert.equal((await client.send(sendAs('BUSY', 'busy-more'))).class, 'accepted');
  assert.equal(simulator.dropped(), before + 1);
  assert.equal(visible('busy-more'), 0);
});

test('app: an agent id that is not the secret’s is found by verify', async () => {
  const account = demoWecomApp.account({ url: `${listener.url}/wecom`, receiptToken: '' });
  const settings = { ...(account.settings as object), agentId: 1 };
  const outcome = await open(connectors.app, demoWecomApp, { settings }).verify(signal);
  assert.deepEqual([outcome.class, outcome.providerCode], ['auth-invalid', '301002']);
});

const customerTo = { externalUserId: 'wmCustomer_text' };
const task = (deliveryKey: string, content: object, to = customerTo) => ({
  to,
  content: { text: '您好', ...content },
  deliveryKey,
  signal,
});

test('customer: a text alone can be told from nothing, not from another text', async () => {
  const client = open(connectors.customer, demoWecomCustomer);
  const sentAt = new Date().toISOString();
  const asked = { to: customerTo, deliveryKey: 'text-1', sentAt, signal };
  await client.send(task('other', {}, { externalUserId: 'wmCustomer_else' }));
  assert.deepEqual(await client.reconcile?.(asked), { found: 'no' });
  await client.send(task('text-1', {}));
  const found = await client.reconcile?.(asked);
  assert.equal(found?.found, 'cannot-tell');
});

test('customer: with a link the task is found among pages of others', async () => {
  const client = open(connectors.customer, demoWecomCustomer);
  const link = { title: '合同', url: 'https://a.cn/contract' };
  const to = { externalUserId: 'wmCustomer_link' };
  const sentAt = new Date().toISOString();
  for (let at = 0; at < 110; at += 1) await client.send(task(`more-${at}`, { link }));
  const sent = await client.send(task('link-1', { link }, to));
  assert.ok(sent.class === 'accepted');
  const ask = (deliveryKey: string) => client.reconcile?.({ to, deliveryKey, sentAt, signal });
  assert.deepEqual(await ask('link-1'), { found: 'yes', providerId: sent.providerId });
  assert.deepEqual(await ask('link-2'), { found: 'no' });
});

test('customer: what the employee did becomes the receipt, with whoever sends it', async () => {
  const client = open(connectors.customer, demoWecomCustomer);
  const messages = [];
  for (const [key, externalUserId, sender] of [
    ['r-sent', 'wmCustomer_sent', 'wangwu'],
    ['r-left', 'wmleft-0001', undefined],
    ['r-full', 'wmfull-0001', undefined],
    ['r-waits', 'wmCustomer_waits', undefined],
  ] as const) {
    const link = { title: 't', url: 'https://a.cn/' };
    const content = { link, ...(sender !== undefined && { sender }) };
    const outcome = await client.send(task(key, content, { externalUserId }));
    assert.ok(outcome.class === 'accepted');
    const sentAt = new Date().toISOString();
    messages.push({
      to: { externalUserId },
      deliveryKey: key,
      providerId: outcome.providerId,
      sentAt,
    });
    if (key !== 'r-waits') simulator.confirmTasks(markOf(key));
  }
  const told = await client.askReceipts?.(messages, signal);
  assert.deepEqual(
    told?.map(({ deliveryKey, status, outcome, providerCode }) => [
      deliveryKey,
      status,
      outcome,
      providerCode,
    ]),
    [
      ['r-sent', 'delivered', undefined, undefined],
      ['r-left', 'failed', 'recipient-refused', 'status 2'],
      ['r-full', 'failed', 'recipient-refused', 'status 3'],
    ],
  );
});

test('customer: books that cannot be read are an error, asked again later', async () => {
  const client = open(connectors.customer, demoWecomCustomer);
  simulator.configure({ isIpAllowed: false });
  const message = {
    to: customerTo,
    deliveryKey: 'x',
    providerId: 'y',
    sentAt: '2026-01-01T00:00:00Z',
  };
  await assert.rejects(async () => client.askReceipts?.([message], signal), /auth-invalid: 60020/);
  simulator.configure({ isIpAllowed: true });
});

test('customer: a stopped task is never sent; what was sent stays', async () => {
  const client = open(connectors.customer, demoWecomCustomer);
  const link = { title: 't', url: 'https://a.cn/' };
  for (const [key, isSent] of [
    ['stop-1', false],
    ['stop-2', true],
  ] as const) {
    const sent = await client.send(task(key, { link }));
    assert.ok(sent.class === 'accepted');
    if (isSent) simulator.confirmTasks(markOf(key));
    const { providerId } = sent;
    const sentAt = new Date().toISOString();
    const stop = { to: customerTo, deliveryKey: key, providerId, sentAt, signal };
    assert.equal((await client.recall?.(stop))?.class, 'accepted');
    simulator.confirmTasks(markOf(key));
    assert.equal(visible(key), isSent ? 1 : 0);
  }
});

test('robot: groups of the account only, and never without a key', async () => {
  const to = { group: 'dev' };
  const settings = { groups: ['ops', 'dev'], baseUrl: `${listener.url}/wecom` };
  const fault = (group: string) => connectors.robot.addressFault({ group }, settings);
  assert.deepEqual([fault('ops'), fault('sales')], [undefined, 'is not a group of this account']);
  const client = open(connectors.robot, demoWecomRobot, { settings });
  const send = (to: { group: string }) =>
    client.send({ to, content: hello, deliveryKey: 'robot', signal });
  assert.equal((await send(to)).class, 'auth-invalid');
  assert.equal((await client.verify(signal)).class, 'auth-invalid');
  assert.equal((await send({ group: 'sales' })).class, 'recipient-invalid');
  const sent = await send({ group: 'ops' });
  assert.ok(sent.class === 'accepted' && sent.providerId === 'robot');
});

test('robot: verify shows nothing to anybody', async () => {
  const before = simulator.device.total();
  const outcome = await open(connectors.robot, demoWecomRobot).verify(signal);
  assert.equal(outcome.class, 'accepted');
  assert.equal(simulator.device.total(), before);
});
