import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { TemplateEdit } from '../contracts/template.ts';
import { createDirectory, type Directory } from '../store/index.ts';
import { openTestAdmin, pointers, problemOf } from '../tests/admin.ts';
import { until } from '../tests/stack.ts';

const inForce = { timeoutMs: 3000, everyMs: 20 };
const admin = await openTestAdmin();
const [ann, bob] = [admin.as('ann'), admin.as('bob')];
let directory: Directory;

before(async () => {
  await admin.store.tenants.create('strict', 'Strict');
  await admin.store.tenantPolicies.put('strict', 1, {
    timeZone: 'Asia/Shanghai',
    requiresReview: true,
  });
  directory = createDirectory({ store: admin.store, logger: admin.logger, pollMs: 50 });
  await directory.start();
});
after(async () => {
  await directory.close();
  await admin.close();
});

const template = (name: string, text = 'Hello {{ name }}'): TemplateEdit => ({
  name,
  kind: 'notice',
  variables: { name: { type: 'string', maxLength: 20 } },
  contents: { 'inbox-builtin': { title: 'T', body: text } },
});
const textOf = (body: Record<string, unknown>) =>
  ((body['template'] ?? body) as { contents: { 'inbox-builtin': { body: string } } }).contents[
    'inbox-builtin'
  ].body;
/** What a message that is sent now would be rendered with. */
const sentText = async (tenantId: string, name: string) => {
  const found = await directory.template(tenantId, name);
  return found === undefined ? undefined : textOf(found);
};
const untilSent = (tenantId: string, name: string, text: string) =>
  until(
    `${name} is sent as "${text}"`,
    async () => (await sentText(tenantId, name)) === text || undefined,
    inForce,
  );

