/** The demo tenant's WeChat accounts: what the sandbox's provider knows from the start. No secret is real. */
import type { DemoChannel } from '../demo-channel.ts';
import type { WechatSimulatorOptions } from './simulator.ts';

/** Three accounts, for each has one address for pushes, and each connector's account its own receipts. */
const template = {
  appId: 'wx5a9d000000000001',
  appSecret: '5a9d0000000000000000000000000001',
  pushToken: 'sandboxTemplate',
  encodingAesKey: 'sandboxTemplate0123456789abcdefghijklmnopqr',
} as const;
const subscribe = {
  appId: 'wx5a9d000000000002',
  appSecret: '5a9d0000000000000000000000000002',
  pushToken: 'sandboxSubscribe',
  encodingAesKey: 'sandboxSubscribe0123456789abcdefghijklmnopq',
} as const;
const miniprogram = {
  appId: 'wx5a9d000000000003',
  appSecret: '5a9d0000000000000000000000000003',
  pushToken: 'sandboxMiniprogram',
  encodingAesKey: 'sandboxMiniprogram0123456789abcdefghijklmno',
} as const;

export const sandboxWechat = {
  apps: [
    {
      ...template,
      kind: 'official',
      originalId: 'gh_sandbox000001',
      templates: [
        { templateId: 'TM_code', library: 'template', text: '验证码：{{character_string1.DATA}}' },
        {
          templateId: 'TM_order',
          library: 'template',
          text: '商品：{{thing1.DATA}}\n发货时间：{{time2.DATA}}',
        },
        { templateId: 'TM_plain', library: 'template', text: '{{keyword1.DATA}}' },
      ],
    },
    {
      ...subscribe,
      kind: 'official',
      originalId: 'gh_sandbox000002',
      templates: [
        { templateId: 'SUB_plain', library: 'subscribe', text: '{{keyword1.DATA}}' },
        {
          templateId: 'SUB_order',
          library: 'subscribe',
          text: '商品：{{thing1.DATA}}\n金额：{{amount2.DATA}}',
        },
        { templateId: 'TM_other', library: 'template', text: '{{keyword1.DATA}}' },
      ],
    },
    {
      ...miniprogram,
      kind: 'miniprogram',
      originalId: 'gh_sandbox000003',
      pages: ['pages/index', 'pages/order'],
      templates: [
        { templateId: 'MINI_plain', library: 'subscribe', text: '{{keyword1.DATA}}' },
        {
          templateId: 'MINI_order',
          library: 'subscribe',
          text: '商品：{{thing1.DATA}}\n日期：{{date2.DATA}}',
        },
      ],
    },
  ],
} as const satisfies WechatSimulatorOptions;

const demo = (
  connector: string,
  app: typeof template | typeof subscribe | typeof miniprogram,
  templateId: string,
): DemoChannel => ({
  connector,
  simulator: 'wechat',
  receiptTarget: `wechat/${app.appId}`,
  account: ({ url }) => ({
    settings: { appId: app.appId, baseUrl: url },
    secrets: {
      appSecret: app.appSecret,
      pushToken: app.pushToken,
      encodingAesKey: app.encodingAesKey,
    },
  }),
  ratePerSecond: 100,
  plainNotice: { templateId, data: { keyword1: '{{text}}' } },
  to: { openid: 'o0000000000000000000demo0001' },
});

export const demoWechatTemplate = demo('wechat-template', template, 'TM_plain');
export const demoWechatSubscribe = demo('wechat-subscribe', subscribe, 'SUB_plain');
export const demoWechatMiniprogram = demo('wechat-miniprogram', miniprogram, 'MINI_plain');
