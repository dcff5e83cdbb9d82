import type { AccountAccess, Connector, ProviderTokens } from '../../contracts/channel.ts';
import { addressAs, type To } from '../../contracts/message.ts';
import type { OutcomeClass } from '../../contracts/outcome.ts';
import { createProviderTokens } from '../../platform/provider-tokens.ts';
import { testConnector, type ConformanceOptions } from '../channel.conformance.ts';
import { closedPort, createMailbox, faultRule } from '../conformance-kit.ts';
import type { ConformanceTarget, RefusalCase } from '../conformance-target.ts';
import type { DemoChannel } from '../demo-channel.ts';
import { startSandbox, type Sandbox } from '../sandbox/start-sandbox.ts';
import { clientMsgId } from './client.ts';
import { decryptPush, signParts } from './crypto.ts';
import {
  demoWechatMiniprogram,
  demoWechatSubscribe,
  demoWechatTemplate,
  sandboxWechat,
} from './demo.ts';
import {
  createWechatMiniprogram,
  createWechatSubscribe,
  createWechatTemplate,
  type WechatDeps,
} from './index.ts';
import { magicOpenid, type Relation } from './simulator-settings.ts';

interface WechatTarget extends ConformanceTarget {
  readonly sandbox: Sandbox;
  readonly action: string;
}

interface Kind {
  readonly create: (deps: WechatDeps) => Connector;
  readonly demo: DemoChannel;
  readonly templateId: string;
  readonly action: string;
  /** Whether calls carry our reference; else the text does. */
  readonly hasReference: boolean;
}

const skip = {
  recall: 'WeChat takes nothing back',
  batch: 'one openid in a call',
  'ask-receipts': 'receipts are pushed',
  'reconcile-yes': 'WeChat cannot be asked',
  'reconcile-no': 'WeChat cannot be asked',
  'reconcile-cannot-tell': 'WeChat cannot be asked',
} as const satisfies ConformanceOptions<WechatTarget>['skip'];
const noDedupe = { ...skip, repeat: 'WeChat recognises no repeat of subscription messages' };

const row = (
  name: string,
  expected: readonly [OutcomeClass, string],
  arrange: RefusalCase<WechatTarget>['arrange'],
): RefusalCase<WechatTarget> => ({
  name,
  outcome: expected[0],
  providerCode: expected[1],
  arrange,
});
const to = (relation: Relation) => () => ({ to: { openid: magicOpenid(relation) } });
const saying = (templateId: string, data: Record<string, string>, more = {}) => ({
  content: { templateId, data, ...more },
});
const answering = (code: string) => (target: WechatTarget, address: To) => {
  const openid = addressAs('openid', address) ?? '';
  target.sandbox.wechat.faults.add({
    kind: 'error',
    status: 200,
    code,
    // Providers quote the address, and it must not come through.
    message: `refused for ${openid} hint: [${openid}]`,
    to: openid,
    nextCalls: 1,
    action: target.action,
  });
  return {};
};
const forAll = [
  row('busy', ['transient', '-1'], answering('-1')),
  row('the daily quota', ['quota-exhausted', '45009'], answering('45009')),
  row('too many calls', ['rate-limited', '45011'], answering('45011')),
  row('an address that is not allowed', ['auth-invalid', '40164'], answering('40164')),
  row('a banned interface', ['auth-invalid', '48004'], answering('48004')),
  row('a banned template', ['template-invalid', '43116'], answering('43116')),
  row('an openid of another account', ['recipient-invalid', '40003'], to('40003')),
  row('what is no openid', ['recipient-invalid', '40003'], () => ({
    to: { openid: 'x'.repeat(20) },
  })),
  row('one who is on the blacklist', ['recipient-refused', '43019'], to('43019')),
  row('one who refused the template', ['recipient-refused', '43101'], to('43101')),
  row('too many messages to one', ['rate-limited', '43117'], to('43117')),
];

testConnector<WechatTarget>('wechat-template', {
  start: () =>
    start({
      create: createWechatTemplate,
      demo: demoWechatTemplate,
      templateId: 'TM_plain',
      action: 'template/send',
      hasReference: true,
    }),
  refusals: [
    ...forAll,
    row('one who does not follow', ['recipient-refused', '43004'], to('43004')),
    row('the same text within a minute', ['duplicate', '40241'], answering('40241')),
    row('an unknown template', ['template-invalid', '40037'], () => saying('none', { a: 'b' })),
    row('a field that is missing', ['content-rejected', '47003'], () =>
      saying('TM_order', { thing1: '书' }),
    ),
    row('a value that is too long', ['content-rejected', 'local:thing1'], () =>
      saying('TM_order', { thing1: '长'.repeat(21), time2: '15:01' }),
    ),
  ],
  skip,
});

testConnector<WechatTarget>('wechat-subscribe', {
  start: () =>
    start({
      create: createWechatSubscribe,
      demo: demoWechatSubscribe,
      templateId: 'SUB_plain',
      action: 'subscribe/bizsend',
      hasReference: false,
    }),
  refusals: [
    ...forAll,
    row('no subscription left', ['recipient-refused', '43101'], (target, address) => {
      const openid = addressAs('openid', address) ?? '';
      const appId = sandboxWechat.apps[1].appId;
      target.sandbox.wechat.setGrants({ appId, openid, templateId: 'SUB_plain', count: 0 });
      return {};
    }),
    row('a template of the other library', ['template-invalid', '40037'], () =>
      saying('TM_other', { keyword1: 'x' }),
    ),
    row('an amount that is none', ['content-rejected', 'local:amount2'], () =>
      saying('SUB_order', { thing1: '书', amount2: 'viel' }),
    ),
  ],
  skip: noDedupe,
});

