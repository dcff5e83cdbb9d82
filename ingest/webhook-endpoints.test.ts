import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { problem } from '../contracts/problems.ts';
import { createNames } from '../contracts/topics.ts';
import { createElasticsearch } from '../platform/elasticsearch.ts';
import { createApp, listen, type RunningServer } from '../platform/http.ts';
import { createLogger } from '../platform/logger.ts';
import { createMetrics } from '../platform/metrics.ts';
import { createSealer } from '../platform/seal.ts';
import { createStore } from '../store/index.ts';
import { createMessageIndex } from '../store/message-index.ts';
import { sampleSnapshot } from '../tests/message-samples.ts';
import { freshPrefix, testElasticsearchUrl, testMysqlUrl } from '../tests/stack.ts';
import { webhookAttemptRoutes } from './webhook-attempts.ts';
import { webhookEndpointRoutes } from './webhook-endpoints.ts';

const logger = createLogger('test', 'fatal');
const sealer = createSealer([`test:${Buffer.alloc(32, 7).toString('base64')}`]);
const store = createStore({ mysqlUrl: await testMysqlUrl(), sealer, slots: 4, logger });
const client = createElasticsearch({ url: await testElasticsearchUrl() });
const names = createNames(freshPrefix());
const index = createMessageIndex({ client, names, logger });
const base = '/v1/webhook-endpoints';
const url = 'https://shop.example/hooks';

interface Caller {
  readonly tenantId: string;
}
let server: RunningServer;
before(async () => {
  await store.migrate();
  await index.install();
  const app = createApp<Caller>({
    routes: [
      ...webhookEndpointRoutes<Caller>({ store, allowPrivateProviders: false, logger }),
      ...webhookAttemptRoutes<Caller>({ store, index, logger }),
    ],
    authenticate: async ({ authorization }) => {
      if (authorization === undefined) throw problem('unauthorized');
      return { tenantId: authorization };
    },
    logger,
    metrics: createMetrics(),
    notReady: () => [],
  });
  server = await listen(app, '127.0.0.1', 0);
});
after(async () => {
  await server.close();
  await index.dropOlderThan('2100-01-01');
  await client.close();
  await store.close();
});

interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: Record<string, unknown> & {
    errors?: { pointer: string }[];
    items?: Record<string, unknown>[];
  };
}
async function call(
  method: string,
  path: string,
  options: { body?: unknown; ifMatch?: string; tenant?: string } = {},
): Promise<Answer> {
  const { body, ifMatch, tenant = 'shop' } = options;
  const response = await fetch(`http://127.0.0.1:${server.port}${path}`, {
    method,
    headers: {
      authorization: tenant,
      ...(body !== undefined && { 'content-type': 'application/json' }),
      ...(ifMatch !== undefined && { 'if-match': ifMatch }),
    },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });
  const text = await response.text();
  const parsed: Answer['body'] = text === '' ? {} : JSON.parse(text);
  return { status: response.status, headers: response.headers, body: parsed };
}
const codeOf = ({ body }: Answer) =>
  String(body['type']).replace('urn:message-center:problem:', '');
const make = async (body: unknown = { url }, tenant = 'shop') => {
  const made = await call('POST', base, { body, tenant });
  assert.equal(made.status, 201, JSON.stringify(made.body));
  return { id: String(made.body['id']), made };
};
const due = async (id: string) =>
  (await store.webhookDeliveries.take(id, Date.now() + 1000, 2000)).map(({ eventId }) => eventId);

