import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Problem } from '../contracts/problems.ts';
import { createNames } from '../contracts/topics.ts';
import { documentVersion, sequences, type Snapshot } from '../contracts/result.ts';
import { createElasticsearch } from '../platform/elasticsearch.ts';
import { createLogger } from '../platform/logger.ts';
import { sampleId, sampleSnapshot, sampleStory, shuffled } from '../tests/message-samples.ts';
import { freshPrefix, testElasticsearchUrl } from '../tests/stack.ts';
import { indexTemplates } from './message-index-mapping.ts';
import { createMessageIndex, type MessageSearch, type ScanPlace } from './message-index.ts';

const names = createNames(freshPrefix());
const client = createElasticsearch({ url: await testElasticsearchUrl() });
const logger = createLogger('test', 'silent');
const index = createMessageIndex({ client, names, logger });
const dayMs = 86_400_000;
const dateMapping = { type: 'date', format: 'strict_date_optional_time' } as const;

before(() => index.install());
after(async () => {
  await index.dropOlderThan('2999-01-01');
  for (const pattern of [names.messageIndices, names.attemptIndices])
    await client.indices.deleteIndexTemplate({ name: pattern.replace('-*', '') });
  await client.close();
});

const refresh = () =>
  client.indices.refresh({ index: [names.messageIndices, names.attemptIndices] });
const write = async (...snapshots: Snapshot[]) =>
  (await index.writeEvents(snapshots)).map((written) => written.result);

function permutations<T>(items: readonly T[]): T[][] {
  if (items.length < 2) return [[...items]];
  return items.flatMap((item, place) =>
    permutations(items.toSpliced(place, 1)).map((rest) => [item, ...rest]),
  );
}

test('installs from several processes at once, again and again', async () => {
  await Promise.all([index.install(), index.install(), index.install()]);
});

test('a day that began without a field finds by it what is written once it is installed', async () => {
  const acceptedAt = '2026-11-03T08:00:00.000Z';
  const day = names.messageIndex(acceptedAt);
  const [template] = indexTemplates(names, 1);
  await client.indices.deleteIndexTemplate({ name: template?.name ?? '' });
  const keyword = { type: 'keyword', ignore_above: 512 } as const;
  await client.indices.create({
    index: day,
    mappings: {
      dynamic: false,
      properties: { tenantId: keyword, messageId: keyword, acceptedAt: dateMapping },
    },
  });
  const [before, after] = [1, 2].map(() =>
    sampleSnapshot({ tenantId: 'ten_early', acceptedAt, attemptOutcomes: ['transient'] }),
  );
  assert.ok(before !== undefined && after !== undefined);
  await write(before);
  await index.install();
  await write(after);
  await refresh();
  const search = { tenantId: 'ten_early', limit: 10 };
  assert.equal((await index.search(search)).items.length, 2);
  const { items } = await index.search({ ...search, attemptOutcome: 'transient' });
  assert.deepEqual(items, [after]);
});

test('every order of the events of a message ends in the same document', async () => {
  const orders = permutations([0, 1, 2, 3, 4]).map((order) => {
    const story = sampleStory(sampleSnapshot());
    return { story, order, newest: 4 };
  });
  for (let seed = 1; seed <= 300; seed++) {
    const story = sampleStory(sampleSnapshot());
    const places = [...story.keys()];
    orders.push({ story, order: shuffled([...places, ...places], seed), newest: story.length - 1 });
  }
  // A round writes the next event of every message in one bulk; two neighbours of one message share a bulk at times.
  const rounds = Math.max(...orders.map(({ order }) => order.length));
  for (let round = 0; round < rounds; round += 2) {
    const events = orders.flatMap(({ story, order }) =>
      order.slice(round, round + 2).flatMap((place) => story[place] ?? []),
    );
    const results = await write(...events);
    assert.ok(results.every((result) => result === 'written' || result === 'older'));
  }
  await refresh();
  for (const { story, order, newest } of orders) {
    const expected = story[newest];
    assert.ok(expected);
    const { sealed: _sealed, attempt: _attempt, ...state } = expected;
    assert.deepEqual(await index.get(expected.messageId), state, `order ${order.join(' ')}`);
    assert.equal(
      await index.sealedRequest(expected.messageId, expected.acceptedAt),
      `sealed for ${expected.messageId}`,
    );
    const attempts = await index.attempts(expected.messageId, expected.acceptedAt);
    const told = story.slice(0, newest + 1).filter((event) => event.attempt !== undefined);
    assert.deepEqual(
      attempts,
      told.map(({ redrive, attempt: own }) => ({ redrive, ...own })),
    );
  }
});

