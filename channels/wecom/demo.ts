/** The demo tenant's WeCom: what the sandbox's corporation knows from the start. No secret is real. */
import type { DemoChannel } from '../demo-channel.ts';
import type { WecomSimulatorOptions } from './simulator-settings.ts';

const corpId = 'wwsandbox0000000000';
const corpSecret = 'sandbox-app-secret';
const agentId = 1_000_002;
const opsKey = '00000000-0000-4000-8000-000000000001';

export const sandboxWecom = {
  corpId,
  apps: [{ agentId, secret: corpSecret, hasCustomers: true }],
  robots: { ops: opsKey },
} as const satisfies Partial<WecomSimulatorOptions>;

export const demoWecomApp: DemoChannel = {
  connector: 'wecom-app',
  simulator: 'wecom',
  account: ({ url }) => ({
    settings: { corpId, agentId, baseUrl: url },
    secrets: { corpSecret },
  }),
  ratePerSecond: 100,
  plainNotice: { text: { content: '{{text}}' } },
  to: { wecomUserId: 'zhangsan' },
};

export const demoWecomCustomer: DemoChannel = {
  connector: 'wecom-customer',
  simulator: 'wecom',
  account: ({ url }) => ({
    settings: { corpId, sender: 'zhangsan', baseUrl: url },
    secrets: { corpSecret },
  }),
  ratePerSecond: 20,
  plainNotice: {
    text: '{{text}}',
    link: { title: '消息中心', url: 'https://example.com/notice' },
  },
  to: { externalUserId: 'wmsandbox0000000001' },
};

export const demoWecomRobot: DemoChannel = {
  connector: 'wecom-robot',
  simulator: 'wecom',
  account: ({ url }) => ({
    settings: { groups: ['ops'], baseUrl: url },
    secrets: { keys: { ops: opsKey } },
  }),
  ratePerSecond: 10,
  plainNotice: { text: { content: '{{text}}' } },
  to: { group: 'ops' },
};
