import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import type { AccountAccess, ReceiptRequest } from '../../contracts/channel.ts';
import type { To } from '../../contracts/message.ts';
import type { OutcomeClass } from '../../contracts/outcome.ts';
import { testConnector } from '../channel.conformance.ts';
import type { ConformanceFault, ConformanceTarget, RefusalCase } from '../conformance-target.ts';
import { listenHttp, readBody } from '../sandbox/http-listener.ts';
import type { FaultRule } from '../sandbox/faults.ts';
import { startSandbox, type Sandbox } from '../sandbox/start-sandbox.ts';
import { createSmsAliyun } from './index.ts';

const receiptToken = 'conformance-token';
const content = { signName: '消息中心', templateCode: 'SMS_1003', params: { text: '您好' } };
const otp = { signName: '消息中心', templateCode: 'SMS_1001', params: { code: '493817' } };

interface SmsTarget extends ConformanceTarget {
  readonly sandbox: Sandbox;
}

testConnector<SmsTarget>('sms-aliyun', { start, refusals: refusals() });

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
        ...ruleOf(fault),
        phone: to.phone.replace('+86', ''),
        nextCalls: 1,
        action: 'SendSms',
      }),
    acceptedCount: (deliveryKey) => sandbox.smsAliyun.accepted.count('outId', deliveryKey),
    receipts: {
      genuine: mailbox.receiptOf,
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

function ruleOf(fault: ConformanceFault): FaultRule {
  switch (fault) {
    case 'error-before-accept':
      return { kind: 'error', status: 503 };
    case 'reset-before-accept':
      return { kind: 'reset' };
    case 'accept-then-5xx':
      return { kind: 'accept-then-error', status: 500, code: 'InternalError' };
    case 'accept-then-reset':
    case 'accept-then-hang':
      return { kind: fault };
    case 'accept-then-slow-body':
      return { kind: 'slow-body' };
    case 'accept-then-html':
      return { kind: 'html-200' };
    case 'html-502':
      return { kind: 'html-502' };
  }
}

/** Provoked by the simulator's own rules where it has them, else by an injected answer. */
function refusals(): readonly RefusalCase<SmsTarget>[] {
  const sending = (change: object) => () => ({ content: { ...content, ...change } });
  const saying = (text: string) => sending({ params: { text } });
  const sendingTo = (phone: string) => () => ({ to: { phone } });
  const answering =
    (code: string, more: Partial<FaultRule> = {}) =>
    (target: SmsTarget, to: To) => {
      const phone = to.phone.replace('+86', '');
      // Providers quote the number, and it must not come through.
      const rule = { kind: 'error', status: 200, code, message: `+86${phone} refused` } as const;
      target.sandbox.smsAliyun.faults.add({ ...rule, phone, nextCalls: 1, ...more });
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

/** Our receipt address: keeps the raw pushes and acknowledges them. */
async function createMailbox() {
  const requests: ReceiptRequest[] = [];
  const listener = await listenHttp(
    (request, response) => {
      void readBody(request, 1024 * 1024).then((body) => {
        const url = new URL(request.url ?? '/', 'http://mailbox');
        const headers = Object.fromEntries(
          Object.entries(request.headers).map(([name, value]) => [name, [value].flat().join()]),
        );
        const query = Object.fromEntries(url.searchParams);
        requests.push({ method: request.method ?? '', query, headers, body });
        response.writeHead(200).end('{"code":0}');
      });
    },
    { host: '127.0.0.1', port: 0 },
  );
  return {
    url: listener.url,
    close: listener.close,
    receiptOf: async (deliveryKey: string): Promise<ReceiptRequest> => {
      const deadline = Date.now() + 5000;
      for (;;) {
        const found = requests.find(({ body }) => Buffer.from(body).includes(`"${deliveryKey}"`));
        if (found !== undefined) return found;
        if (Date.now() > deadline) throw new Error(`no receipt among ${requests.length} pushes`);
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    },
  };
}

async function closedPort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}
