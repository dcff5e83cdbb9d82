import type { AccountAccess, Connector } from '../../contracts/channel.ts';
import { addressOf, type To } from '../../contracts/message.ts';
import type { OutcomeClass } from '../../contracts/outcome.ts';
import { createProviderTokens } from '../../platform/provider-tokens.ts';
import { testConnector } from '../channel.conformance.ts';
import { closedPort, faultRule } from '../conformance-kit.ts';
import type { ConformanceTarget, RefusalCase } from '../conformance-target.ts';
import type { DemoChannel } from '../demo-channel.ts';
import type { FaultRule } from '../sandbox/faults.ts';
import { listenHttp } from '../sandbox/http-listener.ts';
import { demoWecomApp, demoWecomCustomer, demoWecomRobot, sandboxWecom } from './demo.ts';
import { createWecomApp, createWecomCustomer, createWecomRobot } from './index.ts';
import { markOf } from './mark.ts';
import { createWecomSimulator, type WecomSimulator } from './simulator.ts';

interface WecomTarget extends ConformanceTarget {
  readonly simulator: WecomSimulator;
}

const robots = Object.fromEntries(
  Array.from({ length: 200 }, (_, at) => [`group-${at}`, `00000000-0000-4000-8000-1${at}`]),
);
const deps = { allowPrivateProviders: true, tokens: createProviderTokens() };

interface Parts {
  readonly connector: Connector;
  readonly demo: DemoChannel;
  readonly content: Readonly<Record<string, unknown>>;
  readonly contentFor: (deliveryKey: string) => Readonly<Record<string, unknown>>;
  readonly toOf: (serial: number) => To;
  /** Secrets of somebody else. */
  readonly wrong: unknown;
  /** The message call. */
  readonly action: string;
  readonly more?: (simulator: WecomSimulator) => Partial<ConformanceTarget>;
  /** Over the demo's. */
  readonly settings?: object;
  readonly secrets?: unknown;
}

const startWith = (parts: Parts) => async (): Promise<WecomTarget> => {
  const simulator = createWecomSimulator({
    ...sandboxWecom,
    robots,
    seed: 1,
    settings: { employeeConfirmsAfterMs: null },
  });
  const listener = await listenHttp((request, response) => simulator.handle?.(request, response), {
    host: '127.0.0.1',
    port: 0,
  });
  const account = (id: string, url: string, more: object = {}): AccountAccess => {
    const { settings, secrets } = parts.demo.account({ url, receiptToken: '' });
    return {
      id,
      tenantId: 'ten_1',
      settings: { ...(settings as object), ...parts.settings },
      secrets: parts.secrets ?? secrets,
      ...more,
    };
  };
  // The token is there before the cases: the one that aborts after 500 ms is about the message, not about the token.
  const first = parts.connector.createClient(account('acc_1', listener.url));
  await first.verify(AbortSignal.timeout(10_000));
  await first.close();
  let addresses = 0;
  return {
    simulator,
    connector: parts.connector,
    account: account('acc_1', listener.url),
    strangerAccount: account('acc_2', listener.url, { secrets: parts.wrong }),
    unreachableAccount: account('acc_3', `http://127.0.0.1:${await closedPort()}`),
    content: parts.content,
    contentFor: parts.contentFor,
    newAddress: () => {
      addresses += 1;
      return parts.toOf(addresses);
    },
    inject: (fault, to) => {
      const rule = { to: addressOf(to).value, nextCalls: 1, action: parts.action };
      simulator.faults.add({ ...faultRule(fault), ...rule });
    },
    acceptedCount: (deliveryKey) => simulator.accepted.count('ref', markOf(deliveryKey)),
    visibleCount: (deliveryKey) =>
      simulator.device
        .find({ where: { ref: markOf(deliveryKey) } })
        .entries.filter(({ isGone }) => !isGone).length,
    ...parts.more?.(simulator),
    close: async () => {
      await listener.close();
      await simulator.close();
    },
  };
};

