/** The demo tenant's webhook account: endpoints that the sandbox plays. No secret is real. */
import type { DemoChannel } from '../demo-channel.ts';
import type { WebhookStandardSimulatorOptions } from './simulator.ts';

/** The secret of the specification's own example. */
export const sandboxWebhookStandard = {
  secret: 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw',
} as const satisfies WebhookStandardSimulatorOptions;

const endpoints = ['orders', 'gone', 'busy', 'unavailable'] as const;

export const demoWebhookStandard: DemoChannel = {
  connector: 'webhook-standard',
  simulator: 'webhook-standard',
  account: ({ url }) => ({
    settings: {
      endpoints: Object.fromEntries(endpoints.map((name) => [name, { url: `${url}/${name}` }])),
    },
    secrets: {
      signing: Object.fromEntries(endpoints.map((name) => [name, [sandboxWebhookStandard.secret]])),
    },
  }),
  ratePerSecond: 50,
  plainNotice: { type: 'notice.sent', data: { text: '{{text}}' } },
  to: { endpoint: 'orders' },
};
