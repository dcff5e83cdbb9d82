import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createSmsAliyun } from '../../channels/sms-aliyun/index.ts';
import { createMailbox } from '../../channels/conformance-kit.ts';
import type { ReceiptRequest } from '../../contracts/channel.ts';
import type { SealedRequest } from '../../contracts/message.ts';
import { askReceipts } from '../../jobs/ask-receipts.ts';
import { createElasticsearch } from '../../platform/elasticsearch.ts';
import { createLogger } from '../../platform/logger.ts';
import { createMetrics } from '../../platform/metrics.ts';
import { createPublisher } from '../../platform/rocketmq.ts';
import { createMessageIndex } from '../../store/message-index.ts';
import { until } from '../stack.ts';
import { startSystem } from '../system.ts';

const system = await startSystem({
  isOneProcess: true,
  connectors: ['wechat-template'],
  sandbox: {
    smsAliyun: { settings: { windows: null, receiptMedianMs: 100, receiptP99Ms: 200 } },
  },
});
const { smsAliyun, wechat } = system.sandbox;
const wechatAccount = system.accountIds.get('wechat-template') ?? '';
let serial = 0;
const openid = () => `oReceipts000000000000000${String((serial += 1)).padStart(4, '0')}`;
const phone = () => `1380010${String((serial += 1)).padStart(4, '0')}`;
const post = async (to: object, text = 'receipts') => {
  const answer = await system.call('POST', '/v1/messages', {
    to,
    template: 'plain-notice',
    variables: { text },
  });
  assert.equal(answer.status, 202, JSON.stringify(answer.body));
  return String(answer.body['id']);
};
/** A counter of the jobs process, summed over labels that match. */
const counted = async (name: string, label: string) => {
  const port = system.config.jobsPort;
  const text = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
  return text
    .split('\n')
    .filter((line) => line.startsWith(name) && line.includes(label))
    .reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0);
};
const push = async (request: ReceiptRequest) => {
  const query = new URLSearchParams(request.query).toString();
  const url = `http://127.0.0.1:${system.config.ingestPort}/v1/receipts/wechat-template/${wechatAccount}?${query}`;
  return fetch(url, {
    method: 'POST',
    headers: { 'content-type': request.headers['content-type'] ?? 'text/xml' },
    body: Buffer.from(request.body),
  });
};

