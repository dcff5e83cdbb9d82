import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { problem } from '../../contracts/problems.ts';
import { createApp, listen, type RunningServer } from '../../platform/http.ts';
import { createLogger } from '../../platform/logger.ts';
import { createMetrics, type Metrics } from '../../platform/metrics.ts';
import { createSealer } from '../../platform/seal.ts';
import { createStore, type FirstRead, type Inbox, type Store } from '../../store/index.ts';
import { readEvents, type EventReader, type ReadEvent } from '../../tests/event-stream.ts';
import { testMysqlUrl, until } from '../../tests/stack.ts';
import type { InboxCaller } from './authenticate.ts';
import { createEventStreams, type EventStreams } from './event-streams.ts';
import { inboxRoutes } from './routes.ts';
import { createUserTokens } from './user-tokens.ts';

const sealer = createSealer([`test:${Buffer.alloc(32, 7).toString('base64')}`]);
const mysqlUrl = await testMysqlUrl();
const logged: unknown[] = [];
const logger = Object.assign(createLogger('test', 'fatal'), {
  error: (fields: unknown) => void logged.push(fields),
});
const tokens = createUserTokens(sealer);
const tenants: Record<string, string> = {
  'Bearer key-of-demo': 'demo',
  'Bearer key-of-other': 'other',
};
const told: [string, readonly FirstRead[]][] = [];
const readers: EventReader[] = [];
let store: Store;
let streams: EventStreams;
let metrics: Metrics;
let server: RunningServer;
let url: string;
let count = 0;

const callerOfKey = async ({ authorization }: Readonly<Record<string, string | undefined>>) => {
  const tenantId = tenants[authorization ?? ''];
  if (tenantId === undefined) throw problem('unauthorized');
  return { tenantId };
};

async function start(
  times: { pollMs?: number; heartbeatMs?: number; drainMs?: number },
  inbox = store.inbox,
) {
  const metrics = createMetrics();
  const streams = createEventStreams({ inbox, logger, metrics, times });
  const app = createApp<InboxCaller>({
    routes: inboxRoutes({
      inbox,
      streams,
      tokens,
      callerOfKey,
      tellRead: async (tenantId, items) => void told.push([tenantId, items]),
    }),
    authenticate: callerOfKey,
    logger,
    metrics: createMetrics(),
    notReady: () => [],
  });
  return { streams, metrics, server: await listen(app, '127.0.0.1', 0) };
}

before(async () => {
  store = createStore({ mysqlUrl, sealer, slots: 1, logger });
  await store.migrate();
  ({ streams, server, metrics } = await start({ pollMs: 50, heartbeatMs: 300, drainMs: 700 }));
  url = `http://127.0.0.1:${server.port}`;
});
after(async () => {
  for (const reader of readers) reader.close();
  await streams.close();
  await server.close();
  await store.close();
});

const newUser = () => `u-${(count += 1)}`;
async function put(userId: string, title = 'Notice'): Promise<string> {
  count += 1;
  const id = `msg_${String(count).padStart(26, '0')}.0.${'0'.repeat(16)}`;
  const entry = { tenantId: 'demo', userId, id, accountId: 'acc_1', keepDays: 90 };
  await store.inbox.put({ ...entry, content: { title, body: '您好 😀\n第二行' } });
  return id;
}
async function call(
  method: string,
  path: string,
  options: { body?: unknown; bearer?: string } = {},
) {
  const response = await fetch(url + path, {
    method,
    headers: {
      authorization: `Bearer ${options.bearer ?? 'key-of-demo'}`,
      ...(options.body !== undefined && { 'content-type': 'application/json' }),
    },
    ...(options.body !== undefined && { body: JSON.stringify(options.body) }),
  });
  const text = await response.text();
  return {
    status: response.status,
    headers: response.headers,
    body: (text === '' ? {} : JSON.parse(text)) as Record<string, unknown>,
  };
}
async function events(userId: string, more = '', headers: Record<string, string> = {}) {
  const authorization = 'Bearer key-of-demo';
  const path = `/v1/inbox/${encodeURIComponent(userId)}/events${more}`;
  const reader = await readEvents(url + path, { authorization, ...headers });
  readers.push(reader);
  return reader;
}
const tokenOf = (userId: string, lifeMs = 60_000) =>
  tokens.issue({ tenantId: 'demo', userId, expiresAtMs: Date.now() + lifeMs });
