/** Once the key of its day is destroyed, no copy of what a message is about opens anywhere, with all master keys in hand. */
import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import type proto from '@temporalio/proto';
import mysql from 'mysql2/promise';
import { DataExpired, dayKeyIdOf } from '../../platform/day-key.ts';
import { createElasticsearch } from '../../platform/elasticsearch.ts';
import { createLogger } from '../../platform/logger.ts';
import { createPayloadCodec } from '../../platform/payload-codec.ts';
import { createRocketmqAdmin } from '../../platform/rocketmq-admin.ts';
import { createPublisher, createReceiver } from '../../platform/rocketmq.ts';
import { createSealer } from '../../platform/seal.ts';
import { demoTemplates } from '../../stack/seed.ts';
import { sealedColumns } from '../../store/secrets.ts';
import { until } from '../stack.ts';
import { startSystem } from '../system.ts';

type Payload = proto.temporal.api.common.v1.IPayload;
const isPayload = (value: object): value is Payload => 'metadata' in value && 'data' in value;

const system = await startSystem({
  sandbox: { smsAliyun: { settings: { windows: null, receiptsPaused: true } } },
});
const { config, names, store, tenantId } = system;
const { namespace } = system.temporal;
const { workflow, workflowService } = system.temporal.client;
/** All that whoever has the master keys can do. */
const sealer = createSealer(config.masterKeys);
const elasticsearch = createElasticsearch({ url: config.elasticsearchUrl });
const admin = createRocketmqAdmin({ nameServer: config.rocketmqNameServer, timeoutMs: 10_000 });
after(async () => {
  await elasticsearch.close();
  admin.close();
});

const phones = { sent: '13987651001', failed: '13987651002', waiting: '13987651003' } as const;
const secret = 'Vermächtnis-Qx81-您的遗产';
const template = 'private-notice';
// What may be searched is kept in clear: its template says so.
const plain = demoTemplates.find(({ name }) => name === 'plain-notice');
assert.ok(plain !== undefined);
await store.templates.create(tenantId, { ...plain, name: template, isSearchable: false });

async function post(phone: string, more: object = {}): Promise<string> {
  const variables = { text: secret };
  const message = { to: { phone }, template, variables, ...more };
  const { status, body } = await system.call('POST', '/v1/messages', message);
  assert.equal(status, 202, JSON.stringify(body));
  return String(body['id']);
}

let reads = 0;
/** Every message that a topic keeps. */
async function keptMessages(topic: string): Promise<string[]> {
  const group = `${config.prefix}-test-${(reads += 1)}`;
  await admin.createGroups([{ name: group, maxRetries: 16 }]);
  await admin.setOffsetsToStart(group, topic);
  const logger = createLogger('test', 'error');
  const receiver = await createReceiver({
    endpoint: config.rocketmqEndpoint,
    group,
    topics: [topic],
    invisibleSeconds: 60,
    logger,
  });
  try {
    const stored = await admin.topicMessageCount(topic);
    const bodies: string[] = [];
    return await until(
      `all of ${topic} is read`,
      async () => {
        if (bodies.length >= stored) return bodies;
        const deliveries = await receiver.receive(topic, 32);
        for (const { body } of deliveries) bodies.push(body.toString('utf8'));
        await receiver.acknowledge(deliveries);
        return undefined;
      },
      { seen: () => `${bodies.length} of ${stored}` },
    );
  } finally {
    await receiver.close();
  }
}

/** A run's history with every payload opened by the master keys. */
async function openedHistory(workflowId: string): Promise<string> {
  const { history } = await workflowService.getWorkflowExecutionHistory({
    namespace,
    execution: { workflowId },
  });
  const codec = createPayloadCodec(sealer);
  const texts: string[] = [];
  const visit = async (value: unknown): Promise<void> => {
    if (typeof value !== 'object' || value === null) return;
    if (isPayload(value)) {
      const [opened] = await codec.decode([value]);
      texts.push(Buffer.from(opened?.data ?? []).toString('utf8'));
    } else for (const inner of Object.values(value)) await visit(inner);
  };
  await visit(history);
  return texts.join('\n');
}

async function rows(sql: string, values: unknown[] = []): Promise<Record<string, unknown>[]> {
  const connection = await mysql.createConnection(config.mysqlUrl);
  try {
    const [found] = await connection.query(sql, values);
    return found as Record<string, unknown>[];
  } finally {
    await connection.end();
  }
}

const snake = (name: string) => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
const camel = (name: string) =>
  name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());

/** Every row of MySQL, with every sealed column opened that the master keys open. */
async function openedRows(): Promise<string> {
  const texts: string[] = [];
  for (const table of (await rows('show tables')).flatMap((row) => Object.values(row)))
    texts.push(JSON.stringify(await rows('select * from ??', [table])));
  for (const { table, column, context } of sealedColumns)
    for (const row of await rows('select * from ??', [snake(table)])) {
      const sealed = row[snake(column)];
      const named = Object.fromEntries(
        Object.entries(row).map(([name, value]) => [camel(name), value]),
      );
      if (typeof sealed === 'string' && sealed !== '' && dayKeyIdOf(sealed) === undefined)
        texts.push(sealer.open(sealed, context(named as never)).toString('utf8'));
    }
  return texts.join('\n');
}

async function everyDocument(): Promise<string> {
  const index = `${config.prefix}-*`;
  await elasticsearch.indices.refresh({ index });
  return JSON.stringify((await elasticsearch.search({ index, size: 10_000 })).hits.hits);
}

