import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { createAdminApp } from '../admin/server.ts';
import type { TenantQuotasEdit } from '../contracts/tenant-quotas.ts';
import type { Priority } from '../contracts/topics.ts';
import { listen, type RunningServer } from '../platform/http.ts';
import { createLogger } from '../platform/logger.ts';
import { createMetrics } from '../platform/metrics.ts';
import { createSealer } from '../platform/seal.ts';
import { createStore } from '../store/index.ts';
import { startIngestApp, type IngestApp } from '../tests/ingest-app.ts';
import { createLine } from '../tests/line.ts';
import { testMysqlUrl, until } from '../tests/stack.ts';
import { plainConnector } from '../tests/plain-connector.ts';

const mysqlUrl = await testMysqlUrl();
const logger = createLogger('test', 'silent');
const keyring = [`test:${Buffer.alloc(32, 7).toString('base64')}`];
const store = createStore({ mysqlUrl, sealer: createSealer(keyring), slots: 1, logger });
const adminToken = 'test-token-of-24-characters';
// A day that does not end while the test runs.
const noonMs = Math.floor(Date.now() / 86_400_000) * 86_400_000 + 43_200_000;
const startedMs = Date.now();
let skippedMs = 0;
const now = () => noonMs + Date.now() - startedMs + skippedMs;

let admin: RunningServer;
let line: Awaited<ReturnType<typeof createLine>>;
const ingests: IngestApp[] = [];
let count = 0;

/** One more ingest process; `cuttable`: its way to the database can be cut. */
async function start(cuttable = false): Promise<IngestApp> {
  const url = new URL(mysqlUrl);
  if (cuttable) url.host = `127.0.0.1:${line.port}`;
  const instanceId = `ingest-${(count += 1)}`;
  const ingest = await startIngestApp({
    mysqlUrl: url.toString(),
    keyring,
    logger,
    instanceId,
    now,
  });
  ingests.push(ingest);
  return ingest;
}

async function editQuotas(tenantId: string, body: TenantQuotasEdit): Promise<number> {
  const url = `http://127.0.0.1:${admin.port}/v1/tenants/${tenantId}/quotas`;
  const headers = { authorization: `Bearer ${adminToken}`, 'content-type': 'application/json' };
  const etag = (await fetch(url, { headers })).headers.get('etag') ?? '';
  const edit = { method: 'PUT', body: JSON.stringify(body) };
  const put = await fetch(url, { ...edit, headers: { ...headers, 'if-match': etag } });
  return put.status;
}

const untilVersion = (ingest: IngestApp, tenantId: string, version: number) =>
  until(
    'quotas in force',
    async () => (await ingest.quotasVersion(tenantId)) === version || undefined,
    { timeoutMs: 2000, everyMs: 20 },
  );

/** A tenant of its own with these quotas, in force at every process. */
async function tenantWith(quotas: TenantQuotasEdit) {
  const tenantId = `quota-${(count += 1)}`;
  await store.tenants.create(tenantId, 'Test');
  await store.templates.create(tenantId, {
    name: 'notice',
    kind: 'notice',
    variables: {},
    contents: { 'sms-test': { text: 'hello' } },
  });
  const edit = { name: 'a', connector: 'sms-test', settings: {}, secrets: {}, ratePerSecond: 100 };
  await store.channelAccounts.create({ tenantId, channel: 'sms', edit });
  const { key } = await store.apiKeys.create(tenantId, { name: 'test' });
  assert.equal(await editQuotas(tenantId, quotas), 200);
  await Promise.all(ingests.map((ingest) => untilVersion(ingest, tenantId, 2)));
  return { tenantId, key };
}
const post = (priority: Priority = 'normal') => ({
  to: { phone: '13900001111' },
  template: 'notice',
  priority,
});
const batch = (size: number, priority?: Priority) => ({
  messages: Array.from({ length: size }, () => post(priority)),
});
const send = (ingest: IngestApp, key: string, priority?: Priority) =>
  ingest.call(key, '/v1/messages', { body: post(priority) });