const row = (
  name: string,
  expected: readonly [OutcomeClass, string],
  arrange: RefusalCase<WecomTarget>['arrange'],
): RefusalCase<WecomTarget> => ({
  name,
  outcome: expected[0],
  providerCode: expected[1],
  arrange,
});

/** An answer of the provider that nothing in the simulator leads to; it quotes the address, as WeCom does: in lower case. */
const answering =
  (code: string, more: Partial<FaultRule> = {}) =>
  (target: WecomTarget, to: To) => {
    const { value } = addressOf(to);
    const message = `${value.toLowerCase()} refused`;
    const rule = { kind: 'error', status: 200, code, message, to: value, nextCalls: 1 } as const;
    target.simulator.faults.add({ ...rule, ...more });
    return {};
  };
const sendingTo = (to: To) => () => ({ to });
const saying = (content: object) => () => ({ content });

const tokensOf = (simulator: WecomSimulator) => ({
  tokens: {
    revoke: () => simulator.revokeTokens(),
    fetched: () => simulator.calls.count('action', 'gettoken'),
  },
});

testConnector<WecomTarget>('wecom-app', {
  start: startWith({
    connector: createWecomApp(deps),
    demo: demoWecomApp,
    content: { text: { content: '您好' } },
    contentFor: (deliveryKey) => ({
      textcard: { title: '订单', description: deliveryKey, url: 'https://example.com/orders' },
    }),
    toOf: (serial) => ({ wecomUserId: `Member.${serial}` }),
    wrong: { corpSecret: 'wrong-secret' },
    action: 'message/send',
    more: (simulator) => ({
      ...tokensOf(simulator),
      batch: { badAddress: { wecomUserId: 'Gone-batch' }, outcome: 'recipient-invalid' },
    }),
  }),
  refusals: [
    row('nobody', ['recipient-invalid', '81013'], sendingTo({ wecomUserId: 'Gone-1' })),
    row(
      'a member without a licence',
      ['recipient-refused', '81013'],
      sendingTo({ wecomUserId: 'Unlicensed-1' }),
    ),
    row(
      'a member who has not bound WeChat',
      ['recipient-refused', '43004'],
      sendingTo({ wecomUserId: 'unbound-1' }),
    ),
    row('a blocked app', ['rate-limited', '45009'], answering('45009')),
    row('too many at once', ['rate-limited', '45033'], answering('45033')),
    row('an address not on the allowlist', ['auth-invalid', '60020'], answering('60020')),
    row('a busy provider', ['transient', '-1'], answering('-1')),
    row('forbidden words', ['content-rejected', '40035'], answering('40035')),
    row('stale tokens, twice', ['auth-expired', '42001'], answering('42001', { nextCalls: 2 })),
  ],
  skip: {
    'ask-receipts': 'WeCom tells nothing of what became of a message',
    'reconcile-yes': 'messages cannot be looked up; a repeat is recognised',
    'reconcile-no': 'messages cannot be looked up; a repeat is recognised',
    'reconcile-cannot-tell': 'messages cannot be looked up; a repeat is recognised',
    'receipts-genuine': 'there are no receipts',
    'receipts-forged': 'there are no receipts',
    'receipts-malformed': 'there are no receipts',
  },
});

