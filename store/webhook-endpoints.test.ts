import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import mysql from 'mysql2/promise';
import { Problem } from '../contracts/problems.ts';
import { endStatuses } from '../contracts/status.ts';
import { mostEndpoints } from '../contracts/webhooks.ts';
import { createLogger } from '../platform/logger.ts';
import { createSealer } from '../platform/seal.ts';
import { testMysqlUrl, until } from '../tests/stack.ts';
import { createStore, openWebhookEndpoints, type KnownEndpoint } from './index.ts';

const sealer = createSealer([`test:${Buffer.alloc(32, 7).toString('base64')}`]);
const mysqlUrl = await testMysqlUrl();
const logger = createLogger('test', 'error');
const store = createStore({ mysqlUrl, sealer, slots: 4, logger });
const { webhookEndpoints: endpoints, webhookDeliveries: deliveries } = store;
const url = 'https://shop.example/hooks';

before(() => store.migrate());
after(() => store.close());

async function refusal(promise: Promise<unknown>): Promise<string> {
  const error = await promise.catch((thrown: unknown) => thrown);
  assert.ok(error instanceof Problem, `expected a problem, got ${String(error)}`);
  return error.code;
}
async function dumpOf(table: string): Promise<string> {
  const connection = await mysql.createConnection(mysqlUrl);
  const [rows] = await connection.query(`select * from ${table}`);
  await connection.end();
  return JSON.stringify(rows);
}
async function knownOf(id: string): Promise<KnownEndpoint> {
  const changes = await endpoints.changedSince(0, 1000);
  const change = changes.find((one) => one.id === id);
  assert.ok(change !== undefined);
  return change.read();
}

