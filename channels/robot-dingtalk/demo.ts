/** The demo tenant's DingTalk robots. No secret is real. */
import type { DemoChannel } from '../demo-channel.ts';
import type { RobotDingtalkSimulatorOptions } from './simulator.ts';

export const sandboxRobotDingtalk = {
  robots: [
    { group: 'ops', accessToken: 'sandbox-dingtalk-ops', secret: 'SECsandbox-ops' },
    { group: 'sales', accessToken: 'sandbox-dingtalk-sales', secret: 'SECsandbox-sales' },
    {
      group: 'gone',
      accessToken: 'sandbox-dingtalk-gone',
      secret: 'SECsandbox-gone',
      state: 'group-gone',
    },
    {
      group: 'keyword',
      accessToken: 'sandbox-dingtalk-keyword',
      secret: 'SECsandbox-keyword',
      keywords: ['通知'],
    },
  ],
} satisfies { readonly robots: RobotDingtalkSimulatorOptions['robots'] };

export const demoRobotDingtalk: DemoChannel = {
  connector: 'robot-dingtalk',
  simulator: 'robot-dingtalk',
  account: ({ url }) => ({
    settings: { groups: sandboxRobotDingtalk.robots.map(({ group }) => group), baseUrl: url },
    secrets: {
      robots: Object.fromEntries(
        sandboxRobotDingtalk.robots.map(({ group, accessToken, secret }) => [
          group,
          { accessToken, secret },
        ]),
      ),
    },
  }),
  ratePerSecond: 20,
  plainNotice: { text: '{{text}}' },
  to: { group: 'ops' },
};
