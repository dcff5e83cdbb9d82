import assert from 'node:assert/strict';
import { after, before, beforeEach, test } from 'node:test';
import type { ConnectorClient } from '../../contracts/channel.ts';
import { createProviderTokens } from '../../platform/provider-tokens.ts';
import { createMailbox } from '../conformance-kit.ts';
import { listenHttp, readBody } from '../sandbox/http-listener.ts';
import { demoPushHuawei, sandboxPushHuawei } from './demo.ts';
import { createPushHuawei } from './index.ts';
import { createPushHuaweiSimulator } from './simulator.ts';

const { signal } = new AbortController();
const connector = createPushHuawei({ allowPrivateProviders: true, tokens: createProviderTokens() });
const simulator = createPushHuaweiSimulator(sandboxPushHuawei);
const closers: (() => Promise<void>)[] = [];
const bodies: { path: string; headers: object; text: string }[] = [];
let client: ConnectorClient;
let url = '';

before(async () => {
  const listener = await listenHttp((request, response) => simulator.handle(request, response), {
    host: '127.0.0.1',
    port: 0,
  });
  // Stands before the simulator under a base path, to see what was sent.
  const front = await listenHttp(
    (request, response) => {
      void readBody(request, 1_000_000)
        .then(async (body) => {
          const path = request.url ?? '';
          bodies.push({ path, headers: request.headers, text: body.toString() });
          const answer = await fetch(listener.url + path.replace('/base', ''), {
            method: 'POST',
            headers: {
              authorization: request.headers.authorization ?? '',
              'content-type': request.headers['content-type'] ?? '',
              'push-type': String(request.headers['push-type']),
            },
            body: new Uint8Array(body),
          });
          response.writeHead(answer.status).end(await answer.text());
        })
        .catch(() => response.destroy());
    },
    { host: '127.0.0.1', port: 0 },
  );
  url = `${front.url}/base`;
  client = connector.createClient({
    id: 'acc',
    tenantId: 'ten',
    ...demoPushHuawei.account({ url, receiptToken: '' }),
  });
  closers.push(
    listener.close,
    front.close,
    () => client.close(),
    () => simulator.close(),
  );
});
beforeEach(() => {
  simulator.reset();
  bodies.length = 0;
});
after(async () => {
  for (const close of closers.toReversed()) await close();
});

const content = { title: 't', body: 'b' };
const message = (number: number, deviceToken = `huawei-device-000${number}`) => ({
  to: { deviceToken },
  content,
  deliveryKey: `msg_${number}.0.x`,
});
const visible = (to: string) =>
  simulator.device.find({ where: { to } }).entries.filter(({ isGone }) => !isGone);

test('sends a notification with our ids, under the base path', async () => {
  const full = {
    ...content,
    data: { orderId: '7' },
    url: 'app://orders/7',
    category: 'EXPRESS',
    ttlSeconds: 60,
  };
  const outcome = await client.send({ ...message(1), content: full, signal });
  assert.equal(outcome.class, 'accepted');
  assert.equal(bodies[0]?.path, `/base/v3/${sandboxPushHuawei.projectId}/messages:send`);
  const { payload, ...rest } = JSON.parse(bodies[0].text) as {
    payload: { notification: { notifyId: number } };
  };
  const { notifyId, ...notification } = payload.notification;
  assert.ok(Number.isInteger(notifyId) && notifyId >= 0 && notifyId < 2 ** 31);
  assert.deepEqual(notification, {
    category: 'EXPRESS',
    title: 't',
    body: 'b',
    clickAction: { actionType: 1, uri: 'app://orders/7', data: { orderId: '7' } },
  });
  assert.deepEqual(rest, {
    target: { token: ['huawei-device-0001'] },
    pushOptions: { biTag: 'msg_1.0.x', ttl: 60 },
  });
});

test('a batch is one call; its members have ids of their own', async () => {
  const outcomes = await client.sendBatch?.(
    [message(1), message(2, 'sandbox-bad-token'), message(3, 'sandbox-wrong-country'), message(4)],
    signal,
  );
  assert.equal(bodies.length, 1);
  assert.deepEqual(
    outcomes?.map((outcome) => outcome.class),
    ['accepted', 'recipient-invalid', 'recipient-refused', 'accepted'],
  );
  const ids = outcomes?.flatMap((each) => (each.class === 'accepted' ? [each.providerId] : []));
  assert.equal(new Set(ids).size, 2);
  for (const id of ids ?? []) assert.match(id, /^\d{23}\.\d{1,10}\.[0-9a-f]{12}$/);
});

