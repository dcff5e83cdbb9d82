/** A person who asked to be forgotten is sent nothing that waited for them, and is found nowhere in the database and the index. */
import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { after, describe, it } from 'node:test';
import mysql from 'mysql2/promise';
import { createElasticsearch } from '../../platform/elasticsearch.ts';
import { hashRecipient } from '../../platform/recipient-hash.ts';
import { until } from '../stack.ts';
import { startSystem } from '../system.ts';

const system = await startSystem({
  isOneProcess: true,
  connectors: ['inbox-builtin', 'push-fcm'],
  sandbox: { smsAliyun: { settings: { windows: null, receiptsPaused: true } } },
});
const { smsAliyun } = system.sandbox;
const elasticsearch = createElasticsearch({ url: system.config.elasticsearchUrl });
after(() => elasticsearch.close());

const number = () => `139${randomInt(10_000_000, 99_999_999)}`;
/** li asks to be forgotten, han does not. */
const people = { li: number(), han: number() } as const;
const mark = `metadata-of-li-${randomInt(1e9)}`;

async function post(message: object): Promise<string> {
  const { status, body } = await system.call('POST', '/v1/messages', {
    template: 'plain-notice',
    variables: { text: 'erasure' },
    metadata: { note: mark },
    ...message,
  });
  assert.equal(status, 202, JSON.stringify(body));
  return String(body['id']);
}
const get = async (id: string) => (await system.call('GET', `/v1/messages/${id}`)).body;

/** Every document of this installation as one text. */
async function everyDocument(): Promise<string> {
  const index = [system.names.messageIndices, system.names.attemptIndices];
  await elasticsearch.indices.refresh({ index });
  const { hits } = await elasticsearch.search({ index, size: 10_000 });
  return JSON.stringify(hits.hits);
}

/** Every row of every table as one text. */
async function everyRow(): Promise<string> {
  const connection = await mysql.createConnection(system.config.mysqlUrl);
  const [tables] = await connection.query('show tables');
  const texts: string[] = [];
  for (const table of (tables as Record<string, string>[]).flatMap(Object.values)) {
    const [rows] = await connection.query('select * from ??', [table]);
    texts.push(`${table} ${JSON.stringify(rows)}`);
  }
  await connection.end();
  return texts.join('\n');
}

describe('an erasure', () => {
  it('leaves nothing of the person, and takes back what waits for them', async (t) => {
    for (const [userId, phone] of Object.entries(people)) {
      const person = { addresses: { phone }, timeZone: 'Asia/Shanghai' };
      assert.equal((await system.call('PUT', `/v1/users/${userId}`, person)).status, 200);
      const device = { connector: 'push-fcm', deviceToken: `token-of-${userId}-00000000` };
      const registered = await system.call('POST', `/v1/users/${userId}/devices`, device);
      assert.equal(registered.status, 200, JSON.stringify(registered.body));
    }
    const suppression = { to: { phone: people.li }, channel: 'email', reason: 'complaint' };
    assert.equal((await system.call('PUT', '/v1/suppressions', suppression)).status, 200);
    const sendAt = new Date(Date.now() + 20_000).toISOString();
    const later = new Date(Date.now() + 86_400_000).toISOString();
    const messages = {
      sent: await post({ to: { phone: people.li }, channel: 'sms' }),
      byUser: await post({ to: { userId: 'li' }, channel: 'sms' }),
      inInbox: await post({ to: { userId: 'li' }, channel: 'inbox' }),
      pushed: await post({ to: { deviceToken: 'token-of-li-00000000' }, channel: 'push' }),
      soon: await post({ to: { phone: people.li }, channel: 'sms', sendAt }),
      later: await post({ to: { userId: 'li' }, channel: 'sms', sendAt: later }),
    };
    const others = await post({ to: { userId: 'han' }, channel: 'sms', sendAt });
    for (const id of [messages.sent, messages.byUser, messages.inInbox, messages.pushed])
      await system.untilStatus(id, ['sent', 'delivered']);
    for (const id of [messages.soon, messages.later]) await system.untilStatus(id, ['scheduled']);
    await until('all are indexed', async () =>
      (await everyDocument()).includes(messages.later) ? true : undefined,
    );
    const hashes = [
      { phone: people.li },
      { userId: 'li' },
      { deviceToken: 'token-of-li-00000000' },
    ].map((to) => hashRecipient(system.sealer, system.tenantId, to));
    const masked = `139****${people.li.slice(-4)}`;
    const before = await everyDocument();
    for (const sign of [mark, masked, ...hashes]) assert.ok(before.includes(sign), sign);

    const asked = await system.call('POST', '/v1/erasures', { to: { userId: 'li' } });
    assert.equal(asked.status, 202, JSON.stringify(asked.body));
    assert.equal((await system.call('GET', '/v1/users/li')).status, 404);
    const done = await until(
      'the erasure is done',
      async () => {
        const { body } = await system.call('GET', `/v1/erasures/${String(asked.body['id'])}`);
        return body['state'] === 'done' ? body : undefined;
      },
      { timeoutMs: 90_000, everyMs: 500 },
    );
    t.diagnostic(
      `${String(done['messages'])} messages erased, done after ${Date.parse(String(done['doneAt'])) - Date.parse(String(done['createdAt']))} ms`,
    );
    assert.equal(done['messages'], 6);

    const documents = await everyDocument();
    const ofLi = documents.split('"_index"');
    for (const sign of [masked, ...hashes])
      assert.ok(!documents.includes(sign), `the index has ${sign}`);
    for (const id of Object.values(messages)) {
      const own = ofLi.filter((document) => document.includes(id)).join('\n');
      assert.ok(own.includes('erasedAt'), id);
      assert.ok(!own.includes(mark) && !own.includes('"sealed"'), own);
    }
    const rows = await everyRow();
    const holding = rows
      .split('\n')
      .filter((text) => hashes.some((hash) => text.includes(hash)))
      .map((text) => text.slice(0, text.indexOf(' ')));
    // That they want nothing, how often they were written to, and the erasure itself: by hash.
    assert.deepEqual(
      holding.filter(
        (table) => !['suppressions', 'recipient_counters', 'erasures', 'stops'].includes(table),
      ),
      [],
    );
    const items = await system.call('GET', '/v1/inbox/li/items');
    assert.deepEqual(items.body['items'], []);

    for (const id of [messages.soon, messages.later]) {
      const { status, to, erasedAt, metadata } = await get(id);
      assert.deepEqual({ status, to, metadata }, { status: 'recalled', to: '', metadata: {} });
      assert.equal(typeof erasedAt, 'string');
    }
    const redrive = await system.call('POST', `/v1/messages/${messages.sent}/redrive`);
    assert.equal(redrive.status, 409, JSON.stringify(redrive.body));
    await system.untilStatus(others, ['sent', 'delivered'], 60_000);
    const sentTo = (phone: string) => smsAliyun.accepted.find({ where: { phone } }).matched;
    assert.deepEqual([sentTo(people.li), sentTo(people.han)], [2, 1]);

    // Who comes back is written to again.
    await system.untilStatus(await post({ to: { phone: people.li }, channel: 'sms' }), ['sent']);
  });

  it('is of the tenant that asked', async () => {
    const unknown = await system.call('GET', '/v1/erasures/ers_0000000000000000');
    assert.equal(unknown.status, 404);
    const nobody = await system.call('POST', '/v1/erasures', { to: { phone: '12' } });
    assert.equal(nobody.status, 422);
    assert.match(JSON.stringify(nobody.body['errors']), /\/to\/phone/);
  });
});
