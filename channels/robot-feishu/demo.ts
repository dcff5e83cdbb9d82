/** The demo tenant's Feishu robots. No secret is real. */
import type { DemoChannel } from '../demo-channel.ts';
import type { RobotFeishuSimulatorOptions } from './simulator.ts';

export const sandboxRobotFeishu = {
  robots: [
    { group: 'ops', hookId: 'sandbox-feishu-ops', secret: 'sandbox-secret-ops' },
    { group: 'sales', hookId: 'sandbox-feishu-sales', secret: 'sandbox-secret-sales' },
    {
      group: 'disabled',
      hookId: 'sandbox-feishu-disabled',
      secret: 'sandbox-secret-disabled',
      isEnabled: false,
    },
    {
      group: 'keyword',
      hookId: 'sandbox-feishu-keyword',
      secret: 'sandbox-secret-keyword',
      keywords: ['通知'],
    },
  ],
} satisfies { readonly robots: RobotFeishuSimulatorOptions['robots'] };

export const demoRobotFeishu: DemoChannel = {
  connector: 'robot-feishu',
  simulator: 'robot-feishu',
  account: ({ url }) => ({
    settings: { groups: sandboxRobotFeishu.robots.map(({ group }) => group), baseUrl: url },
    secrets: {
      robots: Object.fromEntries(
        sandboxRobotFeishu.robots.map(({ group, hookId, secret }) => [group, { hookId, secret }]),
      ),
    },
  }),
  ratePerSecond: 20,
  plainNotice: { text: '{{text}}' },
  to: { group: 'ops' },
};
