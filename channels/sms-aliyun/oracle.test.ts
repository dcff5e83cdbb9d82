/** The official SDK against our simulator: what it signs and sends must be what we believe the protocol to be. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import dysms from '@alicloud/dysmsapi20170525';
import { $OpenApiUtil } from '@alicloud/openapi-core';
import { sandboxSmsAliyun } from './demo.ts';
import { mountSimulator } from '../sandbox/start-sandbox.ts';
import { listenHttp, readBody, type HttpListener } from '../sandbox/http-listener.ts';
import { batchOutId } from './batch-ids.ts';
import { createSmsAliyun } from './index.ts';
import { createSmsAliyunSimulator } from './simulator.ts';
import { localTime } from './simulator-books.ts';

const simulator = createSmsAliyunSimulator(sandboxSmsAliyun);
let listener: HttpListener;
before(async () => {
  listener = await mountSimulator(simulator, { host: '127.0.0.1', port: 0 });
});
after(async () => {
  await listener.close();
  await simulator.close();
});

const { default: Client, ...models } = dysms;
function official(accessKeySecret = 'sandbox-secret', url = listener.url) {
  const endpoint = url.replace('http://', '');
  const config = { accessKeyId: 'sandbox', accessKeySecret, endpoint, protocol: 'http' };
  return new Client(new $OpenApiUtil.Config(config));
}
const sms = {
  phoneNumbers: '13900001111,+8613900002222',
  signName: '消息中心',
  templateCode: 'SMS_1003',
  templateParam: JSON.stringify({ text: "您好 a+b&c=d'(e)*!~" }),
  outId: 'oracle-1',
};

test('SendSms of the SDK is accepted, byte for byte what was meant', async () => {
  const { body } = await official().sendSms(new models.SendSmsRequest(sms));
  assert.equal(body?.code, 'OK');
  assert.match(body?.bizId ?? '', /^\d{18}\^0$/);
  const { entries } = simulator.device.find({ where: { outId: 'oracle-1' }, order: 'oldest' });
  assert.deepEqual(
    entries.map(({ phone, text }) => [phone, text]),
    [
      ['13900001111', "【消息中心】您好 a+b&c=d'(e)*!~"],
      ['13900002222', "【消息中心】您好 a+b&c=d'(e)*!~"],
    ],
  );
});

test('SendBatchSms of the SDK, which signs a form body, is accepted', async () => {
  const request = new models.SendBatchSmsRequest({
    phoneNumberJson: JSON.stringify(['13900003333', '13900004444']),
    signNameJson: JSON.stringify(['消息中心', '消息中心']),
    templateCode: 'SMS_1002',
    templateParamJson: JSON.stringify([{ orderId: 'A1' }, { orderId: 'A2' }]),
    outId: 'oracle-2',
  });
  const { body } = await official().sendBatchSms(request);
  assert.equal(body?.code, 'OK');
  const texts = simulator.device.find({ where: { outId: 'oracle-2' }, order: 'oldest' }).entries;
  assert.deepEqual(
    texts.map(({ text }) => text),
    ['【消息中心】您的订单A1已发货。', '【消息中心】您的订单A2已发货。'],
  );
});

test('our SendBatchSms carries what the SDK carries, where the SDK puts it', async () => {
  const seen: { query: Record<string, string>; form: Record<string, string>; type: unknown }[] = [];
  const recorder = await listenHttp(
    (request, response) => {
      void readBody(request, 100_000).then((body) => {
        const { searchParams } = new URL(request.url ?? '/', 'http://recorder');
        seen.push({
          query: Object.fromEntries(searchParams),
          form: Object.fromEntries(new URLSearchParams(body.toString())),
          type: request.headers['content-type'],
        });
        response.end('{"Code":"OK","BizId":"1^0"}');
      });
    },
    { host: '127.0.0.1', port: 0 },
  );
  const params = { text: "您好 a+b&c=d'(e)*!~\n" };
  const content = { signName: '消息中心', templateCode: 'SMS_1003', params };
  const ours = createSmsAliyun({ allowPrivateProviders: true }).createClient({
    id: 'acc',
    tenantId: 'ten',
    settings: { endpoint: recorder.url },
    secrets: { accessKeyId: 'sandbox', accessKeySecret: 'sandbox-secret' },
  });
  await ours.sendBatch?.(
    ['13900005555', '+85261234567'].map((phone, n) => ({
      to: { phone },
      content,
      deliveryKey: `msg_${n}`,
    })),
    new AbortController().signal,
  );
  await official('sandbox-secret', recorder.url).sendBatchSms(
    new models.SendBatchSmsRequest({
      phoneNumberJson: JSON.stringify(['13900005555', '85261234567']),
      signNameJson: JSON.stringify(['消息中心', '消息中心']),
      templateCode: 'SMS_1003',
      templateParamJson: JSON.stringify([params, params]),
      outId: batchOutId(['msg_0', 'msg_1']),
    }),
  );
  await ours.close();
  await recorder.close();
  assert.equal(seen.length, 2);
  assert.deepEqual(seen[0], seen[1]);
});

test('QuerySendDetails of the SDK finds what was sent', async () => {
  const request = new models.QuerySendDetailsRequest({
    phoneNumber: '13900001111',
    sendDate: localTime(Date.now()).slice(0, 10).replaceAll('-', ''),
    pageSize: 10,
    currentPage: 1,
  });
  const { body } = await official().querySendDetails(request);
  assert.equal(Number(body?.totalCount), 1);
  const [row] = body?.smsSendDetailDTOs?.smsSendDetailDTO ?? [];
  assert.equal(row?.outId, 'oracle-1');
  assert.equal(row?.phoneNum, '13900001111');
});

test('a wrong secret is refused as SignatureDoesNotMatch', async () => {
  await assert.rejects(official('wrong').sendSms(new models.SendSmsRequest(sms)), {
    code: 'SignatureDoesNotMatch',
    statusCode: 400,
  });
});

test('the SDK reads our throttling answer', async () => {
  simulator.reset();
  simulator.configure({ qps: 1 });
  await official().sendSms(new models.SendSmsRequest(sms));
  await assert.rejects(
    official().sendSms(new models.SendSmsRequest(sms)),
    (error: { code?: string; retryAfter?: number }) =>
      error.code === 'Throttling.User' && (error.retryAfter ?? 0) > 0,
  );
});
