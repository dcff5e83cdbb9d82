/** How the runner of batches makes chunks: which members, and that a block keeps its way. */
import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import { pino } from 'pino';
import type { BatchMember, PostBatch } from '../contracts/batch.ts';
import type { Connector } from '../contracts/channel.ts';
import type { ChunkMessage } from '../contracts/chunk.ts';
import type { AcceptedMessage, To } from '../contracts/message.ts';
import type { Account, Template } from '../contracts/template.ts';
import { createNames } from '../contracts/topics.ts';
import { createMessageIds } from '../platform/message-id.ts';
import { PublishError } from '../platform/queue.ts';
import { createSealer } from '../platform/seal.ts';
import { batchesLease, createLeaseHolder, createStore } from '../store/index.ts';
import { checkVariables } from '../templates/index.ts';

import { testMysqlUrl, until } from '../tests/stack.ts';
import { chunksOf } from './block-chunks.ts';
import { runBatches } from './run-batches.ts';
import { plainConnector } from '../tests/plain-connector.ts';

const logger = pino({ level: 'silent' });
const sealer = createSealer([`test:${Buffer.alloc(32, 7).toString('base64')}`]);
const store = createStore({ mysqlUrl: await testMysqlUrl(), sealer, slots: 1, logger });
const ids = createMessageIds(sealer);
const tenantId = 'shop';

const connectorOf = (name: string, batch?: Connector['capabilities']['batch']): Connector => ({
  ...plainConnector,
  name,
  channel: name.startsWith('email') ? 'email' : 'sms',
  addressKinds: [name.startsWith('email') ? 'email' : 'phone'],
  capabilities: { ...plainConnector.capabilities, ...(batch !== undefined && { batch }) },
  createClient: () => {
    throw new Error('nothing is sent here');
  },
});
const connectors = new Map(
  [
    connectorOf('sms-many', { maxMessages: 100, content: 'any' }),
    connectorOf('sms-one'),
    connectorOf('sms-same', { maxMessages: 100, content: 'same' }),
    connectorOf('email-many', { maxMessages: 100, content: 'any' }),
  ].map((connector) => [connector.name, connector]),
);

const phone = (at: number): To => ({ phone: `139${String(at).padStart(8, '0')}` });
const membersFrom = (first: number, count: number, to = phone): BatchMember[] =>
  Array.from({ length: count }, (_, at) => ({
    line: first + at + 2,
    to: to(first + at),
    variables: { code: `C${first + at}` },
  }));

