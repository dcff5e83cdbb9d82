import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { fileFormat } from '../contracts/template-file.ts';
import type { TemplateEdit } from '../contracts/template.ts';
import { openTestAdmin, pointers, type Answer } from '../tests/admin.ts';

const admin = await openTestAdmin();
const [ann, bob] = [admin.as('ann'), admin.as('bob')];
const reviewed = { timeZone: 'Asia/Shanghai', requiresReview: true };
before(async () => {
  for (const id of ['source', 'copy', 'strict', 'many']) await admin.store.tenants.create(id, id);
  await admin.store.tenantPolicies.put('strict', 1, reviewed);
});
after(() => admin.close());

const template = (name: string, text = 'Hello'): TemplateEdit => ({
  kind: 'notice',
  name,
  contents: {
    'push-fcm': { title: 'T', body: text },
    'inbox-builtin': { title: 'T', body: `${text} {{ b }}{{ a }}` },
  },
  variables: {
    b: { maxLength: 5, type: 'string' },
    a: { required: true, type: 'number' },
  },
});
const exported = (tenantId: string) => ann('GET', `/v1/templates/export?tenantId=${tenantId}`);
const imported = (query: string, templates: readonly TemplateEdit[]) =>
  ann('POST', `/v1/templates/import?${query}`, { body: { format: fileFormat, templates } });
const changes = ({ status, body }: Answer) => {
  assert.equal(status, 200, JSON.stringify(body));
  const templates = body['templates'] as Record<string, unknown>[];
  return templates.map(({ name, change, state, version }) => [name, change, state, version]);
};

describe('templates as a file', () => {
  it('come out in the same lines, and go in elsewhere as they are', async () => {
    for (const name of ['zebra', 'apple'])
      await ann('POST', '/v1/templates', { body: { tenantId: 'source', ...template(name) } });
    const first = await exported('source');
    assert.match(first.headers.get('content-type') ?? '', /^application\/json/);
    const { templates } = first.body as unknown as { templates: TemplateEdit[] };
    assert.deepEqual(
      templates.map(({ name }) => name),
      ['apple', 'zebra'],
    );
    assert.deepEqual(Object.keys(templates[0] ?? {}), ['name', 'kind', 'variables', 'contents']);
    assert.deepEqual(Object.keys(templates[0]?.variables ?? {}), ['a', 'b']);
    // Their order is the preference.
    assert.deepEqual(Object.keys(templates[0]?.contents ?? {}), ['push-fcm', 'inbox-builtin']);
    assert.ok(first.text.endsWith('}\n') && first.text.split('\n').length > 40);

    const copied = await ann('POST', '/v1/templates/import?tenantId=copy', { body: first.body });
    assert.deepEqual(changes(copied), [
      ['apple', 'created', 'published', 1],
      ['zebra', 'created', 'published', 1],
    ]);
    assert.equal((await exported('copy')).text, first.text);
  });

  it('change nothing when they are imported as they were exported', async () => {
    const file = (await exported('copy')).body;
    const before = await admin.store.revisions.read();
    const again = await ann('POST', '/v1/templates/import?tenantId=copy', { body: file });
    assert.deepEqual(
      changes(again).map(([, change]) => change),
      ['unchanged', 'unchanged'],
    );
    const versions = await admin.store.templates.list('copy', { limit: 9 });
    assert.deepEqual(
      versions.map(({ version }) => version),
      [1, 1],
    );
    // Whoever caches templates reads rows that have a newer number: there are none.
    const changed = await admin.store.templates.changedSince(before['templates'], 9);
    assert.deepEqual(changed, []);
  });

  it('say in a dry run what they would do, and do it afterwards', async () => {
    const edits = [template('apple', 'Bye'), template('zebra'), template('new')];
    const before = (await exported('copy')).text;
    const dry = await imported('tenantId=copy&dryRun=true', edits);
    assert.deepEqual(changes(dry), [
      ['apple', 'changed', 'published', undefined],
      ['zebra', 'unchanged', 'published', 1],
      ['new', 'created', 'published', undefined],
    ]);
    const { dryRun, created, changed, unchanged } = dry.body;
    assert.deepEqual([dryRun, created, changed, unchanged], [true, 1, 1, 1]);
    assert.equal((await exported('copy')).text, before);
    const done = await imported('tenantId=copy', edits);
    assert.deepEqual(changes(done), [
      ['apple', 'changed', 'published', 2],
      ['zebra', 'unchanged', 'published', 1],
      ['new', 'created', 'published', 1],
    ]);
    const [apple] = await admin.store.templates.list('copy', { limit: 1, name: 'apple' });
    const { body } = await ann('GET', `/v1/templates/${apple?.id}/versions/2`);
    assert.deepEqual([body['writtenBy'], body['publishedBy']], [['ann'], 'ann']);
  });

  it('are imported all or none, with every fault named', async () => {
    const before = (await exported('copy')).text;
    const bad = { ...template('bad'), contents: { 'push-fcm': { title: '{{ x }}', body: 'B' } } };
    for (const query of ['tenantId=copy', 'tenantId=copy&dryRun=true']) {
      const refused = await imported(query, [template('apple', 'Third'), bad, template('apple')]);
      assert.deepEqual(
        [refused.status, pointers(refused)],
        [422, ['/templates/2/name', '/templates/1/contents/push-fcm/title']],
      );
    }
    const format = await ann('POST', '/v1/templates/import', {
      body: { format: 'other/1', templates: [] },
    });
    assert.deepEqual([format.status, pointers(format)], [422, ['/format']]);
    const nobody = await imported('tenantId=nobody', []);
    assert.deepEqual([nobody.status, pointers(nobody)], [422, ['query/tenantId']]);
    assert.equal((await exported('nobody')).status, 422);
    assert.equal((await exported('copy')).text, before);
  });

  it('wait for a review where the tenant requires one, once', async () => {
    const edits = [template('waits')];
    assert.deepEqual(changes(await imported('tenantId=strict', edits)), [
      ['waits', 'created', 'submitted', 1],
    ]);
    assert.deepEqual(changes(await imported('tenantId=strict', edits)), [
      ['waits', 'unchanged', 'submitted', 1],
    ]);
    const [waiting] = (await bob('GET', '/v1/template-versions?tenantId=strict')).body.items ?? [];
    const at = `/v1/templates/${String(waiting?.['templateId'])}/versions/1`;
    assert.equal((await ann('POST', `${at}/approve`, { ifMatch: '"1"' })).status, 403);
    assert.equal((await bob('POST', `${at}/approve`, { ifMatch: '"1"' })).status, 200);
    assert.deepEqual(changes(await imported('tenantId=strict', edits)), [
      ['waits', 'unchanged', 'published', 1],
    ]);
    assert.deepEqual(changes(await imported('tenantId=strict', [template('waits', 'Bye')])), [
      ['waits', 'changed', 'submitted', 2],
    ]);
  });

  it('may be many', async () => {
    const edits = Array.from({ length: 210 }, (_, index) => template(`t-${1000 + index}`));
    const { body } = await imported('tenantId=many', edits);
    assert.equal(body['created'], 210);
    const file = (await exported('many')).body as unknown as { templates: unknown[] };
    assert.equal(file.templates.length, 210);
    const again = await ann('POST', '/v1/templates/import?tenantId=many', { body: file });
    assert.equal(again.body['unchanged'], 210);
  });
});
