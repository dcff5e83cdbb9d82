/** Versions of a template held against messages of the past: over HTTP, on MariaDB and Elasticsearch. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { createSmsAliyun } from '../channels/sms-aliyun/index.ts';
import type { Variables } from '../contracts/message.ts';
import { sequences, type Snapshot } from '../contracts/result.ts';
import type { Template, TemplateEdit } from '../contracts/template.ts';
import { createElasticsearch } from '../platform/elasticsearch.ts';
import { createSealer } from '../platform/seal.ts';
import type { ReplayReply } from '../search/replay/replay-template.ts';
import { createMessageIndex } from '../store/message-index.ts';
import { pointersOf, problemOf, serveAdmin, type CallOptions } from '../tests/admin-app.ts';
import { sampleSnapshot } from '../tests/message-samples.ts';
import { testElasticsearchUrl } from '../tests/stack.ts';

const sealer = createSealer([`test:${Buffer.alloc(32, 7).toString('base64')}`]);
const other = createSealer([`other:${Buffer.alloc(32, 8).toString('base64')}`]);
const { deps, store, lines, call, signIn } = await serveAdmin([
  createSmsAliyun({ allowPrivateProviders: true }),
]);
const { index, names } = deps.search;
// Its own, since it outlives the application's.
const client = createElasticsearch({ url: await testElasticsearchUrl() });

const edit = (text: string, more: Partial<TemplateEdit> = {}): TemplateEdit => ({
  name: 'order-shipped',
  kind: 'notice',
  variables: { order: { type: 'string', maxLength: 100 } },
  contents: {
    'sms-aliyun': {
      signName: '消息中心',
      templateCode: 'SMS_1',
      params: { order: '{{order}}' },
      text,
    },
  },
  ...more,
});
const hour = { from: '2026-11-20T08:00:00Z', until: '2026-11-20T09:00:00Z' };
const at = (minute: number) => `2026-11-20T08:${String(minute).padStart(2, '0')}:00.000Z`;

/** Sent in that hour, a minute apart. */
let count = 0;
const sent = (variables: Variables, changes: Partial<Snapshot> = {}, ring = sealer): Snapshot => {
  const snapshot = sampleSnapshot({
    tenantId: 'demo',
    template: 'order-shipped',
    templateVersion: 1,
    status: 'sent',
    sequence: sequences.end,
    acceptedAt: at(count++),
    ...changes,
  });
  const request = JSON.stringify({ to: { phone: '13900001111' }, variables });
  return { ...snapshot, sealed: ring.seal(request, snapshot.messageId) };
};
const { templateVersion: _none, ...neverRendered } = sent(
  { order: 'SO-4' },
  { status: 'recalled' },
);
const messages: readonly Snapshot[] = [
  sent({ order: 'SO-1' }),
  // With the signature, 7 + 60 characters fit into one segment; three more characters and it is two.
  sent({ order: 'x'.repeat(60) }),
  sent({ order: 'SO-3' }, { channel: 'sms', batch: 'spring', status: 'failed' }),
  neverRendered,
  sent({ order: 'SO-5' }, {}, other),
];
const erased = sent({ order: 'SO-6' });
const kept = [
  sent({ order: 'SO-7' }, { acceptedAt: '2026-11-20T09:00:00.000Z' }),
  sent({ order: 'SO-8' }, { template: 'other' }),
  sent({ order: 'SO-9' }, { tenantId: 'shop' }),
];

let template: Template;
const draft = async (changed: TemplateEdit): Promise<number> =>
  (await store.templateVersions.create(template.id, { edit: changed, by: 'ann' })).version;
const replay = async (
  version: number,
  body: Record<string, unknown> = {},
  { query = '', ...options }: CallOptions & { readonly query?: string } = {},
) => {
  const answer = await call(
    'POST',
    `/v1/templates/${template.id}/versions/${version}/replay${query}`,
    { body: { filter: hour, ...body }, ...options },
  );
  return { ...answer, reply: answer.body as unknown as ReplayReply };
};
const stored = async () => {
  const { body } = await call('GET', '/v1/messages?limit=100');
  return body;
};