test('the first snapshot after acceptance replaces it, and a doubled acceptance changes nothing', async () => {
  const accepted = sampleSnapshot();
  const sending = { ...accepted, status: 'sending' as const, sequence: 1 };
  assert.deepEqual(await write(accepted), ['written']);
  assert.deepEqual(await write(sending), ['written']);
  assert.deepEqual(await write(accepted, sending), ['older', 'older']);
  assert.equal((await index.get(accepted.messageId))?.status, 'sending');
});

test('a document that can never be taken is refused with its reason, the others are written', async () => {
  const good = sampleSnapshot();
  const bad = sampleSnapshot({ nextAttemptAt: 'tomorrow' });
  const endless = sampleSnapshot({ messageId: 'm'.repeat(600) });
  const [first, second, third, fourth] = await index.writeEvents([good, bad, endless, good]);
  assert.equal(first?.result, 'written');
  assert.equal(second?.result, 'refused');
  assert.match(second.reason, /nextAttemptAt/);
  assert.doesNotMatch(second.reason, /tomorrow/);
  assert.equal(third?.result, 'refused');
  assert.equal(fourth?.result, 'older');
});

test('an index that cannot be written to is to be tried again', async () => {
  const snapshot = sampleSnapshot({ acceptedAt: '2026-01-05T00:00:00.000Z' });
  await write(snapshot);
  const place = names.messageIndex(snapshot.acceptedAt);
  await client.indices.addBlock({ index: place, block: 'write' });
  assert.deepEqual(await write({ ...snapshot, sequence: 1 }), ['retry']);
  await client.indices.putSettings({ index: place, settings: { 'index.blocks.write': null } });
  assert.deepEqual(await write({ ...snapshot, sequence: 1 }), ['written']);
});

test('a message is found at once by its id, also across midnight and when the id tells no time', async () => {
  const beforeMidnight = Date.parse('2026-11-19T23:59:59.990Z');
  const across = sampleSnapshot({
    messageId: sampleId(beforeMidnight),
    acceptedAt: '2026-11-20T00:00:00.010Z',
  });
  const derived = sampleSnapshot({ messageId: sampleId('derived') });
  const old = sampleSnapshot({
    messageId: sampleId('derived'),
    acceptedAt: new Date(Date.now() - 5 * dayMs).toISOString(),
  });
  await write(across, derived, old);
  assert.deepEqual(await index.get(across.messageId), across);
  assert.deepEqual(await index.get(derived.messageId), derived);
  assert.deepEqual(await index.get(old.messageId, Date.parse(old.acceptedAt)), old);
  await refresh();
  assert.deepEqual(await index.get(old.messageId), old);
  assert.equal(await index.get(sampleId()), undefined);
  assert.equal(await index.get(sampleId('derived')), undefined);
  assert.equal(await index.get(sampleId(Date.parse('2020-01-01T00:00:00Z'))), undefined);
  assert.deepEqual(await index.attempts(sampleId(), '2020-01-01T00:00:00.000Z'), []);
  assert.equal(await index.sealedRequest(sampleId(), '2020-01-01T00:00:00.000Z'), undefined);
});

test('a repeat on another day gives way to its message and stays away', async () => {
  const messageId = sampleId('derived');
  const tenantId = 'ten_repeat';
  const first = sampleSnapshot({
    messageId,
    tenantId,
    status: 'delivered',
    sequence: 2 ** 19 + 2,
    acceptedAt: new Date(Date.now() - 3 * dayMs).toISOString(),
  });
  const repeat = sampleSnapshot({ messageId, tenantId, sealed: 'sealed again' });
  await write(first, repeat);
  await refresh();
  assert.equal((await index.get(messageId))?.status, 'delivered');
  await index.remove(messageId, repeat.acceptedAt);
  await index.remove(messageId, repeat.acceptedAt);
  assert.deepEqual(await write(repeat), ['older']);
  await refresh();
  assert.equal((await index.get(messageId))?.status, 'delivered');
  assert.deepEqual(
    (await index.search({ tenantId, limit: 10 })).items.map((item) => item.acceptedAt),
    [first.acceptedAt],
  );
  assert.equal(await index.sealedRequest(messageId, repeat.acceptedAt), undefined);
  // Asked for the day of the message itself, it leaves the message alone.
  await index.remove(messageId, first.acceptedAt);
  assert.equal((await index.get(messageId))?.status, 'delivered');
});

