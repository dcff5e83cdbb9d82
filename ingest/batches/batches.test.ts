import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import mysql from 'mysql2/promise';
import { pino } from 'pino';
import type { Connector } from '../../contracts/channel.ts';
import { problem } from '../../contracts/problems.ts';
import { createApp, listen, type RunningServer } from '../../platform/http.ts';
import { createMessageIds } from '../../platform/message-id.ts';
import { createMetrics } from '../../platform/metrics.ts';
import { createSealer } from '../../platform/seal.ts';
import { createStore } from '../../store/index.ts';
import type { MemberStatus, StatusCounts } from '../../store/message-index.ts';
import { checkVariables } from '../../templates/index.ts';
import { testMysqlUrl, until } from '../../tests/stack.ts';
import { batchRoutes } from './routes.ts';
import { plainConnector } from '../../tests/plain-connector.ts';

const lines: string[] = [];
const logger = pino({ level: 'trace' }, { write: (line: string) => void lines.push(line) });
const mysqlUrl = await testMysqlUrl();
const sealer = createSealer([`test:${Buffer.alloc(32, 7).toString('base64')}`]);
const store = createStore({ mysqlUrl, sealer, slots: 4, logger });
const ids = createMessageIds(sealer);

const connector: Connector = {
  ...plainConnector,
  addressFault: (to) =>
    'phone' in to && to.phone.startsWith('+99') ? 'no such country' : undefined,
  createClient: () => {
    throw new Error('nothing is sent here');
  },
};
/** What the index would say. */
let counts: StatusCounts | undefined = {};
const members = new Map<string, MemberStatus>();

interface Caller {
  readonly tenantId: string;
}
let server: RunningServer;
before(async () => {
  await store.migrate();
  for (const tenantId of ['shop', 'other', 'third']) {
    await store.tenants.create(tenantId, tenantId);
    await store.templates.create(tenantId, {
      name: 'offer',
      kind: 'marketing',
      variables: { code: { type: 'string', maxLength: 8 } },
      contents: { 'sms-test': {} },
    });
    await store.channelAccounts.create({
      tenantId,
      channel: 'sms',
      edit: { name: 'sms', connector: 'sms-test', settings: {}, secrets: {}, ratePerSecond: 10 },
    });
  }
  const app = createApp<Caller>({
    routes: batchRoutes<Caller>({
      batches: store.batches,
      index: {
        counts: async (_tenantId, batchIds) => {
          if (counts === undefined) throw problem('search-unavailable');
          return new Map(batchIds.map((id) => [id, counts ?? {}]));
        },
        statuses: async (wanted) =>
          new Map(
            wanted.flatMap((id): [string, MemberStatus][] => {
              const known = members.get(id);
              return known === undefined ? [] : [[id, known]];
            }),
          ),
      },
      ids,
      sealer,
      connectors: new Map([[connector.name, connector]]),
      checkVariables,
      template: async (tenantId, name) =>
        (await store.templates.findByName(tenantId, name))?.template,
      accountsOf: async (tenantId) => store.channelAccounts.list(tenantId, { limit: 10 }),
      logger,
    }),
    authenticate: async ({ authorization }) => ({ tenantId: authorization ?? 'shop' }),
    logger,
    metrics: createMetrics(),
    notReady: () => [],
  });
  server = await listen(app, '127.0.0.1', 0);
});
after(async () => {
  await server.close();
  await store.close();
});

interface Answer {
  readonly status: number;
  readonly text: string;
  // Looked into by the assertions.
  readonly body: Record<string, unknown> & {
    errors?: { pointer: string; detail: string }[];
    items?: Record<string, unknown>[];
  };
}
async function call(
  method: string,
  path: string,
  {
    body,
    tenant = 'shop',
    type = 'application/json',
    headers = {},
  }: {
    body?: unknown;
    tenant?: string;
    type?: string;
    headers?: Record<string, string>;
  } = {},
): Promise<Answer> {
  const response = await fetch(`http://127.0.0.1:${server.port}${path}`, {
    method,
    headers: {
      ...headers,
      authorization: tenant,
      ...(body !== undefined && { 'content-type': type }),
    },
    ...(body !== undefined && {
      body:
        typeof body === 'string' || body instanceof ReadableStream ? body : JSON.stringify(body),
      duplex: 'half',
    }),
  });
  const text = await response.text();
  const isJson =
    /json/.test(response.headers.get('content-type') ?? '') &&
    !/ndjson/.test(response.headers.get('content-type') ?? '');
  return { status: response.status, text, body: isJson ? JSON.parse(text) : {} };
}
const codeOf = ({ body }: Answer) =>
  String(body['type']).replace('urn:message-center:problem:', '');