test('the same batch again, in another order, replaces itself', async () => {
  const messages = [message(1), message(2)];
  await client.sendBatch?.(messages, signal);
  await client.sendBatch?.(messages.toReversed(), signal);
  assert.equal(simulator.accepted.total(), 4);
  for (const to of ['huawei-device-0001', 'huawei-device-0002']) {
    const [seen, ...more] = visible(to);
    assert.deepEqual([seen?.shown, more.length], [2, 0]);
  }
});

test('a member of a batch is taken back alone', async () => {
  const messages = [message(1), message(2)];
  const outcomes = (await client.sendBatch?.(messages, signal)) ?? [];
  const [first] = outcomes;
  const recalled = await client.recall?.({
    ...message(1),
    providerId: first?.class === 'accepted' ? first.providerId : undefined,
    sentAt: new Date().toISOString(),
    signal,
  });
  assert.equal(recalled?.class, 'accepted');
  assert.equal(bodies[1]?.path, `/base/v1/${sandboxPushHuawei.clientId}/messages:revoke`);
  assert.equal(visible('huawei-device-0001').length, 0);
  assert.equal(visible('huawei-device-0002').length, 1);
});

test('a message whose answer was lost is taken back by its delivery key', async () => {
  simulator.faults.add({ kind: 'accept-then-reset', nextCalls: 1 });
  const lost = await client.send({ ...message(5), signal });
  assert.equal(lost.class, 'ambiguous');
  assert.equal(visible('huawei-device-0005').length, 1);
  const sentAt = new Date().toISOString();
  await client.recall?.({ ...message(5), providerId: undefined, sentAt, signal });
  assert.equal(visible('huawei-device-0005').length, 0);
});

test('a batch shares what befalls its call, and a batch of one is an ordinary message', async () => {
  simulator.faults.add({ kind: 'error', status: 503, nextCalls: 1 });
  const outcomes = await client.sendBatch?.([message(1), message(2)], signal);
  assert.deepEqual(
    outcomes?.map((outcome) => outcome.class),
    ['rate-limited', 'rate-limited'],
  );
  const [alone] = (await client.sendBatch?.([message(3)], signal)) ?? [];
  assert.ok(alone?.class === 'accepted' && /^\d{23}$/.test(alone.providerId));
  assert.equal(simulator.accepted.count('ref', 'msg_3.0.x'), 1);
  assert.deepEqual(await client.sendBatch?.([], signal), []);
});

test('a body beyond 4096 bytes is refused before anything is sent, however many the tokens', async () => {
  const big = { title: 't', body: '长'.repeat(1300), data: { more: 'x'.repeat(200) } };
  const outcome = await client.send({ ...message(1), content: big, signal });
  assert.equal(outcome.class, 'content-rejected');
  assert.equal(bodies.length, 0);
  const many = Array.from({ length: 1000 }, (_, index) => ({
    ...message(index),
    to: { deviceToken: `huawei-device-many-${index}` },
  }));
  const outcomes = await client.sendBatch?.(many, signal);
  assert.equal(outcomes?.filter((each) => each.class === 'accepted').length, 1000);
});

test('receipts of a batch are matched by what the send told', async () => {
  const mailbox = await createMailbox('{"code":"0","message":"success"}');
  closers.push(mailbox.close);
  simulator.configure({
    receiptUrl: mailbox.url,
    receiptMedianMs: 1,
    receiptP99Ms: 1,
    receiptDuplicateRate: 0,
  });
  const outcomes = await client.sendBatch?.([message(7), message(8, 'sandbox-muted')], signal);
  const sent = outcomes?.map((each) => (each.class === 'accepted' ? each.providerId : ''));
  const account = {
    id: 'acc',
    tenantId: 'ten',
    ...demoPushHuawei.account({ url, receiptToken: '' }),
  };
  const told = new Map<string | undefined, string | undefined>();
  for (const token of ['huawei-device-0007', 'sandbox-muted']) {
    const parsed = connector.parseReceipts?.(await mailbox.pushWith(token), account);
    assert.ok(parsed?.result === 'receipts');
    for (const receipt of parsed.receipts)
      told.set(receipt.providerId, receipt.outcome ?? receipt.status);
  }
  assert.deepEqual(
    told,
    new Map([
      [sent?.[0], 'delivered'],
      [sent?.[1], 'recipient-refused'],
    ]),
  );
});
