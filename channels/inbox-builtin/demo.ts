/** The demo tenant's inbox. It has no simulator: it is the real thing. */
import { inboxConnector } from '../../contracts/inbox.ts';
import type { DemoChannel } from '../demo-channel.ts';

export const demoInboxBuiltin: DemoChannel = {
  connector: inboxConnector,
  simulator: inboxConnector,
  account: () => ({ settings: {}, secrets: {} }),
  ratePerSecond: 1000,
  plainNotice: { title: 'Notice', body: '{{text}}' },
  to: { userId: 'u-1001' },
};
