import assert from 'node:assert/strict';
import type { AccountAccess } from '../../contracts/channel.ts';
import { addressAs, type To } from '../../contracts/message.ts';
import type { OutcomeClass } from '../../contracts/outcome.ts';
import { testConnector } from '../channel.conformance.ts';
import { closedPort, createMailbox, faultRule } from '../conformance-kit.ts';
import type { ConformanceTarget, RefusalCase } from '../conformance-target.ts';
import { sandboxEmailSmtp } from './demo.ts';
import { createEmailSmtp } from './index.ts';
import { createEmailSmtpSimulator, type EmailSmtpSimulator } from './simulator.ts';

const receiptToken = 'conformance-token';
const content = {
  subject: '您好 👋',
  text: '您的订单已发货。',
  html: '<p>您的订单已发货。</p>',
  listUnsubscribe: 'https://example.com/unsubscribe?u=1',
};

interface MailTarget extends ConformanceTarget {
  readonly simulator: EmailSmtpSimulator;
}

testConnector<MailTarget>('email-smtp', {
  start,
  refusals: refusals(),
  skip: {
    repeat: 'SMTP recognises no repeat; a stable Message-ID helps in some mailboxes only',
    'token-revoked': 'the login is a password, there is no token',
    recall: 'mail cannot be taken back',
    batch: 'one recipient for each mail: another for everybody, and states stay clean',
    'ask-receipts': 'reports are pushed',
    'reconcile-yes': 'a mail server cannot be asked',
    'reconcile-no': 'a mail server cannot be asked',
    'reconcile-cannot-tell': 'a mail server cannot be asked',
  },
});

async function start(): Promise<MailTarget> {
  const mailbox = await createMailbox();
  const simulator = createEmailSmtpSimulator({
    ...sandboxEmailSmtp,
    maxMailBytes: 100_000,
    settings: {
      receiptUrl: `${mailbox.url}/v1/receipts/email-smtp/acc_1?token=${receiptToken}`,
      receiptMedianMs: 50,
      receiptP99Ms: 200,
    },
  });
  const listener = await simulator.listen?.({ host: '127.0.0.1', port: 0 });
  assert.ok(listener !== undefined);
  const account = (port: number, password: string): AccountAccess => ({
    id: 'acc_1',
    tenantId: 'ten_1',
    settings: {
      host: '127.0.0.1',
      port,
      security: 'none',
      from: { name: '消息中心', address: 'notice@example.com' },
      bounceDomain: 'bounce.example.com',
      wantsDeliveryReport: true,
    },
    secrets: { user: 'notice@example.com', password, receiptToken },
  });
  const port = Number(new URL(listener.url).port);
  let addresses = 0;
  return {
    simulator,
    connector: createEmailSmtp({ allowPrivateProviders: true }),
    account: account(port, 'sandbox-password'),
    strangerAccount: account(port, 'wrong'),
    unreachableAccount: account(await closedPort(), 'sandbox-password'),
    content,
    newAddress: () => {
      addresses += 1;
      return { email: `person-${addresses}@mail.example.com` };
    },
    inject: (fault, to) =>
      void simulator.faults.add({
        ...faultRule(fault),
        to: addressAs('email', to) ?? '',
        nextCalls: 1,
      }),
    acceptedCount: (deliveryKey) => simulator.accepted.count('ref', deliveryKey),
    visibleCount: (deliveryKey) => simulator.device.count('ref', deliveryKey),
    receipts: {
      genuine: (deliveryKey) => mailbox.pushWith(deliveryKey),
      forge: (request) => ({ ...request, query: { ...request.query, token: 'not-the-token' } }),
      malformed: ['', '{}', '<html>', '\r\n\r\nno header', 'no header either'].map((body) => ({
        method: 'POST',
        query: { token: receiptToken },
        headers: { 'content-type': 'message/rfc822' },
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

/** Provoked by the server's own rules where it has them, else by an injected reply that quotes the address. */
function refusals(): readonly RefusalCase<MailTarget>[] {
  const row = (
    name: string,
    expected: readonly [OutcomeClass, string],
    arrange: RefusalCase<MailTarget>['arrange'],
  ): RefusalCase<MailTarget> => ({
    name,
    outcome: expected[0],
    providerCode: expected[1],
    arrange,
  });
  const sendingTo = (name: string) => (_: MailTarget, to: To) => ({
    to: { email: `${name}+${addressAs('email', to) ?? ''}` },
  });
  const answering = (code: string) => (target: MailTarget, to: To) => {
    const address = addressAs('email', to) ?? '';
    const message = `<${address.toUpperCase()}> refused: ${address}`;
    target.simulator.faults.add({ kind: 'error', code, message, to: address, nextCalls: 1 });
    return {};
  };
  return [
    row('an unknown mailbox', ['recipient-invalid', '550 5.1.1'], sendingTo('hard-550')),
    row(
      'a person who takes no mail from us',
      ['recipient-refused', '550 5.7.1'],
      sendingTo('blocked'),
    ),
    row('a full mailbox', ['transient', '552 5.2.2'], sendingTo('full')),
    row('greylisting', ['transient', '451 4.7.1'], sendingTo('grey')),
    row('spam', ['content-rejected', '554 5.7.1'], sendingTo('spam')),
    row(
      'a server that drops the line before DATA',
      ['transient', 'ECONNECTION'],
      sendingTo('drop-before-data'),
    ),
    row('a full server', ['rate-limited', '452 4.3.1'], answering('452 4.3.1')),
    row('an unusual rate', ['rate-limited', '421 4.7.0'], answering('421 4.7.0')),
    row('the daily limit', ['quota-exhausted', '550 5.4.5'], answering('550 5.4.5')),
    row('a lost place in the dialogue', ['ambiguous', '503 5.5.1'], answering('503 5.5.1')),
    row('a mail too big', ['content-rejected', 'EMESSAGE'], () => ({
      content: { ...content, html: 'x'.repeat(100_000) },
    })),
  ];
}
