/** The in-site inbox: what is sent is there once, is seen at once, is never missed, and reading it is the message's status. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { EventSource } from 'undici';
import { createConnectors } from '../../channels/registry.ts';
import { inboxConnector } from '../../contracts/inbox.ts';
import { readEvents, type EventReader } from '../event-stream.ts';
import { until } from '../stack.ts';
import { startSystem } from '../system.ts';

const system = await startSystem({ connectors: [inboxConnector], env: { MC_LOG_LEVEL: 'debug' } });
const base = `http://127.0.0.1:${system.config.ingestPort}`;
const accountId = system.accountIds.get(inboxConnector) ?? '';
const { tenantId } = system;
const readers: EventReader[] = [];
after(() => readers.forEach((reader) => reader.close()));

const newUser = () => `zhang.wei.${randomUUID()}`;
const itemOf = ({ data }: { data: Record<string, unknown> }) =>
  data['item'] as { id: string; messageId: string; title: string; body: string };

async function post(userId: string, text: string, key?: string): Promise<string> {
  const message = {
    to: { userId },
    template: 'plain-notice',
    channel: 'inbox',
    variables: { text },
  };
  const headers = key === undefined ? {} : { 'idempotency-key': key };
  const { status, body } = await system.call('POST', '/v1/messages', message, headers);
  assert.equal(status, 202, JSON.stringify(body));
  return String(body['id']);
}
/** As the worker does it, so that something happens while ingest is away. */
async function put(userId: string, title: string): Promise<string> {
  const id = `msg_${randomUUID().replaceAll('-', '').slice(0, 26)}.0.0123456789abcdef`;
  const entry = { tenantId, userId, id, accountId, content: { title, body: '' }, keepDays: 90 };
  assert.equal(await system.store.inbox.put(entry), 'stored');
  return id;
}
async function tokenOf(userId: string): Promise<string> {
  const { status, body } = await system.call('POST', `/v1/inbox/${userId}/tokens`, {});
  assert.equal(status, 201, JSON.stringify(body));
  return String(body['token']);
}
async function listen(userId: string, headers: Record<string, string> = {}) {
  const token = await tokenOf(userId);
  const reader = await readEvents(`${base}/v1/inbox/${userId}/events?token=${token}`, headers);
  readers.push(reader);
  assert.equal(reader.status, 200);
  return reader;
}

describe('the inbox', () => {
  it('shows a message at once to everybody who looks, counts it, and reading it makes the message read', async () => {
    const userId = newUser();
    const tabs = [await listen(userId), await listen(userId)];
    for (const tab of tabs) await tab.untilCount(1);
    const messageId = await post(userId, '您的包裹已到 😀');
    for (const tab of tabs) {
      const [, event] = await tab.untilCount(2, 15_000);
      assert.ok(event !== undefined);
      assert.deepEqual([event.name, event.data['unread']], ['item', 1]);
      assert.equal(itemOf(event).messageId, messageId);
      assert.equal(itemOf(event).body, '您的包裹已到 😀');
    }
    await system.untilStatus(messageId, ['sent']);
    const path = `/v1/inbox/${userId}`;
    assert.equal((await system.call('GET', `${path}/unread`)).body['count'], 1);
    const { items } = (await system.call('GET', `${path}/items`)).body as {
      items: { id: string }[];
    };
    assert.equal(items.length, 1);
    const read = await system.call('POST', `${path}/items/${items[0]?.id}/read`);
    assert.equal(read.status, 200);
    assert.equal(read.body['unread'], 0);
    for (const tab of tabs) assert.equal((await tab.untilCount(3))[2]?.name, 'read');
    await system.untilStatus(messageId, ['read']);
  });

  it('holds a repeated message once', async () => {
    const userId = newUser();
    const reader = await listen(userId);
    const key = randomUUID();
    const ids = await Promise.all([1, 2, 3].map(() => post(userId, 'once', key)));
    assert.equal(new Set(ids).size, 1);
    await system.untilStatus(ids[0] ?? '', ['sent']);
    await post(userId, 'another');
    await reader.untilCount(3, 15_000);
    const { body } = await system.call('GET', `/v1/inbox/${userId}/items`);
    const bodies = (body['items'] as { body: string }[]).map((item) => item.body);
    assert.deepEqual(bodies, ['another', 'once']);
  });

  it('forgets a recalled message before the eyes of its reader, and the count with it', async () => {
    const userId = newUser();
    const reader = await listen(userId);
    const messageId = await post(userId, 'a mistake');
    const [, event] = await reader.untilCount(2, 15_000);
    assert.ok(event !== undefined);
    const sent = await system.untilStatus(messageId, ['sent']);
    const connector = createConnectors({
      allowPrivateProviders: true,
      ...system.store.connectorState,
    }).get(inboxConnector);
    const client = connector?.createClient({ id: accountId, tenantId, settings: {}, secrets: {} });
    const outcome = await client?.recall?.({
      to: { userId },
      deliveryKey: itemOf(event).id,
      providerId: String(sent['providerId']),
      sentAt: new Date().toISOString(),
      signal: new AbortController().signal,
    });
    assert.equal(outcome?.class, 'accepted');
    const recalled = (await reader.untilCount(3))[2];
    assert.deepEqual(
      [recalled?.name, recalled?.data],
      ['recalled', { unread: 0, itemId: itemOf(event).id }],
    );
    const { body } = await system.call('GET', `/v1/inbox/${userId}/items`);
    assert.deepEqual([body['items'], body['unread']], [[], 0]);
  });

  it('is opened by nobody else: not by another person, not by another tenant', async () => {
    const [mine, theirs] = [newUser(), newUser()];
    const id = await put(theirs, 'private');
    const headers = { authorization: `Bearer ${await tokenOf(mine)}` };
    for (const [method, path] of [
      ['GET', 'items'],
      ['GET', 'unread'],
      ['GET', 'events'],
      ['POST', `items/${id}/read`],
      ['POST', 'read-all'],
    ] as const) {
      const answer = await system.call(method, `/v1/inbox/${theirs}/${path}`, undefined, headers);
      assert.equal(answer.status, 403, path);
    }
    const messages = await system.call('GET', '/v1/messages', undefined, headers);
    assert.equal(messages.status, 401);
    const other = `other-${tenantId}`;
    await system.store.tenants.ensure(other, 'Other');
    const { key } = await system.store.apiKeys.create(other, { name: 'test' });
    const foreign = { authorization: `Bearer ${key}` };
    const path = `/v1/inbox/${theirs}/items/${id}/read`;
    assert.equal((await system.call('POST', path, undefined, foreign)).status, 404);
  });
});