describe('versions of templates', () => {
  it('go from draft over review into force, and messages use the published one until then', async () => {
    const made = await ann('POST', '/v1/templates', { body: template('news', 'one') });
    const path = `/v1/templates/${String(made.body['id'])}`;
    const draft = await ann('POST', `${path}/versions`, { body: template('news', 'two') });
    assert.deepEqual([draft.status, draft.body['state'], draft.body['version']], [201, 'draft', 2]);
    const at = draft.headers.get('location') ?? '';
    assert.equal(at, `${path}/versions/2`);
    assert.deepEqual((await ann('GET', path)).body, made.body);

    const edited = await ann('PUT', at, { body: template('news', 'three'), ifMatch: '"1"' });
    assert.deepEqual([edited.status, edited.headers.get('etag')], [200, '"2"']);
    const submitted = await ann('POST', `${at}/submit`, { ifMatch: '"2"' });
    assert.equal(submitted.body['state'], 'submitted');
    await untilSent('demo', 'news', 'one');
    assert.equal(await directory.templateVersion('demo', 'news', 2), undefined);
    assert.equal(
      textOf((await directory.lastTemplate('demo', 'news')) as unknown as typeof made.body),
      'one',
    );
    const waiting = await bob('GET', '/v1/template-versions');
    assert.deepEqual(
      waiting.body.items?.map(({ name, version }) => [name, version]),
      [['news', 2]],
    );

    const late = await ann('PUT', at, { body: template('news', 'four'), ifMatch: '"3"' });
    assert.deepEqual([late.status, problemOf(late)], [409, 'template-version-state']);
    const own = await ann('POST', `${at}/approve`, { ifMatch: '"3"' });
    assert.deepEqual([own.status, problemOf(own)], [403, 'approver-is-author']);
    const blind = await bob('POST', `${at}/approve`);
    assert.deepEqual([blind.status, problemOf(blind)], [428, 'precondition-required']);
    const stale = await bob('POST', `${at}/approve`, { ifMatch: '"2"' });
    assert.deepEqual([stale.status, problemOf(stale)], [412, 'version-conflict']);
    const approved = await bob('POST', `${at}/approve`, { ifMatch: '"3"' });
    assert.deepEqual([approved.status, approved.body['isInForce']], [200, true]);
    await untilSent('demo', 'news', 'three');
    assert.equal((await ann('GET', path)).headers.get('etag'), '"2"');

    const { body } = await ann('GET', `${path}/versions`);
    assert.deepEqual(
      body.items?.map(({ version, state, writtenBy, reviewedBy, publishedBy }) => [
        version,
        state,
        writtenBy,
        reviewedBy,
        publishedBy,
      ]),
      [
        [2, 'published', ['ann'], 'bob', 'bob'],
        [1, 'published', ['ann'], undefined, 'ann'],
      ],
    );
    const put = await ann('PUT', at, { body: template('news', 'x'), ifMatch: '"4"' });
    assert.equal(problemOf(put), 'template-version-state');
  });

  it('come back with a comment, are edited by another and then approved by neither', async () => {
    const made = await ann('POST', '/v1/templates', { body: template('shared', 'one') });
    const path = `/v1/templates/${String(made.body['id'])}`;
    const at = `${path}/versions/2`;
    await ann('POST', `${path}/versions`, { body: template('shared', 'two') });
    await ann('POST', `${at}/submit`, { ifMatch: '"1"' });
    const wordless = await bob('POST', `${at}/reject`, { ifMatch: '"2"', body: { comment: ' ' } });
    assert.deepEqual([wordless.status, pointers(wordless)], [422, ['/comment']]);
    const rejected = await bob('POST', `${at}/reject`, {
      ifMatch: '"2"',
      body: { comment: 'Say who we are.' },
    });
    const { state, comment, reviewedBy } = rejected.body;
    assert.deepEqual([state, comment, reviewedBy], ['rejected', 'Say who we are.', 'bob']);
    await bob('PUT', at, { body: template('shared', 'We: two'), ifMatch: '"3"' });
    await ann('PUT', at, { body: template('shared', 'We: 2'), ifMatch: '"4"' });
    await ann('POST', `${at}/submit`, { ifMatch: '"5"' });
    for (const call of [ann, bob]) {
      const refused = await call('POST', `${at}/approve`, { ifMatch: '"6"' });
      assert.equal(problemOf(refused), 'approver-is-author');
    }
    const approved = await admin.as('eve')('POST', `${at}/approve`, { ifMatch: '"6"' });
    assert.equal(approved.body['state'], 'published');
    assert.equal(approved.body['comment'], undefined);
  });

  it('are not published over what came into force since they were written', async () => {
    const made = await ann('POST', '/v1/templates', { body: template('raced', 'one') });
    const path = `/v1/templates/${String(made.body['id'])}`;
    const draft = await ann('POST', `${path}/versions`, { body: template('raced', 'draft') });
    const at = draft.headers.get('location') ?? '';
    const other = await bob('PUT', path, { body: template('raced', 'two'), ifMatch: '"1"' });
    assert.deepEqual([other.status, other.body['version']], [200, 3]);
    const outdated = await ann('POST', `${at}/publish`, { ifMatch: '"1"' });
    assert.deepEqual([outdated.status, problemOf(outdated)], [409, 'template-version-outdated']);
    const based = await ann('POST', `${path}/versions`, {
      body: template('raced', 'x'),
      ifMatch: '"1"',
    });
    assert.equal(based.status, 412);
    await ann('PUT', at, { body: template('raced', 'both'), ifMatch: '"1"' });
    const published = await ann('POST', `${at}/publish`, { ifMatch: '"2"' });
    assert.deepEqual([published.status, published.body['isInForce']], [200, true]);
    await untilSent('demo', 'raced', 'both');
  });

  it('let one of two who approve at once through', async () => {
    const made = await ann('POST', '/v1/templates', { body: template('twice', 'one') });
    const path = `/v1/templates/${String(made.body['id'])}/versions`;
    await ann('POST', path, { body: template('twice', 'two') });
    await ann('POST', `${path}/2/submit`, { ifMatch: '"1"' });
    const answers = await Promise.all(
      ['bob', 'eve', 'dan'].map((who) =>
        admin.as(who)('POST', `${path}/2/approve`, { ifMatch: '"2"' }),
      ),
    );
    assert.deepEqual(
      answers.map(({ status }) => status).toSorted((a, b) => a - b),
      [200, 412, 412],
    );
  });

  it('go back to an earlier one as a new version, without a review', async () => {
    const made = await ann('POST', '/v1/templates', {
      body: { tenantId: 'strict', ...template('back', 'good') },
    });
    const path = `/v1/templates/${String(made.body['templateId'])}`;
    await ann('POST', `${path}/versions/1/submit`, { ifMatch: '"1"' });
    await bob('POST', `${path}/versions/1/approve`, { ifMatch: '"2"' });
    await ann('PUT', path, { body: template('back', 'bad'), ifMatch: '"1"' });
    await ann('POST', `${path}/versions/2/submit`, { ifMatch: '"1"' });
    await bob('POST', `${path}/versions/2/approve`, { ifMatch: '"2"' });
    await ann('POST', `${path}/versions`, { body: template('back', 'never seen') });
    await untilSent('strict', 'back', 'bad');
    for (const version of [2, 3, 9]) {
      const refused = await ann('POST', `${path}/rollback`, { body: { version }, ifMatch: '"2"' });
      assert.deepEqual([refused.status, pointers(refused)], [422, ['/version']]);
    }
    const lost = await ann('POST', `${path}/rollback`, { body: { version: 1 }, ifMatch: '"1"' });
    assert.equal(lost.status, 412);
    const back = await ann('POST', `${path}/rollback`, { body: { version: 1 }, ifMatch: '"2"' });
    const { version, rollbackOf, isInForce } = back.body;
    assert.deepEqual([back.status, version, rollbackOf, isInForce], [201, 4, 1, true]);
    await untilSent('strict', 'back', 'good');
  });

  it('show what changes between two of them', async () => {
    const long = ['first line', 'second line', 'third line'];
    const made = await ann('POST', '/v1/templates', { body: template('differs', long.join('\n')) });
    const path = `/v1/templates/${String(made.body['id'])}/versions`;
    await ann('POST', path, { body: template('differs', long.with(1, 'another').join('\n')) });
    const { body } = await ann('GET', `${path}/1/diff/2`);
    const lines = String(body['diff']).split('\n');
    assert.ok(lines.includes('--- differs v1') && lines.includes('+++ differs v2'));
    const changed = lines.filter((line) => /^[-+] /.test(line)).map((line) => line.trimEnd());
    assert.deepEqual(
      changed.map((line) => line.replace(/\s+/, ' ')),
      ['- "second line",', '+ "another",'],
    );
    assert.equal((await ann('GET', `${path}/1/diff/1`)).body['diff'], '');
    for (const missing of ['1/diff/9', 'x/diff/1', '9'])
      assert.equal((await ann('GET', `${path}/${missing}`)).status, 404);
  });

  it('page, and say which cursor is none', async () => {
    const made = await ann('POST', '/v1/templates', { body: template('paged', '1') });
    const path = `/v1/templates/${String(made.body['id'])}/versions`;
    for (const text of ['2', '3', '4', '5'])
      await ann('POST', path, { body: template('paged', text) });
    for (const [list, wanted] of [
      [`${path}?limit=2`, [5, 4, 3, 2, 1]],
      ['/v1/template-versions?state=draft&limit=2', undefined],
    ] as const) {
      const seen: unknown[] = [];
      let cursor: string | undefined;
      do {
        const { body } = await ann('GET', cursor === undefined ? list : `${list}&cursor=${cursor}`);
        const mine = (body.items ?? []).filter(({ name }) => name === 'paged');
        seen.push(...mine.map(({ version }) => version));
        cursor = body['nextCursor'] as string | undefined;
      } while (cursor !== undefined);
      assert.deepEqual(seen, wanted ?? [2, 3, 4, 5]);
    }
    const bad = await ann('GET', `${path}?cursor=!`);
    assert.deepEqual([bad.status, pointers(bad)], [422, ['query/cursor']]);
    assert.equal((await ann('GET', '/v1/templates/tpl_none/versions')).status, 404);
  });

  it('keep their numbers when they are discarded, and free the name of what was never published', async () => {
    const body = { tenantId: 'strict', ...template('unborn') };
    const made = await ann('POST', '/v1/templates', { body });
    assert.deepEqual([made.status, made.body['state']], [202, 'draft']);
    const path = `/v1/templates/${String(made.body['templateId'])}`;
    assert.equal((await ann('GET', path)).status, 404);
    assert.equal(await sentText('strict', 'unborn'), undefined);
    assert.equal(problemOf(await bob('POST', '/v1/templates', { body })), 'name-taken');
    const second = await bob('POST', `${path}/versions`, { body: template('unborn', 'b') });
    assert.equal(second.body['version'], 2);
    assert.equal((await ann('DELETE', `${path}/versions/1`, { ifMatch: '"1"' })).status, 204);
    const again = await ann('DELETE', `${path}/versions/1`, { ifMatch: '"2"' });
    assert.equal(problemOf(again), 'template-version-state');
    assert.equal((await ann('DELETE', `${path}/versions/2`, { ifMatch: '"1"' })).status, 204);
    assert.equal((await ann('GET', `${path}/versions/2`)).status, 404);
    const reborn = await ann('POST', '/v1/templates', { body });
    assert.deepEqual([reborn.status, reborn.body['version']], [202, 3]);
  });
});

