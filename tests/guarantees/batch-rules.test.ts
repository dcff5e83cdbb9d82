/** What holds for members of a batch as for every message: quotas of their tenant, and erasure of a person. On MySQL alone. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import mysql from 'mysql2/promise';
import { pino } from 'pino';
import type { AcceptedMessage } from '../../contracts/message.ts';
import { createNames } from '../../contracts/topics.ts';
import { batchRoutes } from '../../ingest/batches/routes.ts';
import { erasureRoutes } from '../../ingest/erasures.ts';
import { erasePeople, type ErasePeopleDeps } from '../../jobs/erase-people.ts';
import { runBatches } from '../../jobs/run-batches.ts';
import { createApp, listen, type RunningServer } from '../../platform/http.ts';
import { pause } from '../../platform/lifecycle.ts';
import { createMessageIds } from '../../platform/message-id.ts';
import { createMetrics } from '../../platform/metrics.ts';
import { createSealer } from '../../platform/seal.ts';
import { batchesLease, createLeaseHolder, createStore } from '../../store/index.ts';
import { checkVariables } from '../../templates/index.ts';
import { startIngestApp } from '../ingest-app.ts';
import { testMysqlUrl, until } from '../stack.ts';
import { plainConnector } from '../../tests/plain-connector.ts';

const logger = pino({ level: 'silent' });
const mysqlUrl = await testMysqlUrl();
const keyring = [`test:${Buffer.alloc(32, 7).toString('base64')}`];
const sealer = createSealer(keyring);
const store = createStore({ mysqlUrl, sealer, slots: 1, logger });
const ids = createMessageIds(sealer);
const connectors = new Map([[plainConnector.name, plainConnector]]);
const names = createNames('test');
const template = async (tenantId: string, name: string) =>
  (await store.templates.findByName(tenantId, name))?.template;
const accountsOf = (tenantId: string) => store.channelAccounts.list(tenantId, { limit: 10 });
const sealing = (tenantId: string) => store.dayKeyRing.sealing(tenantId);
const checking = { ids, sealer, connectors, checkVariables, template, accountsOf, sealing, logger };

/** What the queue has of batches, with when it came. */
const published: { message: AcceptedMessage; atMs: number }[] = [];
const of = (batch: string) => published.filter(({ message }) => message.batch === batch);
const idsOf = (batch: string) => new Set(of(batch).map(({ message }) => message.id));
const phonesOf = (batch: string) =>
  Promise.all(
    of(batch).map(async ({ message: { id, sealed } }) => {
      const request = (await store.dayKeyRing.open(sealed, id)).toString();
      return (JSON.parse(request) as { to: { phone: string } }).to.phone;
    }),
  );

function run(holder: string) {
  const holdsLease = createLeaseHolder(store.leases, { holder, ttlMs: 2000 });
  return runBatches({
    ...checking,
    batches: store.batches,
    index: { counts: async () => new Map() },
    publisher: {
      publish: async (_topic, { body }) => {
        const message = JSON.parse(String(body)) as AcceptedMessage;
        published.push({ message, atMs: performance.now() });
      },
    },
    names,
    quotasOf: (tenantId) => store.tenantQuotas.get(tenantId),
    counters: store.quotaCounters,
    holder,
    holdsLease: () => holdsLease(batchesLease),
  });
}