async function sendBatch(ingest: IngestApp, key: string, size: number, priority?: Priority) {
  const answer = await ingest.call(key, '/v1/messages/batch', { body: batch(size, priority) });
  return { ...answer, accepted: Number(answer.body['accepted']) };
}
const reservedOf = async (tenantId: string) => {
  const day = new Date(now()).toISOString().slice(0, 10);
  const count = { tenantId, counter: 'total', day };
  // What is left when nothing is taken tells what is reserved.
  const most = 1_000_000_000;
  const { granted, left } = await store.quotaCounters.reserve({
    count,
    most,
    debt: 0,
    processes: 1,
  });
  await store.quotaCounters.giveBack(count, granted);
  return most - left - granted;
};
const acceptedOf = (tenantId: string) =>
  ingests.flatMap(({ published }) => published).filter((each) => each.tenantId === tenantId).length;

before(async () => {
  await store.migrate();
  const url = new URL(mysqlUrl);
  line = await createLine(url.hostname, Number(url.port || 3306));
  const connectors = new Map([[plainConnector.name, plainConnector]]);
  const metrics = createMetrics();
  admin = await listen(
    createAdminApp({ store, connectors, logger, metrics, adminToken }),
    '127.0.0.1',
    0,
  );
});
after(async () => {
  await Promise.all(ingests.map((ingest) => ingest.close()));
  await line.cut();
  await admin.close();
  await store.close();
});

