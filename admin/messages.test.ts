/** What operators ask about messages, on MariaDB and Elasticsearch; Temporal is away. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { sequences, type Snapshot } from '../contracts/result.ts';
import { createNames } from '../contracts/topics.ts';
import { createElasticsearch } from '../platform/elasticsearch.ts';
import { listen, type RunningServer } from '../platform/http.ts';
import { createLogger } from '../platform/logger.ts';
import { createMessageIds } from '../platform/message-id.ts';
import { createMetrics } from '../platform/metrics.ts';
import { hashRecipient } from '../platform/recipient-hash.ts';
import { createSealer } from '../platform/seal.ts';
import { connectTemporalClient } from '../platform/temporal-client.ts';
import { createStore } from '../store/index.ts';
import { createMessageIndex } from '../store/message-index.ts';
import { sampleSnapshot } from '../tests/message-samples.ts';
import { freshPrefix, testElasticsearchUrl, testMysqlUrl } from '../tests/stack.ts';
import { createAdminApp } from './server.ts';

const adminToken = 'test-token-of-24-characters';
const logger = createLogger('test', 'silent');
const sealer = createSealer([`test:${Buffer.alloc(32, 7).toString('base64')}`]);
const store = createStore({ mysqlUrl: await testMysqlUrl(), sealer, slots: 4, logger });
const names = createNames(freshPrefix());
const elasticsearch = createElasticsearch({ url: await testElasticsearchUrl() });
const nowhere = createElasticsearch({ url: 'http://127.0.0.1:9' });
// Nobody listens there. It is left to itself at the end: closed, it would tell its calls that are given up already.
const temporal = connectTemporalClient({ address: '127.0.0.1:9', namespace: 'none', sealer });
const index = createMessageIndex({ client: elasticsearch, names, logger });
const ids = createMessageIds(sealer);

const snapshot = (changes: Partial<Snapshot> = {}): Snapshot => {
  const { tenantId = 'demo' } = changes;
  return sampleSnapshot({
    tenantId,
    messageId: ids.create(tenantId),
    sequence: sequences.end,
    recipientHash: hashRecipient(sealer, tenantId, { phone: '13900001111' }),
    ...changes,
  });
};
const failed = (code: string, changes: Partial<Snapshot> = {}) =>
  snapshot({ status: 'failed', reason: { code }, ...changes });
const messages = [
  failed('recipient-invalid'),
  failed('recipient-invalid', { template: 'offer' }),
  failed('content-rejected'),
  snapshot({ status: 'expired', reason: { code: 'expired' } }),
  snapshot({ status: 'rejected', reason: { code: 'too-old' } }),
  snapshot({ status: 'sent' }),
  failed('recipient-invalid', { tenantId: 'shop' }),
  snapshot({ tenantId: 'unknown', status: 'rejected', reason: { code: 'unparsable' } }),
];

let server: RunningServer;
let blind: RunningServer;
before(async () => {
  await store.migrate();
  await store.tenants.create('demo', 'Demo');
  await store.tenants.create('shop', 'Shop');
  await index.install();
  await index.writeEvents(messages);
  await elasticsearch.indices.refresh({ index: names.messageIndices });
  const serve = (client: typeof elasticsearch) => {
    const search = {
      client,
      names,
      index: createMessageIndex({ client, names, logger }),
      logger,
      stopped: new AbortController().signal,
      temporal: temporal.client,
      namespace: 'none',
      ids,
      paceSeconds: 30,
      temporalUiUrl: 'http://ui.example/',
      openRequest: () => Promise.reject(new Error('nothing is opened here')),
    };
    const app = createAdminApp({
      store,
      connectors: new Map(),
      logger,
      metrics: createMetrics(),
      adminToken,
      search: { ...search, hashRecipient: (tenantId, to) => hashRecipient(sealer, tenantId, to) },
    });
    return listen(app, '127.0.0.1', 0);
  };
  [server, blind] = await Promise.all([serve(elasticsearch), serve(nowhere)]);
});
after(async () => {
  await Promise.all([server.close(), blind.close()]);
  await index.dropOlderThan('2999-01-01');
  for (const pattern of [names.messageIndices, names.attemptIndices])
    await elasticsearch.indices.deleteIndexTemplate({ name: pattern.replace('-*', '') });
  await Promise.all([elasticsearch.close(), nowhere.close(), store.close()]);
});

interface Body {
  readonly [name: string]: unknown;
  readonly items: { readonly id: string }[];
  readonly errors: { readonly pointer: string }[];
}
async function call(
  path: string,
  body?: unknown,
  at = server,
): Promise<{ status: number; body: Body }> {
  const response = await fetch(`http://127.0.0.1:${at.port}${path}`, {
    method: body === undefined ? 'GET' : 'POST',
    headers: { authorization: `Bearer ${adminToken}`, 'content-type': 'application/json' },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });
  return { status: response.status, body: (await response.json()) as Body };
}

describe('search for operators', () => {
  it('is of one tenant at a time, demo unless named, and refuses one that is not there', async () => {
    assert.equal((await call('/v1/messages?to=13900001111')).body.items.length, 6);
    assert.equal((await call('/v1/messages?to=13900001111&tenantId=shop')).body.items.length, 1);
    for (const path of [
      '/v1/messages',
      '/v1/messages/counts',
      '/v1/messages/export',
      '/v1/dead-letters',
    ]) {
      const { status, body } = await call(`${path}?tenantId=nobody`);
      assert.deepEqual([status, body.errors[0]?.pointer], [422, 'query/tenantId'], path);
    }
    const sql = await call('/v1/messages/sql?tenantId=shop', {
      query: 'SELECT COUNT(*) FROM messages',
    });
    assert.deepEqual(sql.body['rows'], [[1]]);
  });

  it('says so when the index does not answer', async () => {
    for (const path of [
      '/v1/messages',
      '/v1/messages/counts',
      '/v1/messages/export',
      '/v1/dead-letters',
    ]) {
      const { status, body } = await call(path, undefined, blind);
      assert.deepEqual(
        [status, body['type']],
        [503, 'urn:message-center:problem:search-unavailable'],
        path,
      );
    }
    const sql = await call('/v1/messages/sql', { query: 'SELECT id FROM messages' }, blind);
    assert.equal(sql.status, 503);
  });
});

describe('dead letters', () => {
  it('are listed and counted by reason, with what is parked', async () => {
    const { body } = await call('/v1/dead-letters');
    assert.deepEqual(body['reasons'], [
      { status: 'failed', reason: 'recipient-invalid', count: 2, canBeRedriven: true },
      { status: 'expired', reason: 'expired', count: 1, canBeRedriven: true },
      { status: 'failed', reason: 'content-rejected', count: 1, canBeRedriven: true },
      { status: 'rejected', reason: 'too-old', count: 1, canBeRedriven: false },
    ]);
    assert.equal(body.items.length, 5);
    assert.deepEqual(body['parked'], { topic: names.parked, count: 1, ofNobody: 1 });
  });

  it('turn pages, and are found by reason and template', async () => {
    const found: string[] = [];
    let cursor = '';
    do {
      const { body } = await call(`/v1/dead-letters?limit=2${cursor}`);
      found.push(...body.items.map(({ id }) => id));
      cursor = body['nextCursor'] === undefined ? '' : `&cursor=${body['nextCursor'] as string}`;
    } while (cursor !== '');
    assert.equal(new Set(found).size, 5);
    const { body } = await call('/v1/dead-letters?reason=recipient-invalid&template=offer');
    assert.deepEqual(
      body.items.map(({ id }) => id),
      [messages[1]?.messageId],
    );
    assert.equal((await call('/v1/dead-letters?status=expired')).body.items.length, 1);
    assert.equal((await call('/v1/dead-letters?status=sent')).status, 422);
  });
});

describe('a dry run of a redrive', () => {
  const redrive = { tenantId: 'demo', ratePerSecond: 10, reason: 'mended' };
  it('counts what would be sent again, and does nothing', async () => {
    const all = await call('/v1/redrives', { ...redrive, filter: {}, dryRun: true });
    assert.equal(all.status, 200);
    const { sample, ...counts } = all.body;
    assert.deepEqual(counts, { dryRun: true, matching: 4, byStatus: { failed: 3, expired: 1 } });
    assert.deepEqual(
      new Set(sample as string[]),
      new Set(messages.slice(0, 4).map(({ messageId }) => messageId)),
    );
    const filter = { reason: 'recipient-invalid', template: 'offer' };
    const one = await call('/v1/redrives', { ...redrive, filter, dryRun: true });
    assert.deepEqual([one.body['matching'], one.body['sample']], [1, [messages[1]?.messageId]]);
    const byId = await call('/v1/redrives', {
      ...redrive,
      ids: [messages[0]?.messageId, messages[5]?.messageId, messages[6]?.messageId],
      dryRun: true,
    });
    assert.deepEqual(
      byId.body['sample'],
      [messages[0]?.messageId],
      'not the sent one, nor the other tenant’s',
    );
    assert.equal(
      (await call('/v1/redrives', { ...redrive, tenantId: 'nobody', filter: {}, dryRun: true }))
        .status,
      422,
    );
    assert.deepEqual((await call('/v1/redrives')).body.items, []);
  });

  it('that is none is taken up', async () => {
    const { status, body } = await call('/v1/redrives', { ...redrive, filter: {}, dryRun: false });
    assert.deepEqual([status, body['state'], 'dryRun' in body], [202, 'running', false]);
  });

  it('says so when the index does not answer', async () => {
    assert.equal(
      (await call('/v1/redrives', { ...redrive, filter: {}, dryRun: true }, blind)).status,
      503,
    );
  });
});

describe('explain while servers are away', () => {
  const [first] = messages;
  const path = `/v1/messages/${first?.messageId}/explain`;
  it('without Temporal: what the index knows, and a link to the list', async () => {
    const { status, body } = await call(path);
    assert.equal(status, 200);
    assert.deepEqual(
      [body['status'], body['missing'], (body['waitsFor'] as { code: string }).code],
      ['failed', ['Temporal'], 'nothing'],
    );
    assert.deepEqual(
      (body['timeline'] as { event: string }[]).map(({ event }) => event),
      ['accepted', 'failed'],
    );
    assert.match(
      (body['run'] as { url: string }).url,
      /^http:\/\/ui\.example\/namespaces\/none\/workflows\?query=WorkflowId/,
    );
  });

  it('without both: it says which, and of whose id nobody can say, the tenant that was named', async () => {
    const { status, body } = await call(path, undefined, blind);
    assert.equal(status, 200);
    assert.deepEqual(body['missing'], ['Elasticsearch', 'Temporal']);
    assert.deepEqual((body['waitsFor'] as { code: string }).code, 'not-known');
    assert.equal('status' in body, false);
  });

  it('another tenant’s id, and one that nobody made, are not found', async () => {
    const theirs = messages[6]?.messageId ?? '';
    assert.equal((await call(`/v1/messages/${theirs}/explain`)).body['tenantId'], 'shop');
    for (const wrong of [
      `${theirs}/explain?tenantId=demo`,
      'msg_00000000000000000000000000/explain',
      'x/explain',
    ])
      assert.equal((await call(`/v1/messages/${wrong}`)).status, 404, wrong);
  });
});
