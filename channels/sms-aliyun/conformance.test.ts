import type { AccountAccess } from '../../contracts/channel.ts';
import type { To } from '../../contracts/message.ts';
import type { OutcomeClass } from '../../contracts/outcome.ts';
import { testConnector } from '../channel.conformance.ts';
import { closedPort, createMailbox, faultRule } from '../conformance-kit.ts';
import type { ConformanceTarget, RefusalCase } from '../conformance-target.ts';
import type { FaultRule } from '../sandbox/faults.ts';
import { startSandbox, type Sandbox } from '../sandbox/start-sandbox.ts';
import { toProviderNumber } from './address.ts';
import { createSmsAliyun } from './index.ts';

const receiptToken = 'conformance-token';
const content = { signName: '消息中心', templateCode: 'SMS_1003', params: { text: '您好' } };
const otp = { signName: '消息中心', templateCode: 'SMS_1001', params: { code: '493817' } };

interface SmsTarget extends ConformanceTarget {
  readonly sandbox: Sandbox;
}

testConnector<SmsTarget>('sms-aliyun', {
  start,
  refusals: refusals(),
  skip: {
    repeat: 'the API is not idempotent; reconcile protects from a second message',
    'token-revoked': 'calls are signed, there is no token',
    recall: 'a text message cannot be taken back',
  },
});

async function start(): Promise<SmsTarget> {
  const mailbox = await createMailbox();
  const sandbox = await startSandbox({
    receiptUrl: `${mailbox.url}/v1/receipts/sms-aliyun/acc_1?token=${receiptToken}`,
    smsAliyun: { settings: { receiptMedianMs: 50, receiptP99Ms: 200 } },
  });
  const account = (endpoint: string, accessKeySecret: string): AccountAccess => ({
    id: 'acc_1',
    tenantId: 'ten_1',
    settings: { endpoint },
    secrets: { accessKeyId: 'sandbox', accessKeySecret, receiptToken },
  });
  const endpoint = `${sandbox.url}/sms-aliyun`;
  let addresses = 0;
  return {
    sandbox,
    connector: createSmsAliyun({ allowPrivateProviders: true }),
    account: account(endpoint, 'sandbox-secret'),
    strangerAccount: account(endpoint, 'wrong'),
    unreachableAccount: account(`http://127.0.0.1:${await closedPort()}`, 'sandbox-secret'),
    content,
    newAddress: () => {
      addresses += 1;
      const number = `139${String(addresses).padStart(8, '0')}`;
      return { phone: addresses % 2 === 0 ? number : `+86${number}` };
    },
    inject: (fault, to) =>
      void sandbox.smsAliyun.faults.add({
        ...faultRule(fault),
        to: toProviderNumber(to),
        nextCalls: 1,
        action: 'SendSms',
      }),
    acceptedCount: (deliveryKey) => sandbox.smsAliyun.accepted.count('outId', deliveryKey),
    visibleCount: (deliveryKey) => sandbox.smsAliyun.device.count('outId', deliveryKey),
    batch: { badAddress: { phone: '19999990101' }, outcome: 'recipient-invalid' },
    // The books say what became of a message before its receipt is pushed.
    settle: async (deliveryKey) => void (await mailbox.pushWith(`"${deliveryKey}"`)),
    receipts: {
      genuine: (deliveryKey) => mailbox.pushWith(`"${deliveryKey}"`),
      forge: (request) => ({
        ...request,
        query: { ...request.query, token: 'somebody-elses-token' },
      }),
      malformed: ['', '{}', '<html>', '[{"success":'].map((body) => ({
        method: 'POST',
        query: { token: receiptToken },
        headers: {},
        body: Buffer.from(body),
      })),
    },
    close: async () => {
      await sandbox.close();
      await mailbox.close();
    },
  };
}

/** Provoked by the simulator's own rules where it has them, else by an injected answer. */
function refusals(): readonly RefusalCase<SmsTarget>[] {
  const sending = (change: object) => () => ({ content: { ...content, ...change } });
  const saying = (text: string) => sending({ params: { text } });
  const sendingTo = (phone: string) => () => ({ to: { phone } });
  const answering =
    (code: string, more: Partial<FaultRule> = {}) =>
    (target: SmsTarget, to: To) => {
      const phone = toProviderNumber(to);
      // Providers quote the number, and it must not come through.
      const rule = { kind: 'error', status: 200, code, message: `+86${phone} refused` } as const;
      target.sandbox.smsAliyun.faults.add({ ...rule, to: phone, nextCalls: 1, ...more });
      return {};
    };
  const afterOne = async (target: SmsTarget, to: To) => {
    const client = target.connector.createClient(target.account);
    const { signal } = new AbortController();
    await client.send({ to, content: otp, deliveryKey: 'first', signal });
    await client.close();
    return { content: otp };
  };
  const row = (
    name: string,
    expected: readonly [OutcomeClass, string],
    arrange: RefusalCase<SmsTarget>['arrange'],
  ): RefusalCase<SmsTarget> => ({
    name,
    outcome: expected[0],
    providerCode: expected[1],
    arrange,
  });
  return [
    row(
      'a second one-time password within a minute',
      ['rate-limited', 'isv.BUSINESS_LIMIT_CONTROL'],
      afterOne,
    ),
    row(
      'throttling',
      ['rate-limited', 'Throttling.User'],
      answering('Throttling.User', { status: 400, headers: { 'x-acs-retry-after': '300' } }),
    ),
    row(
      'no balance',
      ['quota-exhausted', 'isv.AMOUNT_NOT_ENOUGH'],
      answering('isv.AMOUNT_NOT_ENOUGH'),
    ),
    row(
      'no permission',
      ['auth-invalid', 'isp.RAM_PERMISSION_DENY'],
      answering('isp.RAM_PERMISSION_DENY'),
    ),
    row(
      'a dead number',
      ['recipient-invalid', 'isv.MOBILE_NUMBER_ILLEGAL'],
      sendingTo('19999990101'),
    ),
    row(
      'a number abroad with a domestic template',
      ['recipient-invalid', 'isv.MOBILE_NUMBER_ILLEGAL'],
      sendingTo('+85261234567'),
    ),
    row(
      'an unknown template',
      ['template-invalid', 'isv.SMS_TEMPLATE_ILLEGAL'],
      sending({ templateCode: 'SMS_0' }),
    ),
    row(
      'an unknown signature',
      ['template-invalid', 'isv.SMS_SIGNATURE_ILLEGAL'],
      sending({ signName: '陌生' }),
    ),
    row(
      'a missing variable',
      ['template-invalid', 'isv.TEMPLATE_MISSING_PARAMETERS'],
      sending({ params: {} }),
    ),
    row(
      'a link in a variable',
      ['content-rejected', 'isv.PARAM_NOT_SUPPORT_URL'],
      saying('见 foo.com/x'),
    ),
    row(
      'a text too long',
      ['content-rejected', 'isv.PARAM_LENGTH_LIMIT'],
      saying('长'.repeat(500)),
    ),
    row("the provider's own error", ['transient', 'isp.SYSTEM_ERROR'], sendingTo('19999990103')),
  ];
}
