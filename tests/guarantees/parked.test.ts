/** What can never be delivered is kept with its reason and told; what stands behind it in the lane is delivered. */
import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { acceptedMessageVersion, type AcceptedMessage } from '../../contracts/message.ts';
import type { Parked } from '../../contracts/result.ts';
import { hashRecipient } from '../../platform/recipient-hash.ts';
import { maskRecipient } from '../../platform/recipient-mask.ts';
import { createLogger } from '../../platform/logger.ts';
import { createMessageIds } from '../../platform/message-id.ts';
import { createRocketmqAdmin } from '../../platform/rocketmq-admin.ts';
import { createPublisher, createReceiver } from '../../platform/rocketmq.ts';
import { until } from '../stack.ts';
import { startSystem } from '../system.ts';

const system = await startSystem({
  isOneProcess: true,
  sandbox: { smsAliyun: { settings: { windows: null, receiptsPaused: true } } },
});
const { names, tenantId, sealer } = system;
const { device } = system.sandbox.smsAliyun;
const logger = createLogger('test', 'error');
const endpoint = system.config.rocketmqEndpoint;
const publisher = await createPublisher({ endpoint, logger });

const group = `${system.config.prefix}-test`;
const admin = createRocketmqAdmin({
  nameServer: system.config.rocketmqNameServer,
  timeoutMs: 10_000,
});
const topics = [names.parked, names.alerts];
await admin.createGroups([{ name: group, maxRetries: 16 }]);
for (const topic of topics) await admin.setOffsetsToStart(group, topic);
const receiver = await createReceiver({ endpoint, group, topics, invisibleSeconds: 60, logger });
after(async () => {
  await Promise.all([publisher.close(), receiver.close()]);
  admin.close();
});

interface Alert {
  readonly kind: string;
  readonly messageId: string;
  readonly reason: string;
  readonly detail: string;
}

const parkedSoFar: Parked[] = [];
const alertsSoFar: Alert[] = [];

async function receiveAll(topic: string, into: unknown[]): Promise<void> {
  const deliveries = await receiver.receive(topic, 32);
  into.push(...deliveries.map(({ body }): unknown => JSON.parse(body.toString('utf8'))));
  await receiver.acknowledge(deliveries);
}

const lane = names.lane(0, 'normal');
const dayMs = 86_400_000;
const ids = createMessageIds(sealer);
const keptDays = system.config.temporalRetentionDays - 1;

function acceptedMessage(phone: string, acceptedMs = Date.now()): AcceptedMessage {
  const id = ids.create(tenantId, acceptedMs);
  const to = { phone };
  return {
    version: acceptedMessageVersion,
    id,
    tenantId,
    acceptedAt: new Date(acceptedMs).toISOString(),
    expiresAt: new Date(Date.now() + dayMs).toISOString(),
    requestHash: 'none',
    template: 'order-shipped',
    kind: 'notice',
    connector: 'sms-aliyun',
    channel: 'sms',
    accountId: system.accountId,
    priority: 'normal',
    recipientHash: hashRecipient(sealer, tenantId, to),
    recipientMasked: maskRecipient(to),
    metadata: {},
    sealed: sealer.seal(JSON.stringify({ to, variables: { orderId: 'SO-1' } }), id),
  };
}

/** Puts a body on the lane; resolves with what is parked and alerted for it. */
async function parkedFor(key: string, body: Buffer): Promise<{ parked: Parked; alert: Alert }> {
  await publisher.publish(lane, { key, body });
  const parked = await until('it is parked', async () => {
    const isIt = ({ bodyBase64 }: Parked) => bodyBase64 === body.toString('base64');
    if (!parkedSoFar.some(isIt)) await receiveAll(names.parked, parkedSoFar);
    return parkedSoFar.find(isIt);
  });
  const alert = await until('an alert tells of it', async () => {
    const isIt = ({ messageId }: Alert) => messageId === key;
    if (!alertsSoFar.some(isIt)) await receiveAll(names.alerts, alertsSoFar);
    return alertsSoFar.find(isIt);
  });
  assert.equal(parked.by, 'bridge');
  assert.equal(parked.topic, lane);
  assert.equal(alert.kind, 'message-parked');
  assert.deepEqual([alert.reason, alert.detail], [parked.reason, parked.detail]);
  return { parked, alert };
}