const itemOf = (event: ReadEvent | undefined) =>
  event?.data['item'] as { id: string; title: string; body: string };
const pointerOf = (body: Record<string, unknown>) =>
  (body['errors'] as { pointer: string }[] | undefined)?.[0]?.pointer;

describe('items', () => {
  it('are listed with count and cursor, read, archived, and counted', async () => {
    const userId = newUser();
    const [a, b] = [await put(userId, 'a'), await put(userId, 'b')];
    const path = `/v1/inbox/${userId}`;
    const first = await call('GET', `${path}/items?limit=1`);
    assert.equal(first.status, 200);
    assert.deepEqual(
      { ...first.body, items: (first.body['items'] as { id: string }[]).map(({ id }) => id) },
      { items: [b], nextCursor: '2', unread: 2, lastEventId: '2' },
    );
    const next = await call('GET', `${path}/items?limit=1&cursor=2`);
    assert.deepEqual(next.body['nextCursor'], undefined);
    const read = await call('POST', `${path}/items/${a}/read`);
    assert.equal(read.status, 200);
    assert.equal(read.body['unread'], 1);
    assert.deepEqual(told.at(-1), ['demo', [{ itemId: a, accountId: 'acc_1' }]]);
    const tellings = told.length;
    assert.deepEqual((await call('POST', `${path}/items/${a}/read`)).body, read.body);
    assert.equal(told.length, tellings);
    assert.deepEqual((await call('GET', `${path}/unread`)).body, { count: 1, lastEventId: '3' });
    assert.equal((await call('POST', `${path}/items/${b}/archive`)).body['unread'], 0);
    const archived = await call('GET', `${path}/items?filter=archived`);
    assert.equal((archived.body['items'] as unknown[]).length, 1);
    assert.equal((await call('POST', `${path}/items/${b}/unarchive`)).body['unread'], 1);
    assert.equal((await call('POST', `${path}/read-all?upTo=1`)).body['count'], 0);
    assert.deepEqual((await call('POST', `${path}/read-all`)).body, { count: 1, unread: 0 });
    assert.deepEqual(told.at(-1), ['demo', [{ itemId: b, accountId: 'acc_1' }]]);
  });
  it('unknown ones are 404, also those of another person or tenant', async () => {
    const [mine, theirs] = [newUser(), newUser()];
    await put(mine);
    const id = await put(theirs);
    for (const path of [`${mine}/items/${id}/read`, `${mine}/items/nonsense/archive`]) {
      const { status, body } = await call('POST', `/v1/inbox/${path}`);
      assert.deepEqual([status, body['type']], [404, 'urn:message-center:problem:not-found']);
    }
    const other = { bearer: 'key-of-other' };
    assert.equal((await call('POST', `/v1/inbox/${theirs}/items/${id}/read`, other)).status, 404);
    const { body } = await call('GET', `/v1/inbox/${theirs}/items`, other);
    assert.deepEqual(body, { items: [], unread: 0, lastEventId: '0' });
  });
  it('bad input is a problem that names the field and not the person', async () => {
    const bad = [
      ['GET', '/v1/inbox/u-1/items?filter=old', 'query/filter'],
      ['GET', '/v1/inbox/u-1/items?limit=101', 'query/limit'],
      ['GET', '/v1/inbox/u-1/items?cursor=-1', 'query/cursor'],
      ['GET', '/v1/inbox/u-1/items?token=mcu_x', 'query'],
      ['POST', '/v1/inbox/u-1/read-all?upTo=x', 'query/upTo'],
      ['GET', '/v1/inbox/%20zhang/items', 'path/userId'],
      ['GET', '/v1/inbox/%20zhang/unread', 'path/userId'],
    ] as const;
    for (const [method, path, pointer] of bad) {
      const { status, body } = await call(method, path);
      assert.equal(status, 422, path);
      assert.ok(pointerOf(body)?.startsWith(pointer), `${path}: ${JSON.stringify(body)}`);
      assert.ok(!JSON.stringify(body).includes('zhang'));
    }
    for (const body of [{ expiresIn: 59 }, { expiresIn: 90_000 }, { expiresIn: '60' }, { ttl: 60 }])
      assert.equal((await call('POST', '/v1/inbox/u-1/tokens', { body })).status, 422);
  });
});

