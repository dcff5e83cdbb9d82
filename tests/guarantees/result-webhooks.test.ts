/** A service is told what became of its messages: every end, verified, at least once, through kills and outages. */
import assert from 'node:assert/strict';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, describe, it } from 'node:test';
import { Webhook } from 'standardwebhooks';
import { pause } from '../../platform/lifecycle.ts';
import { until } from '../stack.ts';
import { startSystem } from '../system.ts';

const system = await startSystem({
  // What a killed process had in hand comes again after this time.
  env: { MC_INVISIBLE_SECONDS: '10' },
  sandbox: { smsAliyun: { settings: { windows: null, receiptsPaused: true } } },
});

interface Call {
  readonly id: string;
  readonly type: string;
  readonly subject: string;
}

/** A service's receiver, which takes only what verifies. */
function createReceiver() {
  const calls: Call[] = [];
  let forged = 0;
  let secret = '';
  let server: Server | undefined;
  let port = 0;
  const up = async () => {
    server = createServer((request, response) => {
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.on('end', () => {
        const headers = request.headers as Record<string, string>;
        try {
          const body = Buffer.concat(chunks).toString('utf8');
          const { id, type, subject } = new Webhook(secret).verify(body, headers) as Call;
          assert.equal(id, headers['webhook-id']);
          calls.push({ id, type, subject });
          response.writeHead(204).end();
        } catch {
          forged += 1;
          response.writeHead(401).end();
        }
      });
    });
    await new Promise<void>((resolve) => server?.listen(port, '127.0.0.1', resolve));
    port = (server.address() as AddressInfo).port;
  };
  const down = async () => {
    server?.closeAllConnections();
    await new Promise<void>((resolve) =>
      server === undefined ? resolve() : server.close(() => resolve()),
    );
  };
  after(down);
  return {
    calls,
    up,
    down,
    forged: () => forged,
    url: () => `http://127.0.0.1:${port}/hooks`,
    trust: (newSecret: string) => (secret = newSecret),
  };
}

async function post(count: number, first: number): Promise<string[]> {
  const messages = Array.from({ length: count }, (_, index) => ({
    to: { phone: `153${String(first + index).padStart(8, '0')}` },
    template: 'order-shipped',
    variables: { orderId: `W-${first + index}` },
    metadata: { order: `W-${first + index}` },
  }));
  const { body } = await system.call('POST', '/v1/messages/batch', { messages });
  assert.equal(body['accepted'], count, JSON.stringify(body));
  return (body['results'] as { id: string }[]).map(({ id }) => id);
}

describe('result webhooks', () => {
  it('bring every end through kill -9 of jobs and a receiver that is down, beside a dead endpoint', async (t) => {
    const receiver = createReceiver();
    await receiver.up();
    const dead = await system.call('POST', '/v1/webhook-endpoints', {
      url: 'http://127.0.0.1:9/nobody',
    });
    assert.equal(dead.status, 201, JSON.stringify(dead.body));
    const made = await system.call('POST', '/v1/webhook-endpoints', { url: receiver.url() });
    receiver.trust(String(made.body['secret']));
    // At once: the endpoint counts for what is sent after its 201.
    const ids = await post(150, 0);
    const told = () => new Set(receiver.calls.map(({ subject }) => subject)).size;
    await until('some are told', () => told() >= 30 || undefined);
    await system.services.jobs.kill();
    const atKill = told();
    ids.push(...(await post(50, 1000)));
    await until('more are told', () => told() > atKill + 10 || undefined, { seen: told });
    await receiver.down();
    const atOutage = told();
    ids.push(...(await post(50, 2000)));
    await pause(3000);
    assert.equal(told(), atOutage);
    await receiver.up();
    await until('every end is told', () => told() >= ids.length || undefined, {
      timeoutMs: 60_000,
      seen: told,
    });
    t.diagnostic(
      `killed at ${atKill}, down at ${atOutage}, ${receiver.calls.length} calls for ${ids.length} ends`,
    );
    assert.equal(receiver.forged(), 0);
    assert.deepEqual(
      [...new Set(receiver.calls.map(({ subject }) => subject))].toSorted(),
      ids.toSorted(),
    );
    assert.ok(receiver.calls.every(({ type }) => type === 'message.sent'));
    // One id for each event, whatever was repeated.
    assert.equal(new Set(receiver.calls.map(({ id }) => id)).size, ids.length);
    const deadId = String(dead.body['id']);
    const attempts = await system.call('GET', `/v1/webhook-endpoints/${deadId}/attempts?limit=1`);
    const [attempt] = attempts.body['items'] as Record<string, unknown>[];
    assert.equal(attempt?.['outcome'], 'failed');
    assert.match(String(attempt?.['detail']), /ECONNREFUSED/);
  });

  it('are sent again by a replay, under the same ids, and by a ping at once', async () => {
    const receiver = createReceiver();
    await receiver.up();
    const from = new Date().toISOString();
    const [first = '', second = ''] = await post(2, 3000);
    for (const id of [first, second]) await system.untilStatus(id, ['sent']);
    const made = await system.call('POST', '/v1/webhook-endpoints', { url: receiver.url() });
    receiver.trust(String(made.body['secret']));
    const path = `/v1/webhook-endpoints/${String(made.body['id'])}`;
    assert.equal((await system.call('POST', `${path}/test`)).status, 202);
    const count = (type: string) => receiver.calls.filter((call) => call.type === type).length;
    await until('the ping', () => count('webhook.ping') === 1 || undefined);
    const replay = (body: unknown) => system.call('POST', `${path}/replay`, body);
    assert.equal((await replay({ from })).body['queued'], 2);
    // The endpoint was made so soon after them that they may be told without a replay, too.
    const ids = () =>
      new Set(receiver.calls.flatMap((c) => (c.type === 'message.sent' ? c.id : [])));
    await until('both are told', () => ids().size === 2 || undefined);
    const before = count('message.sent');
    assert.equal((await replay({ messageIds: [first] })).body['queued'], 1);
    await until('one is told again', () => count('message.sent') > before || undefined);
    assert.equal(ids().size, 2);
  });
});