testConnector<WechatTarget>('wechat-miniprogram', {
  start: () =>
    start({
      create: createWechatMiniprogram,
      demo: demoWechatMiniprogram,
      templateId: 'MINI_plain',
      action: 'subscribe/send',
      hasReference: false,
    }),
  refusals: [
    ...forAll,
    row('an unknown page', ['template-invalid', '41030'], () =>
      saying('MINI_plain', { keyword1: 'x' }, { page: 'pages/none?id=1' }),
    ),
    row('a date that is none', ['content-rejected', 'local:date2'], () =>
      saying('MINI_order', { thing1: '书', date2: 'morgen' }),
    ),
  ],
  skip: noDedupe,
});

async function start(kind: Kind): Promise<WechatTarget> {
  const mailbox = await createMailbox('success');
  const sandbox = await startSandbox({ receiptUrls: { wechat: mailbox.url } });
  const { wechat } = sandbox;
  wechat.configure({ receiptMedianMs: 50, receiptP99Ms: 200 });
  const counted = countingTokens();
  const { settings, secrets } = kind.demo.account({
    url: sandbox.urlOf('wechat'),
    receiptToken: '',
  }) as { settings: { appId: string; baseUrl: string }; secrets: Record<string, string> };
  const account: AccountAccess = { id: 'acc_1', tenantId: 'ten_1', settings, secrets };
  const connector = kind.create({ allowPrivateProviders: true, tokens: counted.tokens });
  // The first token is there before the cases start side by side: they look at sends.
  const client = connector.createClient(account);
  await client.verify(new AbortController().signal);
  await client.close();
  let addresses = 0;

  const within = (text: string) => (entry: { readonly text: string }) => entry.text.includes(text);
  const accepted = (deliveryKey: string) =>
    kind.hasReference
      ? wechat.accepted.find({ where: { ref: clientMsgId(deliveryKey) } }).entries
      : wechat.accepted.find({ limit: 10_000 }).entries.filter(within(deliveryKey));
  const { pushToken = '', encodingAesKey = '' } = secrets;
  const aes = { encrypt_type: 'aes', timestamp: '1', nonce: '2' };

  return {
    sandbox,
    action: kind.action,
    connector,
    account,
    strangerAccount: { ...account, secrets: { ...secrets, appSecret: 'f'.repeat(32) } },
    unreachableAccount: {
      ...account,
      // Tokens belong to an account: this one must not keep the good one's callers waiting.
      id: 'acc_2',
      settings: { ...settings, baseUrl: `http://127.0.0.1:${await closedPort()}` },
    },
    content: { templateId: kind.templateId, data: { keyword1: '您好' } },
    contentFor: (deliveryKey) => ({
      templateId: kind.templateId,
      data: { keyword1: deliveryKey },
    }),
    newAddress: () => {
      addresses += 1;
      return { openid: `o${String(addresses).padStart(27, '0')}` };
    },
    inject: (fault, address) =>
      void wechat.faults.add({
        ...faultRule(fault),
        to: addressAs('openid', address) ?? '',
        nextCalls: 1,
        action: kind.action,
      }),
    acceptedCount: (deliveryKey) => accepted(deliveryKey).length,
    visibleCount: (deliveryKey) =>
      wechat.device.find({ limit: 10_000 }).entries.filter(within(deliveryKey)).length,
    tokens: { revoke: () => wechat.tokens.revoke(), fetched: counted.fetched },
    receipts: {
      genuine: (deliveryKey) => {
        const providerId = accepted(deliveryKey)[0]?.providerId ?? 'none';
        return mailbox.pushWith((request) => {
          const encrypted = /<Encrypt><!\[CDATA\[(.+?)\]\]>/.exec(
            Buffer.from(request.body).toString(),
          )?.[1];
          const plain = decryptPush(encodingAesKey, encrypted ?? '');
          return plain?.message.includes(`<MsgID>${providerId}</MsgID>`) === true;
        });
      },
      forge: ({ query, ...request }) => {
        const { timestamp = '', nonce = '' } = query;
        const signature = signParts('somebodyElse', timestamp, nonce);
        return { ...request, query: { ...query, signature, msg_signature: signature } };
      },
      malformed: [
        { query: aes, body: '' },
        { query: aes, body: '{}' },
        { query: aes, body: '<html>' },
        { query: aes, body: '<xml><Encrypt' },
        {
          query: { ...aes, msg_signature: signParts(pushToken, '1', '2', 'AAAA') },
          body: '<xml><Encrypt>AAAA</Encrypt></xml>',
        },
      ].map(({ query, body }) => ({
        method: 'POST',
        query,
        headers: {},
        body: Buffer.from(body),
      })),
    },
    close: async () => {
      await sandbox.close();
      await mailbox.close();
    },
  };
}

/** Counts the tokens that were really fetched. */
function countingTokens(): { readonly tokens: ProviderTokens; readonly fetched: () => number } {
  const real = createProviderTokens();
  let fetched = 0;
  return {
    fetched: () => fetched,
    tokens: {
      expire: (key, failed) => real.expire(key, failed),
      current: (key, fetch) =>
        real.current(key, async () => {
          const token = await fetch();
          fetched += 1;
          return token;
        }),
    },
  };
}
