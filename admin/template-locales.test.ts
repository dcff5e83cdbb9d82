import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import mysql from 'mysql2/promise';
import { demoChannels } from '../channels/demo.ts';
import { startSandbox, type Sandbox } from '../channels/sandbox/start-sandbox.ts';
import { fileFormat } from '../contracts/template-file.ts';
import type { TemplateEdit } from '../contracts/template.ts';
import { demoAccount } from '../stack/seed.ts';
import { renderContent } from '../templates/index.ts';
import { openTestAdmin, pointers } from '../tests/admin.ts';

const admin = await openTestAdmin();
const [ann, bob] = [admin.as('ann'), admin.as('bob')];
let sandbox: Sandbox;
before(async () => {
  sandbox = await startSandbox();
  for (const id of ['source', 'copy']) await admin.store.tenants.create(id, id);
});
after(async () => {
  await sandbox.close();
  await admin.close();
});

const sms = (signName: string, templateCode: string, text: string) => ({
  'sms-aliyun': { signName, templateCode, params: { text: '{{text}}' }, text },
});
const spoken = (name: string, more: Partial<TemplateEdit> = {}): TemplateEdit => ({
  name,
  kind: 'notice',
  variables: { text: { type: 'string', maxLength: 20 } },
  locale: 'zh-CN',
  contents: sms('消息中心', 'SMS_1003', '通知：{{text}}'),
  locales: { en: sms('消息中心', 'SMS_1003', 'Notice: {{text}}') },
  ...more,
});
const create = async (edit: TemplateEdit) => {
  const answer = await ann('POST', '/v1/templates', { body: edit });
  assert.equal(answer.status, 201, JSON.stringify(answer.body));
  return answer.body as unknown as TemplateEdit & { id: string };
};