describe('user tokens', () => {
  it('open their own inbox, for their time, and nothing else', async () => {
    const userId = newUser();
    const id = await put(userId);
    const made = await call('POST', `/v1/inbox/${userId}/tokens`, { body: { expiresIn: 60 } });
    assert.equal(made.status, 201);
    const bearer = String(made.body['token']);
    assert.match(bearer, /^mcu_[A-Za-z0-9._-]{50,400}$/);
    assert.ok(!Buffer.from(bearer.split('.')[2] ?? '', 'base64url').includes(userId));
    assert.ok(Math.abs(Date.parse(String(made.body['expiresAt'])) - Date.now() - 60_000) < 5000);
    const path = `/v1/inbox/${userId}`;
    assert.equal((await call('GET', `${path}/items`, { bearer })).status, 200);
    assert.equal((await call('POST', `${path}/items/${id}/read`, { bearer })).status, 200);
    assert.equal((await call('GET', `/v1/inbox/${newUser()}/items`, { bearer })).status, 403);
    assert.equal((await call('POST', `${path}/tokens`, { bearer, body: {} })).status, 401);
    const expired = await call('GET', `${path}/items`, { bearer: tokenOf(userId, -1) });
    assert.equal(expired.status, 401);
    assert.match(String(expired.body['detail']), /expired/);
    for (const forged of [`${bearer.slice(0, -2)}AA`, 'mcu_', 'mcu_v1.test.AAAA', 'mcu_a.b.c'])
      assert.equal((await call('GET', `${path}/items`, { bearer: forged })).status, 401, forged);
    const sealedElsewhere = `mcu_${sealer.seal('{"tenantId":"demo"}', 'receipt:1')}`;
    assert.equal((await call('GET', `${path}/items`, { bearer: sealedElsewhere })).status, 401);
  });
  it('go into the address of the event stream only', async () => {
    const userId = newUser();
    const token = tokenOf(userId);
    const get = (path: string) => fetch(`${url}/v1/inbox/${userId}/${path}`);
    for (const path of ['items', 'unread'])
      assert.equal((await get(`${path}?token=${token}`)).status, 401);
    assert.equal((await get('events')).status, 401);
    assert.equal((await get('events?token=key-of-demo')).status, 401);
    assert.equal((await get(`events?token=${tokenOf('somebody-else')}`)).status, 403);
    const reader = await readEvents(`${url}/v1/inbox/${userId}/events?token=${token}`);
    readers.push(reader);
    await reader.untilCount(1);
    reader.close();
  });
  it('end the stream that they opened with their own end', async () => {
    const userId = newUser();
    const reader = await readEvents(
      `${url}/v1/inbox/${userId}/events?token=${tokenOf(userId, 800)}`,
    );
    await reader.untilCount(1);
    assert.equal(reader.isOver(), false);
    await until('the stream is over', () => reader.isOver() || undefined, { timeoutMs: 5000 });
  });
  it('let pages of any site call, but not make tokens', async () => {
    const preflight = await fetch(`${url}/v1/inbox/u-1/items`, { method: 'OPTIONS' });
    assert.equal(preflight.status, 204);
    assert.equal(preflight.headers.get('access-control-allow-origin'), '*');
    assert.match(preflight.headers.get('access-control-allow-headers') ?? '', /authorization/);
    const refused = await fetch(`${url}/v1/inbox/u-1/items`);
    assert.equal(refused.status, 401);
    assert.equal(refused.headers.get('access-control-allow-origin'), '*');
    const minting = await fetch(`${url}/v1/inbox/u-1/tokens`, { method: 'OPTIONS' });
    assert.equal(minting.status, 405);
    assert.equal(minting.headers.get('access-control-allow-origin'), null);
  });
});

