import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import type { AccountAccess } from '../../contracts/channel.ts';
import { addressAs } from '../../contracts/message.ts';
import type { OutcomeClass } from '../../contracts/outcome.ts';
import { createProviderTokens } from '../../platform/provider-tokens.ts';
import { testConnector } from '../channel.conformance.ts';
import { closedPort, createMailbox, faultRule } from '../conformance-kit.ts';
import type { ConformanceTarget, RefusalCase } from '../conformance-target.ts';
import { listenHttp } from '../sandbox/http-listener.ts';
import { demoPushHuawei, sandboxPushHuawei } from './demo.ts';
import { createPushHuawei } from './index.ts';
import { createPushHuaweiSimulator, type PushHuaweiSimulator } from './simulator.ts';

interface HuaweiTarget extends ConformanceTarget {
  readonly simulator: PushHuaweiSimulator;
}

const content = { title: '订单', body: '您的订单已发货', data: { orderId: '1' } };
const noBooks = 'Huawei keeps no books that can be asked; a repeat replaces the notification';

testConnector<HuaweiTarget>('push-huawei', {
  start,
  refusals: refusals(),
  skip: {
    'ask-receipts': 'receipts are pushed',
    'reconcile-yes': noBooks,
    'reconcile-no': noBooks,
    'reconcile-cannot-tell': noBooks,
  },
});

async function start(): Promise<HuaweiTarget> {
  const mailbox = await createMailbox('{"code":"0","message":"success"}');
  const simulator = createPushHuaweiSimulator({
    ...sandboxPushHuawei,
    settings: {
      receiptUrl: `${mailbox.url}/v1/receipts/push-huawei/acc_1`,
      receiptMedianMs: 50,
      receiptP99Ms: 200,
    },
  });
  const listener = await listenHttp((request, response) => simulator.handle(request, response), {
    host: '127.0.0.1',
    port: 0,
  });
  const account = (url: string): AccountAccess => ({
    id: 'acc_1',
    tenantId: 'ten_1',
    ...demoPushHuawei.account({ url, receiptToken: '' }),
  });
  const good = account(listener.url);
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const connector = createPushHuawei({
    allowPrivateProviders: true,
    tokens: createProviderTokens(),
  });
  // The first call is slow, and a case gives up on its call after half a second.
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
      return { deviceToken: `huawei-device-${String(addresses).padStart(8, '0')}` };
    },
    inject: (fault, to) =>
      void simulator.faults.add({
        ...faultRule(fault),
        // 503 is this provider's flow control: its own error is a 500.
        ...(fault === 'error-before-accept' && { status: 500 }),
        to: addressAs('deviceToken', to) ?? '',
        action: 'Send',
        nextCalls: 1,
      }),
    acceptedCount: (ref) => simulator.accepted.count('ref', ref),
    visibleCount: (ref) =>
      simulator.device.find({ where: { ref } }).entries.filter(({ isGone }) => !isGone).length,
    tokens: { revoke: simulator.revokeTokens, fetched: simulator.tokensSeen },
    batch: { badAddress: { deviceToken: 'sandbox-bad-token' }, outcome: 'recipient-invalid' },
    receipts: {
      genuine: (deliveryKey) => mailbox.pushWith(`"${deliveryKey}"`),
      forge: (request) => {
        const header = request.headers['x-huawei-callback-id'] ?? '';
        assert.match(header, /value=[A-Za-z0-9+/]{43}=$/);
        const forged = header.replace(/nonce=\w/, 'nonce=-');
        return { ...request, headers: { ...request.headers, 'x-huawei-callback-id': forged } };
      },
      malformed: ['', '{}', '<html>', '{"statuses":', '[]'].map((body) => ({
        method: 'POST',
        query: {},
        headers: {},
        body: Buffer.from(body),
      })),
    },
    close: async () => {
      await listener.close();
      await simulator.close();
      await mailbox.close();
    },
  };
}

function refusals(): readonly RefusalCase<HuaweiTarget>[] {
  const row = (
    name: string,
    expected: readonly [OutcomeClass, string],
    arrange: RefusalCase<HuaweiTarget>['arrange'],
  ): RefusalCase<HuaweiTarget> => ({
    name,
    outcome: expected[0],
    providerCode: expected[1],
    arrange,
  });
  const sendingTo = (deviceToken: string) => () => ({ to: { deviceToken } });
  const answering =
    (status: number, code: string, nextCalls = 1): RefusalCase<HuaweiTarget>['arrange'] =>
    (target, to) => {
      const token = addressAs('deviceToken', to) ?? '';
      const rule = { kind: 'error', status, code, to: token, action: 'Send', nextCalls } as const;
      // Texts may quote the token, and it must not come through.
      target.simulator.faults.add({ ...rule, message: `${token} refused` });
      return {};
    };
  return [
    row('a token that is none', ['recipient-invalid', '80300007'], sendingTo('sandbox-bad-token')),
    row(
      'a token of another project',
      ['recipient-invalid', '80300007'],
      sendingTo('sandbox-no-right'),
    ),
    row('a device abroad', ['recipient-refused', '80300007'], sendingTo('sandbox-wrong-country')),
    row(
      'an app without the right',
      ['auth-invalid', '80300007'],
      sendingTo('sandbox-no-push-type-right'),
    ),
    row('an app under penalty', ['auth-invalid', '80300007'], sendingTo('sandbox-penalty')),
    row('flow control', ['rate-limited', '503'], answering(503, '503')),
    row('forbidden words', ['content-rejected', '80100016'], answering(400, '80100016')),
    row('no permission', ['auth-invalid', '80300002'], answering(400, '80300002')),
    row('a token that stays stale', ['auth-expired', '80200005'], answering(401, '80200005', 2)),
    row("the provider's own error", ['ambiguous', '81000001'], answering(500, '81000001')),
  ];
}