describe('the chunks of a block', () => {
  const template = (kind: Template['kind'], ...contents: string[]) =>
    ({
      name: 'offer',
      kind,
      contents: Object.fromEntries(contents.map((name) => [name, {}])),
    }) as unknown as Template;
  const account = (connector: string, ratePerSecond: number) =>
    ({
      id: connector,
      connector,
      ratePerSecond,
      limitInForce: ratePerSecond,
      isStopped: false,
      weight: 1,
      slot: 0,
    }) as unknown as Account;
  const of = (
    given: {
      request?: Partial<PostBatch>;
      members?: readonly (BatchMember | null)[];
      template?: Template;
      accounts?: readonly Account[];
    } = {},
  ) =>
    chunksOf({
      connectors,
      batch: {
        id: 'bat_1',
        tenantId,
        request: { template: 'offer', ...given.request },
        total: 100,
        published: 0,
      },
      block: { firstIndex: 0, members: given.members ?? membersFrom(0, 100) },
      template: given.template ?? template('marketing', 'sms-many'),
      accounts: given.accounts ?? [account('sms-many', 500)],
    });
  const whole = [{ first: 0, members: 100 }];

  it('are all of it, through an account that takes chunks', () => {
    assert.deepEqual(of(), whole);
    assert.deepEqual(of({ request: { channel: 'sms', expiresIn: 60 } }), whole);
    assert.deepEqual(of({ template: template('notice', 'sms-many') }), whole);
    assert.deepEqual(of({ request: { ratePerSecond: 100 } }), whole);
  });
  it('are none where members must go one by one', () => {
    assert.deepEqual(of({ accounts: [account('sms-many', 199)] }), []);
    assert.deepEqual(of({ template: template('otp', 'sms-many') }), []);
    for (const name of ['sms-one', 'sms-same'])
      assert.deepEqual(
        of({ template: template('marketing', name), accounts: [account(name, 500)] }),
        [],
      );
    for (const request of [
      { priority: 'normal' as const },
      { channels: ['sms', 'email'] },
      // A hundred at once are more than it may hand over in a second.
      { ratePerSecond: 99 },
    ])
      assert.deepEqual(
        of({
          request,
          template: template('marketing', 'sms-many', 'email-many'),
          accounts: [account('sms-many', 500), account('email-many', 500)],
        }),
        [],
      );
    const people = membersFrom(0, 100, (at) => ({ userId: `u${at}` }));
    assert.deepEqual(of({ members: people }), []);
    assert.deepEqual(of({ members: membersFrom(0, 1) }), []);
  });
  it('hold the empty places of who was erased, and begin behind them', () => {
    const members = membersFrom(0, 100).map((member, at) =>
      [0, 1, 50].includes(at) ? null : member,
    );
    assert.deepEqual(of({ members }), [{ first: 2, members: 98 }]);
    assert.deepEqual(of({ members: membersFrom(0, 100).map(() => null) }), []);
  });
  it('have addresses of one kind, and no more bytes than a chunk may', () => {
    const mixed = [
      ...membersFrom(0, 40),
      ...membersFrom(40, 1, () => ({ email: 'a@example.com' })),
      ...membersFrom(41, 59),
    ];
    const both = template('marketing', 'sms-many', 'email-many');
    const accounts = [account('sms-many', 500), account('email-many', 500)];
    assert.deepEqual(of({ members: mixed, template: both, accounts }), [
      { first: 0, members: 40 },
      { first: 41, members: 59 },
    ]);
    const large = membersFrom(0, 5).map((member) => ({
      ...member,
      variables: { code: '字'.repeat(20_000) },
    }));
    assert.deepEqual(of({ members: large }), [
      { first: 0, members: 2 },
      { first: 2, members: 2 },
    ]);
  });
});

/** What the queue has, in order. */
const queue: (ChunkMessage | AcceptedMessage)[] = [];
/** Broker messages that are still taken. */
let room = Infinity;
const isChunk = (message: ChunkMessage | AcceptedMessage): message is ChunkMessage =>
  'members' in message;
const idsIn = (message: ChunkMessage | AcceptedMessage) =>
  isChunk(message) ? message.members.map(({ id }) => id) : [message.id];
const idsOf = (batchId: string, from: number, to: number) =>
  Array.from({ length: to - from }, (_, at) => ids.derive(tenantId, `batch ${batchId}`, from + at));

const runners = new Set<{ stop(): Promise<void> }>();

function run(holder: string, other: Partial<typeof store.batches> = {}) {
  const holdsLease = createLeaseHolder(store.leases, { holder, ttlMs: 2000 });
  const runner = runBatches({
    batches: { ...store.batches, ...other },
    index: { counts: async () => new Map() },
    ids,
    sealer,
    sealing: (of) => store.dayKeyRing.sealing(of),
    connectors,
    checkVariables,
    publisher: {
      publish: async (topic, message) => {
        assert.equal(topic, 'test-lane-0-bulk');
        if ((room -= 1) < 0) throw new PublishError('the queue is away', 'unknown');
        queue.push(JSON.parse(String(message.body)) as ChunkMessage | AcceptedMessage);
      },
    },
    names: createNames('test'),
    template: async (of, name) => (await store.templates.findByName(of, name))?.template,
    accountsOf: (of) => store.channelAccounts.list(of, { limit: 10 }),
    quotasOf: (of) => store.tenantQuotas.get(of),
    counters: store.quotaCounters,
    holder,
    holdsLease: () => holdsLease(batchesLease),
    logger,
  });
  runners.add(runner);
  return runner;
}