describe('a template in several languages', () => {
  it('is kept with its tags in one spelling, whoever wrote them how', async () => {
    const fr = sms('消息中心', 'SMS_1003', 'Avis : {{text}}');
    const written = spoken('spelled', { locale: 'zh-cn', locales: { 'FR-ca': fr } });
    const created = await create(written);
    assert.deepEqual([created.locale, created.locales], ['zh-CN', { 'fr-CA': fr }]);
    const path = `/v1/templates/${created.id}`;
    const replaced = await ann('PUT', path, { body: written, ifMatch: '"1"' });
    assert.deepEqual(replaced.body['locales'], { 'fr-CA': fr });
    const drafted = await ann('POST', `${path}/versions`, { body: written });
    assert.deepEqual((drafted.body['template'] as TemplateEdit).locales, { 'fr-CA': fr });
  });

  it('is refused by the name of the tag, as a draft too', async () => {
    const { id } = await create(spoken('refused'));
    const { en } = spoken('refused').locales ?? {};
    const { locale: _none, ...nameless } = spoken('refused');
    const cases: [TemplateEdit, string[]][] = [
      [spoken('refused', { locales: { zh_TW: en ?? {} } }), ['/locales/zh_TW']],
      [spoken('refused', { locales: { en: en ?? {}, EN: en ?? {} } }), ['/locales/EN']],
      [spoken('refused', { locale: 'x y' }), ['/locale']],
      [nameless, ['/locale']],
      [spoken('refused', { locales: { en: {} } }), ['/locales/en']],
    ];
    for (const [body, faults] of cases) {
      const drafted = await ann('POST', `/v1/templates/${id}/versions`, { body });
      const replaced = await ann('PUT', `/v1/templates/${id}`, { body, ifMatch: '"1"' });
      for (const answer of [drafted, replaced])
        assert.deepEqual([answer.status, pointers(answer)], [422, faults], answer.text);
    }
    const stray = { en: { 'inbox-builtin': { title: 'T', body: '{{text}}' } } };
    const answer = await ann('PUT', `/v1/templates/${id}`, {
      body: spoken('refused', { locales: stray }),
      ifMatch: '"1"',
    });
    assert.deepEqual([answer.status, pointers(answer)], [422, ['/locales/en/inbox-builtin']]);
  });

  it('is previewed as a message in a language would read', async () => {
    const preview = async (locale?: string) => {
      const body = {
        template: spoken('previewed'),
        variables: { text: 'x' },
        ...(locale && { locale }),
      };
      const answer = await ann('POST', '/v1/templates/preview', { body });
      assert.equal(answer.status, 200, answer.text);
      const contents = answer.body['contents'] as Record<string, { locale: string; text: string }>;
      const { locale: used, text } = contents['sms-aliyun'] ?? {};
      return [used, text];
    };
    assert.deepEqual(await preview('en-GB'), ['en', '【消息中心】Notice: x']);
    for (const none of [undefined, 'de', 'zh-CN'])
      assert.deepEqual(await preview(none), ['zh-CN', '【消息中心】通知：x']);
    const bad = await ann('POST', '/v1/templates/preview', {
      body: { template: spoken('previewed'), locale: 'en_GB' },
    });
    assert.deepEqual([bad.status, pointers(bad)], [422, ['/locale']]);
  });

  it('is linted in each, with the size of each', async () => {
    const locales = { en: sms('消息中心', 'SMS_1003', 'Notice: {{txt}}') };
    const broken = await ann('POST', '/v1/templates/lint', {
      body: { template: spoken('linted', { locales }) },
    });
    const findings = broken.body['findings'] as { code: string; pointer: string }[];
    assert.deepEqual(
      findings.map(({ code, pointer }) => `${code} ${pointer}`),
      ['variable-undeclared /locales/en/sms-aliyun/text'],
    );
    const fine = await ann('POST', '/v1/templates/lint', { body: { template: spoken('linted') } });
    assert.deepEqual(fine.body['findings'], []);
    const sizes = fine.body['localeSizes'] as Record<string, Record<string, { longest: number }[]>>;
    assert.deepEqual(
      sizes['en']?.['sms-aliyun']?.map(({ longest }) => longest),
      [34, 1],
    );
  });

  it('is drafted, compared, tried in a language, reviewed and put in force', async () => {
    const [demo] = demoChannels;
    assert.ok(demo !== undefined);
    const at = { urlOf: sandbox.urlOf, receiptToken: 'token-of-16-letters' };
    const account = await ann('POST', '/v1/channel-accounts', { body: demoAccount(demo, at) });
    const { id } = await create(spoken('reviewed'));
    const path = `/v1/templates/${id}`;
    const ja = sms('消息中心', 'SMS_1003', 'お知らせ {{text}}');
    const locales = { ...spoken('reviewed').locales, ja };
    await ann('POST', `${path}/versions`, { body: spoken('reviewed', { locales }) });

    const { body } = await ann('GET', `${path}/versions/1/diff/2`);
    assert.match(String(body['diff']), /^\+\s+"ja": \{$/m);
    const test = async (locale: string) => {
      const to = { phone: '13900001234' };
      const sent = { accountId: account.body['id'], to, locale, variables: { text: locale } };
      return (await ann('POST', `${path}/versions/2/test`, { body: sent })).body;
    };
    const said = await test('ja-JP');
    assert.deepEqual(
      [said['isAccepted'], said['locale'], said['text']],
      [true, 'ja', '【消息中心】お知らせ ja-JP'],
    );
    assert.equal((await test('de'))['locale'], 'zh-CN');
    const bad = await ann('POST', `${path}/versions/2/test`, {
      body: { accountId: account.body['id'], to: { phone: '13900001234' }, locale: '?!' },
    });
    assert.deepEqual(pointers(bad), ['/locale']);

    await ann('POST', `${path}/versions/2/submit`, { ifMatch: '"1"' });
    const approved = await bob('POST', `${path}/versions/2/approve`, { ifMatch: '"2"' });
    assert.equal(approved.status, 200, approved.text);
    assert.deepEqual((await ann('GET', path)).body['locales'], locales);
  });

  it('goes out to a file and in from one, in the same lines', async () => {
    const fr = sms('消息中心', 'SMS_1003', 'Avis : {{text}}');
    const edit = spoken('filed', { locales: { fr, en: fr } });
    const imported = (tenantId: string, templates: readonly TemplateEdit[]) =>
      ann('POST', `/v1/templates/import?tenantId=${tenantId}`, {
        body: { format: fileFormat, templates },
      });
    const exported = (tenantId: string) => ann('GET', `/v1/templates/export?tenantId=${tenantId}`);
    assert.equal((await imported('source', [edit])).body['created'], 1);
    const first = await exported('source');
    const { templates } = first.body as unknown as { templates: TemplateEdit[] };
    assert.deepEqual(Object.keys(templates[0]?.locales ?? {}), ['en', 'fr']);
    assert.equal((await imported('copy', templates)).status, 200);
    assert.equal((await exported('copy')).text, first.text);
    // Written otherwise it is the same.
    const again = await imported('copy', [spoken('filed', { locales: { EN: fr, fr } })]);
    assert.equal(again.body['unchanged'], 1);
    const bad = await imported('copy', [edit, spoken('other', { locales: { fr_FR: fr } })]);
    assert.deepEqual([bad.status, pointers(bad)], [422, ['/templates/1/locales/fr_FR']]);
  });
});

describe("a tenant's language", () => {
  it('is kept in one spelling, and refused when it is none', async () => {
    const path = '/v1/tenants/source/policy';
    const policy = { timeZone: 'Asia/Shanghai', locale: 'zh-hans-cn' };
    const put = await ann('PUT', path, { body: policy, ifMatch: '"1"' });
    assert.deepEqual([put.status, put.body['locale']], [200, 'zh-Hans-CN']);
    assert.equal((await ann('GET', path)).body['locale'], 'zh-Hans-CN');
    const bad = await ann('PUT', path, { body: { ...policy, locale: 'zh_CN' }, ifMatch: '"2"' });
    assert.deepEqual([bad.status, pointers(bad)], [422, ['/locale']]);
  });
});

describe('a version from before there were languages', () => {
  /** As it was written then. */
  const definition =
    '{"name":"old","kind":"notice","variables":{"text":{"type":"string"}},"contents":{"inbox-builtin":{"title":"T","body":"{{text}} {{ \'2026-11-21T00:00:00Z\' | date: \'%b\' }}"}},"isSearchable":true}';

  it('reads, renders, compares, comes back and becomes one with languages', async () => {
    const edit = JSON.parse(definition) as TemplateEdit;
    const { id } = await create(edit);
    const connection = await mysql.createConnection(admin.mysqlUrl);
    await connection.query('update template_versions set definition = ? where name = ?', [
      definition,
      'old',
    ]);
    await connection.end();
    const path = `/v1/templates/${id}`;
    const read = await ann('GET', path);
    assert.equal(read.status, 200, read.text);
    assert.ok(!('locale' in read.body) && !('locales' in read.body), read.text);
    const stored = await admin.store.templates.version('demo', 'old', 1);
    assert.ok(stored !== undefined);
    const rendered = renderContent(stored, 'inbox-builtin', { variables: { text: 'x' } });
    assert.deepEqual(rendered, { result: 'content', content: { title: 'T', body: 'x Nov' } });

    const own = edit.contents;
    const next = { ...edit, locale: 'en', locales: { zh: own } };
    const replaced = await ann('PUT', path, { body: next, ifMatch: '"1"' });
    assert.equal(replaced.status, 200, replaced.text);
    const { body } = await ann('GET', `${path}/versions/1/diff/2`);
    assert.match(String(body['diff']), /^\+\s+"locale": "en",$/m);
    const back = await ann('POST', `${path}/rollback`, { body: { version: 1 }, ifMatch: '"2"' });
    assert.equal(back.status, 201, back.text);
    assert.deepEqual(back.body['template'], edit);
  });
});
