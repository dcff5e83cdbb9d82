/** The demo tenant's JPush app: what the sandbox's provider knows from the start. No secret is real. */
import type { DemoChannel } from '../demo-channel.ts';
import type { PushJpushSimulatorOptions } from './simulator.ts';

export const sandboxPushJpush = {
  appKey: '5a4db0c0ffee000000000001',
  masterSecret: 'sandbox-secret',
} as const satisfies PushJpushSimulatorOptions;

export const demoPushJpush: DemoChannel = {
  connector: 'push-jpush',
  simulator: 'push-jpush',
  account: ({ url }) => ({
    settings: { baseUrl: url, reportBaseUrl: url },
    secrets: { appKey: sandboxPushJpush.appKey, masterSecret: sandboxPushJpush.masterSecret },
  }),
  // A free app's 600 calls a minute, of which every eleventh fetches cids.
  ratePerSecond: 9,
  plainNotice: { title: '消息中心', body: '{{text}}' },
  to: { deviceToken: '1507bfd3a7c568d4761' },
};