describe('webhook endpoints over HTTP', () => {
  it('are made, read, edited by one at a time, and deleted; the secret is shown once', async () => {
    const { id, made } = await make({ url, statuses: ['failed'], description: 'ERP' });
    assert.equal(made.headers.get('location'), `${base}/${id}`);
    assert.equal(made.headers.get('etag'), '"1"');
    const { secret, ...shown } = made.body;
    assert.match(String(secret), /^whsec_/);
    assert.deepEqual((await call('GET', `${base}/${id}`)).body, shown);
    assert.deepEqual((await call('GET', base)).body.items, [shown]);
    const body = { url: `${url}/2`, isEnabled: false };
    assert.equal((await call('PUT', `${base}/${id}`, { body })).status, 428);
    const edited = await call('PUT', `${base}/${id}`, { body, ifMatch: '"1"' });
    assert.deepEqual(
      [edited.status, edited.headers.get('etag'), edited.body['isEnabled']],
      [200, '"2"', false],
    );
    assert.equal((await call('PUT', `${base}/${id}`, { body, ifMatch: '"1"' })).status, 412);
    const rotated = await call('POST', `${base}/${id}/rotate-secret`, { body: {} });
    assert.notEqual(rotated.body['secret'], secret);
    assert.equal(typeof rotated.body['previousSecretUntil'], 'string');
    assert.equal((await call('DELETE', `${base}/${id}`, { ifMatch: '"2"' })).status, 412);
    assert.equal((await call('DELETE', `${base}/${id}`, { ifMatch: '"3"' })).status, 204);
    assert.equal((await call('GET', `${base}/${id}`)).status, 404);
  });

  it('are not there for another tenant, by any route', async () => {
    const { id } = await make();
    const tenant = 'other';
    for (const [method, path, options] of [
      ['GET', '', {}],
      ['PUT', '', { body: { url }, ifMatch: '"1"' }],
      ['DELETE', '', { ifMatch: '"1"' }],
      ['POST', '/rotate-secret', { body: {} }],
      ['GET', '/attempts', {}],
      ['POST', '/test', {}],
      ['POST', '/replay', { body: { from: '2026-01-01T00:00:00Z' } }],
    ] as const) {
      const answer = await call(method, `${base}/${id}${path}`, { ...options, tenant });
      assert.deepEqual([answer.status, codeOf(answer)], [404, 'not-found'], method + path);
    }
    assert.deepEqual((await call('GET', base, { tenant })).body.items, []);
  });

  it('name the field that is wrong', async () => {
    for (const [body, pointer] of [
      [{}, '/url'],
      [{ url: 'http://shop.example/' }, '/url'],
      [{ url: 'https://10.0.0.1/' }, '/url'],
      [{ url: 'https://0x7f.1/' }, '/url'],
      [{ url: 'https://[::1]/' }, '/url'],
      [{ url: 'https://user:secret@shop.example/' }, '/url'],
      [{ url: 'https://shop.example/#x' }, '/url'],
      [{ url: `https://shop.example/${'x'.repeat(500)}` }, '/url'],
      [{ url, statuses: [] }, '/statuses'],
      [{ url, statuses: ['retrying'] }, '/statuses/0'],
      [{ url, secret: 'whsec_mine' }, '/secret'],
    ] as const) {
      const answer = await call('POST', base, { body });
      assert.equal(answer.status, 422, JSON.stringify([body, answer.body]));
      assert.equal(answer.body.errors?.[0]?.pointer, pointer, JSON.stringify(answer.body));
    }
    const { id } = await make();
    const from = '2026-11-21T00:00:00Z';
    for (const [body, pointer] of [
      [{}, '/from'],
      [{ messageIds: ['x'] }, '/messageIds/0'],
      [{ messageIds: [`msg_${'0'.repeat(26)}`], from }, '/from'],
      [{ from, until: from }, '/until'],
      [{ from: 'yesterday' }, '/from'],
      [{ from, cursor: 'nonsense' }, 'query/cursor'],
    ] as const) {
      const answer = await call('POST', `${base}/${id}/replay`, { body });
      assert.equal(answer.status, 422, JSON.stringify([body, answer.body]));
      assert.equal(answer.body.errors?.[0]?.pointer, pointer, JSON.stringify(answer.body));
    }
    const overlap = await call('POST', `${base}/${id}/rotate-secret`, {
      body: { overlapSeconds: 604_801 },
    });
    assert.equal(overlap.body.errors?.[0]?.pointer, '/overlapSeconds');
  });
});

describe('replays, pings and attempts', () => {
  it("queue the events of the tenant's own messages that the endpoint wants, page by page", async () => {
    const { id } = await make({ url, statuses: ['sent', 'delivered'] }, 'replayed');
    const startMs = Date.now() - 60_000;
    const at = (second: number) => new Date(startMs + second * 1000).toISOString();
    const of = (second: number, more: object = {}) =>
      sampleSnapshot({ tenantId: 'replayed', status: 'sent', updatedAt: at(second), ...more });
    const wanted = Array.from({ length: 1003 }, (_, number) => of(number % 50, { sequence: 3 }));
    const others = [
      of(5, { status: 'failed' }),
      of(5, { tenantId: 'somebody' }),
      of(-100),
      of(3000),
    ];
    await index.writeEvents([...wanted, ...others]);
    const tenant = 'replayed';
    const replay = (body: unknown) => call('POST', `${base}/${id}/replay`, { body, tenant });
    const first = await replay({ from: at(-1), until: at(100) });
    assert.deepEqual([first.status, first.body['queued']], [202, 1000]);
    const { nextCursor: cursor, until } = first.body;
    const second = await replay({ from: at(-1), until, cursor });
    assert.deepEqual([second.body['queued'], second.body['nextCursor']], [3, undefined]);
    const eventId = (snapshot: (typeof wanted)[number]) => `${snapshot.messageId}/0/3`;
    assert.deepEqual((await due(id)).toSorted(), wanted.map(eventId).toSorted());
    const messageIds = [wanted[0], ...others].map((snapshot) => snapshot?.messageId);
    assert.equal((await replay({ messageIds })).body['queued'], 3, 'time does not matter for ids');
  });

  it('are refused for a disabled endpoint, and show what was tried', async () => {
    const { id } = await make({ url }, 'tested');
    const tenant = 'tested';
    const tested = await call('POST', `${base}/${id}/test`, { tenant });
    assert.equal(tested.status, 202);
    assert.deepEqual(await due(id), [tested.body['eventId']]);
    const attempt = {
      eventId: String(tested.body['eventId']),
      type: 'webhook.ping',
      startedAt: new Date().toISOString(),
      durationMs: 12,
      attempt: 1,
      outcome: 'delivered' as const,
      statusCode: 200,
    };
    const rows = [1, 2, 3].map((number) => ({
      endpointId: id,
      attempt: { ...attempt, attempt: number },
    }));
    await store.webhookAttempts.record(rows);
    const page = await call('GET', `${base}/${id}/attempts?limit=2`, { tenant });
    assert.deepEqual(page.body.items, [
      { ...attempt, attempt: 3 },
      { ...attempt, attempt: 2 },
    ]);
    const cursor = String(page.body['nextCursor']);
    const rest = await call('GET', `${base}/${id}/attempts?limit=2&cursor=${cursor}`, { tenant });
    assert.deepEqual([rest.body.items, rest.body['nextCursor']], [[attempt], undefined]);
    await store.webhookEndpoints.disable(id, { code: 'by-hand' });
    for (const path of ['test', 'replay']) {
      const body = path === 'replay' ? { from: attempt.startedAt } : undefined;
      const answer = await call('POST', `${base}/${id}/${path}`, { body, tenant });
      assert.deepEqual([answer.status, codeOf(answer)], [409, 'endpoint-disabled']);
    }
  });
});
