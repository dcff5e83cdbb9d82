import { generateKeyPairSync } from 'node:crypto';
import type { AccountAccess } from '../../contracts/channel.ts';
import { addressAs, type To } from '../../contracts/message.ts';
import type { OutcomeClass } from '../../contracts/outcome.ts';
import { createProviderTokens } from '../../platform/provider-tokens.ts';
import { testConnector } from '../channel.conformance.ts';
import { closedPort, faultRule } from '../conformance-kit.ts';
import type { ConformanceTarget, RefusalCase } from '../conformance-target.ts';
import { listenHttp } from '../sandbox/http-listener.ts';
import { demoPushFcm, sandboxPushFcm } from './demo.ts';
import { createPushFcm } from './index.ts';
import { createPushFcmSimulator, type PushFcmSimulator } from './simulator.ts';

interface FcmTarget extends ConformanceTarget {
  readonly simulator: PushFcmSimulator;
}

const content = { title: '订单', body: '您的订单已发货', data: { orderId: '1' } };
const noBooks = 'FCM keeps no books that can be asked; a repeat replaces the notification';
const noReceipts = 'FCM sends no receipts';

testConnector<FcmTarget>('push-fcm', {
  start,
  refusals: refusals(),
  skip: {
    recall: 'FCM cannot take a message back',
    batch: 'FCM has no call for many messages',
    'ask-receipts': noReceipts,
    'receipts-genuine': noReceipts,
    'receipts-forged': noReceipts,
    'receipts-malformed': noReceipts,
    'reconcile-yes': noBooks,
    'reconcile-no': noBooks,
    'reconcile-cannot-tell': noBooks,
  },
});

async function start(): Promise<FcmTarget> {
  const simulator = createPushFcmSimulator(sandboxPushFcm);
  const listener = await listenHttp((request, response) => simulator.handle(request, response), {
    host: '127.0.0.1',
    port: 0,
  });
  const account = (url: string): AccountAccess => ({
    id: 'acc_1',
    tenantId: 'ten_1',
    ...demoPushFcm.account({ url, receiptToken: '' }),
  });
  const good = account(listener.url);
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const connector = createPushFcm({ allowPrivateProviders: true, tokens: createProviderTokens() });
  // Cases that abort after a while want to abort the message, not the call for its token.
  const client = connector.createClient(good);
  await client.verify(new AbortController().signal);
  await client.close();
  let addresses = 0;
  return {
    simulator,
    connector,
    account: good,
    strangerAccount: {
      ...good,
      secrets: {
        ...(good.secrets as object),
        privateKey: privateKey.export({ type: 'pkcs8', format: 'pem' }),
      },
    },
    unreachableAccount: account(`http://127.0.0.1:${await closedPort()}`),
    content,
    newAddress: () => {
      addresses += 1;
      return { deviceToken: `fcm-device:${String(addresses).padStart(8, '0')}` };
    },
    inject: (fault, to) =>
      void simulator.faults.add({
        ...faultRule(fault),
        to: addressAs('deviceToken', to) ?? '',
        action: 'Send',
        nextCalls: 1,
      }),
    acceptedCount: (ref) => simulator.accepted.count('ref', ref),
    visibleCount: (ref) =>
      simulator.device.find({ where: { ref } }).entries.filter(({ isGone }) => !isGone).length,
    tokens: { revoke: simulator.revokeTokens, fetched: simulator.tokensGiven },
    close: async () => {
      await listener.close();
      await simulator.close();
    },
  };
}

function refusals(): readonly RefusalCase<FcmTarget>[] {
  const row = (
    name: string,
    expected: readonly [OutcomeClass, string],
    arrange: RefusalCase<FcmTarget>['arrange'],
  ): RefusalCase<FcmTarget> => ({
    name,
    outcome: expected[0],
    providerCode: expected[1],
    arrange,
  });
  const sendingTo = (deviceToken: string) => () => ({ to: { deviceToken } });
  const sending = (change: object) => () => ({ content: { ...content, ...change } });
  const answering = (status: number, code: string) => (target: FcmTarget, to: To) => {
    const token = addressAs('deviceToken', to) ?? '';
    const rule = { kind: 'error', status, code, to: token, action: 'Send', nextCalls: 1 } as const;
    // Texts may quote the token, and it must not come through.
    target.simulator.faults.add({ ...rule, message: `${token} refused` });
    return {};
  };
  return [
    row('a dead token', ['recipient-invalid', 'UNREGISTERED'], sendingTo('sandbox-unregistered')),
    row(
      'a token that is none',
      ['recipient-invalid', 'INVALID_ARGUMENT'],
      sendingTo('sandbox-invalid-token'),
    ),
    row(
      'a token of another project',
      ['recipient-invalid', 'SENDER_ID_MISMATCH'],
      sendingTo('sandbox-sender-mismatch'),
    ),
    row(
      'a wrong field',
      ['content-rejected', 'INVALID_ARGUMENT'],
      sendingTo('sandbox-bad-request'),
    ),
    row(
      'a reserved name in data',
      ['content-rejected', 'INVALID_ARGUMENT'],
      sending({ data: { 'google.sent': '1' } }),
    ),
    row(
      'no permission',
      ['auth-invalid', 'PERMISSION_DENIED'],
      sendingTo('sandbox-permission-denied'),
    ),
    row(
      'no key of Apple',
      ['auth-invalid', 'THIRD_PARTY_AUTH_ERROR'],
      sendingTo('sandbox-third-party-auth'),
    ),
    row(
      'too many to one device',
      ['rate-limited', 'QUOTA_EXCEEDED'],
      sendingTo('sandbox-device-quota'),
    ),
    row(
      'too many of the project',
      ['rate-limited', 'RESOURCE_EXHAUSTED'],
      answering(429, 'RESOURCE_EXHAUSTED'),
    ),
    row('an overload', ['transient', 'UNAVAILABLE'], answering(503, 'UNAVAILABLE')),
    row('a token that stays stale', ['auth-expired', 'UNAUTHENTICATED'], (target, to) => {
      const rule = { kind: 'error', status: 401, code: 'UNAUTHENTICATED', action: 'Send' } as const;
      target.simulator.faults.add({
        ...rule,
        to: addressAs('deviceToken', to) ?? '',
        nextCalls: 2,
      });
      return {};
    }),
  ];
}
