import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Type } from 'typebox';
import type { Connector } from '../contracts/channel.ts';
import type { TemplateEdit } from '../contracts/template.ts';
import { createValidator } from '../platform/validate.ts';
import {
  canonicalTemplate,
  chooseLocale,
  diffTemplates,
  isSameTemplate,
  lintTemplate,
  localeFaults,
  renderContent,
  withCanonicalLocales,
} from './index.ts';

const sms = (text: string) => ({ 'sms-test': { text } });
const edit = (
  locales: TemplateEdit['locales'],
  more: Partial<TemplateEdit> = {},
): TemplateEdit => ({
  name: 'test',
  kind: 'notice',
  variables: {},
  locale: 'en',
  contents: sms('Hello'),
  ...(locales !== undefined && { locales }),
  ...more,
});
const spoken = edit({
  zh: sms('您好'),
  'zh-Hant': sms('您好（繁）'),
  'zh-Hant-HK': sms('你好'),
  fr: {},
});

describe('the language of a message', () => {
  const chosen = (message: string, template = spoken) =>
    chooseLocale(template, 'sms-test', { message });

  it('is looked up from the whole tag to its first part', () => {
    const cases: [string, string][] = [
      ['zh-Hant-HK', 'zh-Hant-HK'],
      ['zh-Hant-TW', 'zh-Hant'],
      ['zh-Hant', 'zh-Hant'],
      ['zh-Hans-CN', 'zh'],
      ['zh-TW', 'zh'],
      ['zh-Hant-HK-u-ca-roc', 'zh-Hant-HK'],
      ['en-GB', 'en'],
    ];
    for (const [wanted, locale] of cases)
      assert.deepEqual(chosen(wanted), { locale, localeFrom: 'message' }, wanted);
  });
  it('is the same however the tags are ordered', () => {
    const tags = Object.entries(spoken.locales ?? {});
    for (const locales of [tags, tags.toReversed()])
      assert.equal(chosen('zh-Hant-TW', edit(Object.fromEntries(locales)))?.locale, 'zh-Hant');
  });
  it("is the template's own where nothing fits: no part of a tag is guessed", () => {
    for (const wanted of ['de', 'z', 'zho', 'fr', 'yue-Hant-HK'])
      assert.deepEqual(chosen(wanted), { locale: 'en', localeFrom: 'template' }, wanted);
    // A narrower tag than the one that was asked for is another language.
    assert.equal(chosen('pt', edit({ 'pt-BR': sms('Olá') }))?.locale, 'en');
  });
  it("is the message's, else the person's, then the tenant's", () => {
    const choose = (wanted: Parameters<typeof chooseLocale>[2]) => {
      const { locale, localeFrom } = chooseLocale(spoken, 'sms-test', wanted) ?? {};
      return `${locale} ${localeFrom}`;
    };
    assert.equal(choose({ message: 'en', person: 'zh', tenant: 'zh-Hant' }), 'en message');
    assert.equal(choose({ person: 'zh-CN', tenant: 'zh-Hant' }), 'zh person');
    assert.equal(choose({ person: 'de', tenant: 'zh-Hant' }), 'zh-Hant tenant');
    // A message that says its language does not mean its person's.
    assert.equal(choose({ message: 'de', person: 'zh', tenant: 'zh-Hant' }), 'zh-Hant tenant');
    assert.equal(choose({ message: 'de', person: 'zh' }), 'en template');
    assert.equal(choose({}), 'en template');
  });
  it('is not known of a template that does not name it', () => {
    assert.equal(chooseLocale({ contents: sms('x') }, 'sms-test', { message: 'en' }), undefined);
  });
});

describe('contents in a language', () => {
  const text = (template: TemplateEdit, locale?: string) => {
    const rendered = renderContent(template, 'sms-test', { variables: {}, locale });
    assert.equal(rendered.result, 'content', JSON.stringify(rendered));
    return rendered.result === 'content' && (rendered.content as { text: string }).text;
  };
  it('are rendered, the own ones without a language or where it has none', () => {
    assert.equal(text(spoken, 'zh-Hant'), '您好（繁）');
    assert.equal(text(spoken, 'fr'), 'Hello');
    assert.equal(text(spoken), 'Hello');
    for (const alien of ['constructor', '__proto__', 'de'])
      assert.equal(text(spoken, alien), 'Hello');
  });
  it('have the names in dates of their language, whatever the machine speaks', () => {
    const date = "{{ '2026-11-21T14:05:09Z' | date: '%B %A %x %X %% %c' }}";
    const template = edit({ 'zh-CN': sms(date), de: sms(date) }, { contents: sms(date) });
    assert.equal(
      text(template, 'zh-CN'),
      '十一月 星期六 2026/11/21 14:05:09 % 2026/11/21 14:05:09',
    );
    assert.match(String(text(template, 'de')), /^November Samstag 21\.11\.2026 14:05:09/);
    assert.match(String(text(template, 'en')), /^November Saturday 11\/21\/2026 2:05:09\sPM/);
    assert.equal(text(template), text(template, 'en'));
    // Without a language as before there were any.
    const plain = { ...template, locale: undefined, locales: undefined } as unknown as TemplateEdit;
    assert.equal(text(plain), text(template, 'en'));
    const zoned = "{{ '2026-11-21T14:05:09Z' | date: '%x %H', 'Asia/Tokyo' }}";
    assert.equal(text(edit({ ja: sms(zoned) }), 'ja'), '2026/11/21 23');
    assert.equal(text(edit({ ja: sms("{{ 'soon' | date: '%x' }}") }), 'ja'), 'soon');
  });
  it('name their own place when they do not render', () => {
    const bad = edit({ 'zh-CN': sms('{{ nobody }}') });
    const rendered = renderContent(bad, 'sms-test', { variables: {}, locale: 'zh-CN' });
    assert.ok(rendered.result === 'template-error');
    assert.equal(rendered.pointer, '/locales/zh-CN/sms-test/text');
  });
});