test('pages hold still while messages arrive, and hold every message once', async () => {
  const tenantId = 'ten_pages';
  const base = Date.parse('2026-11-10T12:00:00.000Z');
  const at = (ms: number) =>
    sampleSnapshot({ tenantId, acceptedAt: new Date(base + ms).toISOString() });
  // Pairs share a time, so the id must decide; and two days share the pages.
  const wanted = Array.from({ length: 20 }, (_, i) => at((i >> 1) * 1000 + (i < 10 ? 0 : dayMs)));
  await write(...wanted);
  await refresh();
  const seen: string[] = [];
  let cursor: string | undefined;
  do {
    const page = await index.search({ tenantId, limit: 3, cursor });
    seen.push(...page.items.map((item) => item.messageId));
    cursor = page.nextCursor;
    await write(at(2 * dayMs + seen.length));
    await refresh();
  } while (cursor !== undefined);
  const expected = wanted.toSorted(
    (a, b) => b.acceptedAt.localeCompare(a.acceptedAt) || (a.messageId < b.messageId ? 1 : -1),
  );
  assert.deepEqual(
    seen,
    expected.map((snapshot) => snapshot.messageId),
  );
});

test('is gone through in the order of acceptance, what changes meanwhile moving no other', async () => {
  const tenantId = 'ten_scan';
  const base = Date.parse('2026-11-14T12:00:00.000Z');
  const failed = (ms: number, changes: Partial<Snapshot> = {}) =>
    sampleSnapshot({
      tenantId,
      acceptedAt: new Date(base + ms).toISOString(),
      status: 'failed',
      sequence: sequences.end,
      reason: { code: 'recipient-invalid' },
      batch: 'spring',
      ...changes,
    });
  // Pairs share a time, so the id must decide; and two days share the pages.
  const wanted = Array.from({ length: 12 }, (_, i) =>
    failed((i >> 1) * 1000 + (i < 6 ? 0 : dayMs)),
  );
  await write(
    ...wanted,
    failed(1, { status: 'sent' }),
    failed(1, { batch: 'autumn' }),
    failed(1, { reason: { code: 'expired' } }),
    failed(1, { updatedAt: '2026-11-20T00:00:00.001Z' }),
    failed(3 * dayMs),
  );
  const scan = {
    tenantId,
    statuses: ['failed'],
    batch: 'spring',
    reason: 'recipient-invalid',
    until: new Date(base + 2 * dayMs).toISOString(),
    unchangedSince: '2026-11-20T00:00:00.000Z',
  } as const;
  const seen: string[] = [];
  let place: ScanPlace | undefined;
  do {
    const { ids, next } = await index.scan(scan, { after: place, limit: 5 });
    seen.push(...ids);
    place = next;
    const taken = wanted.filter(({ messageId }) => ids.includes(messageId));
    await write(...taken.map((one) => ({ ...one, status: 'sending' as const, redrive: 1 })));
    await refresh();
  } while (place !== undefined);
  const inOrder = wanted.toSorted(
    (a, b) => a.acceptedAt.localeCompare(b.acceptedAt) || (a.messageId < b.messageId ? -1 : 1),
  );
  assert.deepEqual(
    seen,
    inOrder.map(({ messageId }) => messageId),
  );
});

test('keeps with the sealed request the life that it was accepted with', async () => {
  const accepted = sampleSnapshot({
    acceptedAt: '2026-11-15T08:00:00.000Z',
    sendAt: '2026-11-16T08:00:00.000Z',
    expiresAt: '2026-11-16T08:10:00.000Z',
    sealed: 'sealed once',
  });
  const { messageId, acceptedAt } = accepted;
  assert.equal(await index.firstRequest(messageId, acceptedAt), undefined);
  await write(accepted);
  await write({ ...accepted, redrive: 1, status: 'failed', expiresAt: '2026-11-21T08:00:00.000Z' });
  assert.deepEqual(await index.firstRequest(messageId, acceptedAt), {
    sealed: 'sealed once',
    lifeMs: 600_000,
  });
});