/** Runs one runner until it has met a queue that takes no more, and dies. */
async function dieAfter(holder: string, published: number): Promise<void> {
  room = published;
  const runner = run(holder);
  await until('the queue takes no more', () => (room < 0 ? true : undefined));
  await runner.stop();
  room = Infinity;
}
async function finish(holder: string, id: string, total: number): Promise<void> {
  const runner = run(holder);
  await until(`${total} of ${id}`, async () =>
    (await store.batches.get(id))?.published === total ? true : undefined,
  );
  await runner.stop();
}

async function started(total: number, request: Partial<PostBatch> = {}): Promise<string> {
  const { id } = await store.batches.create(tenantId, { template: 'offer', ...request });
  const upload = await store.batches.beginUpload(tenantId, id);
  for (let number = 0; number * 100 < total; number += 1) {
    const firstIndex = number * 100;
    const members = membersFrom(firstIndex, Math.min(100, total - firstIndex));
    await store.batches.addBlock(upload, { number, firstIndex, members });
  }
  await store.batches.finishUpload(upload, { members: total, faults: 0 });
  await store.batches.start(tenantId, id, {});
  return id;
}

/** Changes the account, or the template, as an administrator does. */
async function edit(of: {
  readonly ratePerSecond?: number;
  readonly contents?: Template['contents'];
}): Promise<void> {
  const [account] = await store.channelAccounts.list(tenantId, { limit: 10 });
  const found = await store.templates.findByName(tenantId, 'offer');
  assert.ok(account !== undefined && found !== undefined);
  const { name, connector, settings } = account;
  const { ratePerSecond = account.ratePerSecond, contents } = of;
  await store.channelAccounts.update(account.id, account.version, {
    name,
    connector,
    settings,
    ratePerSecond,
  });
  if (contents === undefined) return;
  const { id, version, kind, variables } = found.template;
  await store.templates.update(id, version, { edit: { name: 'offer', kind, variables, contents } });
}

