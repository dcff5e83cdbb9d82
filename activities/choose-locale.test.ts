import assert from 'node:assert/strict';
import { beforeEach, describe, it } from 'node:test';
import type { Connector } from '../contracts/channel.ts';
import type { ChunkMessage } from '../contracts/chunk.ts';
import type { AcceptedMessage, To } from '../contracts/message.ts';
import type { Person } from '../contracts/people.ts';
import { problem } from '../contracts/problems.ts';
import type { Account, Template } from '../contracts/template.ts';
import { defaultTenantPolicy, type TenantPolicy } from '../contracts/tenant-policy.ts';
import { createLogger } from '../platform/logger.ts';
import { createLanguageOf } from './choose-locale.ts';
import { createRenderChunk } from './render-chunk.ts';
import { createRender } from './render.ts';
import { languageAt, toChunkLanguages } from './chunk-languages.ts';

const user = { userId: 'li' };
let person: Person | undefined;
let policy: TenantPolicy;
let isAway: boolean;
let asked: number;
const answer = async <T>(value: T): Promise<T> => {
  asked += 1;
  if (isAway) throw problem('store-unavailable');
  return value;
};
const languageOf = createLanguageOf({
  policy: async () => policy,
  personOf: () => answer(person),
  logger: createLogger('test', 'silent'),
});
const content = { 'sms-test': { text: '' } };
const template = { locale: 'en', contents: content, locales: { zh: content, fr: content } };
const ask = (more: Partial<AcceptedMessage>, to: To = user, of: object = template) =>
  languageOf(
    {
      id: 'msg_1',
      tenantId: 't',
      kind: 'notice',
      connector: 'sms-test',
      ...more,
    } as AcceptedMessage,
    { template: of as Template, to },
  );

beforeEach(() => {
  person = { addresses: {}, locale: 'zh-CN' };
  policy = defaultTenantPolicy;
  isAway = false;
  asked = 0;
});

describe('the language of a message', () => {
  it("is its own, else its person's, else the tenant's", async () => {
    assert.deepEqual(await ask({ locale: 'fr-CA' }), { locale: 'fr', localeFrom: 'message' });
    assert.deepEqual(await ask({}), { locale: 'zh', localeFrom: 'person' });
    policy = { ...defaultTenantPolicy, locale: 'fr' };
    assert.deepEqual(await ask({ locale: 'de' }), { locale: 'fr', localeFrom: 'tenant' });
    person = undefined;
    assert.deepEqual(await ask({}), { locale: 'fr', localeFrom: 'tenant' });
    assert.deepEqual(await ask({}, { phone: '1' }), { locale: 'fr', localeFrom: 'tenant' });
  });
  it('asks for a person only where that decides', async () => {
    await ask({ locale: 'fr' });
    await ask({ locale: 'de' });
    await ask({}, { phone: '1' });
    assert.deepEqual(await ask({}, user, { ...template, locales: undefined }), {
      locale: 'en',
      localeFrom: 'template',
    });
    assert.equal(await ask({}, user, { contents: content }), undefined);
    assert.equal(asked, 0);
  });
  it("without MySQL it is the tenant's, and marketing waits", async () => {
    isAway = true;
    policy = { ...defaultTenantPolicy, locale: 'fr' };
    assert.deepEqual(await ask({ kind: 'otp' }), { locale: 'fr', localeFrom: 'tenant' });
    await assert.rejects(ask({ kind: 'marketing' }), { code: 'store-unavailable' });
  });
});

describe('the languages of a chunk', () => {
  it('are kept by language, and found by member', () => {
    const [zh, own] = [
      { locale: 'zh', localeFrom: 'message' },
      { locale: 'en', localeFrom: 'template' },
    ] as const;
    const members = [zh, own, undefined, zh];
    const languages = toChunkLanguages(members);
    assert.deepEqual(languages, [
      { ...zh, places: [0, 3] },
      { ...own, places: [1] },
    ]);
    assert.deepEqual(
      members.map((_, place) => languageAt(languages, place)),
      members,
    );
    assert.equal(languageAt(undefined, 0), undefined);
  });
});

describe('what is pinned', () => {
  const stored = {
    ...template,
    version: 3,
    variables: {},
    locales: { zh: content, fr: { 'sms-test': { text: '{{ nobody }}' } } },
  } as unknown as Template;
  const connector = {
    name: 'sms-test',
    addressKinds: ['phone'],
    capabilities: { callTimeoutMs: 1000, batch: { maxMessages: 100, content: 'any' } },
  } as unknown as Connector;
  const deps = {
    connectors: new Map([[connector.name, connector]]),
    hasAccount: async () => true,
    currentTemplate: async () => stored,
    openRequest: async ({ id }: AcceptedMessage) => ({ to: { phone: id }, variables: {} }),
    stopOf: () => ({ verdict: 'go', detail: '' }) as never,
    permit: async () => ({ next: 'go' as const }),
  };
  const isAlone = { tenantId: 't', kind: 'notice', connector: 'sms-test', priority: 'critical' };

  it("for a message is its language, and a fault of one language is nobody else's", async () => {
    const render = createRender({ ...deps, languageOf });
    const rendered = (locale: string) =>
      render({ message: { ...isAlone, id: '1', locale } as AcceptedMessage });
    assert.deepEqual(await rendered('zh-CN'), {
      next: 'send',
      templateVersion: 3,
      language: { locale: 'zh', localeFrom: 'message' },
      attemptTimeoutMs: 6000,
    });
    const failed = await rendered('fr');
    assert.ok(failed.next === 'skip' && failed.reason.code === 'template-invalid');
  });

  it('for a chunk is the language of each member', async () => {
    policy = { ...defaultTenantPolicy, locale: 'zh' };
    const permits = {
      connectors: deps.connectors,
      policy: async () => policy,
      personOf: async () => undefined,
      suppressionsOf: async () => [],
      isOptedOut: async () => false,
      consentsOf: async () => new Map(),
      admitRecipient: async () => ({ admitted: true }),
      hash: () => '',
      logger: createLogger('test', 'silent'),
    };
    const renderChunk = createRenderChunk({
      ...deps,
      permits,
      account: async () => ({ ratePerSecond: 500 }) as Account,
      optedOut: async () => new Set(),
    });
    const members = ['en-GB', undefined, 'zh-TW', 'fr', 'de'].map((locale, at) => ({
      id: `1390000000${at}`,
      recipientHash: `h${at}`,
      ...(locale !== undefined && { locale }),
    }));
    const { open, ended, templateVersion, languages } = await renderChunk({
      chunk: {
        ...isAlone,
        messageKind: 'notice',
        channel: 'sms',
        members,
      } as unknown as ChunkMessage,
    });
    assert.deepEqual(
      [open, ended.map(({ place }) => place), templateVersion],
      [[0, 1, 2, 4], [3], 3],
    );
    assert.deepEqual(languages, [
      { locale: 'en', localeFrom: 'message', places: [0] },
      { locale: 'zh', localeFrom: 'tenant', places: [1, 4] },
      { locale: 'zh', localeFrom: 'message', places: [2] },
      { locale: 'fr', localeFrom: 'message', places: [3] },
    ]);
  });
});
