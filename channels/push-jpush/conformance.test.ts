import type { AccountAccess } from '../../contracts/channel.ts';
import { addressAs, type To } from '../../contracts/message.ts';
import type { OutcomeClass } from '../../contracts/outcome.ts';
import { createProviderTokens } from '../../platform/provider-tokens.ts';
import { testConnector } from '../channel.conformance.ts';
import { closedPort, faultRule } from '../conformance-kit.ts';
import type { ConformanceTarget, RefusalCase } from '../conformance-target.ts';
import type { FaultRule } from '../sandbox/faults.ts';
import { mountSimulator } from '../sandbox/start-sandbox.ts';
import { demoPushJpush, sandboxPushJpush } from './demo.ts';
import { createPushJpush } from './index.ts';
import { createPushJpushSimulator, type PushJpushSimulator } from './simulator.ts';

interface JpushTarget extends ConformanceTarget {
  readonly simulator: PushJpushSimulator;
}

const content = { title: '订单已发货', body: '预计明天送达', url: 'https://example.com/o/1' };
const noPush = 'JPush pushes receipts to paying apps only; they are asked for';
const noBooks = 'JPush cannot be asked by cid; a repeat with the same cid gets the first result';

testConnector<JpushTarget>('push-jpush', {
  start,
  refusals: refusals(),
  skip: {
    'token-revoked': 'calls carry the Master Secret, there is no token',
    recall: 'a push can be replaced, not taken back',
    'reconcile-yes': noBooks,
    'reconcile-no': noBooks,
    'reconcile-cannot-tell': noBooks,
    'receipts-genuine': noPush,
    'receipts-forged': noPush,
    'receipts-malformed': noPush,
  },
});

async function start(): Promise<JpushTarget> {
  const simulator = createPushJpushSimulator(sandboxPushJpush);
  const listener = await mountSimulator(simulator, { host: '127.0.0.1', port: 0 });
  const at = (url: string): AccountAccess => ({
    id: 'acc_1',
    tenantId: 'ten_1',
    ...demoPushJpush.account({ url, receiptToken: '' }),
  });
  const { appKey } = sandboxPushJpush;
  let addresses = 0;
  const connector = createPushJpush({
    allowPrivateProviders: true,
    tokens: createProviderTokens(),
  });
  // A send is two calls here, and the suite aborts one after half a second: nothing may be cold by then.
  const warming = connector.createClient(at(listener.url));
  await warming.verify(AbortSignal.timeout(10_000));
  await warming.close();
  return {
    simulator,
    connector,
    account: at(listener.url),
    strangerAccount: { ...at(listener.url), secrets: { appKey, masterSecret: 'wrong' } },
    unreachableAccount: at(`http://127.0.0.1:${await closedPort()}`),
    content,
    newAddress: () => {
      addresses += 1;
      return { deviceToken: `1507${addresses.toString(16).padStart(15, '0')}` };
    },
    inject: (fault, to) =>
      void simulator.faults.add({ ...faultRule(fault), to: idOf(to), nextCalls: 1 }),
    acceptedCount: (deliveryKey) => simulator.accepted.count('ref', deliveryKey),
    visibleCount: (deliveryKey) => simulator.device.count('ref', deliveryKey),
    batch: { badAddress: { deviceToken: 'dead1003ffffffffff' }, outcome: 'accepted' },
    close: () => listener.close(),
  };
}

const idOf = (to: To) => addressAs('deviceToken', to) ?? '';

/** Provoked by the simulator's own rules where it has them, else by an injected answer. */
function refusals(): readonly RefusalCase<JpushTarget>[] {
  const to = (prefix: string) => () => ({ to: { deviceToken: `${prefix}0000000000` } });
  const answering =
    (status: number, code: string, more: Partial<FaultRule> = {}) =>
    (target: JpushTarget, address: To) => {
      // JPush quotes the id, and it must not come through.
      const message = `${idOf(address)} refused`;
      const rule = { kind: 'error', status, code, message, to: idOf(address) } as const;
      target.simulator.faults.add({ ...rule, nextCalls: 1, ...more });
      return {};
    };
  const row = (
    name: string,
    expected: readonly [OutcomeClass, string],
    arrange: RefusalCase<JpushTarget>['arrange'],
  ) => ({ name, outcome: expected[0], providerCode: expected[1], arrange });
  return [
    row('a bad registration id', ['recipient-invalid', '1003'], to('dead1003')),
    row('a device that is gone', ['recipient-invalid', '1011'], to('dead1011')),
    row('too many for a person', ['rate-limited', '2005'], to('dead2005')),
    row('a body too large', ['content-rejected', '1005'], () => ({
      content: { ...content, body: '长'.repeat(700) },
    })),
    row('a wrong option', ['content-rejected', '1003'], answering(400, '1003')),
    row(
      'a cid that is no longer known',
      ['ambiguous', '1003'],
      answering(400, '1003', { message: 'The cid is invalid or expired!' }),
    ),
    row('the quota is used up', ['rate-limited', '2002'], answering(429, '2002')),
    row('an address that is not allowed', ['auth-invalid', '2004'], answering(403, '2004')),
    row('a paid feature', ['auth-invalid', '2006'], answering(403, '2006')),
    row('an error of its own', ['ambiguous', '1000'], answering(500, '1000')),
  ];
}
