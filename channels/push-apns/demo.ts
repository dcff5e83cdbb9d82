/** The demo tenant's APNs account: what the sandbox's provider knows from the start. The key was made for this file only. */
import type { DemoChannel } from '../demo-channel.ts';
import type { PushApnsSimulatorOptions } from './simulator.ts';

const settings = { topic: 'com.example.messagecenter', teamId: 'SANDBOXTEA', keyId: 'SANDBOXKEY' };

const privateKey = `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgPM4BKJTC2oVq3+me
4TruKlf+suCLI6SdWwvMj4qK/j+hRANCAATyy8FoIEx1oMg01X0xK66STVavAtPj
JDr1V4KZKNxwc4VBn6S6lO9dN/n/xaB6457UoLnOcsHzQeDzfPyMyfoZ
-----END PRIVATE KEY-----
`;

export const sandboxPushApns = {
  keys: [{ keyId: settings.keyId, teamId: settings.teamId, pem: privateKey }],
  topics: [settings.topic],
} as const satisfies PushApnsSimulatorOptions;

export const demoPushApns: DemoChannel = {
  connector: 'push-apns',
  simulator: 'push-apns',
  account: ({ url }) => ({ settings: { baseUrl: url, ...settings }, secrets: { privateKey } }),
  ratePerSecond: 500,
  plainNotice: { title: '消息中心', body: '{{text}}' },
  to: { deviceToken: `a1${'0'.repeat(61)}1` },
};