describe('the way of a block', () => {
  before(async () => {
    await store.migrate();
    await store.tenants.create(tenantId, tenantId);
    await store.templates.create(tenantId, {
      name: 'offer',
      kind: 'marketing',
      variables: { code: { type: 'string' } },
      contents: { 'sms-many': {} },
    });
    const edit = { name: 'sms', connector: 'sms-many', settings: {}, secrets: {} };
    await store.channelAccounts.create({
      tenantId,
      channel: 'sms',
      edit: { ...edit, ratePerSecond: 1000 },
    });
  });
  beforeEach(() => {
    queue.length = 0;
  });
  after(async () => {
    await Promise.all([...runners].map((runner) => runner.stop()));
    await store.close();
  });

  it('is a broker message for each hundred, whose ids come from the batch and the place', async () => {
    const id = await started(250);
    await finish('one', id, 250);
    assert.deepEqual(
      queue.map((message) => [isChunk(message), message.batch, idsIn(message)]),
      [
        [true, id, idsOf(id, 0, 100)],
        [true, id, idsOf(id, 100, 200)],
        [true, id, idsOf(id, 200, 250)],
      ],
    );
    assert.equal(new Set(queue.map((message) => message.id)).size, 3);
  });

  it('keeps the pace, which counts members', async () => {
    const id = await started(600, { ratePerSecond: 200 });
    const runner = run('paced');
    await until('the first', () => queue.length > 0 || undefined, { everyMs: 5 });
    const from = performance.now();
    await until('the last', () => queue.length === 6 || undefined, { everyMs: 5 });
    const tookMs = performance.now() - from;
    await runner.stop();
    assert.deepEqual(queue.flatMap(idsIn), idsOf(id, 0, 600));
    // 500 more at 200 a second, of which lateness makes up for a second at most.
    assert.ok(tookMs > 1400, `${tookMs} ms`);
  });

  it('stays when what decided it is edited between two publishes of it', async () => {
    const id = await started(200);
    // The queue has the first chunk, and the process dies before it has written that down; the second is begun.
    room = Infinity;
    const dying = run('dying', {
      markPublished: async (...of) => {
        if (queue.length === 1) throw new Error('killed');
        return store.batches.markPublished(...of);
      },
    });
    await until('it is published', () => (queue.length === 1 ? true : undefined));
    await dying.stop();
    const [first] = queue;
    await edit({ ratePerSecond: 10, contents: { 'sms-one': {}, 'sms-many': {} } });
    await finish('next', id, 200);
    const [, repeat, ...others] = queue;
    assert.ok(first !== undefined && repeat !== undefined);
    assert.deepEqual(
      [repeat.id, repeat.acceptedAt, idsIn(repeat)],
      [first.id, first.acceptedAt, idsOf(id, 0, 100)],
    );
    // What was begun afterwards goes by the accounts as they are now.
    assert.deepEqual(others.flatMap(idsIn), idsOf(id, 100, 200));
    assert.equal(others.length, 100);
    assert.ok(!others.some(isChunk));
    await edit({ ratePerSecond: 1000, contents: { 'sms-many': {} } });
  });

  it('stays one by one when chunks become possible in the middle of it', async () => {
    await edit({ ratePerSecond: 10 });
    const id = await started(200);
    await dieAfter('dying', 40);
    assert.equal(queue.length, 40);
    await edit({ ratePerSecond: 1000 });
    await finish('next', id, 200);
    const again = queue.slice(40);
    const [last] = again.splice(100);
    assert.ok(!again.some(isChunk));
    assert.deepEqual(again.flatMap(idsIn), idsOf(id, 0, 100));
    assert.ok(last !== undefined && isChunk(last));
    assert.deepEqual(idsIn(last), idsOf(id, 100, 200));
  });

  it('leaves out who was erased since the upload, and goes one by one where the day lets a part go', async () => {
    const id = await started(200);
    await store.erasures.create({ tenantId, addresses: [phone(7)], goneByMs: Date.now() });
    const { version } = await store.tenantQuotas.get(tenantId);
    const quotas = await store.tenantQuotas.put(tenantId, version, { total: { perDay: 150 } });
    const runner = run('erasing');
    await until('it waits for its quota', async () => (await store.batches.get(id))?.waitingFor);
    const [chunk, ...singles] = queue.filter(({ batch }) => batch === id);
    assert.ok(chunk !== undefined && isChunk(chunk));
    const [before, erased, after] = [idsOf(id, 0, 7), idsOf(id, 7, 8), idsOf(id, 8, 100)];
    assert.deepEqual(idsIn(chunk), [...before, ...after]);
    assert.deepEqual(singles.flatMap(idsIn).toSorted(), idsOf(id, 100, 151).toSorted());
    await store.tenantQuotas.put(tenantId, quotas.version, {});
    await until('the rest', async () =>
      (await store.batches.get(id))?.published === 199 ? true : undefined,
    );
    await runner.stop();
    const all = new Set(queue.filter(({ batch }) => batch === id).flatMap(idsIn));
    assert.deepEqual([all.size, all.has(erased[0] ?? '')], [199, false]);
  });

  it('is one by one for what a process had in hand that knew no chunks, and for all who take it after it', async () => {
    const id = await started(100);
    await until('the lease', () => store.leases.acquire(batchesLease, 'old', 60_000));
    const taken = await store.batches.takeBlock(id, 'old');
    assert.ok(taken.result === 'taken');
    assert.equal(taken.block.chunks, undefined);
    const again = await store.batches.takeBlock(id, 'old');
    assert.deepEqual(again.result === 'taken' && again.block.chunks, []);
    // The first one wakes up and has not fixed anything yet.
    assert.deepEqual(await store.batches.fixChunks(taken.block, [{ first: 0, members: 100 }]), []);
    await store.leases.release(batchesLease, 'old');
    await finish('next', id, 100);
    assert.ok(!queue.some(isChunk));
  });
});