describe('webhook endpoints', () => {
  it('belong to their tenant, are told ends by default, and are edited by one at a time', async () => {
    const { endpoint, secret } = await endpoints.create('shop', { url });
    const { id, version, statuses, isEnabled } = endpoint;
    assert.deepEqual([version, isEnabled, statuses], [1, true, [...endStatuses]]);
    assert.match(secret, /^whsec_[A-Za-z0-9+/]{43}=$/);
    assert.deepEqual(await endpoints.get('shop', id), endpoint);
    assert.equal(await endpoints.get('other', id), undefined);
    const of = { id, expectedVersion: 1 };
    assert.equal(
      await refusal(endpoints.update({ ...of, tenantId: 'other' }, { url })),
      'not-found',
    );
    assert.equal(await refusal(endpoints.remove({ ...of, tenantId: 'other' })), 'not-found');
    assert.equal(await refusal(endpoints.rotateSecret('other', id, 0)), 'not-found');
    const edits = await Promise.allSettled(
      ['/1', '/2', '/3'].map((path) =>
        endpoints.update({ ...of, tenantId: 'shop' }, { url: url + path, statuses: ['sent'] }),
      ),
    );
    assert.equal(edits.filter((edit) => edit.status === 'fulfilled').length, 1);
    assert.deepEqual((await endpoints.get('shop', id))?.statuses, ['sent']);
    await endpoints.remove({ tenantId: 'shop', id, expectedVersion: 2 });
    assert.equal(await endpoints.get('shop', id), undefined);
    assert.deepEqual((await knownOf(id)).secrets(Date.now()), []);
    assert.equal(await endpoints.purge(Date.now() - 60_000, 100), 0);
    assert.equal(await endpoints.purge(Date.now() + 1000, 100), 1);
  });

  it('have two secrets for the stated time, and none in clear', async () => {
    const { endpoint, secret: first } = await endpoints.create('shop', { url });
    const { id } = endpoint;
    const { endpoint: rotated, secret: second } = await endpoints.rotateSecret('shop', id, 60_000);
    const untilMs = Date.parse(rotated.previousSecretUntil ?? '');
    assert.ok(Math.abs(untilMs - Date.now() - 60_000) < 5000);
    const known = await knownOf(id);
    assert.deepEqual(known.secrets(untilMs - 1), [second, first]);
    assert.deepEqual(known.secrets(untilMs), [second]);
    const { secret: third } = await endpoints.rotateSecret('shop', id, 60_000);
    assert.deepEqual((await knownOf(id)).secrets(Date.now()), [third, second]);
    const { secret: fourth } = await endpoints.rotateSecret('shop', id, 0);
    assert.deepEqual((await knownOf(id)).secrets(Date.now()), [fourth]);
    const dump = await dumpOf('webhook_endpoints');
    for (const secret of [first, second, third, fourth]) assert.ok(!dump.includes(secret.slice(6)));
  });

  it('are disabled once, say why, and are enabled by those who may', async () => {
    const { endpoint } = await endpoints.create('shop', { url });
    const { id } = endpoint;
    const of = { tenantId: 'shop', id, expectedVersion: 1 };
    await endpoints.markFailing(id, 1_000_000);
    await endpoints.markFailing(id, 2_000_000);
    assert.equal((await endpoints.find(id))?.failingSince, new Date(1_000_000).toISOString());
    await endpoints.markWorking(id);
    assert.equal((await endpoints.find(id))?.failingSince, undefined);
    assert.equal(await endpoints.disable(id, { code: 'gone', detail: '410' }), true);
    assert.equal(await endpoints.disable(id, { code: 'failing' }), false);
    assert.equal((await endpoints.find(id))?.disabled?.code, 'gone');
    const kept = await endpoints.update(of, { url });
    assert.equal(kept.isEnabled, false, 'an edit that says nothing of it changes nothing of it');
    const back = await endpoints.update({ ...of, expectedVersion: 2 }, { url, isEnabled: true });
    assert.deepEqual([back.isEnabled, back.disabled], [true, undefined]);
    assert.equal(await endpoints.disable(id, { code: 'by-administrator' }), true);
    const enabling = endpoints.update({ ...of, expectedVersion: 3 }, { url, isEnabled: true });
    assert.equal(await refusal(enabling), 'forbidden');
    assert.equal(await endpoints.enable(id), true);
    assert.equal((await endpoints.get('shop', id))?.isEnabled, true);
  });

  it('are limited in number, however many are made at once', async () => {
    const made = await Promise.allSettled(
      Array.from({ length: mostEndpoints + 3 }, () => endpoints.create('crowd', { url })),
    );
    assert.equal(made.filter(({ status }) => status === 'fulfilled').length, mostEndpoints);
    assert.equal(await refusal(endpoints.create('crowd', { url })), 'too-many-endpoints');
    const first = await endpoints.list('crowd', { limit: 15 });
    const rest = await endpoints.list('crowd', { limit: 15, after: first.at(-1)?.id });
    assert.equal(new Set([...first, ...rest].map(({ id }) => id)).size, mostEndpoints);
  });
});

it('a follower sees changes within 2 s, and answers only from a look that began after the question', async () => {
  const inForce = await openWebhookEndpoints({ store, logger });
  const { endpoint } = await endpoints.create('followed', { url });
  const ids = () => inForce.wanting('followed', 'sent').map((known) => known.endpoint.id);
  await inForce.looked();
  assert.deepEqual(ids(), [endpoint.id]);
  assert.deepEqual(inForce.wanting('followed', 'sending'), []);
  await endpoints.disable(endpoint.id, { code: 'by-hand' });
  await until('it is disabled', () => (ids().length === 0 ? true : undefined), { timeoutMs: 2000 });
  assert.equal(inForce.enabled(endpoint.id), undefined);
  assert.equal(inForce.exists(endpoint.id), true);
  await endpoints.remove({ tenantId: 'followed', id: endpoint.id, expectedVersion: 1 });
  await until('it is gone', () => !inForce.exists(endpoint.id) || undefined, { timeoutMs: 2000 });
  const never = inForce.looked();
  await inForce.close();
  await never;
});

