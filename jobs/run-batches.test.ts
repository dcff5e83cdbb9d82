import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { pino } from 'pino';
import type { PostBatch } from '../contracts/batch.ts';
import type { Connector } from '../contracts/channel.ts';
import type { AcceptedMessage, SealedRequest } from '../contracts/message.ts';
import { createNames } from '../contracts/topics.ts';
import type { Account, Template } from '../contracts/template.ts';
import { pause } from '../platform/lifecycle.ts';
import { createMessageIds } from '../platform/message-id.ts';
import { PublishError, type Outgoing } from '../platform/queue.ts';
import { createSealer } from '../platform/seal.ts';
import { batchesLease, createLeaseHolder, createStore } from '../store/index.ts';
import type { StatusCounts } from '../store/message-index.ts';
import { checkVariables } from '../templates/index.ts';
import { testMysqlUrl, until } from '../tests/stack.ts';
import { accountsOfBatch, haveAllEnded, roomOf } from './batch-room.ts';
import { runBatches } from './run-batches.ts';
import { plainConnector } from '../tests/plain-connector.ts';

const logger = pino({ level: 'silent' });
const mysqlUrl = await testMysqlUrl();
const sealer = createSealer([`test:${Buffer.alloc(32, 7).toString('base64')}`]);
const store = createStore({ mysqlUrl, sealer, slots: 1, logger });
const ids = createMessageIds(sealer);
const connector: Connector = {
  ...plainConnector,
  createClient: () => {
    throw new Error('nothing is sent here');
  },
};
const accountsOf = (tenantId: string) => store.channelAccounts.list(tenantId, { limit: 10 });

/** What the queue has, in order, and what the index says of it. */
const published: { topic: string; message: AcceptedMessage }[] = [];
let onPublish: (message: Outgoing) => void = () => undefined;
const counts = new Map<string, StatusCounts>();

function run(holder: string) {
  const holdsLease = createLeaseHolder(store.leases, { holder, ttlMs: 2000 });
  return runBatches({
    batches: store.batches,
    index: { counts: async () => counts },
    ids,
    sealer,
    sealing: (tenantId) => store.dayKeyRing.sealing(tenantId),
    connectors: new Map([[connector.name, connector]]),
    checkVariables,
    publisher: {
      publish: async (topic, message) => {
        onPublish(message);
        published.push({ topic, message: JSON.parse(String(message.body)) as AcceptedMessage });
      },
    },
    names: createNames('test'),
    template: async (tenantId, name) =>
      (await store.templates.findByName(tenantId, name))?.template,
    accountsOf,
    quotasOf: (tenantId) => store.tenantQuotas.get(tenantId),
    counters: store.quotaCounters,
    holder,
    holdsLease: () => holdsLease(batchesLease),
    logger,
  });
}

async function started(tenantId: string, total: number, request: Partial<PostBatch> = {}) {
  const { id } = await store.batches.create(tenantId, { template: 'offer', ...request });
  const upload = await store.batches.beginUpload(tenantId, id);
  for (let number = 0; number * 100 < total; number += 1) {
    const firstIndex = number * 100;
    const members = Array.from({ length: Math.min(100, total - firstIndex) }, (_, at) => ({
      line: firstIndex + at + 2,
      to: { phone: `139${String(firstIndex + at).padStart(8, '0')}` },
      variables: { code: `C${firstIndex + at}` },
    }));
    await store.batches.addBlock(upload, { number, firstIndex, members });
  }
  await store.batches.finishUpload(upload, { members: total, faults: 0 });
  await store.batches.start(tenantId, id, {});
  return id;
}
const of = (id: string) => published.filter(({ message }) => message.batch === id);
const stateOf = async (id: string) => (await store.batches.get(id))?.state;
const untilPublished = (id: string, total: number) =>
  until(
    `${total} of ${id}`,
    async () => ((await store.batches.get(id))?.published === total ? true : undefined),
    { timeoutMs: 30_000, seen: () => of(id).length },
  );

before(async () => {
  await store.migrate();
  for (const tenantId of ['big', 'small']) {
    await store.tenants.create(tenantId, tenantId);
    await store.templates.create(tenantId, {
      name: 'offer',
      kind: 'marketing',
      variables: { code: { type: 'string' } },
      contents: { 'sms-test': {} },
    });
    await store.channelAccounts.create({
      tenantId,
      channel: 'sms',
      edit: { name: 'sms', connector: 'sms-test', settings: {}, secrets: {}, ratePerSecond: 100 },
    });
  }
});
after(() => store.close());