const sealedIn = (text: string) => [...new Set(text.match(/v3\.[0-9]{8}-[0-9a-z]{16}\.[\w-]+/g))];
const clearIn = (text: string) =>
  [secret, ...Object.values(phones)].filter((each) => text.includes(each));

describe('the key of a day', () => {
  it('takes with it every copy of what was accepted on that day', async (t) => {
    system.sandbox.smsAliyun.faults.add({
      kind: 'error',
      status: 200,
      code: 'isv.MOBILE_NUMBER_ILLEGAL',
      message: 'no',
      to: phones.failed,
      action: 'SendSms',
    });
    const pause = await system.call('POST', '/v1/batches/later/pause');
    assert.equal(pause.status, 200, JSON.stringify(pause.body));
    const ids = {
      sent: await post(phones.sent),
      failed: await post(phones.failed),
      waiting: await post(phones.waiting, { batch: 'later' }),
    };
    await system.untilStatus(ids.sent, ['sent']);
    await system.untilStatus(ids.failed, ['failed']);
    await system.untilStatus(ids.waiting, ['held']);
    const lane = names.lane(0, 'normal');
    // What nobody can start is parked with all that it holds. A copy of one that has ended, whose status stays.
    const sent = (await keptMessages(lane)).find((body) => body.includes(ids.sent)) ?? '';
    const publisher = await createPublisher({
      endpoint: config.rocketmqEndpoint,
      logger: createLogger('test', 'error'),
    });
    const tooNew = JSON.stringify({ ...(JSON.parse(sent) as object), version: 99 });
    await publisher.publish(lane, { key: 'too-new', body: tooNew });
    await publisher.close();
    await until('it is parked', async () =>
      (await admin.topicMessageCount(names.parked)) > 0 ? true : undefined,
    );

    const look = async () => {
      const parked = (await keptMessages(names.parked)).map((body) =>
        Buffer.from((JSON.parse(body) as { bodyBase64: string }).bodyBase64, 'base64').toString(),
      );
      return {
        RocketMQ: (await keptMessages(lane)).join('\n'),
        'parked messages': parked.join('\n'),
        Temporal: (await Promise.all(Object.values(ids).map(openedHistory))).join('\n'),
        Elasticsearch: await everyDocument(),
        MySQL: await openedRows(),
      };
    };
    const before = await look();
    const copies = new Map<string, string[]>();
    for (const [where, text] of Object.entries(before)) {
      copies.set(where, sealedIn(text));
      assert.deepEqual(clearIn(text), [], `${where}, before any key was destroyed`);
      t.diagnostic(`${where}: ${sealedIn(text).length} sealed values in ${text.length} characters`);
    }
    for (const where of ['RocketMQ', 'parked messages', 'Temporal', 'Elasticsearch'])
      assert.ok((copies.get(where)?.length ?? 0) > 0, `${where} has a copy`);
    const everyCopy = [...new Set([...copies.values()].flat())];
    const idsOf = Object.values(ids);
    const openAny = async (sealed: string) => {
      const tries = await Promise.allSettled(idsOf.map((id) => store.dayKeyRing.open(sealed, id)));
      return tries.find((each) => each.status === 'fulfilled')?.value.toString('utf8');
    };
    for (const sealed of everyCopy)
      assert.ok(
        ((await openAny(sealed)) ?? '').includes(secret),
        'it opens as long as the key is there',
      );

    const erasure = await system.call('POST', '/v1/erasures', { to: { phone: '13987651999' } });
    const [key] = await rows(
      "select id, date_format(destroy_after, '%Y-%m-%dT%H:%i:%s.000Z') as until from day_keys where tenant_id = ? order by day",
      [tenantId],
    );
    assert.equal(erasure.body['goneBy'], key?.['until']);
    const explain = async (id: string) =>
      (await system.call('GET', `/v1/messages/${id}/explain`)).body['request'];
    assert.deepEqual(await explain(ids.sent), { isReadable: true, until: key?.['until'] });

    await rows("update day_keys set destroy_after = '2020-01-01' where tenant_id = ?", [tenantId]);
    assert.ok((await store.dayKeys.destroy(Date.now(), 1000)) >= 1);
    await until('every process has learned it', async () => {
      const said = (await explain(ids.sent)) as { isReadable: boolean };
      return said.isReadable ? undefined : true;
    });

    // This process follows nothing: it begins anew.
    store.dayKeyRing.clear();
    for (const [where, text] of Object.entries(await look())) {
      assert.deepEqual(clearIn(text), [], where);
      for (const sealed of sealedIn(text))
        for (const id of idsOf) {
          assert.throws(() => sealer.open(sealed, id), where);
          await assert.rejects(store.dayKeyRing.open(sealed, id), DataExpired);
        }
    }

    // Who comes for it now is told, once.
    const redrive = await system.call('POST', `/v1/messages/${ids.failed}/redrive`);
    assert.equal(redrive.status, 409);
    assert.match(JSON.stringify(redrive.body), /no longer kept/);
    const resume = await system.call('POST', '/v1/batches/later/resume');
    assert.equal(resume.status, 200, JSON.stringify(resume.body));
    const ended = await system.untilStatus(ids.waiting, ['failed']);
    assert.equal((ended['reason'] as { code: string }).code, 'data-expired');
    const { status } = await workflow.getHandle(ids.waiting).describe();
    assert.equal(status.name, 'FAILED');
    const { accepted } = system.sandbox.smsAliyun;
    assert.equal(accepted.find({ where: { phone: phones.waiting } }).matched, 0);
  });
});