describe('webhook deliveries', () => {
  const event = (eventId: string) => ({
    eventId,
    type: 'message.sent',
    messageId: 'msg_1',
    body: `{"to":"139****0000","id":"${eventId}"}`,
  });
  const now = Date.now();

  it('wait for their time, are taken by one, and stay until they are settled', async () => {
    for (const id of ['a', 'b'])
      await deliveries.keep([
        { endpointId: 'whe_1', event: event(id), tries: 1, nextTryAtMs: now },
      ]);
    await deliveries.keep([
      { endpointId: 'whe_1', event: event('later'), tries: 1, nextTryAtMs: now + 60_000 },
    ]);
    await deliveries.keep([
      { endpointId: 'whe_1', event: event('a'), tries: 9, nextTryAtMs: now + 60_000 },
    ]);
    assert.ok(!(await dumpOf('webhook_deliveries')).includes('139****0000'));
    assert.deepEqual(await deliveries.dueEndpoints(now), ['whe_1']);
    assert.deepEqual(await deliveries.dueEndpoints(now - 1), []);
    const taken = (
      await Promise.all([1, 2, 3].map(() => deliveries.take('whe_1', now, 10)))
    ).flat();
    assert.deepEqual(taken.map(({ eventId }) => eventId).toSorted(), ['a', 'b']);
    assert.ok(
      taken.every(({ tries, body, eventId }) => tries === 1 && body === event(eventId).body),
    );
    assert.deepEqual(await deliveries.take('whe_1', now, 10), []);
    const again = await deliveries.take('whe_1', now + 30_000, 10);
    assert.equal(again.length, 2, 'a claim that was not kept has run out');
    await deliveries.settle('whe_1', 'a');
    const next = { tries: 2, nextTryAtMs: now + 90_000 };
    await deliveries.postpone({ endpointId: 'whe_1', eventId: 'b' }, next);
    await deliveries.hasten('whe_1', now);
    const hastened = await deliveries.take('whe_1', now, 10);
    assert.deepEqual(hastened.map(({ eventId, tries }) => `${eventId} ${tries}`).toSorted(), [
      'b 2',
      'later 1',
    ]);
    assert.equal(await deliveries.count('whe_1', 10), 2);
    assert.equal(await deliveries.count('whe_1', 1), 1);
    assert.deepEqual(await deliveries.overfull(1), ['whe_1']);
  });

  it('begin anew by a replay, and end with their endpoint or with time', async () => {
    await deliveries.keep([
      { endpointId: 'whe_2', event: event('a'), tries: 7, nextTryAtMs: now + 60_000 },
    ]);
    await deliveries.keepAnew('whe_2', [event('a'), event('new')]);
    await deliveries.keepAnew('whe_2', []);
    const taken = await deliveries.take('whe_2', Date.now() + 1000, 10);
    assert.deepEqual(
      taken.map(({ tries }) => tries),
      [0, 0],
    );
    await deliveries.keepAnew('whe_3', [event('a')]);
    assert.equal(await deliveries.removeOf('whe_2', 10), 2);
    assert.equal(await deliveries.purge(now - 60_000, 10), 0);
    assert.equal(await deliveries.count('whe_3', 10), 1);
  });
});

it('attempts are listed newest first, trimmed and purged', async () => {
  const { webhookAttempts: attempts } = store;
  const attempt = (number: number, startedAt = new Date().toISOString()) => ({
    eventId: `e${number}`,
    type: 'message.sent',
    startedAt,
    durationMs: 3,
    attempt: 1,
    outcome: 'delivered' as const,
    statusCode: 204,
  });
  const numbers = Array.from({ length: 10 }, (_, index) => index);
  await attempts.record(numbers.map((n) => ({ endpointId: 'whe_1', attempt: attempt(n) })));
  await attempts.record([{ endpointId: 'whe_2', attempt: attempt(0, '2020-01-01T00:00:00.000Z') }]);
  const list = async (after?: string) => attempts.list('whe_1', { after, limit: 4 });
  const page = await list();
  assert.deepEqual(
    page.map((one) => one.attempt.eventId),
    ['e9', 'e8', 'e7', 'e6'],
  );
  const next = await list(page.at(-1)?.key);
  assert.deepEqual(
    next.map((one) => one.attempt.eventId),
    ['e5', 'e4', 'e3', 'e2'],
  );
  assert.deepEqual(await attempts.overfull(9), ['whe_1']);
  assert.equal(await attempts.trim('whe_1', 3, 100), 7);
  assert.equal(await attempts.trim('whe_1', 3, 100), 0);
  assert.equal((await list()).length, 3);
  assert.equal(await attempts.purge(Date.parse('2021-01-01'), 100), 1);
  assert.equal((await attempts.list('whe_2', { limit: 4 })).length, 0);
});