describe('nothing is missed', () => {
  it('by a reader whose ingest was killed: it is told exactly what happened meanwhile', async () => {
    const userId = newUser();
    const reader = await listen(userId);
    await reader.untilCount(1);
    await put(userId, 'before');
    await reader.untilCount(2);
    await system.services.ingest.kill();
    await until('the stream is broken', () => reader.isOver() || undefined);
    const titles = ['one', 'two', 'three'];
    for (const title of titles) await put(userId, title);
    await system.services.ingest.ready();
    const again = await listen(userId, { 'last-event-id': reader.lastEventId() });
    await again.untilCount(3);
    await put(userId, 'after');
    const events = await again.untilCount(4);
    assert.deepEqual(
      events.map((event) => [event.name, itemOf(event).title, event.data['unread']]),
      [...titles, 'after'].map((title, index) => ['item', title, index + 2]),
    );
  });

  it('by a browser’s EventSource, which goes on by itself when ingest is stopped and started', async () => {
    const userId = newUser();
    const token = await tokenOf(userId);
    const source = new EventSource(`${base}/v1/inbox/${userId}/events?token=${token}`);
    after(() => source.close());
    const titles: string[] = [];
    let isReady = false;
    source.addEventListener('ready', () => (isReady = true));
    source.addEventListener('item', (event) => {
      const { data } = event as unknown as { data: string };
      titles.push(itemOf({ data: JSON.parse(data) as Record<string, unknown> }).title);
    });
    await until('the stream is there', () => isReady || undefined);
    await put(userId, 'one');
    await until('the first is shown', () => titles.length === 1 || undefined);
    const startedAt = Date.now();
    await system.services.ingest.stop();
    const stoppedMs = Date.now() - startedAt;
    assert.ok(stoppedMs < 9000, `an open stream held the process up for ${stoppedMs} ms`);
    await put(userId, 'two');
    system.services.ingest.start();
    await system.services.ingest.ready();
    await put(userId, 'three');
    await until('it has gone on', () => titles.length >= 3 || undefined, { seen: () => titles });
    assert.deepEqual(titles, ['one', 'two', 'three']);
  });
});

describe('who it was', () => {
  it('and what they may open it with is in no log, at level debug too', () => {
    const files = readdirSync(system.logDir);
    assert.ok(files.includes('ingest.log'));
    for (const file of files) {
      const text = readFileSync(join(system.logDir, file), 'utf8');
      assert.ok(text.length > 0, file);
      for (const secret of ['zhang.wei', 'mcu_', '您的包裹'])
        assert.ok(!text.includes(secret), `${file} holds ${secret}`);
    }
  });
});