describe('receipts', () => {
  it('one that comes before the answer to the send is parked and matched, by our key or the provider’s id', async () => {
    smsAliyun.faults.add({ kind: 'receipt-first', nextCalls: 1 });
    wechat.faults.add({ kind: 'receipt-first', nextCalls: 1, action: 'template/send' });
    const ids = [await post({ phone: phone() }), await post({ openid: openid() })];
    for (const id of ids) await system.untilStatus(id, ['delivered'], 60_000);
  });

  it('one that comes twice, or is replayed much later, changes nothing', async () => {
    const mailbox = await createMailbox('success');
    const own = `http://127.0.0.1:${system.config.ingestPort}/v1/receipts/wechat-template/${wechatAccount}`;
    wechat.pushReceiptsTo?.({ 'wechat/wx5a9d000000000001': mailbox.url });
    const to = { openid: openid() };
    const id = await post(to);
    const genuine = await mailbox.pushWith(() => true);
    wechat.pushReceiptsTo?.({ 'wechat/wx5a9d000000000001': own });
    await mailbox.close();
    assert.equal((await push(genuine)).status, 200);
    const delivered = await system.untilStatus(id, ['delivered'], 60_000);
    const before = await counted('receipts_matched_total', 'superseded');
    for (const _ of [1, 2, 3]) assert.equal(await (await push(genuine)).text(), 'success');
    await until('the replays were looked at', async () => {
      return (await counted('receipts_matched_total', 'superseded')) >= before + 3 || undefined;
    });
    const after = (await system.call('GET', `/v1/messages/${id}`)).body;
    assert.equal(after['status'], 'delivered');
    assert.equal(after['updatedAt'], delivered['updatedAt']);
    // The same bytes with another signature, and a changed body under the old one.
    const forged = { ...genuine, query: { ...genuine.query, msg_signature: '0'.repeat(40) } };
    assert.equal((await push(forged)).status, 403);
    const changed = Buffer.from(genuine.body);
    changed[changed.length >> 1] = (changed[changed.length >> 1] ?? 0) ^ 1;
    assert.ok([400, 403].includes((await push({ ...genuine, body: changed })).status));
  });

  it('one that names a message we do not know is parked, counted, and changes nothing', async () => {
    const token = system.receiptToken;
    const before = await counted('receipts_matched_total', 'unknown');
    const stranger = [
      {
        phone_number: '13800000000',
        success: true,
        err_code: 'DELIVERED',
        biz_id: '404404^0',
        out_id: 'somebody-elses',
        report_time: '2026-11-21 08:00:00',
      },
    ];
    const path = `/v1/receipts/sms-aliyun/${system.accountId}?token=${token}`;
    assert.equal((await system.call('POST', path, stranger)).status, 200);
    await until('it was parked', async () => {
      const due = await system.store.parkedReceipts.expired(Date.now() + 60_000, 100);
      const isParked = due.some(({ receipt }) => receipt.providerId?.startsWith('404404^0'));
      return isParked || (await counted('receipts_matched_total', 'unknown')) > before || undefined;
    });
  });

  it('one that never comes is asked for, and told', async () => {
    smsAliyun.configure({ receiptLostRate: 1 });
    const number = phone();
    const id = await post({ phone: number });
    await system.untilStatus(id, ['sent'], 60_000);
    smsAliyun.configure({ receiptLostRate: 0 });
    const record = smsAliyun.accepted.find({ where: { phone: number } }).entries[0];
    assert.ok(record !== undefined);
    Object.assign(record, { sendStatus: 3, errCode: 'DELIVERED', reportAt: Date.now() });

    // The engine's own job, with a connector that does not wait ten minutes.
    const logger = createLogger('test', 'warn');
    const { config, names, store } = system;
    const real = createSmsAliyun({ allowPrivateProviders: true });
    const impatient = {
      ...real,
      // Several times, as every connector has: at the first the message may not be searchable yet.
      capabilities: { ...real.capabilities, askReceiptsAfterMs: [1000, 5000, 15_000] },
    };
    const client = createElasticsearch({ url: config.elasticsearchUrl });
    const index = createMessageIndex({ client, names, logger });
    const publisher = await createPublisher({ endpoint: config.rocketmqEndpoint, logger });
    const asking = askReceipts({
      connectors: new Map([[impatient.name, impatient]]),
      accounts: () => store.channelAccounts.listAll(),
      access: (accountId) => store.channelAccounts.access(accountId),
      awaitingReceipt: (accountId, span) => index.awaitingReceipt(accountId, span),
      recipientOf: async ({ messageId, acceptedAt }) => {
        const sealed = await index.sealedRequest(messageId, acceptedAt);
        return sealed === undefined
          ? undefined
          : (
              JSON.parse(
                (await store.dayKeyRing.open(sealed, messageId)).toString('utf8'),
              ) as SealedRequest
            ).to;
      },
      personOf: async () => undefined,
      publisher,
      names,
      holdsLease: async () => true,
      logger,
      metrics: createMetrics(),
      everyMs: 200,
    });
    try {
      await system.untilStatus(id, ['delivered'], 60_000);
    } finally {
      await asking.stop();
      await publisher.close();
      await client.close();
    }
  });

  it('a reply TD holds back marketing and nothing else, until the person wants it again', async () => {
    smsAliyun.registerTemplate({
      templateCode: 'SMS_2001',
      text: '${text} 拒收请回复R',
      kind: 'marketing',
    });
    await system.store.templates.create(system.tenantId, {
      name: 'campaign',
      kind: 'marketing',
      variables: { text: { type: 'string' } },
      contents: {
        'sms-aliyun': {
          signName: '消息中心',
          templateCode: 'SMS_2001',
          params: { text: '{{text}}' },
        },
      },
    });
    const number = phone();
    const campaign = async () => {
      const answer = await system.call('POST', '/v1/messages', {
        to: { phone: number },
        template: 'campaign',
        variables: { text: 'sale' },
      });
      assert.equal(answer.status, 202, JSON.stringify(answer.body));
      return String(answer.body['id']);
    };
    await system.untilStatus(await campaign(), ['sent', 'delivered'], 60_000);
    const reply = await fetch(`${system.sandbox.controlUrl}/sms-aliyun/replies`, {
      method: 'POST',
      body: JSON.stringify({ phone: number, content: 'TD' }),
    });
    assert.equal(reply.status, 200, await reply.text());
    await until('the word is kept', async () => {
      return (await counted('receipts_matched_total', 'opt-out')) > 0 || undefined;
    });
    const held = await system.untilStatus(
      await campaign(),
      ['suppressed', 'failed', 'sent', 'delivered'],
      60_000,
    );
    assert.equal(held['status'], 'suppressed');
    assert.equal((held['reason'] as { code: string }).code, 'opted-out');
    await system.untilStatus(await post({ phone: number }), ['sent', 'delivered'], 60_000);
  });
});