const pointers = (answer: Answer) => answer.body.errors?.map(({ pointer }) => pointer);
async function draft(more: object = {}): Promise<string> {
  const made = await call('POST', '/v1/batches', { body: { template: 'offer', ...more } });
  assert.equal(made.status, 201, made.text);
  return String(made.body['id']);
}
const upload = (id: string, body: string | ReadableStream, type = 'text/csv') =>
  call('PUT', `/v1/batches/${id}/recipients`, { body, type });
const phoneOf = (at: number) => `139${String(at).padStart(8, '0')}`;
const csv = (from: number, until: number) =>
  `phone,code\n${Array.from({ length: until - from }, (_, at) => `${phoneOf(from + at)},C${from + at}\n`).join('')}`;
async function rows(sql: string): Promise<Record<string, unknown>[]> {
  const connection = await mysql.createConnection(mysqlUrl);
  const [found] = await connection.query(sql);
  await connection.end();
  return found as Record<string, unknown>[];
}

describe('batches over HTTP', () => {
  it('are made, uploaded, started; each state refuses what it cannot do', async () => {
    const id = await draft({ name: 'Spring', ratePerSecond: 5 });
    const early = await call('POST', `/v1/batches/${id}/start`, { body: {} });
    assert.deepEqual([early.status, codeOf(early)], [409, 'batch-not-possible']);
    const uploaded = await upload(id, csv(0, 250));
    assert.equal(uploaded.status, 200, uploaded.text);
    assert.deepEqual([uploaded.body['state'], uploaded.body['total']], ['ready', 250]);
    // The newest upload is the one that counts.
    assert.equal((await upload(id, csv(0, 150))).body['total'], 150);
    assert.deepEqual((await call('GET', `/v1/batches/${id}`)).body['messages'], { waiting: 150 });
    const startAt = new Date(Date.now() + 3_600_000).toISOString();
    const started = await call('POST', `/v1/batches/${id}/start`, { body: { startAt } });
    assert.deepEqual([started.body['state'], started.body['startAt']], ['scheduled', startAt]);
    const again = await call('POST', `/v1/batches/${id}/start`, { body: {} });
    assert.deepEqual(again.body, started.body, 'a repeat changes nothing');
    const late = await upload(id, csv(0, 10));
    assert.deepEqual([late.status, codeOf(late)], [409, 'batch-not-possible']);
    await store.stops.create({
      action: 'recall',
      scope: { kind: 'batch', value: id },
      tenantId: 'shop',
      reason: 'test',
    });
    const stopped = await call('GET', `/v1/batches/${id}`);
    assert.deepEqual(
      [stopped.body['state'], stopped.body['messages']],
      ['stopped', { recalled: 150 }],
    );
  });

  it('are made once under an Idempotency-Key, whatever became of them since', async () => {
    const body = { template: 'offer', name: 'Once', metadata: { a: '1', b: '2' } };
    const post = (key: string, asked: object = body, tenant = 'shop') =>
      call('POST', '/v1/batches', { body: asked, tenant, headers: { 'idempotency-key': key } });
    const together = await Promise.all(Array.from({ length: 8 }, () => post('spring')));
    assert.deepEqual(new Set(together.map(({ status }) => status)), new Set([201]));
    assert.equal(new Set(together.map(({ body: { id } }) => id)).size, 1);
    const id = String(together[0]?.body['id']);
    await upload(id, csv(0, 3));
    await call('POST', `/v1/batches/${id}/start`, { body: {} });
    const { template, name } = body;
    const again = await post('"spring"', { metadata: { b: '2', a: '1' }, name, template });
    assert.deepEqual(
      [again.status, again.body['id'], again.body['state'], again.body['total']],
      [201, id, 'running', 3],
    );
    const other = await post('spring', { ...body, name: 'Twice' });
    assert.deepEqual(
      [other.status, codeOf(other), pointers(other)],
      [409, 'idempotency-conflict', ['header/idempotency-key']],
    );
    // Out of date by now, and made all the same.
    const startAt = new Date(Date.now() + 300).toISOString();
    const soon = await post('soon', { ...body, startAt });
    await until('it is past', () => (Date.now() > Date.parse(startAt) ? true : undefined));
    assert.equal((await post('soon', { ...body, startAt })).body['id'], soon.body['id']);

    const theirs = await post('spring', body, 'third');
    const different = await post('summer');
    const none = await call('POST', '/v1/batches', { body });
    const all = [id, theirs.body['id'], different.body['id'], none.body['id']];
    assert.equal(new Set(all).size, 4);
    const bad = await post('white space');
    assert.deepEqual([bad.status, codeOf(bad)], [400, 'idempotency-key-invalid']);
    const kept = JSON.stringify(await rows('select * from batches'));
    assert.ok(!kept.includes('summer'), 'the key is kept by its hash alone');
  });

  it('are refused with the field that is wrong', async () => {
    const bad: [body: object, status: number, pointer: string][] = [
      [{ template: 'nobody' }, 422, '/template'],
      [{ template: 'offer', channel: 'push' }, 422, '/channel'],
      [{ template: 'offer', channels: ['sms', 'push'] }, 422, '/channels/1'],
      [{ template: 'offer', channel: 'sms', channels: ['sms'] }, 422, '/channels'],
      [{ template: 'offer', priority: 'critical' }, 422, '/priority'],
      [{ template: 'offer', priority: 'urgent' }, 422, '/priority'],
      [{ template: 'offer', ratePerSecond: 0 }, 422, '/ratePerSecond'],
      [{ template: 'offer', startAt: '2020-01-01T00:00:00Z' }, 422, '/startAt'],
      [{ template: 'offer', startAt: '2099-01-01T00:00:00Z' }, 422, '/startAt'],
      [{ template: 'offer', batch: 'x' }, 422, '/batch'],
    ];
    for (const [body, status, pointer] of bad) {
      const answer = await call('POST', '/v1/batches', { body });
      assert.deepEqual([answer.status, pointers(answer)], [status, [pointer]], answer.text);
    }
  });

  it('report every faulty line, and start without them only when told to', async () => {
    const id = await draft();
    const file = [
      'phone,code',
      `${phoneOf(1)},A`,
      `${phoneOf(2)},much too long`,
      '12345,B',
      ',C',
      `+86${phoneOf(1)},D`,
      `${phoneOf(3)},`,
      '+9912345678,E',
      `${phoneOf(4)},F`,
    ];
    const { body } = await upload(id, file.join('\r\n'));
    assert.deepEqual([body['total'], body['faults'], body['state']], [2, 6, 'ready']);
    const first = await call('GET', `/v1/batches/${id}/faults?limit=4`);
    const second = await call(
      'GET',
      `/v1/batches/${id}/faults?limit=4&cursor=${String(first.body['nextCursor'])}`,
    );
    assert.equal(second.body['nextCursor'], undefined);
    const found = [...(first.body.items ?? []), ...(second.body.items ?? [])];
    assert.deepEqual(
      found.map(({ line, pointer }) => [line, pointer]),
      [
        [3, '/variables/code'],
        [4, '/to/phone'],
        [5, '/to'],
        [6, '/to'],
        [7, '/variables/code'],
        [8, '/to'],
      ],
      JSON.stringify(found),
    );
    assert.match(String(found[3]?.['detail']), /earlier line/);
    const refused = await call('POST', `/v1/batches/${id}/start`, { body: {} });
    assert.match(String(refused.body['detail']), /^6 lines .* faulty/);
    const started = await call('POST', `/v1/batches/${id}/start`, { body: { allowFaults: true } });
    assert.equal(started.body['state'], 'running');
    const bogus = await call('GET', `/v1/batches/${id}/faults?cursor=MTp4`);
    assert.deepEqual([bogus.status, pointers(bogus)], [422, ['query/cursor']]);
  });

  it('keep at most 10,000 faults, and count all', async () => {
    const id = await draft();
    const { body } = await upload(id, `{"to":{}}\n`.repeat(10_150), 'application/x-ndjson');
    assert.deepEqual([body['state'], body['faults']], ['draft', 10_150]);
    assert.equal((await store.batches.faults(id, { from: 9990, limit: 100 })).length, 10);
  });

  it('take NDJSON, and refuse what they do not know', async () => {
    const id = await draft();
    const line = (at: number, more = {}) =>
      JSON.stringify({ to: { phone: phoneOf(at) }, variables: { code: 'x' }, ...more });
    const type = 'application/x-ndjson; charset=utf-8';
    const { body } = await upload(id, `${line(1)}\n${line(2, { sendAt: 'now' })}\n`, type);
    assert.deepEqual([body['total'], body['faults']], [1, 1]);
    const spoken = ['zh-tw', 'zh_TW'].map((locale, at) => line(at, { locale })).join('\n');
    assert.equal((await upload(await draft(), spoken, type)).body['total'], 1);
    for (const [wrong, status] of [
      ['application/json', 415],
      ['text/csv; charset=utf-16', 415],
      ['', 415],
    ] as const)
      assert.equal((await upload(id, csv(0, 1), wrong)).status, status);
    assert.equal((await upload('bat_0000000000000000', csv(0, 1))).status, 404);
    const gzip = await fetch(`http://127.0.0.1:${server.port}/v1/batches/${id}/recipients`, {
      method: 'PUT',
      headers: { 'content-type': 'text/csv', 'content-encoding': 'gzip', authorization: 'shop' },
      body: 'x',
    });
    assert.equal(gzip.status, 415);
    assert.equal((await call('GET', `/v1/batches/${id}`)).body['total'], 1, 'nothing changed');
  });

  it('are as before after an upload that breaks, is broken off, or is no CSV', async () => {
    const id = await draft();
    await upload(id, csv(0, 120));
    const before = (await call('GET', `/v1/batches/${id}`)).body;
    const broken = await upload(id, `${csv(500, 900)}1,"x`);
    assert.deepEqual([broken.status, pointers(broken)], [422, ['line/402']], broken.text);
    const { updatedAt: _, ...same } = (await call('GET', `/v1/batches/${id}`)).body;
    assert.deepEqual(
      same,
      Object.fromEntries(Object.entries(before).filter(([key]) => key !== 'updatedAt')),
    );

    const chunks = [csv(500, 900), 'never'];
    let sent: () => void = () => undefined;
    const isSent = new Promise<void>((resolve) => (sent = resolve));
    const abort = new AbortController();
    const broke = assert.rejects(
      fetch(`http://127.0.0.1:${server.port}/v1/batches/${id}/recipients`, {
        method: 'PUT',
        headers: { 'content-type': 'text/csv', authorization: 'shop' },
        signal: abort.signal,
        duplex: 'half',
        body: new ReadableStream({
          pull: async (controller) => {
            const chunk = chunks.shift();
            if (chunk !== 'never') return controller.enqueue(Buffer.from(chunk ?? ''));
            sent();
            await new Promise(() => undefined);
          },
        }),
      }),
    );
    await isSent;
    await until('it is uploading', async () =>
      (await call('GET', `/v1/batches/${id}`)).body['state'] === 'uploading' ? true : undefined,
    );
    const beside = await upload(id, csv(0, 1));
    assert.deepEqual([beside.status, codeOf(beside)], [409, 'batch-not-possible']);
    assert.equal((await call('POST', `/v1/batches/${id}/start`, { body: {} })).status, 409);
    abort.abort();
    await broke;
    await until('it is given up', async () =>
      (await call('GET', `/v1/batches/${id}`)).body['state'] === 'ready' ? true : undefined,
    );
    assert.equal((await call('GET', `/v1/batches/${id}`)).body['total'], 120);
    await until('nothing of it is left', async () => {
      const uploads = await rows(`select id from batch_uploads where batch_id = '${id}'`);
      return uploads.length === 1 ? true : undefined;
    });
    assert.equal((await upload(id, csv(0, 7))).body['total'], 7, 'and it can be uploaded anew');
  });

  it('tell what became of each line, and escape what a spreadsheet would run', async () => {
    counts = { sent: 1, failed: 1 };
    const id = await draft();
    await upload(id, csv(0, 250));
    await call('POST', `/v1/batches/${id}/start`, { body: {} });
    await store.leases.acquire('batches', 'me', 60_000);
    const taken = await store.batches.takeBlock(id, 'me');
    assert.ok(taken.result === 'taken');
    await store.batches.markPublished(id, taken.block);
    const memberId = (index: number) => ids.derive('shop', `batch ${id}`, index);
    members.set(memberId(0), { status: 'sent' });
    members.set(memberId(1), {
      status: 'failed',
      reason: { code: 'recipient-invalid', detail: '=1+1' },
    });
    const file = (await call('GET', `/v1/batches/${id}/results`)).text.split('\r\n');
    assert.match(file[100] ?? '', /^101,msg_.*,accepted,,$/);
    assert.deepEqual([file[101], file.length], ['102,,waiting,,', 252]);
    assert.deepEqual((await call('GET', `/v1/batches/${id}`)).body['messages'], {
      sent: 1,
      failed: 1,
      waiting: 150,
      accepted: 98,
    });
    counts = undefined;
    const without = await call('GET', `/v1/batches/${id}`);
    assert.deepEqual([without.status, without.body['messages']], [200, undefined]);
    counts = {};
    const ndjson = (await call('GET', `/v1/batches/${id}/results?format=ndjson`)).text.split('\n');
    assert.deepEqual(JSON.parse(ndjson[0] ?? ''), { line: 2, id: memberId(0), status: 'sent' });
  });

  it('hold no upload in memory', async (t) => {
    const id = await draft();
    const total = 200_000;
    let at = 0;
    const body = new ReadableStream({
      pull: (controller) => {
        if (at === 0) controller.enqueue(Buffer.from('phone,code\n'));
        if (at === total) return controller.close();
        const some = Array.from({ length: 1000 }, () => `${phoneOf((at += 1))},"C"\n`);
        controller.enqueue(Buffer.from(some.join('')));
      },
    });
    const before = process.memoryUsage().rss;
    let most = before;
    const look = setInterval(() => (most = Math.max(most, process.memoryUsage().rss)), 50);
    const uploaded = await upload(id, body);
    clearInterval(look);
    assert.equal(uploaded.body['total'], total, uploaded.text);
    const mebibytes = Math.round((most - before) / 1024 ** 2);
    t.diagnostic(`${mebibytes} MiB more for ${total} lines`);
    // The hashes of the recipients are some 20 MiB of it; the rest is what the collector has not taken yet.
    assert.ok(mebibytes < 300, `${mebibytes} MiB`);
  });

  it('are listed newest first, page by page, and nobody sees those of another tenant', async () => {
    const id = await draft({ name: 'newest' });
    const page = await call('GET', '/v1/batches?limit=2');
    assert.deepEqual([page.body.items?.[0]?.['id'], page.body.items?.length], [id, 2]);
    const next = await call('GET', `/v1/batches?limit=2&cursor=${String(page.body['nextCursor'])}`);
    assert.ok(next.body.items?.every((item) => item['id'] !== id));
    for (const [method, path, body] of [
      ['GET', ''],
      ['GET', '/faults'],
      ['GET', '/results'],
      ['POST', '/start', {}],
    ] as const)
      assert.equal(
        (await call(method, `/v1/batches/${id}${path}`, { body, tenant: 'other' })).status,
        404,
      );
    const theirs = await call('PUT', `/v1/batches/${id}/recipients`, {
      body: csv(0, 1),
      type: 'text/csv',
      tenant: 'other',
    });
    assert.equal(theirs.status, 404);
    assert.deepEqual((await call('GET', '/v1/batches', { tenant: 'other' })).body.items, []);
  });

  it('hold no recipient in clear, in MySQL or in logs', async () => {
    const tables = await Promise.all(
      ['batches', 'batch_blocks', 'batch_faults'].map((table) => rows(`select * from ${table}`)),
    );
    const everything = JSON.stringify([tables, lines]);
    for (let at = 0; at < 250; at += 1) assert.ok(!everything.includes(phoneOf(at)), phoneOf(at));
    assert.ok(!everything.includes('much too long'));
  });
});