describe('a tenant that requires reviews', () => {
  it('publishes nothing that its writer alone wants, the holder of MC_ADMIN_TOKEN included', async () => {
    const chief = admin.as('admin');
    const made = await chief('POST', '/v1/templates', {
      body: { tenantId: 'strict', ...template('rule', 'one') },
    });
    const path = `/v1/templates/${String(made.body['templateId'])}`;
    const at = made.headers.get('location') ?? '';
    const direct = await chief('POST', `${at}/publish`, { ifMatch: '"1"' });
    assert.deepEqual([direct.status, problemOf(direct)], [403, 'review-required']);
    await chief('POST', `${at}/submit`, { ifMatch: '"1"' });
    const own = await chief('POST', `${at}/approve`, { ifMatch: '"2"' });
    assert.equal(problemOf(own), 'approver-is-author');
    assert.equal(await sentText('strict', 'rule'), undefined);
    assert.equal((await ann('POST', `${at}/approve`, { ifMatch: '"2"' })).status, 200);
    await untilSent('strict', 'rule', 'one');

    const put = await chief('PUT', path, { body: template('rule', 'two'), ifMatch: '"1"' });
    assert.deepEqual([put.status, put.body['state'], put.body['baseVersion']], [202, 'draft', 1]);
    const lost = await chief('PUT', path, { body: template('rule', 'x'), ifMatch: '"2"' });
    assert.equal(lost.status, 412);
    assert.equal((await chief('PUT', path, { body: template('rule') })).status, 428);
    assert.equal((await chief('GET', path)).body['version'], 1);
    await untilSent('strict', 'rule', 'one');
  });
});

describe('errors of the lint', () => {
  it('stay in a draft, and keep it from review and from force', async () => {
    const made = await ann('POST', '/v1/templates', { body: template('faulty', 'fine') });
    const path = `/v1/templates/${String(made.body['id'])}/versions`;
    const draft = await ann('POST', path, { body: template('faulty', '{{ nobody }}') });
    assert.equal(draft.status, 201);
    for (const move of ['submit', 'publish']) {
      const refused = await ann('POST', `${path}/2/${move}`, { ifMatch: '"1"' });
      assert.deepEqual(
        [refused.status, pointers(refused)],
        [422, ['/contents/inbox-builtin/body']],
      );
    }
    const renamed = await ann('PUT', `${path}/2`, { body: template('other'), ifMatch: '"1"' });
    assert.deepEqual([renamed.status, pointers(renamed)], [422, ['/name']]);
  });
});
