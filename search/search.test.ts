/** Lists, counts, exports and SQL through HTTP, for services and for people, on a real index. */
import assert from 'node:assert/strict';
import { request } from 'node:http';
import { after, before, describe, it } from 'node:test';
import { addressOf } from '../contracts/message.ts';
import { sequences, type Snapshot } from '../contracts/result.ts';
import { createNames } from '../contracts/topics.ts';
import { createElasticsearch } from '../platform/elasticsearch.ts';
import { createApp, listen, type RunningServer } from '../platform/http.ts';
import { createLogger } from '../platform/logger.ts';
import { createMetrics } from '../platform/metrics.ts';
import { createValidator } from '../platform/validate.ts';
import { createMessageIndex } from '../store/message-index.ts';
import { sampleSnapshot } from '../tests/message-samples.ts';
import { freshPrefix, testElasticsearchUrl, until } from '../tests/stack.ts';
import type { SearchDeps } from './audience.ts';
import { CountsSchema } from './counts.ts';
import { messageRoutes } from './routes.ts';
import { SqlAnswerSchema } from './sql-route.ts';

const names = createNames(freshPrefix());
const client = createElasticsearch({ url: await testElasticsearchUrl() });
const logger = createLogger('test', 'silent');
const index = createMessageIndex({ client, names, logger });
const stopped = new AbortController();
interface Caller {
  readonly tenantId: string;
}
const deps: SearchDeps<Caller> = {
  client,
  names,
  index,
  logger,
  hashRecipient: (tenantId, to) => `${tenantId}/${addressOf(to).value}`,
  tenantOf: async ({ caller }) => caller.tenantId,
  audience: 'services',
  stopped: stopped.signal,
  mostExported: 2600,
};
const authenticate = async (headers: Readonly<Record<string, string | undefined>>) => ({
  tenantId: headers['authorization'] ?? '',
});
let services: RunningServer;
let people: RunningServer;

const minute = (at: number) =>
  new Date(Date.parse('2026-11-12T08:00:00Z') + at * 60_000).toISOString();
const mine: Snapshot[] = Array.from({ length: 12 }, (_, serial) =>
  sampleSnapshot({
    tenantId: 'ten_a',
    acceptedAt: minute(serial % 4),
    updatedAt: minute(10),
    sequence: sequences.sending,
    status: serial % 3 === 0 ? 'failed' : 'sent',
    channel: serial % 2 === 0 ? 'sms' : 'push',
    recipientHash: `ten_a/1390000${String(serial).padStart(4, '0')}`,
    ...(serial % 3 === 0 && { reason: { code: 'expired', detail: '=1+1, "late"\nand later' } }),
    ...(serial === 5 && {
      batch: 'spring',
      providerId: 'p-5',
      orderingKey: 'key-5',
      locale: 'zh-Hant',
    }),
  }),
);
const many: Snapshot[] = Array.from({ length: 2600 }, (_, serial) =>
  sampleSnapshot({
    tenantId: 'ten_many',
    acceptedAt: minute(serial % 1000),
    // More than the sockets between us and a reader hold.
    metadata: { serial: String(serial), note: 'x'.repeat(6000) },
  }),
);

before(async () => {
  await index.install();
  await index.writeEvents([...mine, sampleSnapshot({ tenantId: 'ten_b', acceptedAt: minute(0) })]);
  await index.writeEvents(many);
  await client.indices.refresh({ index: names.messageIndices });
  const serve = (routes: ReturnType<typeof messageRoutes<Caller>>) =>
    listen(
      createApp({ routes, authenticate, logger, metrics: createMetrics(), notReady: () => [] }),
      '127.0.0.1',
      0,
    );
  services = await serve(messageRoutes(deps));
  people = await serve(
    messageRoutes({
      ...deps,
      audience: 'people',
      tenantOf: async ({ query }) => query.tenantId ?? 'ten_a',
    }),
  );
});
after(async () => {
  await Promise.all([services.close(), people.close()]);
  await index.dropOlderThan('2999-01-01');
  for (const pattern of [names.messageIndices, names.attemptIndices])
    await client.indices.deleteIndexTemplate({ name: pattern.replace('-*', '') });
  await client.close();
});

interface Answer {
  readonly status: number;
  readonly text: string;
  readonly headers: Headers;
  readonly body: {
    items: { id: string }[];
    total: number;
    groups: Record<string, unknown>[];
    rows: unknown[][];
    errors?: { pointer: string; detail: string }[];
  };
}
async function get(
  path: string,
  query: Record<string, string> = {},
  tenantId = 'ten_a',
): Promise<Answer> {
  const server = tenantId === 'people' ? people : services;
  const response = await fetch(
    `http://127.0.0.1:${server.port}${path}?${new URLSearchParams(query).toString()}`,
    {
      headers: { authorization: tenantId },
    },
  );
  const text = await response.text();
  const isJson =
    response.headers.get('content-type')?.includes('json') === true && !path.endsWith('export');
  return {
    status: response.status,
    text,
    headers: response.headers,
    body:
      isJson || response.status !== 200
        ? (JSON.parse(text) as Answer['body'])
        : ({} as Answer['body']),
  };
}
const faults = ({ body, status }: Answer) => [status, body.errors?.map(({ pointer }) => pointer)];
const openPoints = async () => {
  const stats = await client.indices.stats({ index: names.messageIndices, metric: 'search' });
  return stats._all.total?.search?.open_contexts ?? -1;
};