test('finds by every property, and by a Chinese phrase in its order only', async () => {
  const tenantId = 'ten_find';
  const one = sampleSnapshot({
    tenantId,
    status: 'failed',
    reason: { code: 'recipient-invalid', detail: 'x' },
    recipientHash: 'aa11',
    metadata: { orderId: 'SO-1', 'a.b': 'c:d' },
    content: '您的验证码是493817，五分钟内有效',
    acceptedAt: '2026-11-12T08:00:00.000Z',
  });
  const other = sampleSnapshot({
    tenantId,
    channel: 'push',
    template: 'sale',
    accountId: 'acc_2',
    priority: 'bulk',
    recipientHash: 'bb22',
    metadata: { orderId: 'SO-2' },
    content: '证验码',
    acceptedAt: '2026-11-13T08:00:00.000Z',
  });
  await write(one, other);
  await refresh();
  const found = async (search: Partial<MessageSearch>) =>
    (await index.search({ tenantId, limit: 10, ...search })).items.map((item) => item.messageId);
  const searches: Partial<MessageSearch>[] = [
    { status: 'failed' },
    { channel: 'sms' },
    { template: 'login-code' },
    { accountId: 'acc_1' },
    { priority: 'critical' },
    { recipientHash: 'aa11' },
    { reason: 'recipient-invalid' },
    { metadata: { key: 'orderId', value: 'SO-1' } },
    { metadata: { key: 'a.b', value: 'c:d' } },
    { text: '验证码' },
    { text: '493817' },
    { until: '2026-11-13T08:00:00Z' },
    { from: '2026-11-12T16:00:00+08:00', until: '2026-11-12T16:00:01+08:00' },
  ];
  for (const search of searches)
    assert.deepEqual(await found(search), [one.messageId], JSON.stringify(search));
  assert.deepEqual(await found({ text: '码证验' }), []);
  assert.deepEqual(await found({ from: '2026-11-13T08:00:00Z' }), [other.messageId]);
  assert.deepEqual(await found({ tenantId: 'ten_other', recipientHash: 'aa11' }), []);
  const page = await index.search({ tenantId, limit: 1 });
  assert.deepEqual(page.total, { value: 2, relation: 'eq' });
});

test('a cursor that we did not write is refused by name', async () => {
  const text = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');
  for (const cursor of ['x', '', '!!!', text([1]), text(['1', 'a']), text({}), text([1, 2])])
    await assert.rejects(
      index.search({ tenantId: 'ten_a', limit: 1, cursor }),
      (error) =>
        error instanceof Problem &&
        error.code === 'validation-failed' &&
        error.options.errors?.[0]?.pointer === 'query/cursor',
      cursor,
    );
});

test('old days are dropped whole, newer ones stay', async () => {
  const kept = sampleSnapshot({ acceptedAt: '2026-03-02T00:00:00.000Z', sealed: 's' });
  const gone = sampleSnapshot({ acceptedAt: '2026-03-01T23:59:59.999Z', sealed: 's' });
  await write(kept, gone);
  const dropped = await index.dropOlderThan('2026-03-02');
  assert.ok(dropped.includes(names.messageIndex(gone.acceptedAt)));
  assert.ok(dropped.includes(names.attemptIndex(gone.acceptedAt)));
  assert.ok(!dropped.includes(names.messageIndex(kept.acceptedAt)));
  assert.equal(await index.get(gone.messageId), undefined);
  assert.equal(documentVersion((await index.get(kept.messageId)) ?? gone), 0);
  assert.equal((await index.get(kept.messageId))?.messageId, kept.messageId);
});

test('without a server: reads say so as a problem, writes ask to be tried again', async () => {
  const lost = createElasticsearch({ url: 'http://127.0.0.1:9' });
  const away = createMessageIndex({ client: lost, names, logger });
  const isUnavailable = (error: unknown) =>
    error instanceof Problem &&
    error.code === 'search-unavailable' &&
    error.options.retryAfterSeconds === 2;
  await assert.rejects(away.get(sampleId()), isUnavailable);
  await assert.rejects(away.search({ tenantId: 'ten_a', limit: 1 }), isUnavailable);
  const [result] = await away.writeEvents([sampleSnapshot()]);
  assert.equal(result?.result, 'retry');
  await lost.close();
});
