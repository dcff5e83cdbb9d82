/** The demo tenant's mail account: what the sandbox's mail server knows from the start. No secret is real. */
import type { DemoChannel } from '../demo-channel.ts';
import type { EmailSmtpSimulatorOptions } from './simulator.ts';

export const sandboxEmailSmtp = {
  accounts: {
    'notice@example.com': {
      password: 'sandbox-password',
      domains: ['example.com', 'bounce.example.com'],
    },
  },
} as const satisfies EmailSmtpSimulatorOptions;

export const demoEmailSmtp: DemoChannel = {
  connector: 'email-smtp',
  simulator: 'email-smtp',
  account: ({ url, receiptToken }) => {
    const { hostname, port } = new URL(url);
    return {
      settings: {
        host: hostname.replace(/^\[|\]$/g, ''),
        port: Number(port),
        security: 'none',
        from: { name: '消息中心', address: 'notice@example.com' },
        bounceDomain: 'bounce.example.com',
        wantsDeliveryReport: true,
      },
      secrets: { user: 'notice@example.com', password: 'sandbox-password', receiptToken },
    };
  },
  ratePerSecond: 50,
  plainNotice: { subject: '{{text}}', text: '{{text}}' },
  to: { email: 'li.lei@example.com' },
};