const untilClosed = () =>
  until(
    'every point in time is closed',
    async () => ((await openPoints()) === 0 ? true : undefined),
    { timeoutMs: 10_000 },
  );

describe('search', () => {
  it('finds by each parameter', async () => {
    const [, , , , , fifth] = mine;
    assert.ok(fifth);
    for (const query of [
      { id: fifth.messageId },
      { batch: 'spring' },
      { orderingKey: 'key-5' },
      { providerId: 'p-5' },
      { to: '13900000005' },
      { locale: 'ZH-hant' },
    ] as Record<string, string>[]) {
      const { body } = await get('/v1/messages', query);
      assert.deepEqual(
        body.items.map(({ id }) => id),
        [fifth.messageId],
        JSON.stringify(query),
      );
      assert.deepEqual(
        (await get('/v1/messages', query, 'ten_b')).body.items,
        [],
        JSON.stringify(query),
      );
    }
    assert.equal(
      (await get('/v1/messages', { connector: 'sms-aliyun', kind: 'otp', reason: 'expired' })).body
        .items.length,
      4,
    );
    assert.equal((await get('/v1/messages', { locale: 'zh' })).body.items.length, 0);
    assert.deepEqual(faults(await get('/v1/messages', { locale: 'zh_Hant' })), [
      422,
      ['query/locale'],
    ]);
    assert.equal((await get('/v1/messages', { connector: 'push-fcm' })).body.items.length, 0);
    assert.equal((await get('/v1/messages', { kind: 'notice' })).body.items.length, 0);
  });

  it('people say the tenant, services cannot', async () => {
    assert.equal((await get('/v1/messages', { tenantId: 'ten_b' }, 'people')).body.items.length, 1);
    assert.equal((await get('/v1/messages', {}, 'people')).body.items.length, 12);
    for (const path of ['/v1/messages', '/v1/messages/counts', '/v1/messages/export'])
      assert.deepEqual(faults(await get(path, { tenantId: 'ten_b' })), [422, ['query/tenantId']]);
  });
});

describe('counts', () => {
  it('by group', async () => {
    const { body } = await get('/v1/messages/counts', { groupBy: 'status,reason' });
    assert.deepEqual(createValidator(CountsSchema).faults(body), []);
    assert.deepEqual(body, {
      total: 12,
      groups: [
        { status: 'failed', reason: 'expired', count: 4 },
        { status: 'sent', reason: null, count: 8 },
      ],
    });
    assert.deepEqual((await get('/v1/messages/counts', {}, 'ten_b')).body, {
      total: 1,
      groups: [],
    });
    assert.deepEqual((await get('/v1/messages/counts', { groupBy: 'status' }, 'ten_nobody')).body, {
      total: 0,
      groups: [],
    });
  });

  it('over time, with the rate', async () => {
    const span = { from: minute(0), until: minute(3) };
    const { body } = await get('/v1/messages/counts', {
      ...span,
      interval: '1m',
      groupBy: 'channel',
    });
    assert.equal(body.total, 9);
    assert.deepEqual(body.groups.slice(0, 2), [
      { at: minute(0), channel: 'sms', count: 3, perSecond: 0.05 },
      { at: minute(1), channel: 'push', count: 3, perSecond: 0.05 },
    ]);
    const changed = await get('/v1/messages/counts', {
      ...span,
      interval: '1h',
      time: 'updatedAt',
    });
    assert.deepEqual(changed.body.groups, [{ at: minute(0), count: 9, perSecond: 9 / 3600 }]);
    const recent = await get('/v1/messages/counts', { interval: '1m' });
    assert.deepEqual(recent.body.groups, [], 'the last hour');
  });

  it('refuses what would be too much, by name', async () => {
    const span = { from: minute(0), until: minute(1001) };
    for (const [query, pointer] of [
      [{ ...span, interval: '1s' }, 'query/interval'],
      [{ interval: '1y' }, 'query/interval'],
      [{ interval: '0m' }, 'query/interval'],
      [{ groupBy: 'content' }, 'query/groupBy'],
      [{ groupBy: 'status,status' }, 'query/groupBy'],
      [{ groupBy: 'status,channel,kind,template' }, 'query/groupBy'],
      [{ time: 'sendAt' }, 'query/time'],
      [{ from: minute(1), until: minute(1), interval: '1m' }, 'query/until'],
      [{ from: 'now', interval: '1m' }, 'query/from'],
    ] as [Record<string, string>, string][])
      assert.deepEqual(
        faults(await get('/v1/messages/counts', query)),
        [422, [pointer]],
        JSON.stringify(query),
      );
  });
});

