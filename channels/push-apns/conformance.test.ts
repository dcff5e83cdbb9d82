import { generateKeyPairSync } from 'node:crypto';
import type { AccountAccess } from '../../contracts/channel.ts';
import { addressAs, type To } from '../../contracts/message.ts';
import type { OutcomeClass } from '../../contracts/outcome.ts';
import { createProviderTokens } from '../../platform/provider-tokens.ts';
import { testConnector } from '../channel.conformance.ts';
import { closedPort, faultRule } from '../conformance-kit.ts';
import type { ConformanceTarget, RefusalCase } from '../conformance-target.ts';
import { demoPushApns, sandboxPushApns } from './demo.ts';
import { createPushApns } from './index.ts';
import { createPushApnsSimulator, type PushApnsSimulator } from './simulator.ts';

interface ApnsTarget extends ConformanceTarget {
  readonly simulator: PushApnsSimulator;
}

const content = { title: '订单已发货', body: '预计明天送达', url: 'https://example.com/o/1' };
const noReceipts = 'APNs tells nothing after it took a notification';
const noBooks = 'APNs cannot be asked about a notification';

testConnector<ApnsTarget>('push-apns', {
  start,
  refusals: refusals(),
  skip: {
    recall: 'a notification cannot be taken back, only replaced',
    batch: 'one push for each call; streams share one session',
    'ask-receipts': noReceipts,
    'reconcile-yes': noBooks,
    'reconcile-no': noBooks,
    'reconcile-cannot-tell': noBooks,
    'receipts-genuine': noReceipts,
    'receipts-forged': noReceipts,
    'receipts-malformed': noReceipts,
  },
});

async function start(): Promise<ApnsTarget> {
  const simulator = createPushApnsSimulator(sandboxPushApns);
  const listener = await simulator.listen({ host: '127.0.0.1', port: 0 });
  const at = (url: string): AccountAccess => ({
    id: 'acc_1',
    tenantId: 'ten_1',
    ...demoPushApns.account({ url, receiptToken: '' }),
  });
  const { privateKey } = generateKeyPairSync('ec', {
    namedCurve: 'P-256',
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
    publicKeyEncoding: { type: 'spki', format: 'pem' },
  });
  let addresses = 0;
  return {
    simulator,
    connector: createPushApns({ allowPrivateProviders: true, tokens: createProviderTokens() }),
    account: at(listener.url),
    strangerAccount: { ...at(listener.url), secrets: { privateKey } },
    unreachableAccount: at(`http://127.0.0.1:${await closedPort()}`),
    content,
    newAddress: () => {
      addresses += 1;
      return { deviceToken: `a1${addresses.toString(16).padStart(62, '0')}` };
    },
    inject: (fault, to) =>
      void simulator.faults.add({ ...faultRule(fault), to: deviceOf(to), nextCalls: 1 }),
    acceptedCount: (deliveryKey) => simulator.accepted.count('ref', deliveryKey),
    visibleCount: (deliveryKey) =>
      simulator.device.find({ where: { ref: deliveryKey } }).entries.filter(({ isGone }) => !isGone)
        .length,
    tokens: {
      revoke: () => simulator.revokeTokens(),
      fetched: () => simulator.tokensSeen(),
    },
    close: () => listener.close(),
  };
}

const deviceOf = (to: To) => addressAs('deviceToken', to) ?? '';

/** Provoked by the simulator's own rules where it has them, else by an injected answer. */
function refusals(): readonly RefusalCase<ApnsTarget>[] {
  const to = (prefix: string) => () => ({ to: { deviceToken: prefix.padEnd(64, '7') } });
  const answering = (status: number, code: string) => (target: ApnsTarget, address: To) => {
    const rule = { kind: 'error', status, code, to: deviceOf(address), nextCalls: 1 } as const;
    target.simulator.faults.add(rule);
    return {};
  };
  const row = (
    name: string,
    expected: readonly [OutcomeClass, string],
    arrange: RefusalCase<ApnsTarget>['arrange'],
  ) => ({ name, outcome: expected[0], providerCode: expected[1], arrange });
  return [
    row('an uninstalled app', ['recipient-invalid', 'Unregistered'], to('dead0410')),
    row('a token that ended', ['recipient-invalid', 'ExpiredToken'], to('dead0411')),
    row('a bad token', ['recipient-invalid', 'BadDeviceToken'], to('dead0400')),
    row("another app's token", ['recipient-invalid', 'DeviceTokenNotForTopic'], to('dead0401')),
    row('too many for a device', ['rate-limited', 'TooManyRequests'], to('dead0429')),
    row('overload', ['transient', 'ServiceUnavailable'], to('dead0503')),
    row('an error of its own', ['ambiguous', 'InternalServerError'], to('dead0500')),
    row('a payload too large', ['content-rejected', 'PayloadTooLarge'], () => ({
      content: { ...content, body: '长'.repeat(1400) },
    })),
    row('a wrong topic', ['auth-invalid', 'TopicDisallowed'], answering(400, 'TopicDisallowed')),
    row(
      'too many new tokens',
      ['rate-limited', 'TooManyProviderTokenUpdates'],
      answering(429, 'TooManyProviderTokenUpdates'),
    ),
    row('a bad header', ['content-rejected', 'BadPriority'], answering(400, 'BadPriority')),
  ];
}