describe('tags of a template', () => {
  const faults = (template: TemplateEdit) =>
    localeFaults(template).map(({ pointer, detail }) => `${pointer} ${detail}`);

  it('have one spelling', () => {
    const locales = { 'ZH-hant-tw': sms('a'), iw: sms('b') };
    const { locale, locales: spelled } = withCanonicalLocales(edit(locales, { locale: 'EN-us' }));
    assert.deepEqual([locale, Object.keys(spelled ?? {})], ['en-US', ['zh-Hant-TW', 'he']]);
  });
  it('are refused by name: no tags, twice the same, without a language of its own', () => {
    assert.deepEqual(faults(edit({ 'zh-CN': sms('a'), en_GB: sms('b') })), [
      '/locales/en_GB is not a language tag (BCP 47), such as zh-CN or en',
    ]);
    assert.deepEqual(faults(edit({ 'zh-CN': sms('a'), 'zh-cn': sms('b'), EN: sms('c') })), [
      '/locales/zh-cn is the language of /locales/zh-CN already',
      '/locales/EN is the language of contents already',
    ]);
    assert.deepEqual(faults(edit({ 'en-u-ca-buddhist': sms('a'), 'a/b~': sms('b') })), [
      '/locales/en-u-ca-buddhist says more than a language, script, region and variant',
      '/locales/a~1b~0 is not a language tag (BCP 47), such as zh-CN or en',
    ]);
    const { locale: _none, ...without } = edit({ fr: sms('a') });
    assert.deepEqual(faults(without), [
      '/locale is needed beside locales: the language of contents',
    ]);
    assert.deepEqual(faults(edit(undefined, { locale: 'Deutsch!' })), [
      '/locale is not a language tag (BCP 47), such as zh-CN or en',
    ]);
  });
});

describe('a template in several languages as text', () => {
  it('is the same whatever the order of its languages', () => {
    const a = edit({ fr: sms('a'), de: sms('b') });
    const b = edit({ de: sms('b'), fr: sms('a') });
    assert.ok(isSameTemplate(a, b));
    assert.deepEqual(Object.keys(canonicalTemplate(a).locales ?? {}), ['de', 'fr']);
    assert.ok(!isSameTemplate(a, edit({ fr: sms('a') })));
    const diff = diffTemplates(
      { label: 'a', edit: a },
      { label: 'b', edit: edit({ fr: sms('c'), de: sms('b') }) },
    );
    assert.match(diff, /-\s+"text": "a"\n\+\s+"text": "c"/);
  });
});

describe('the lint of languages', () => {
  const connector = (name: string): Connector =>
    ({
      name,
      channel: 'sms',
      contentSchema: Type.Object(
        { text: Type.String({ minLength: 1, maxLength: 20 }) },
        { additionalProperties: false },
      ),
      lint: ({ longest }) => {
        const length = Math.max(...longest.map((one) => (one as { text: string }).text.length));
        return { findings: [], sizes: [{ what: 'characters', sample: 1, longest: length }] };
      },
    }) as Partial<Connector> as Connector;
  const lint = (template: TemplateEdit) =>
    lintTemplate(template, {
      connectors: new Map(['sms-test', 'push-test'].map((name) => [name, connector(name)])),
      schemaFaults: (schema, value) => createValidator(schema).faults(value),
    });
  const found = (template: TemplateEdit) =>
    lint(template).findings.map(({ level, code, pointer }) => `${level} ${code} ${pointer}`);
  const variables = { code: { type: 'string', maxLength: 12 } } as const;
  const both = (text: string) => ({ ...sms(text), 'push-test': { text } });

  it('finds in each what it finds in one', () => {
    const template = (text: string) =>
      edit({ fr: sms(text) }, { variables, contents: sms('{{ code }}') });
    const cases: [string, string][] = [
      ['{{ cod }}', 'error variable-undeclared /locales/fr/sms-test/text'],
      ['{{ code', 'error liquid-invalid /locales/fr/sms-test/text'],
      ['', 'error content-invalid /locales/fr/sms-test/text'],
      ['{{code}} and more', 'warning too-long /locales/fr/sms-test/text'],
    ];
    for (const [text, finding] of cases) assert.deepEqual(found(template(text)), [finding]);
    assert.deepEqual(found(edit({ fr_FR: sms('x') })), ['error locale-invalid /locales/fr_FR']);
    assert.deepEqual(found(edit({ french: sms('x') })), ['warning locale-unknown /locales/french']);
  });
  it('finds a variable that one forgets', () => {
    assert.deepEqual(
      found(edit({ fr: sms('oublié') }, { variables, contents: sms('{{ code }}') })),
      ['warning variable-missing /locales/fr/sms-test'],
    );
  });
  it('finds a channel that one lacks, or has for nobody', () => {
    assert.deepEqual(found(edit({ fr: sms('a') }, { contents: both('b') })), [
      'warning locale-incomplete /locales/fr',
    ]);
    assert.deepEqual(found(edit({ fr: both('a') })), ['error locale-stray /locales/fr/push-test']);
  });
  it('measures each', () => {
    const { findings, sizes, localeSizes } = lint(
      edit({ fr: sms('{{ code }}!') }, { variables, contents: sms('{{ code }}') }),
    );
    assert.deepEqual(findings, []);
    const size = (longest: number) => ({
      'sms-test': [{ what: 'characters', sample: 1, longest }],
    });
    assert.deepEqual([sizes, localeSizes], [size(12), { fr: size(13) }]);
    assert.equal(lint(edit(undefined)).localeSizes, undefined);
  });
});
