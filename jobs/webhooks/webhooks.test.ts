/** Result webhooks with strict receivers: they verify with the reference library, and answer as they are told. */
import assert from 'node:assert/strict';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { Webhook } from 'standardwebhooks';
import type { Snapshot } from '../../contracts/result.ts';
import { createNames } from '../../contracts/topics.ts';
import type { WebhookAttempt, WebhookEndpointEdit } from '../../contracts/webhooks.ts';
import { pause } from '../../platform/lifecycle.ts';
import { createLogger } from '../../platform/logger.ts';
import { createMetrics } from '../../platform/metrics.ts';
import type { Delivery, Receiver } from '../../platform/queue.ts';
import { createSealer } from '../../platform/seal.ts';
import { createStore } from '../../store/index.ts';
import { eventDelivery, sampleSnapshot } from '../../tests/message-samples.ts';
import { testMysqlUrl, until } from '../../tests/stack.ts';
import { mostAtOnce } from './endpoint-lanes.ts';
import { runWebhooks } from './run-webhooks.ts';
import { disableAfterMs } from './send-webhook.ts';

const logger = createLogger('test', 'fatal');
const sealer = createSealer([`test:${Buffer.alloc(32, 7).toString('base64')}`]);
const mysqlUrl = await testMysqlUrl();
const store = createStore({ mysqlUrl, sealer, slots: 4, logger });
const names = createNames('t');
const timeoutMs = 600;

/** The results topic, as far as a group of its own sees it. */
const waiting: Delivery[] = [];
const acknowledged = new Set<string>();
const receiver: Receiver = {
  receive: async (_topic, max) => {
    const received = waiting.splice(0, max);
    if (received.length === 0) await pause(20);
    return received;
  },
  acknowledge: async (deliveries) => {
    for (const { key } of deliveries) acknowledged.add(key);
  },
  retryLater: async () => {},
  close: async () => {},
};
const alerts: Record<string, unknown>[] = [];
const publisher = {
  publish: async (_topic: string, { body }: { body: string | Uint8Array }) =>
    void alerts.push(JSON.parse(String(body)) as Record<string, unknown>),
};

interface Call {
  readonly id: string;
  readonly event: Record<string, unknown> & { data: Record<string, unknown> };
  readonly headers: Record<string, string>;
  readonly body: string;
}
type Answering = (response: ServerResponse, nth: number) => void;
const paths = new Map<
  string,
  { calls: Call[]; answer: Answering; secret: string; forged: number; open: number; most: number }
>();
const server = createServer((request, response) => void receive(request, response));
async function receive(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  const path = paths.get(request.url ?? '');
  if (path === undefined) return void response.writeHead(404).end();
  const body = Buffer.concat(chunks).toString('utf8');
  const headers = request.headers as Record<string, string>;
  let event: Call['event'];
  try {
    event = new Webhook(path.secret).verify(body, headers) as Call['event'];
  } catch {
    path.forged += 1;
    return void response.writeHead(401).end();
  }
  path.calls.push({ id: headers['webhook-id'] ?? '', event, headers, body });
  path.most = Math.max(path.most, (path.open += 1));
  response.on('close', () => (path.open -= 1));
  path.answer(response, path.calls.length);
}
const ok: Answering = (response) => void response.writeHead(204).end();
const status =
  (code: number, headers: Record<string, string> = {}): Answering =>
  (response) =>
    void response.writeHead(code, headers).end();

let origin = '';
let running: { stop(): Promise<void> };
const run = (allowPrivate: boolean) =>
  runWebhooks({
    receiver,
    publisher,
    names,
    store,
    allowPrivate,
    logger,
    metrics: createMetrics(),
    timeoutMs,
  });
before(async () => {
  await store.migrate();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  running = await run(true);
});
after(async () => {
  await running.stop();
  server.closeAllConnections();
  server.close();
  await store.close();
});

let serial = 0;
/** A tenant of its own with one endpoint. */
async function endpointOf(
  answer: Answering,
  edit: Partial<WebhookEndpointEdit> & { tenantId?: string } = {},
) {
  const path = `/hook-${(serial += 1)}?of=test`;
  const { tenantId = `tenant-${serial}`, ...rest } = edit;
  const url = origin + path;
  const { endpoint, secret } = await store.webhookEndpoints.create(tenantId, { url, ...rest });
  const state = { calls: [] as Call[], answer, secret, forged: 0, open: 0, most: 0 };
  paths.set(path, state);
  const attempts = async (): Promise<WebhookAttempt[]> =>
    (await store.webhookAttempts.list(endpoint.id, { limit: 1000 })).map(({ attempt }) => attempt);
  return { id: endpoint.id, tenantId, state, attempts, url };
}
function tell(tenantId: string, changes: Partial<Snapshot> = {}): Snapshot {
  const snapshot = sampleSnapshot({ tenantId, status: 'sent', sequence: 7, ...changes });
  waiting.push(eventDelivery(names.results, snapshot));
  return snapshot;
}
const untilAcknowledged = (messageId: string) =>
  until('it is acknowledged', () => acknowledged.has(messageId) || undefined, { timeoutMs: 5000 });
