import type { AccountAccess } from '../../contracts/channel.ts';
import { addressAs } from '../../contracts/message.ts';
import type { OutcomeClass } from '../../contracts/outcome.ts';
import { testConnector } from '../channel.conformance.ts';
import { closedPort, faultRule } from '../conformance-kit.ts';
import type { ConformanceTarget, RefusalCase } from '../conformance-target.ts';
import { mountSimulator } from '../sandbox/start-sandbox.ts';
import { sandboxWebhookStandard } from './demo.ts';
import { createWebhookStandard } from './index.ts';
import { webhookId } from './webhook-id.ts';
import { createWebhookStandardSimulator, type WebhookStandardSimulator } from './simulator.ts';

const names = Array.from({ length: 100 }, (_, index) => `receiver-${index}`);
const content = { type: 'order.shipped', data: { orderId: 'A1', note: '您好' } };

interface WebhookTarget extends ConformanceTarget {
  readonly simulator: WebhookStandardSimulator;
}

const noCall = 'receivers have no call that does nothing, and a 401 may be anything';
testConnector<WebhookTarget>('webhook-standard', {
  start,
  refusals: [
    refusal('moved', 'transient', 'HTTP 301'),
    refusal('bad-request', 'transient', 'HTTP 400'),
    refusal('gone', 'recipient-invalid', 'HTTP 410'),
    refusal('busy', 'rate-limited', 'HTTP 429'),
    refusal('unavailable', 'rate-limited', 'HTTP 503'),
  ],
  skip: {
    'accept-then-html': 'a 2xx is the delivery, whatever its body says',
    'token-revoked': 'calls are signed, there is no token',
    recall: 'what a receiver has taken is its own',
    batch: 'one endpoint, one event',
    'ask-receipts': 'a 2xx is the delivery',
    'reconcile-yes': 'receivers have no books that could be asked',
    'reconcile-no': 'receivers have no books that could be asked',
    'reconcile-cannot-tell': 'receivers have no books that could be asked',
    'verify-bad': noCall,
    'bad-credentials': `${noCall}: it is tried again, as the specification wants`,
    'receipts-genuine': 'there are no receipts',
    'receipts-forged': 'there are no receipts',
    'receipts-malformed': 'there are no receipts',
  },
});

async function start(): Promise<WebhookTarget> {
  const simulator = createWebhookStandardSimulator(sandboxWebhookStandard);
  const listener = await mountSimulator(simulator, { host: '127.0.0.1', port: 0 });
  const account = (url: string, secret: string): AccountAccess => ({
    id: 'acc_1',
    tenantId: 'ten_1',
    settings: {
      endpoints: Object.fromEntries(names.map((name) => [name, { url: `${url}/${name}` }])),
    },
    secrets: { signing: Object.fromEntries(names.map((name) => [name, [secret]])) },
  });
  const { secret } = sandboxWebhookStandard;
  let used = 0;
  return {
    simulator,
    connector: createWebhookStandard({ allowPrivateProviders: true }),
    account: account(listener.url, secret),
    strangerAccount: account(listener.url, 'whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA'),
    unreachableAccount: account(`http://127.0.0.1:${await closedPort()}`, secret),
    content,
    newAddress: () => {
      used += 1;
      return { endpoint: names[used] ?? 'none left' };
    },
    inject: (fault, to) =>
      void simulator.faults.add({
        ...faultRule(fault),
        to: addressAs('endpoint', to) ?? '',
        nextCalls: 1,
      }),
    acceptedCount: (deliveryKey) => simulator.accepted.count('ref', webhookId(deliveryKey)),
    visibleCount: (deliveryKey) => simulator.device.count('ref', webhookId(deliveryKey)),
    close: async () => {
      await listener.close();
      await simulator.close();
    },
  };
}

function refusal(
  behaviour: 'moved' | 'bad-request' | 'gone' | 'busy' | 'unavailable',
  outcome: OutcomeClass,
  providerCode: string,
): RefusalCase<WebhookTarget> {
  return {
    name: `a receiver that is ${behaviour}`,
    outcome,
    providerCode,
    arrange: ({ simulator }, to) => {
      simulator.setReceiver({ name: addressAs('endpoint', to) ?? '', behaviour });
      return {};
    },
  };
}