before(async () => {
  for (const id of ['demo', 'shop']) await store.tenants.create(id, id);
  template = await store.templates.create('demo', edit('您的订单{{order}}'));
  await index.install();
  const written = await index.writeEvents([...messages, erased, ...kept]);
  assert.deepEqual(new Set(written.map(({ result }) => result)), new Set(['written']));
  await index.erase(erased, new Date().toISOString());
  await client.indices.refresh({ index: names.messageIndices });
});
after(async () => {
  await createMessageIndex({ client, names, logger: deps.logger }).dropOlderThan('2999-01-01');
  for (const pattern of [names.messageIndices, names.attemptIndices])
    await client.indices.deleteIndexTemplate({ name: pattern.replace('-*', '') });
  await client.close();
});

describe('a replay', () => {
  it('of the same text changes nothing, and tells what cannot be replayed', async () => {
    const before = await stored();
    const { status, reply } = await replay(1);
    assert.equal(status, 200, JSON.stringify(reply));
    const { looked, same, different, fails, erased: gone, gone: unreadable } = reply;
    assert.deepEqual(
      { looked, same, different, fails, gone, unreadable },
      { looked: 6, same: 4, different: 0, fails: 0, gone: 1, unreadable: 1 },
    );
    assert.deepEqual([reply.matching, reply.differences], [{ value: 6, relation: 'eq' }, []]);
    assert.equal(reply.nextCursor, undefined);
    assert.deepEqual(await stored(), before, 'nothing was written');
  });

  it('counts what becomes longer, and what that costs', async () => {
    const version = await draft(edit('您的订单{{order}}已发货'));
    const { reply } = await replay(version, { segmentPrice: 0.05 });
    assert.deepEqual([reply.same, reply.different], [0, 4]);
    assert.deepEqual(reply.sizes['sms-aliyun'], [
      { what: 'characters', before: 112, after: 124, longer: 4, shorter: 0, tooLong: 0 },
      { what: 'segments', before: 4, after: 5, longer: 1, shorter: 0, tooLong: 0 },
    ]);
    assert.deepEqual(
      Object.entries(reply.cost ?? {}).map(([name, value]) => [name, value.toFixed(2)]),
      [
        ['before', '0.20'],
        ['after', '0.25'],
        ['difference', '0.05'],
      ],
    );
    const longer = reply.differences.find(({ id }) => id === messages[1]?.messageId);
    assert.deepEqual(longer, {
      id: messages[1]?.messageId,
      to: '139****1111',
      channel: 'sms',
      connector: 'sms-aliyun',
      ownVersion: 1,
      result: 'different',
      sizes: [
        { what: 'characters', before: 70, after: 73 },
        { what: 'segments', before: 1, after: 2 },
      ],
    });
  });

  it('says why messages would be refused or not render, and never tells a variable', async () => {
    const variables = {
      order: { type: 'string', maxLength: 10 },
      carrier: { type: 'string' },
    } as const;
    const strict = await replay(await draft(edit('{{order}} {{carrier}}', { variables })));
    assert.deepEqual([strict.reply.fails, strict.reply.failsAlready], [4, 0]);
    assert.deepEqual(strict.reply.problems, [
      { pointer: '/variables/carrier', detail: 'is required by the template', count: 4 },
      { pointer: '/variables/order', detail: 'may have 10 characters at most', count: 1 },
    ]);
    const broken = await replay(await draft(edit('{{order}}{{gone}}')));
    assert.equal(broken.reply.fails, 4);
    assert.equal(broken.reply.problems[0]?.pointer, '/contents/sms-aliyun/text');
    const elsewhere = await replay(
      await draft(edit('', { contents: { 'email-smtp': { subject: 'x', text: '{{order}}' } } })),
    );
    assert.deepEqual(elsewhere.reply.problems, [
      {
        pointer: '/contents/sms-aliyun',
        detail: 'the template has no content for this connector',
        count: 4,
      },
    ]);
    for (const { text } of [strict, broken, elsewhere])
      assert.doesNotMatch(text, /SO-|13900001111/);
  });

  it('is narrowed by the filter of the search, and goes on page by page', async () => {
    const version = await draft(edit('{{order}}!'));
    const narrow = await replay(version, { filter: { ...hour, batch: 'spring' } });
    assert.deepEqual(
      narrow.reply.differences.map(({ id }) => id),
      [messages[2]?.messageId],
    );
    assert.equal((await replay(version, { filter: { ...hour, status: 'sent' } })).reply.looked, 4);
    const seen: string[] = [];
    let looked = 0;
    let query = '?limit=2&sample=2';
    for (;;) {
      const { reply } = await replay(version, {}, { query });
      assert.ok(reply.looked <= 2 && reply.matching.value === 6);
      looked += reply.looked;
      seen.push(...reply.differences.map(({ id }) => id));
      if (reply.nextCursor === undefined) break;
      query = `?limit=2&sample=2&cursor=${reply.nextCursor}`;
    }
    assert.equal(looked, 6);
    const all = messages.slice(0, 4).toSorted((a, b) => b.acceptedAt.localeCompare(a.acceptedAt));
    assert.deepEqual(
      seen,
      all.map(({ messageId }) => messageId),
      'newest first, each once',
    );
    const few = await replay(version, {}, { query: '?sample=1' });
    assert.deepEqual([few.reply.differences.length, few.reply.different], [1, 4]);
  });

  it('mends what did not render with its own version', async () => {
    const { version } = await store.templateVersions
      .get(template.id, 1)
      .then(() =>
        store.templates.update(template.id, template.version, { edit: edit('{{order}}{{gone}}') }),
      );
    const broken = sent({ order: 'SO-10' }, { templateVersion: version, acceptedAt: at(59) });
    await index.writeEvents([broken]);
    await client.indices.refresh({ index: names.messageIndices });
    const filter = { ...hour, id: broken.messageId };
    const mended = await replay(1, { filter });
    assert.deepEqual([mended.reply.mended, mended.reply.fails], [1, 0]);
    const still = await replay(version, { filter });
    assert.deepEqual([still.reply.fails, still.reply.failsAlready], [1, 1]);
  });
});