describe('export', () => {
  it('holds every message once, in the order of acceptance', async () => {
    const answer = await get('/v1/messages/export', {}, 'ten_many');
    assert.equal(answer.headers.get('x-total-count'), '2600');
    assert.match(answer.headers.get('content-type') ?? '', /^application\/x-ndjson/);
    const lines = answer.text
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as { id: string; acceptedAt: string });
    assert.equal(new Set(lines.map(({ id }) => id)).size, 2600);
    assert.ok(
      lines.every(
        ({ acceptedAt }, place) =>
          place === 0 || acceptedAt >= (lines[place - 1]?.acceptedAt ?? ''),
      ),
    );
    assert.doesNotMatch(answer.text, /recipientHash|sealed/);
    assert.equal((await get('/v1/messages/export', {}, 'ten_nobody')).text, '');
    await untilClosed();
  });

  it('as CSV: quoted, and nothing that a spreadsheet would compute', async () => {
    const { text } = await get('/v1/messages/export', { format: 'csv', status: 'failed' });
    const [head = ''] = text.split('\n');
    assert.match(head, /^id,status,reason,reasonDetail,template,/);
    assert.equal(text.match(/"'=1\+1, ""late""\nand later"/g)?.length, 4);
    assert.equal(text.match(/^msg_/gm)?.length, 4);
  });

  it('refuses more than its maximum before it sends anything', async () => {
    await index.writeEvents([sampleSnapshot({ tenantId: 'ten_many', acceptedAt: minute(5000) })]);
    await client.indices.refresh({ index: names.messageIndices });
    const answer = await get('/v1/messages/export', {}, 'ten_many');
    assert.deepEqual(faults(answer), [422, ['query/from']]);
    assert.match(answer.text, /2601 messages match, and an export has 2600 at most/);
    assert.equal(
      (await get('/v1/messages/export', { until: minute(5000) }, 'ten_many')).text.match(/\n/g)
        ?.length,
      2600,
    );
    await untilClosed();
  });

  it('goes no faster than its reader, and ends when the reader leaves; a few at a time', async () => {
    const open = () =>
      new Promise<{ destroy(): void }>((resolve, reject) => {
        const asked = request(
          `http://127.0.0.1:${services.port}/v1/messages/export?until=${minute(5000)}`,
          { headers: { authorization: 'ten_many' } },
          (response) => resolve(response.pause()),
        );
        asked.on('error', reject).end();
      });
    const readers = [await open(), await open(), await open(), await open()];
    const fifth = await get('/v1/messages/export', {}, 'ten_many');
    assert.equal(fifth.status, 429);
    assert.ok((await openPoints()) > 0, 'they wait for their readers');
    for (const reader of readers) reader.destroy();
    await untilClosed();
    assert.equal((await get('/v1/messages/export', {}, 'ten_a')).text.match(/\n/g)?.length, 12);
  });
});

describe('SQL through HTTP', () => {
  const ask = async (query: unknown, tenantId = 'ten_a', server = services, search = '') => {
    const response = await fetch(`http://127.0.0.1:${server.port}/v1/messages/sql${search}`, {
      method: 'POST',
      headers: { authorization: tenantId, 'content-type': 'application/json' },
      body: JSON.stringify({ query }),
    });
    return { status: response.status, body: (await response.json()) as Answer['body'] };
  };

  it('answers rows, within the tenant', async () => {
    const query = 'SELECT status, COUNT(*) AS n FROM messages GROUP BY status ORDER BY n DESC';
    const { status, body } = await ask(query);
    assert.equal(status, 200);
    assert.deepEqual(createValidator(SqlAnswerSchema).faults(body), []);
    assert.deepEqual(body, {
      columns: [
        { name: 'status', type: 'text' },
        { name: 'n', type: 'number' },
      ],
      rows: [
        ['sent', 8],
        ['failed', 4],
      ],
    });
    assert.deepEqual((await ask(query, 'people', people, '?tenantId=ten_b')).body.rows, [
      ['accepted', 1],
    ]);
    const found = await ask("SELECT id FROM messages WHERE recipient = '13900000005'");
    assert.deepEqual(found.body.rows, [[mine[5]?.messageId]]);
  });

  it('refuses with the place in the text', async () => {
    const { status, body } = await ask('SELECT id FROM messages WHERE colour = 1');
    assert.equal(status, 422);
    assert.deepEqual(body.errors, [
      { pointer: '/query', detail: 'at character 31: there is no column "colour"' },
    ]);
    assert.equal(
      (await ask('SELECT id FROM messages', 'ten_a', services, '?tenantId=ten_b')).status,
      422,
    );
    assert.equal((await ask(7)).status, 422);
  });
});

it('an export ends when the process stops', async () => {
  const answer = fetch(
    `http://127.0.0.1:${people.port}/v1/messages/export?tenantId=ten_many&until=${minute(5000)}`,
  );
  stopped.abort();
  await assert.rejects(answer.then((response) => response.text()));
});