async function toldAsRejected(id: string, reason: string): Promise<void> {
  await until(`${id} is found as rejected for ${reason}`, async () => {
    const { body } = await system.call('GET', `/v1/messages?status=rejected&reason=${reason}`);
    return (body['items'] as { id: string }[]).find((item) => item.id === id);
  });
  const { status, body } = await system.call('GET', `/v1/messages/${id}`);
  assert.equal(status, 200);
  assert.equal(body['status'], 'rejected');
  assert.equal((body['reason'] as { code: string }).code, reason);
}

async function oneBehindIsDelivered(phone: string): Promise<void> {
  const { body } = await system.call('POST', '/v1/messages', {
    to: { phone },
    template: 'order-shipped',
    variables: { orderId: 'SO-1' },
  });
  await system.untilStatus(String(body['id']), ['sent']);
  assert.equal(device.count('phone', phone), 1);
}

describe('parked messages', () => {
  it('bytes that are no JSON are kept byte for byte, and no text of theirs gets into the alert', async () => {
    const body = Buffer.concat([
      Buffer.from('x13812345678 {"to":'),
      Buffer.from([0, 255, 254, 10]),
    ]);
    const { parked, alert } = await parkedFor('not-json', body);
    assert.equal(parked.reason, 'unparsable');
    assert.deepEqual(Buffer.from(parked.bodyBase64, 'base64'), body);
    assert.doesNotMatch(JSON.stringify([alert, parked.detail]), /138123/);
    await oneBehindIsDelivered('13700000001');
  });

  it('a message that lacks a field is parked as unparsable, and told to its tenant as rejected', async () => {
    const { sealed: _left, ...rest } = acceptedMessage('13700000002');
    const { parked } = await parkedFor(rest.id, Buffer.from(JSON.stringify(rest, null, 1)));
    assert.equal(parked.reason, 'unparsable');
    assert.match(parked.detail, /sealed/);
    await toldAsRejected(rest.id, 'unparsable');
    await oneBehindIsDelivered('13700000003');
  });

  it('a message whose day is written in another way is told as rejected all the same', async () => {
    const message = { ...acceptedMessage('13700000004'), sealed: 7 };
    message.acceptedAt = message.acceptedAt.replace('Z', '+00:00');
    await parkedFor(message.id, Buffer.from(JSON.stringify(message)));
    await toldAsRejected(message.id, 'unparsable');
  });

  it('a version newer than this bridge reads is parked as too-new, and told', async () => {
    const version = acceptedMessageVersion + 1;
    const message = { ...acceptedMessage('13700000005'), version, news: ['of', 'then'] };
    const { parked } = await parkedFor(message.id, Buffer.from(JSON.stringify(message)));
    assert.equal(parked.reason, 'too-new');
    await toldAsRejected(message.id, 'too-new');
    await oneBehindIsDelivered('13700000006');
  });

  it("a message older than Temporal's memory less a day is parked as too-old, and told; it never reaches a phone", async () => {
    const old = acceptedMessage('13700000007', Date.now() - (keptDays + 0.1) * dayMs);
    const { parked } = await parkedFor(old.id, Buffer.from(JSON.stringify(old)));
    assert.equal(parked.reason, 'too-old');
    await toldAsRejected(old.id, 'too-old');
    const young = acceptedMessage('13700000008', Date.now() - (keptDays - 0.1) * dayMs);
    await publisher.publish(lane, { key: young.id, body: JSON.stringify(young) });
    await system.untilStatus(young.id, ['sent']);
    assert.equal(device.count('phone', '13700000008'), 1);
    assert.equal(device.count('phone', '13700000007'), 0);
  });

  it('each is parked and alerted once, and none is dead-lettered', async () => {
    for (const topic of topics) assert.equal(await admin.topicMessageCount(topic), 5, topic);
    for (const role of ['bridge', 'indexer'] as const) {
      const deadLetters = `%DLQ%${names.group(role)}`;
      if (await admin.topicExists(deadLetters))
        assert.equal(await admin.topicMessageCount(deadLetters), 0);
    }
  });
});
