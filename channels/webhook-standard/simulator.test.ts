import assert from 'node:assert/strict';
import { after, beforeEach, test } from 'node:test';
import { request } from 'undici';
import { Webhook } from 'standardwebhooks';
import { createControlHandler } from '../sandbox/control.ts';
import { listenHttp } from '../sandbox/http-listener.ts';
import { mountSimulator } from '../sandbox/start-sandbox.ts';
import { sandboxWebhookStandard } from './demo.ts';
import { createWebhookStandardSimulator } from './simulator.ts';

const anyPort = { host: '127.0.0.1', port: 0 };
const simulator = createWebhookStandardSimulator(sandboxWebhookStandard);
const listener = await mountSimulator(simulator, anyPort);
const controls = await listenHttp(createControlHandler(simulator.routes), anyPort);
after(async () => {
  await listener.close();
  await controls.close();
});
beforeEach(() => simulator.reset());

const { secret } = sandboxWebhookStandard;
const event = JSON.stringify({
  type: 'a.b',
  timestamp: new Date().toISOString(),
  data: { x: '1' },
});

interface Change {
  readonly path?: string;
  readonly method?: 'GET' | 'POST';
  readonly body?: string;
  readonly signedBody?: string;
  readonly ageSeconds?: number;
  readonly signWith?: string;
  readonly headers?: Record<string, string>;
  readonly id?: string;
}
/** A call that is right but for `change`; its status. */
async function status(change: Change = {}): Promise<number> {
  const { body = event, ageSeconds = 0, id = 'msg_1' } = change;
  const sentAt = new Date(Date.now() - ageSeconds * 1000);
  const signature = new Webhook(change.signWith ?? secret).sign(
    id,
    sentAt,
    change.signedBody ?? body,
  );
  const method = change.method ?? 'POST';
  const answer = await request(`${listener.url}/${change.path ?? 'orders'}`, {
    method,
    headers: {
      'content-type': 'application/json',
      'webhook-id': id,
      'webhook-timestamp': String(Math.floor(sentAt.getTime() / 1000)),
      'webhook-signature': signature,
      ...change.headers,
    },
    ...(method === 'POST' && { body }),
  });
  await answer.body.dump();
  return answer.statusCode;
}
async function control(method: 'GET' | 'PUT', path: string, body?: unknown): Promise<unknown> {
  const answer = await request(`${controls.url}/webhook-standard/${path}`, {
    method,
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });
  return answer.body.json();
}

test('a genuine event is taken', async () => {
  assert.equal(await status(), 200);
  assert.equal(simulator.device.find().entries[0]?.text, 'a.b {"x":"1"}');
});

test('what a careful receiver refuses is refused and not taken', async () => {
  const refused: [number, Change][] = [
    [401, { signWith: 'whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA' }],
    [401, { signedBody: `${event} ` }],
    [401, { ageSeconds: 301 }],
    [401, { ageSeconds: -301 }],
    [401, { headers: { 'webhook-id': 'msg_2' } }],
    [401, { headers: { 'webhook-signature': '' } }],
    [405, { method: 'GET' }],
    [415, { headers: { 'content-type': 'text/plain' } }],
    [413, { body: JSON.stringify({ data: 'x'.repeat(20_000) }) }],
    [400, { body: '{"type":"a","data":{}}' }],
    [400, { body: '{"type":"a","timestamp":"yesterday","data":{}}' }],
    [400, { body: '[]' }],
    [400, { body: 'no json' }],
  ];
  for (const [expected, change] of refused)
    assert.equal(await status(change), expected, JSON.stringify(change).slice(0, 80));
  assert.equal(simulator.accepted.total(), 0);
});

test('repeats of an id are counted, and shown once', async () => {
  for (const id of ['msg_1', 'msg_1', 'msg_1', 'msg_2']) await status({ id });
  assert.equal(simulator.accepted.total(), 4);
  assert.equal(simulator.device.total(), 2);
  assert.deepEqual(await control('GET', 'repeats'), [{ ref: 'msg_1', count: 3 }]);
});

test('receivers named after a behaviour have it, and others can be told', async () => {
  const statuses = { moved: 301, 'bad-request': 400, gone: 410, busy: 429, unavailable: 503 };
  for (const [path, expected] of Object.entries({ ...statuses, 'no-content': 204, ok: 200 }))
    assert.equal(await status({ path }), expected, path);
  await control('PUT', 'receivers', { name: 'shop', behaviour: 'gone' });
  assert.equal(await status({ path: 'shop' }), 410);
  const own = 'whsec_BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB';
  await control('PUT', 'receivers', { name: 'shop', behaviour: 'ok', secret: own });
  assert.equal(await status({ path: 'shop' }), 401);
  assert.equal(await status({ path: 'shop', signWith: own }), 200);
});