describe('event streams', () => {
  it('tell what happens from now on, each with its id and the count', async () => {
    const userId = newUser();
    await put(userId);
    const reader = await events(userId);
    assert.equal(reader.status, 200);
    assert.match(reader.headers.get('content-type') ?? '', /^text\/event-stream/);
    assert.equal(reader.headers.get('cache-control'), 'no-store');
    assert.equal(reader.headers.get('x-accel-buffering'), 'no');
    await reader.untilCount(1);
    const id = await put(userId, 'new');
    await reader.untilCount(2);
    await call('POST', `/v1/inbox/${userId}/items/${id}/read`);
    await call('POST', `/v1/inbox/${userId}/items/${id}/archive`);
    await store.inbox.recall({ tenantId: 'demo', userId, id });
    await call('POST', `/v1/inbox/${userId}/read-all`);
    const seen = await reader.untilCount(6);
    assert.deepEqual(
      seen.map(({ name, id, data }) => [name, id, data['unread']]),
      [
        ['ready', '1', 1],
        ['item', '2', 2],
        ['read', '3', 1],
        ['archived', '4', 1],
        ['recalled', '5', 1],
        ['read-all', '6', 0],
      ],
    );
    const { title, body } = itemOf(seen[1]);
    assert.deepEqual([title, body], ['new', '您好 😀\n第二行']);
    assert.equal(seen[2]?.data['itemId'], id);
    assert.equal(seen[5]?.data['upTo'], 5);
    await until('a heartbeat', () => reader.comments() > 0 || undefined, { timeoutMs: 3000 });
  });
  it('go on exactly where they were left, also over more than one page of changes', async () => {
    const userId = newUser();
    await put(userId);
    const first = await events(userId);
    await first.untilCount(1);
    first.close();
    for (let index = 0; index < 120; index += 1) await put(userId);
    const again = await events(userId, '', { 'last-event-id': first.lastEventId() });
    const seen = await again.untilCount(120);
    assert.deepEqual(
      seen.map(({ name, id }) => [name, id]),
      Array.from({ length: 120 }, (_, index) => ['item', String(index + 2)]),
    );
    await put(userId);
    assert.equal((await again.untilCount(121))[120]?.id, '122');
    const byQuery = await events(userId, '?lastEventId=120');
    assert.deepEqual(
      (await byQuery.untilCount(2)).map(({ id }) => id),
      ['121', '122'],
    );
    const both = await events(userId, '?lastEventId=3', { 'last-event-id': '121' });
    assert.deepEqual(
      (await both.untilCount(1)).map(({ id }) => id),
      ['122'],
    );
  });
  it('miss nothing between a list and a stream that starts with its cursor', async () => {
    const userId = newUser();
    await put(userId);
    const { body } = await call('GET', `/v1/inbox/${userId}/items`);
    const id = await put(userId);
    const reader = await events(userId, `?lastEventId=${String(body['lastEventId'])}`);
    const [event] = await reader.untilCount(1);
    assert.equal(itemOf(event).id, id);
  });
  it('send the reader back to its list when its place is unknown, nonsense or too old', async () => {
    const userId = newUser();
    for (let index = 0; index < 3; index += 1) await put(userId);
    for (const place of ['99', 'nonsense', '-1', '1e3', '01']) {
      const reader = await events(userId, `?lastEventId=${place}`);
      const [event] = await reader.untilCount(1);
      assert.deepEqual(
        [event?.name, event?.id, event?.data],
        ['resync', '3', { unread: 3 }],
        place,
      );
      reader.close();
    }
  });
  it('serve two tabs alike, of which one does something', async () => {
    const userId = newUser();
    const tabs = [await events(userId), await events(userId)];
    const id = await put(userId);
    for (const tab of tabs) await tab.untilCount(2);
    await call('POST', `/v1/inbox/${userId}/items/${id}/read`);
    for (const tab of tabs)
      assert.deepEqual(
        (await tab.untilCount(3)).map(({ name }) => name),
        ['ready', 'item', 'read'],
      );
  });
  it('are 20 a person at most', async () => {
    const userId = newUser();
    const open = await Promise.all(Array.from({ length: 20 }, () => events(userId)));
    for (const reader of open) await reader.untilCount(1);
    const refused = await events(userId);
    assert.equal(refused.status, 429);
    assert.ok(Number(refused.headers.get('retry-after')) > 0);
    open[0]?.close();
    await until(
      'there is room again',
      async () => {
        const reader = await events(userId);
        return reader.status === 200 ? true : undefined;
      },
      { timeoutMs: 5000 },
    );
    for (const reader of open) reader.close();
  });
  it('a HEAD is answered and opens none', async () => {
    const headers = { authorization: 'Bearer key-of-demo' };
    const answer = await fetch(`${url}/v1/inbox/u-1/events`, { method: 'HEAD', headers });
    assert.equal(answer.status, 200);
  });
  it('a reader that takes nothing is dropped, and nobody else waits for it', async () => {
    const userId = newUser();
    const body = '长'.repeat(20_000);
    for (let index = 0; index < 150; index += 1) {
      count += 1;
      const id = `msg_${String(count).padStart(26, '0')}.0.${'0'.repeat(16)}`;
      const entry = { tenantId: 'demo', userId, id, accountId: 'acc_1', keepDays: 90 };
      await store.inbox.put({ ...entry, content: { title: 'long', body } });
    }
    const socket = connect(server.port, '127.0.0.1');
    let isClosed = false;
    socket.on('close', () => (isClosed = true)).on('error', () => {});
    socket.pause();
    socket.write(
      `GET /v1/inbox/${userId}/events?lastEventId=0 HTTP/1.1\r\nhost: x\r\nauthorization: Bearer key-of-demo\r\n\r\n`,
    );
    const other = await events(userId, '?lastEventId=0');
    await other.untilCount(150);
    // Its own end reaches it only when it reads on; it must then get less than all.
    await new Promise((resolve) => setTimeout(resolve, 2000));
    let bytes = 0;
    socket.on('data', (chunk: Buffer) => (bytes += chunk.length));
    socket.resume();
    await until('the slow one is dropped', () => isClosed || undefined, { timeoutMs: 10_000 });
    assert.ok(bytes < 150 * 60_000, `${bytes} bytes came`);
    assert.match(await metrics.text(), /inbox_streams_ended_total\{reason="too-slow"\} 1\n/);
  });
  it('stay open while the database is away, and tell what happened once it answers', async () => {
    const userId = newUser();
    let isAway = true;
    const ask = <R>(question: () => Promise<R>): Promise<R> =>
      isAway ? Promise.reject(problem('store-unavailable')) : question();
    const inbox: Inbox = {
      ...store.inbox,
      position: (owner) => ask(() => store.inbox.position(owner)),
      changes: (owner, after, limit) => ask(() => store.inbox.changes(owner, after, limit)),
      lastNumbers: (owners) => ask(() => store.inbox.lastNumbers(owners)),
    };
    const mine = await start({ pollMs: 50 }, inbox);
    const here = `http://127.0.0.1:${mine.server.port}/v1/inbox/${userId}/events?lastEventId=0`;
    const reader = await readEvents(here, { authorization: 'Bearer key-of-demo' });
    assert.equal(reader.status, 200);
    const asked = await fetch(here.replace(/events.*/, 'unread'), {
      headers: { authorization: 'Bearer key-of-demo' },
    });
    assert.equal(asked.status, 503);
    const [line] = logged.slice(-1) as { path: string }[];
    assert.equal(line?.path, '/v1/inbox/:userId/unread', 'a log must not name the person');
    await put(userId);
    isAway = false;
    await reader.untilCount(1);
    isAway = true;
    await put(userId);
    await new Promise((resolve) => setTimeout(resolve, 200));
    assert.equal(reader.events.length, 1);
    isAway = false;
    assert.equal((await reader.untilCount(2))[1]?.id, '2');
    await mine.streams.close();
    await mine.server.close();
  });
});

describe('the end of a process', () => {
  it('ends its streams at once, so that they go on elsewhere', async () => {
    const mine = await start({ pollMs: 50 });
    const here = `http://127.0.0.1:${mine.server.port}`;
    const headers = { authorization: 'Bearer key-of-demo' };
    const userId = newUser();
    const reader = await readEvents(`${here}/v1/inbox/${userId}/events`, headers);
    await reader.untilCount(1);
    const startedAt = Date.now();
    await mine.streams.close();
    await assert.rejects(fetch(`${here}/v1/inbox/${userId}/events`, { headers }));
    await mine.server.close();
    assert.ok(Date.now() - startedAt < 3000, `${Date.now() - startedAt} ms`);
    assert.equal(reader.isOver(), true);
  });
});
