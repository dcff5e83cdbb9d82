/** The connector of tests that need one, and none in particular. */
import { Type } from 'typebox';
import type { Connector } from '../contracts/channel.ts';

/** A connector that takes everything. */
export const plainConnector: Connector = {
  name: 'sms-test',
  channel: 'sms',
  addressKinds: ['phone'],
  capabilities: {
    dedupe: { by: 'none' },
    receipts: 'none',
    canReconcile: false,
    reconcileAfterMs: 0,
    recallWithinMs: 0,
    askReceiptsAfterMs: [],
    callTimeoutMs: 1000,
    attemptBudget: 3,
    recipientWindows: { otp: [], notice: [], marketing: [] },
  },
  settingsSchema: Type.Object({}),
  secretsSchema: Type.Record(Type.String(), Type.String()),
  contentSchema: Type.Object({ text: Type.String() }),
  contentText: (content) => (content as { text: string }).text,
  addressFault: () => undefined,
  createClient: () => ({
    send: async () => ({ class: 'accepted', providerId: 'p' }),
    verify: async () => ({ class: 'accepted', providerId: 'p' }),
    close: async () => {},
  }),
};