describe('who may replay', () => {
  it('shows texts to administrators of the tenant alone', async () => {
    const version = await draft(edit('{{order}} is under way'));
    const texts = { filter: { ...hour, id: messages[0]?.messageId }, texts: true };
    const { reply } = await replay(version, texts);
    assert.match(reply.differences[0]?.diff ?? '', /^-.*您的订单SO-1.*\n\+.*SO-1 is under way/m);
    const { token } = await signIn('vera', [{ role: 'viewer', tenantId: 'demo' }]);
    const refused = await replay(version, texts, { token });
    assert.deepEqual([refused.status, problemOf(refused)], [403, 'forbidden']);
    const counts = await replay(version, { ...texts, texts: false }, { token });
    assert.deepEqual([counts.status, counts.reply.different], [200, 1]);
    assert.doesNotMatch(counts.text, /SO-1/);
    const stranger = await signIn('sven', [{ role: 'administrator', tenantId: 'shop' }]);
    assert.equal((await replay(version, {}, { token: stranger.token })).status, 404);
    const { items = [] } = (await call('GET', '/v1/audit?operation=replayTemplateVersion')).body;
    assert.ok(items.some(({ actor }) => actor !== undefined));
    assert.doesNotMatch(JSON.stringify(items), /SO-1/);
    assert.doesNotMatch(lines.join(''), /SO-1[^0-9]|13900001111/);
  });

  it('refuses what is no hour, no cursor and no version', async () => {
    const late = { from: hour.from, until: '2026-11-21T08:00:01Z' };
    assert.deepEqual(pointersOf(await replay(1, { filter: late })), ['/filter/until']);
    const turned = { from: hour.until, until: hour.from };
    assert.deepEqual(pointersOf(await replay(1, { filter: turned })), ['/filter/until']);
    assert.deepEqual(pointersOf(await replay(1, { filter: { from: hour.from } })), [
      '/filter/until',
    ]);
    assert.deepEqual(pointersOf(await replay(1, {}, { query: '?cursor=x' })), ['query/cursor']);
    assert.equal((await replay(99)).status, 404);
  });
});