describe('quotas', () => {
  it('refuse what is over a second, say when to come again, and leave no trace', async () => {
    const ingest = await start();
    const { tenantId, key } = await tenantWith({ total: { perSecond: 3 } });
    const first = await send(ingest, key);
    assert.equal(first.status, 202, JSON.stringify(first.body));
    assert.equal(first.headers.get('ratelimit-policy'), '"second";q=3;w=1');
    assert.equal(first.headers.get('ratelimit'), '"second";r=2;t=1');
    const { accepted, body, status, headers } = await sendBatch(ingest, key, 100);
    const refused = (body['results'] as Record<string, unknown>[]).filter(
      (result) => result['status'] === 429,
    );
    // A burst of one second, and what a second gives while the test runs.
    assert.ok(accepted >= 2 && accepted <= 5, String(accepted));
    assert.deepEqual([status, refused.length], [202, 100 - accepted]);
    assert.match(headers.get('retry-after') ?? '', /^1$/);
    const over = await until('a refusal', async () => {
      const answer = await send(ingest, key);
      return answer.status === 429 ? answer : undefined;
    });
    assert.equal(over.body['type'], 'urn:message-center:problem:quota-exceeded');
    assert.deepEqual(over.body['violated-policies'], ['second']);
    assert.equal(over.headers.get('retry-after'), '1');
    assert.match(over.headers.get('ratelimit') ?? '', /^"second";r=0;t=1$/);
    const before = acceptedOf(tenantId);
    const none = await sendBatch(ingest, key, 1);
    assert.deepEqual([none.status, acceptedOf(tenantId)], [429, before]);
    await until('room again', async () => (await send(ingest, key)).status === 202 || undefined);
  });

  it('of a lane hold for that lane, besides the total', async () => {
    const [ingest = await start()] = ingests;
    const { key } = await tenantWith({ total: { perDay: 10 }, lanes: { bulk: { perDay: 4 } } });
    assert.equal((await sendBatch(ingest, key, 6, 'bulk')).accepted, 4);
    const over = await send(ingest, key, 'bulk');
    assert.deepEqual(over.body['violated-policies'], ['bulk-day']);
    const retryAfter = Number(over.headers.get('retry-after'));
    assert.ok(retryAfter > 42_000 && retryAfter <= 43_200, String(retryAfter));
    assert.equal((await sendBatch(ingest, key, 10)).accepted, 6);
    const { headers, body } = await send(ingest, key, 'critical');
    assert.deepEqual(body['violated-policies'], ['day']);
    assert.equal(headers.get('ratelimit-policy'), '"day";q=10;w=86400, "bulk-day";q=4;w=86400');
    assert.match(
      headers.get('ratelimit') ?? '',
      /^"day";r=0;t=4[23]\d{3}, "bulk-day";r=0;t=4[23]\d{3}$/,
    );
  });

  it('of a day are shared by all processes and never gone over', async () => {
    const all = [ingests[0] ?? (await start()), await start(), await start()];
    const { tenantId, key } = await tenantWith({ total: { perDay: 500 } });
    const sums = await Promise.all(
      all.map(async (ingest) => {
        let accepted = 0;
        for (let round = 0; round < 6; round += 1)
          accepted += (await sendBatch(ingest, key, 50)).accepted;
        return accepted;
      }),
    );
    const sum = sums.reduce((a, b) => a + b, 0);
    // What one process holds of a block while another is refused is not lost: it goes to whoever asks next.
    assert.ok(sum > 400 && sum <= 500, String(sums));
    assert.equal(acceptedOf(tenantId), sum);
  });

  it('of a day survive a restart, which gives back what it did not use', async () => {
    const ingest = await start();
    const { tenantId, key } = await tenantWith({ total: { perDay: 100 } });
    assert.equal((await sendBatch(ingest, key, 30)).accepted, 30);
    await ingest.close();
    ingests.splice(ingests.indexOf(ingest), 1);
    assert.equal(await reservedOf(tenantId), 30);
    const again = await start();
    assert.equal((await sendBatch(again, key, 100)).accepted, 70);
  });

  it('of a day begin anew with the day', async () => {
    const [ingest = await start()] = ingests;
    const { key } = await tenantWith({ total: { perDay: 2 } });
    assert.equal((await sendBatch(ingest, key, 5)).accepted, 2);
    skippedMs += 86_400_000;
    assert.equal((await sendBatch(ingest, key, 5)).accepted, 2);
  });

  it('are divided among the processes that live', async () => {
    const two = [await start(), await start()];
    const { key } = await tenantWith({ total: { perSecond: 100 * ingests.length } });
    await until('each has its share', async () => {
      const { headers } = await send(two[0] as IngestApp, key);
      const left = Number(/r=(\d+)/.exec(headers.get('ratelimit') ?? '')?.[1]);
      return left <= 100 || undefined;
    });
  });

  it('that are edited are in force within two seconds', async () => {
    const [ingest = await start()] = ingests;
    const { tenantId, key } = await tenantWith({ total: { perDay: 1 } });
    assert.equal((await sendBatch(ingest, key, 2)).accepted, 1);
    assert.equal(await editQuotas(tenantId, { total: { perDay: 3 } }), 200);
    await untilVersion(ingest, tenantId, 3);
    assert.equal((await sendBatch(ingest, key, 5)).accepted, 2);
    assert.equal(await editQuotas(tenantId, {}), 200);
    await untilVersion(ingest, tenantId, 4);
    assert.equal((await sendBatch(ingest, key, 10)).accepted, 10);
    assert.equal((await send(ingest, key)).headers.get('ratelimit-policy'), null);
  });

  it('do not count a repeat, nor what was not stored', async () => {
    const [ingest = await start()] = ingests;
    const { key } = await tenantWith({ total: { perDay: 2 } });
    const headers = { 'idempotency-key': 'order-1' };
    const keyed = () => ingest.call(key, '/v1/messages', { body: post(), headers });
    ingest.isBrokerDown = true;
    assert.equal((await keyed()).status, 503);
    assert.equal((await send(ingest, key)).status, 503);
    ingest.isBrokerDown = false;
    const ids = [(await keyed()).body['id'], (await keyed()).body['id']];
    assert.equal(ids[0], ids[1]);
    assert.equal((await send(ingest, key)).status, 202);
    assert.equal((await send(ingest, key)).status, 429);
    assert.equal((await keyed()).status, 202);
  });

  it('do not stop accepting while MySQL is down, and count it afterwards', async () => {
    const ingest = await start(true);
    const { tenantId, key } = await tenantWith({ total: { perDay: 100 } });
    assert.equal((await sendBatch(ingest, key, 10)).accepted, 10);
    await line.cut();
    // What this process knew to be left is the most that it takes by itself.
    assert.equal((await sendBatch(ingest, key, 60)).accepted, 60);
    assert.equal((await sendBatch(ingest, key, 60)).accepted, 30);
    await line.mend();
    await until('counted', async () => (await reservedOf(tenantId)) === 100 || undefined, {
      seen: () => reservedOf(tenantId),
    });
    const [other = ingest] = ingests;
    assert.equal((await send(other, key)).status, 429);
    assert.equal(acceptedOf(tenantId), 100);
  });

  it('are refused with the field that is wrong', async () => {
    await store.tenants.create('faulty', 'Faulty');
    for (const body of [
      { total: { perSecond: 0 } },
      { total: { perDay: 1.5 } },
      { lanes: { express: {} } },
      { lanes: { bulk: { perHour: 1 } } },
      { colour: 'red' },
    ])
      assert.equal(await editQuotas('faulty', body as TenantQuotasEdit), 422);
    assert.equal(await editQuotas('nobody', {}), 404);
  });
});
