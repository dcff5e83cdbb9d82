import type { AccountAccess } from '../../contracts/channel.ts';
import { addressAs } from '../../contracts/message.ts';
import type { OutcomeClass } from '../../contracts/outcome.ts';
import { testConnector } from '../channel.conformance.ts';
import { closedPort, faultRule } from '../conformance-kit.ts';
import type { ConformanceTarget, RefusalCase } from '../conformance-target.ts';
import { mountSimulator } from '../sandbox/start-sandbox.ts';
import { createRobotDingtalk } from './index.ts';
import { createRobotDingtalkSimulator, type RobotDingtalkSimulator } from './simulator.ts';

const robots = Array.from({ length: 100 }, (_, index) => ({
  group: `group-${index}`,
  accessToken: `conformance-token-${index}`,
  secret: `SECconformance${index}`,
}));
type Robot = Parameters<RobotDingtalkSimulator['setRobot']>[0];

interface RobotTarget extends ConformanceTarget {
  readonly simulator: RobotDingtalkSimulator;
}

const noBooks = 'robots have no books that could be asked';
const noReceipts = 'robots have no receipts';
testConnector<RobotTarget>('robot-dingtalk', {
  start,
  refusals: [
    refusal('a message without the keyword', ['content-rejected', '310000'], {
      keywords: ['never said'],
    }),
    refusal('an address that is not on the list', ['auth-invalid', '310000'], {
      isAddressAllowed: false,
    }),
    refusal('a token that was replaced', ['auth-invalid', '300005'], { accessToken: 'other' }),
    refusal('a disabled robot', ['auth-invalid', '400102'], { state: 'disabled' }),
    refusal('a robot that was removed', ['recipient-invalid', '400106'], { state: 'removed' }),
    refusal('a group that is gone', ['recipient-invalid', '400013'], { state: 'group-gone' }),
    {
      name: 'a message too long',
      outcome: 'content-rejected',
      providerCode: '460101',
      arrange: () => ({ content: { text: '长'.repeat(7000) } }),
    },
    {
      name: 'the 21st message in a minute',
      outcome: 'rate-limited',
      providerCode: '130101',
      arrange: async ({ connector, account }, to) => {
        const client = connector.createClient(account);
        const { signal } = new AbortController();
        for (let sent = 0; sent < 20; sent += 1)
          await client.send({ to, content: { text: 'before' }, deliveryKey: 'before', signal });
        await client.close();
        return {};
      },
    },
  ],
  skip: {
    repeat: 'robots send again what they are told again',
    'token-revoked': "a robot's token does not run out",
    recall: 'robots cannot take a message back',
    batch: 'one message a call',
    'ask-receipts': noReceipts,
    'reconcile-yes': noBooks,
    'reconcile-no': noBooks,
    'reconcile-cannot-tell': noBooks,
    'verify-bad': 'every call of a robot is a message to people, so verify makes none',
    'receipts-genuine': noReceipts,
    'receipts-forged': noReceipts,
    'receipts-malformed': noReceipts,
  },
});

async function start(): Promise<RobotTarget> {
  const simulator = createRobotDingtalkSimulator({ robots });
  const listener = await mountSimulator(simulator, { host: '127.0.0.1', port: 0 });
  const account = (baseUrl: string, secret?: string): AccountAccess => ({
    id: 'acc_1',
    tenantId: 'ten_1',
    settings: { groups: robots.map(({ group }) => group), baseUrl },
    secrets: {
      robots: Object.fromEntries(
        robots.map((robot) => [
          robot.group,
          { accessToken: robot.accessToken, secret: secret ?? robot.secret },
        ]),
      ),
    },
  });
  const counted = (ledger: 'accepted' | 'device', deliveryKey: string) =>
    simulator[ledger]
      .find({ limit: 10_000 })
      .entries.filter(({ text }) => text.includes(deliveryKey)).length;
  let used = 0;
  return {
    simulator,
    connector: createRobotDingtalk({ allowPrivateProviders: true }),
    account: account(listener.url),
    strangerAccount: account(listener.url, 'SECwrong'),
    unreachableAccount: account(`http://127.0.0.1:${await closedPort()}`),
    content: { text: '您好' },
    contentFor: (deliveryKey) => ({ text: `您好 ${deliveryKey}` }),
    newAddress: () => {
      used += 1;
      return { group: robots[used]?.group ?? 'none left' };
    },
    inject: (fault, to) =>
      void simulator.faults.add({
        ...faultRule(fault),
        to: addressAs('group', to) ?? '',
        nextCalls: 1,
      }),
    acceptedCount: (deliveryKey) => counted('accepted', deliveryKey),
    visibleCount: (deliveryKey) => counted('device', deliveryKey),
    close: async () => {
      await listener.close();
      await simulator.close();
    },
  };
}

/** A robot whose settings in its group have changed. */
function refusal(
  name: string,
  [outcome, providerCode]: readonly [OutcomeClass, string],
  change: Partial<Robot>,
): RefusalCase<RobotTarget> {
  return {
    name,
    outcome,
    providerCode,
    arrange: ({ simulator }, to) => {
      const robot = robots.find(({ group }) => group === addressAs('group', to));
      if (robot !== undefined) simulator.setRobot({ ...robot, ...change });
      return {};
    },
  };
}