interface Caller {
  readonly tenantId: string;
}
let server: RunningServer;
before(async () => {
  await store.migrate();
  for (const tenantId of ['metered', 'paced', 'shop']) {
    await store.tenants.create(tenantId, tenantId);
    await store.templates.create(tenantId, {
      name: 'offer',
      kind: 'marketing',
      variables: {},
      contents: { [plainConnector.name]: { text: 'hello' } },
    });
    await store.channelAccounts.create({
      tenantId,
      channel: 'sms',
      edit: {
        name: 'sms',
        connector: plainConnector.name,
        settings: {},
        secrets: {},
        ratePerSecond: 500,
      },
    });
  }
  const app = createApp<Caller>({
    routes: [
      ...batchRoutes<Caller>({
        ...checking,
        batches: store.batches,
        index: { counts: async () => new Map(), statuses: async () => new Map() },
      }),
      ...erasureRoutes<Caller>({ store, retentionDays: 7, logger }),
    ],
    authenticate: async ({ authorization = '' }) => ({ tenantId: authorization }),
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

async function call(tenant: string, path: string, body?: object) {
  const response = await fetch(`http://127.0.0.1:${server.port}${path}`, {
    method: body === undefined ? 'GET' : 'POST',
    headers: {
      authorization: tenant,
      ...(body !== undefined && { 'content-type': 'application/json' }),
    },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });
  return { status: response.status, body: (await response.json()) as Record<string, unknown> };
}
const upload = (tenant: string, id: string, body: string | ReadableStream) =>
  fetch(`http://127.0.0.1:${server.port}/v1/batches/${id}/recipients`, {
    method: 'PUT',
    headers: { authorization: tenant, 'content-type': 'text/csv' },
    body,
    duplex: 'half',
  });
const phoneOf = (at: number) => `139${String(at).padStart(8, '0')}`;
const csv = (total: number) =>
  `phone\n${Array.from({ length: total }, (_, at) => phoneOf(at)).join('\n')}\n`;

/** A batch with its recipients, not started. */
async function uploaded(tenant: string, total: number): Promise<string> {
  const made = await call(tenant, '/v1/batches', { template: 'offer' });
  const id = String(made.body['id']);
  const answer = await upload(tenant, id, csv(total));
  assert.equal(answer.status, 200, await answer.text());
  return id;
}
const start = async (tenant: string, id: string, body: object = {}) =>
  assert.equal((await call(tenant, `/v1/batches/${id}/start`, body)).status, 200);
const get = async (tenant: string, id: string) => (await call(tenant, `/v1/batches/${id}`)).body;
const untilHandedOver = (tenant: string, id: string, count: number) =>
  until(
    `${count} of ${id}`,
    async () => ((await get(tenant, id))['published'] === count ? true : undefined),
    { seen: () => of(id).length },
  );
async function rows(sql: string): Promise<Record<string, unknown>[]> {
  const connection = await mysql.createConnection(mysqlUrl);
  const [found] = await connection.query(sql);
  await connection.end();
  return found as Record<string, unknown>[];
}

describe('members of a batch against the quotas of their tenant', () => {
  it('go as far as the day lets them, say so, are counted once, and go on when the quota is raised', async () => {
    const perDay = (bulk: number) => ({
      total: { perDay: 1000 },
      lanes: { bulk: { perDay: bulk } },
    });
    const quotas = await store.tenantQuotas.put('metered', 1, perDay(150));
    const ingest = await startIngestApp({ mysqlUrl, keyring, logger, instanceId: 'one' });
    const { key } = await store.apiKeys.create('metered', { name: 'test' });
    const post = (at: number, priority: string) =>
      ingest.call(key, '/v1/messages', {
        body: { to: { phone: phoneOf(at) }, template: 'offer', priority },
      });
    for (let at = 0; at < 20; at += 1) assert.equal((await post(at, 'bulk')).status, 202);

    const id = await uploaded('metered', 250);
    await start('metered', id);
    const first = run('first');
    // What ingest had reserved and did not use comes back to the day after a while.
    await until('130 have gone', () => (idsOf(id).size === 130 ? true : undefined), {
      seen: () => idsOf(id).size,
    });
    const waiting = await until(
      'it says what it waits for',
      async () => (await get('metered', id))['waitingFor'],
    );
    assert.match(String(waiting), /quota is used up for today \(day, bulk-day\).*T00:00:00\.000Z/);
    const refused = await post(20, 'bulk');
    assert.deepEqual(
      [refused.status, refused.body['violated-policies']],
      [429, ['bulk-day']],
      JSON.stringify(refused.body),
    );
    assert.equal((await post(21, 'normal')).status, 202, 'another lane goes on');

    await first.stop();
    const second = run('second');
    await until('it has handed over again what it had in hand', () =>
      of(id).length > 130 ? true : undefined,
    );
    await pause(1500);
    assert.equal(idsOf(id).size, 130, 'nobody more');

    await store.tenantQuotas.put('metered', quotas.version, perDay(1000));
    await untilHandedOver('metered', id, 250);
    await second.stop();
    assert.equal(idsOf(id).size, 250);
    assert.deepEqual(new Set(await phonesOf(id)).size, 250);
    // What a member counted as accepted at stays, however often it is handed over.
    for (const messageId of idsOf(id)) {
      const times = of(id).filter(({ message }) => message.id === messageId);
      assert.equal(new Set(times.map(({ message }) => message.acceptedAt)).size, 1, messageId);
    }
    const done = await get('metered', id);
    assert.deepEqual([done['waitingFor'], done['published']], [undefined, 250]);
    await ingest.close();
    const counts = await rows("select * from tenant_day_counts where tenant_id = 'metered'");
    assert.deepEqual(
      Object.fromEntries(counts.map(({ counter, reserved }) => [counter, Number(reserved)])),
      { total: 271, bulk: 270 },
    );
  });

  it('share what the tenant may send in a second with those who post', async () => {
    await store.tenantQuotas.put('paced', 1, { total: { perSecond: 40 } });
    const ingest = await startIngestApp({ mysqlUrl, keyring, logger, instanceId: 'two' });
    const { key } = await store.apiKeys.create('paced', { name: 'test' });
    const left = async () => {
      const answer = await ingest.call(key, '/v1/messages', {
        body: { to: { phone: phoneOf(0) }, template: 'offer' },
      });
      return Number(/r=(\d+)/.exec(answer.headers.get('ratelimit') ?? '')?.[1]);
    };
    assert.ok((await left()) > 20, 'all of it while no batch goes');
    const id = await uploaded('paced', 150);
    await start('paced', id);
    const runner = run('paced');
    await until('the first have gone', () => (of(id).length > 0 ? true : undefined));
    await pause(2500);
    assert.ok((await left()) < 20, 'half of it beside a batch');
    await untilHandedOver('paced', id, 150);
    await runner.stop();
    const times = of(id).map(({ atMs }) => atMs);
    const seconds = (Math.max(...times) - Math.min(...times)) / 1000;
    // Twenty a second, and at most two seconds' worth at once.
    assert.ok(seconds >= 150 / 20 - 2, `${seconds} s`);
    await until('all of it again', async () => ((await left()) > 20 ? true : undefined), {
      everyMs: 1500,
    });
    await ingest.close();
  });
});

describe('an erasure', () => {
  /** Everything that waits in batches, opened. */
  const waiting = async () => {
    const blocks = await rows('select * from batch_blocks where sealed is not null');
    return blocks
      .map(({ upload_id: uploadId, number, sealed }) =>
        sealer.open(String(sealed), `batch:${String(uploadId)}:${String(number)}`).toString(),
      )
      .join('\n');
  };
  const li = phoneOf(120);
  const erasing = () =>
    erasePeople({
      erasures: store.erasures,
      batches: store.batches,
      // Nothing of these batches was sent.
      index: { findOfRecipients: async () => [], erase: async () => {} },
      client: {} as ErasePeopleDeps['client'],
      holdsLease: async () => true,
      logger,
    });

  it('takes the person out of what was uploaded before, and leaves them in what comes after', async (t) => {
    const runner = run('erasing');
    t.after(() => runner.stop());
    const ready = await uploaded('shop', 250);
    const scheduled = await uploaded('shop', 250);
    const startAt = new Date(Date.now() + 3_600_000).toISOString();
    await start('shop', scheduled, { startAt });
    const underWay = String((await call('shop', '/v1/batches', { template: 'offer' })).body['id']);
    let end: () => void = () => undefined;
    const mayEnd = new Promise<void>((resolve) => (end = resolve));
    const file = [csv(150), phoneOf(150)];
    const uploading = upload(
      'shop',
      underWay,
      new ReadableStream({
        pull: async (controller) => {
          if (file.length === 1) await mayEnd;
          const piece = file.shift();
          if (piece === undefined) controller.close();
          else controller.enqueue(Buffer.from(piece));
        },
      }),
    );
    // Should the test fail before its end.
    uploading.catch(() => undefined);
    t.after(end);
    await until('its first block is stored', async () => {
      const blocks = await rows(
        `select 1 from batch_blocks join batch_uploads on id = upload_id where batch_id = '${underWay}'`,
      );
      return blocks.length > 0 ? true : undefined;
    });

    const asked = await call('shop', '/v1/erasures', { to: { phone: `+86${li}` } });
    assert.equal(asked.status, 202, JSON.stringify(asked.body));
    // From the answer on, before anybody has gone through what waits.
    await start('shop', ready);
    await untilHandedOver('shop', ready, 249);
    assert.ok(!(await phonesOf(ready)).includes(li));
    const expected = new Set(
      Array.from({ length: 250 }, (_, at) => ids.derive('shop', `batch ${ready}`, at)),
    );
    expected.delete(ids.derive('shop', `batch ${ready}`, 120));
    assert.deepEqual(idsOf(ready), expected, 'the others keep their ids');
    const { total, erased, messages } = await get('shop', ready);
    assert.deepEqual(
      { total, erased, messages },
      { total: 250, erased: 1, messages: { recalled: 1, accepted: 249 } },
    );
    const results = await fetch(
      `http://127.0.0.1:${server.port}/v1/batches/${ready}/results?format=ndjson`,
      { headers: { authorization: 'shop' } },
    );
    const line = (await results.text()).split('\n')[120] ?? '';
    assert.deepEqual(
      [JSON.parse(line).line, JSON.parse(line).status, JSON.parse(line).reason],
      [122, 'recalled', 'erased'],
    );

    assert.ok((await waiting()).includes(li), 'else the next proves nothing');
    const job = erasing();
    const state = async () =>
      (await call('shop', `/v1/erasures/${String(asked.body['id'])}`)).body['state'];
    await until('the scheduled one has them no more', async () =>
      (await get('shop', scheduled))['erased'] === 1 ? true : undefined,
    );
    // Longer than an erasure takes where nothing is in its way.
    await pause(33_000);
    assert.equal(await state(), 'running', 'the file that is coming may name them yet');
    end();
    assert.equal((await uploading).status, 200);
    await until('it is done', async () => ((await state()) === 'done' ? true : undefined));
    await job.stop();
    assert.ok(!(await waiting()).includes(li));
    assert.ok((await waiting()).includes(phoneOf(121)), 'the others are there');
    const { erased: gone, total: all } = await get('shop', underWay);
    assert.deepEqual([gone, all], [1, 151]);

    const again = await uploaded('shop', 130);
    await start('shop', again);
    await untilHandedOver('shop', again, 130);
    assert.ok((await phonesOf(again)).includes(li), 'who is named anew has asked anew');
  });
});