describe('the batch runner', () => {
  it('hands over every member once, sealed, in its lane, and is done when all have ended', async () => {
    const runner = run('one');
    const id = await started('big', 250, { metadata: { campaign: 'x' }, expiresIn: 3600 });
    await untilPublished(id, 250);
    const messages = of(id).map(({ message }) => message);
    assert.deepEqual(
      messages.map((message) => message.id).toSorted(),
      Array.from({ length: 250 }, (_, at) => ids.derive('big', `batch ${id}`, at)).toSorted(),
    );
    const [first] = messages;
    assert.ok(first !== undefined && ids.isGenuine(first.id, 'big'));
    assert.deepEqual(
      [first.priority, first.metadata, first.kind],
      ['bulk', { campaign: 'x' }, 'marketing'],
    );
    assert.equal(of(id)[0]?.topic, 'test-lane-0-bulk');
    const { to, variables } = JSON.parse(
      (await store.dayKeyRing.open(first.sealed, first.id)).toString(),
    ) as SealedRequest;
    assert.match(JSON.stringify([to, variables]), /139000000.*C\d/);
    assert.equal(await stateOf(id), 'running', 'nobody has told of an end');
    counts.set(id, { sent: 240, failed: 9, sending: 1 });
    await pause(2500);
    assert.equal(await stateOf(id), 'running');
    counts.set(id, { sent: 240, failed: 10 });
    await until('it is done', async () => ((await stateOf(id)) === 'done' ? true : undefined));
    await runner.stop();
  });

  it('repeats a block as the same messages after it died in the middle of it', async () => {
    const id = await started('big', 150);
    let left = 40;
    onPublish = () => {
      if ((left -= 1) < 0) throw new PublishError('the queue is away', 'unknown');
    };
    const dying = run('dying');
    await until('it fails', () => (left < 0 ? true : undefined));
    await dying.stop();
    onPublish = () => undefined;
    const first = of(id).map(({ message }) => message);
    assert.equal(first.length, 40);
    assert.equal((await store.batches.get(id))?.published, 0);
    const next = run('next');
    await untilPublished(id, 150);
    await next.stop();
    const again = of(id)
      .slice(40)
      .map(({ message }) => message);
    assert.equal(new Set(again.map((message) => message.id)).size, 150);
    for (const message of first) {
      const repeat = again.find((other) => other.id === message.id);
      assert.deepEqual(
        [repeat?.acceptedAt, repeat?.requestHash, repeat?.recipientHash],
        [message.acceptedAt, message.requestHash, message.recipientHash],
      );
    }
  });

  it('gives a small tenant its turns beside a large one', async () => {
    const large = await started('big', 3000);
    const little = await started('small', 300);
    const runner = run('fair');
    await untilPublished(little, 300);
    await runner.stop();
    const position = published.findLastIndex(({ message }) => message.batch === little);
    const before = published.slice(0, position).filter(({ message }) => message.batch === large);
    assert.ok(before.length <= 600, `${before.length} of the large one came before`);
    counts.set(large, { recalled: 3000 });
  });

  it('keeps a pace, holds while paused, and ends at a recall with nothing kept in MySQL', async () => {
    const runner = run('paced');
    const id = await started('small', 400, { ratePerSecond: 50 });
    await until('some', () => (of(id).length >= 50 ? true : undefined));
    const from = performance.now();
    const atFrom = of(id).length;
    await pause(2000);
    const most = 50 * ((performance.now() - from) / 1000 + 2);
    assert.ok(of(id).length - atFrom <= most, `${of(id).length - atFrom} in two seconds`);
    const scope = { kind: 'batch' as const, value: id };
    const stop = { scope, tenantId: 'small', reason: 'test' };
    const paused = await store.stops.create({ action: 'pause', ...stop });
    assert.equal(await stateOf(id), 'paused');
    // What was in hand may still go.
    await pause(1000);
    const held = of(id).length;
    await pause(1500);
    assert.equal(of(id).length, held);
    await store.stops.resume(paused.id);
    await until('it goes on', () => (of(id).length > held ? true : undefined));
    const recall = await store.stops.create({ action: 'recall', ...stop });
    const ended = await until('it is stopped', async () => {
      const batch = await store.batches.get(id);
      return batch?.endedAt === undefined ? undefined : batch;
    });
    assert.equal(ended.state, 'stopped');
    await runner.stop();
    assert.ok(of(id).length < 400);
    for (const { message } of of(id))
      assert.ok(message.acceptedAt <= (recall.acceptedBefore ?? ''));
    await assert.rejects(store.batches.beginUpload('small', id), { code: 'batch-not-possible' });
    assert.equal((await store.batches.start('small', id, {})).state, 'stopped');
  });

  it('waits, and says for what, when template or accounts take a member no longer', async () => {
    const runner = run('waiting');
    const account = (await accountsOf('small'))[0];
    assert.ok(account !== undefined);
    const known = await store.templates.findByName('small', 'offer');
    assert.ok(known !== undefined);
    const { name, kind, variables, contents } = known.template;
    const version = await store.templates.update(known.template.id, known.template.version, {
      edit: { name, kind, contents, variables: { ...variables, shop: { type: 'string' } } },
    });
    const id = await started('small', 10);
    const waiting = await until('it waits', async () => (await store.batches.get(id))?.waitingFor);
    assert.match(waiting, /\/variables\/shop is required/);
    assert.equal(of(id).length, 0);
    await store.templates.update(known.template.id, version.version, {
      edit: { name, kind, contents, variables },
    });
    await untilPublished(id, 10);
    await until('it says so', async () =>
      (await store.batches.get(id))?.waitingFor === undefined ? true : undefined,
    );
    await runner.stop();
  });

  it('is one at a time: who has lost the lease takes no block', async () => {
    const id = await started('small', 10);
    // The runner before it has let its lease run out.
    await until('the lease is free', () => store.leases.acquire(batchesLease, 'other', 60_000));
    assert.deepEqual(await store.batches.takeBlock(id, 'lost'), { result: 'lost' });
    const taken = await store.batches.takeBlock(id, 'other');
    assert.ok(taken.result === 'taken');
    await store.batches.markPublished(id, taken.block);
    await store.batches.markPublished(id, taken.block);
    assert.equal((await store.batches.get(id))?.published, 10, 'counted once');
    assert.deepEqual(await store.batches.takeBlock(id, 'other'), { result: 'all-published' });
    await store.leases.release(batchesLease, 'other');
  });
});