const untilAttempts = (list: () => Promise<WebhookAttempt[]>, count: number) =>
  until(
    `${count} attempts`,
    async () => {
      const found = await list();
      return found.length >= count ? found : undefined;
    },
    { timeoutMs: 15_000, seen: list },
  );
const pendingOf = (id: string) => store.webhookDeliveries.count(id, 1000);

describe('result webhooks', () => {
  it('reach an endpoint that was made just before, signed, with what its tenant may see', async () => {
    const { id, tenantId, state, attempts } = await endpointOf(ok);
    const snapshot = tell(tenantId, { status: 'delivered', redrive: 1, attempts: 2 });
    await untilAcknowledged(snapshot.messageId);
    assert.equal(state.calls.length, 1);
    const [call] = state.calls;
    assert.equal(call?.id, `${snapshot.messageId}/1/7`);
    const { data, ...envelope } = call?.event ?? { data: {} };
    assert.deepEqual(envelope, {
      specversion: '1.0',
      id: call?.id,
      source: 'message-center',
      type: 'message.delivered',
      subject: snapshot.messageId,
      time: snapshot.updatedAt,
      datacontenttype: 'application/json',
      sequence: String(2 ** 20 + 7),
    });
    assert.deepEqual([data['id'], data['to']], [snapshot.messageId, snapshot.recipientMasked]);
    assert.ok(!call?.body.includes(snapshot.recipientHash));
    assert.equal(call?.headers['content-type'], 'application/json');
    assert.equal(await pendingOf(id), 0, 'nothing is written on the good path');
    const [attempt] = await untilAttempts(attempts, 1);
    const { outcome, statusCode, messageId, eventId } = attempt ?? {};
    assert.deepEqual(
      [outcome, statusCode, messageId, eventId],
      ['delivered', 204, snapshot.messageId, call?.id],
    );
  });

  it('are of the wanted statuses and of the tenant, and once though the queue gives them twice', async () => {
    const { tenantId, state } = await endpointOf(ok, { statuses: ['failed', 'sending'] });
    const told = [
      tell(tenantId, { status: 'sent' }),
      tell(tenantId, { status: 'accepted' }),
      tell('somebody-else', { status: 'failed' }),
      tell(tenantId, { status: 'failed' }),
      tell(tenantId, { status: 'sending' }),
    ];
    waiting.push({
      ...eventDelivery(names.results, told[0] as Snapshot),
      key: 'x',
      body: Buffer.from('{'),
    });
    for (const { messageId } of told) await untilAcknowledged(messageId);
    await untilAcknowledged('x');
    waiting.push(eventDelivery(names.results, told[3] as Snapshot));
    await pause(1200);
    assert.deepEqual(state.calls.map(({ event }) => String(event['type'])).toSorted(), [
      'message.failed',
      'message.sending',
    ]);
  });

  it('are tried again after 5 s with the same id and body, acknowledged meanwhile', async () => {
    const { id, tenantId, state, attempts } = await endpointOf((response, nth) =>
      (nth === 1 ? status(500) : ok)(response, nth),
    );
    const startedAt = Date.now();
    const { messageId } = tell(tenantId);
    await untilAcknowledged(messageId);
    assert.equal(await pendingOf(id), 1);
    await until('it failed', async () => (await store.webhookEndpoints.find(id))?.failingSince);
    const list = await untilAttempts(attempts, 2);
    const waitedMs = Date.now() - startedAt;
    assert.ok(waitedMs >= 5000 && waitedMs < 12_000, `${waitedMs} ms`);
    assert.deepEqual(
      list.map(({ attempt, outcome, statusCode }) => [attempt, outcome, statusCode]),
      [
        [2, 'delivered', 204],
        [1, 'failed', 500],
      ],
    );
    assert.deepEqual(new Set(state.calls.map((call) => call.id)).size, 1);
    assert.equal(state.calls[0]?.body, state.calls[1]?.body);
    await until('nothing waits', async () => (await pendingOf(id)) === 0 || undefined);
    await until('it works', async () => {
      const found = await store.webhookEndpoints.find(id);
      return found?.failingSince === undefined || undefined;
    });
  });

  it('fail by a timeout and by a redirect, which is not followed; Retry-After is honoured', async () => {
    const hanging = await endpointOf(() => {});
    const target = await endpointOf(ok);
    const moved = await endpointOf(status(302, { location: target.url }));
    const busy = await endpointOf(status(429, { 'retry-after': '7200' }));
    for (const { tenantId } of [hanging, moved, busy]) tell(tenantId);
    const [late] = await untilAttempts(hanging.attempts, 1);
    assert.equal(late?.statusCode, undefined);
    assert.match(late?.detail ?? '', /no complete answer within 600 ms/);
    const [redirected] = await untilAttempts(moved.attempts, 1);
    assert.deepEqual([redirected?.outcome, redirected?.statusCode], ['failed', 302]);
    assert.equal(target.state.calls.length, 0);
    const [throttled] = await untilAttempts(busy.attempts, 1);
    const waitMs = Date.parse(throttled?.nextAttemptAt ?? '') - Date.now();
    assert.ok(waitMs > 7_190_000 && waitMs <= 7_200_000, `${waitMs}`);
    const { messageId } = tell(busy.tenantId);
    await untilAcknowledged(messageId);
    assert.equal(busy.state.calls.length, 1, 'nothing else is sent to it meanwhile');
    assert.equal(await pendingOf(busy.id), 2);
  });

  it('end with 410: the endpoint is disabled with an alert, and what waits goes on once it is enabled', async () => {
    const { id, tenantId, state } = await endpointOf(status(410));
    tell(tenantId);
    const found = await until('it is disabled', async () => {
      const endpoint = await store.webhookEndpoints.find(id);
      return endpoint?.isEnabled === false ? endpoint : undefined;
    });
    assert.equal(found.disabled?.code, 'gone');
    const alert = await until('the alert', () =>
      alerts.find(({ endpointId }) => endpointId === id),
    );
    assert.deepEqual([alert['kind'], alert['tenantId']], ['webhook-endpoint-disabled', tenantId]);
    await pause(1500);
    const { messageId } = tell(tenantId);
    await untilAcknowledged(messageId);
    await pause(5000);
    assert.equal(state.calls.length, 1, 'it is called no more');
    state.answer = ok;
    await store.webhookEndpoints.enable(id);
    await until('what waited arrives', () => state.calls.length === 2 || undefined);
  });

  it('disable an endpoint at which nothing has succeeded for five days', async () => {
    const { id, tenantId } = await endpointOf(status(500));
    await store.webhookEndpoints.markFailing(id, Date.now() - disableAfterMs - 1000);
    await pause(1500);
    tell(tenantId);
    await until('it is disabled', async () => {
      const endpoint = await store.webhookEndpoints.find(id);
      return endpoint?.disabled?.code === 'failing' || undefined;
    });
    await until('the alert', () => alerts.find(({ endpointId }) => endpointId === id));
  });

  it('leave a slow endpoint behind: a fast one of the same tenant gets all at once', async () => {
    const slow = await endpointOf(() => {});
    const fast = await endpointOf(ok, { tenantId: slow.tenantId });
    const messages = Array.from({ length: 300 }, () => tell(slow.tenantId).messageId);
    await until('the fast one has all', () => fast.state.calls.length >= 300 || undefined, {
      timeoutMs: 10_000,
      seen: () => fast.state.calls.length,
    });
    for (const messageId of messages) await untilAcknowledged(messageId);
    assert.ok(slow.state.most <= mostAtOnce, `${slow.state.most} at once`);
    assert.equal(await pendingOf(slow.id), 300);
    // Broken by now: one call at a time, and all arrives once it answers.
    slow.state.answer = ok;
    const arrived = () => new Set(slow.state.calls.map(({ id }) => id)).size;
    await until('the slow one has all', () => arrived() === 300 || undefined, { seen: arrived });
    await until('nothing waits', async () => (await pendingOf(slow.id)) === 0 || undefined);
  });

  it('are signed with both secrets while they change over', async () => {
    const { id, tenantId, state } = await endpointOf(ok);
    const old = state.secret;
    const { secret } = await store.webhookEndpoints.rotateSecret(tenantId, id, 60_000);
    await pause(1200);
    tell(tenantId);
    const call = await until('it arrives for the old secret', () => state.calls[0]);
    assert.equal(call.headers['webhook-signature']?.split(' ').length, 2);
    for (const one of [old, secret])
      assert.deepEqual(new Webhook(one).verify(call.body, call.headers), call.event);
    await store.webhookEndpoints.rotateSecret(tenantId, id, 0);
    await pause(1200);
    tell(tenantId);
    await until('neither of them signs any more', () => state.forged === 1 || undefined);
    assert.equal(state.calls.length, 1);
  });

  it('come again when a process stops in the middle of a call', async () => {
    const { id, tenantId, state } = await endpointOf(() => {});
    const snapshot = tell(tenantId);
    await until('the call is under way', () => state.calls.length === 1 || undefined);
    await running.stop();
    assert.ok(!acknowledged.has(snapshot.messageId));
    assert.equal(await pendingOf(id), 0);
    state.answer = ok;
    running = await run(true);
    waiting.push(eventDelivery(names.results, snapshot));
    await untilAcknowledged(snapshot.messageId);
    assert.deepEqual(state.calls[0]?.event, state.calls[1]?.event);
  });

  it('do not reach a private address where that is not allowed', async () => {
    await running.stop();
    running = await run(false);
    const { tenantId, state, attempts } = await endpointOf(ok);
    const named = await endpointOf(ok, {
      tenantId,
      url: `${origin.replace('127.0.0.1', 'localhost')}/hook-${serial}?of=test`,
    });
    tell(tenantId);
    for (const list of [attempts, named.attempts]) {
      const [attempt] = await untilAttempts(list, 1);
      assert.equal(attempt?.outcome, 'failed');
      assert.match(attempt?.detail ?? '', /EPRIVATE/);
    }
    assert.equal(state.calls.length + named.state.calls.length, 0);
  });
});