testConnector<WecomTarget>('wecom-customer', {
  start: startWith({
    connector: createWecomCustomer(deps),
    demo: demoWecomCustomer,
    content: { text: '您好', link: { title: '订单', url: 'https://example.com/orders' } },
    contentFor: (deliveryKey) => ({
      text: deliveryKey,
      link: { title: '订单', url: 'https://example.com/orders' },
    }),
    toOf: (serial) => ({ externalUserId: `wmCustomer_${serial}` }),
    wrong: { corpSecret: 'wrong-secret' },
    action: 'externalcontact/add_msg_template',
    more: (simulator) => ({
      ...tokensOf(simulator),
      settle: (deliveryKey) => void simulator.confirmTasks(markOf(deliveryKey)),
      // A task that awaits an employee is what can be seen, and be taken back, before it is sent.
      visibleCount: (deliveryKey) =>
        simulator.awaitingTasks(markOf(deliveryKey)) +
        simulator.device.count('ref', markOf(deliveryKey)),
    }),
  }),
  refusals: [
    row(
      'a malformed customer',
      ['recipient-invalid', '40096'],
      sendingTo({ externalUserId: 'wmbad-00001' }),
    ),
    row(
      'a stranger to the sender',
      ['recipient-invalid', '84061'],
      sendingTo({ externalUserId: 'wmstranger-1' }),
    ),
    row(
      'a customer who cannot be written to',
      ['recipient-invalid', 'fail_list'],
      sendingTo({ externalUserId: 'wmfail-00001' }),
    ),
    row(
      'a sender who is no member',
      ['content-rejected', '60111'],
      saying({ text: '您好', sender: 'gone-zhang' }),
    ),
    row('no customers at all', ['recipient-invalid', '41048'], answering('41048')),
    row('an app without customer contact', ['auth-invalid', '48002'], answering('48002')),
    row('a blocked API', ['rate-limited', '45009'], answering('45009')),
    row('a busy provider', ['transient', '-1'], answering('-1')),
  ],
  skip: {
    repeat: 'every call makes a task; reconcile protects from a second one',
    batch: 'a task for many could neither be asked about nor stopped for one of them',
    'receipts-genuine': 'receipts are asked for',
    'receipts-forged': 'receipts are asked for',
    'receipts-malformed': 'receipts are asked for',
  },
});

testConnector<WecomTarget>('wecom-robot', {
  start: startWith({
    connector: createWecomRobot(deps),
    demo: demoWecomRobot,
    content: { text: { content: '磁盘已满', mentionUserIds: ['@all'] } },
    contentFor: (deliveryKey) => ({ markdown: { content: `**${deliveryKey}**` } }),
    toOf: (serial) => ({ group: `group-${serial}` }),
    settings: { groups: Object.keys(robots) },
    secrets: { keys: robots },
    wrong: { keys: Object.fromEntries(Object.keys(robots).map((name) => [name, 'wrong-key'])) },
    action: 'webhook/send',
    more: (simulator) => {
      // A robot's message has no place for a reference: its text is what tells it.
      const withText = (deliveryKey: string) => (entry: { readonly text: string }) =>
        entry.text.includes(deliveryKey);
      return {
        acceptedCount: (deliveryKey) =>
          simulator.accepted.find({ limit: 10_000 }).entries.filter(withText(deliveryKey)).length,
        visibleCount: (deliveryKey) =>
          simulator.device.find({ limit: 10_000 }).entries.filter(withText(deliveryKey)).length,
      };
    },
  }),
  refusals: [
    row('the 21st message of a minute', ['rate-limited', '45009'], async (target, to) => {
      const client = target.connector.createClient(target.account);
      const { signal } = new AbortController();
      for (let at = 0; at < 20; at += 1)
        await client.send({ to, content: target.content, deliveryKey: String(at), signal });
      await client.close();
      return {};
    }),
    row('a robot that is gone', ['auth-invalid', '93000'], answering('93000')),
    row('a content WeCom does not like', ['content-rejected', '40058'], answering('40058')),
    row('a busy provider', ['transient', '-1'], answering('-1')),
  ],
  skip: {
    repeat: 'robots know no repeat',
    'token-revoked': 'the key in the address is all there is',
    recall: 'a message of a robot cannot be taken back',
    batch: 'one call writes to one group',
    'ask-receipts': 'there is nothing to ask',
    'reconcile-yes': 'there is nothing to ask',
    'reconcile-no': 'there is nothing to ask',
    'reconcile-cannot-tell': 'there is nothing to ask',
    'receipts-genuine': 'there are no receipts',
    'receipts-forged': 'there are no receipts',
    'receipts-malformed': 'there are no receipts',
  },
});