describe('the room of a batch', () => {
  const account = (id: string, limitInForce: number | null) => ({
    id,
    limitInForce,
    ratePerSecond: 5,
  });
  const load = (id: string, accountId: string, published: number, accepted = 0) => ({
    id,
    accountIds: new Set([accountId]),
    published,
    counts: { accepted, sent: 1000 },
  });
  it('is ten minutes of its accounts, less what waits of all batches through them', () => {
    const accounts = [account('a', 20), account('b', 1), account('c', 0), account('d', null)];
    const mine = load('mine', 'a', 3000);
    assert.equal(roomOf(mine, [mine], accounts), 12_000 - 2000);
    const other = load('other', 'a', 11_000, 500);
    assert.equal(roomOf(mine, [mine, other], accounts), 0);
    assert.equal(roomOf(mine, [mine, load('elsewhere', 'b', 99_000)], accounts), 10_000);
    assert.equal(roomOf(load('held', 'c', 1000), [], accounts), 0, 'a held account takes nothing');
    assert.equal(roomOf(load('new', 'd', 1000), [], accounts), 3000, 'by what was configured');
    assert.equal(roomOf(load('nobody', 'x', 0), [], accounts), 0);
  });
  it('knows the accounts by the channels asked for', () => {
    const accounts = [
      { id: 'a', connector: 'sms-test', channel: 'sms' },
      { id: 'b', connector: 'push-test', channel: 'push' },
    ] as Account[];
    const connectors = new Map([
      ['sms-test', connector],
      ['push-test', connector],
    ]);
    const template = { contents: { 'sms-test': {}, 'push-test': {} } } as Pick<
      Template,
      'contents'
    >;
    const of = (request: Pick<PostBatch, 'channel' | 'channels'>) => [
      ...accountsOfBatch(request, { template, connectors, accounts }),
    ];
    assert.deepEqual(of({}), ['a', 'b']);
    assert.deepEqual(of({ channel: 'push' }), ['b']);
    assert.deepEqual(of({ channels: ['sms-test'] }), ['a']);
  });
  it('tells when all have ended', () => {
    assert.ok(haveAllEnded(3, { sent: 1, recalled: 2 }));
    assert.ok(!haveAllEnded(3, { sent: 2, held: 1 }));
  });
});
