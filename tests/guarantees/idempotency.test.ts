/** One key, one message: however often it is posted, redelivered or replayed, the phone shows it once. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { until } from '../stack.ts';
import { startSystem } from '../system.ts';

const system = await startSystem({ isOneProcess: true });

describe('idempotency', () => {
  const shown = (phone: string) =>
    system.sandbox.smsAliyun.device.find({ where: { phone } }).matched;
  const post = (phone: string, key: string, orderId = 'SO-1') =>
    system.call(
      'POST',
      '/v1/messages',
      { to: { phone }, template: 'order-shipped', variables: { orderId } },
      { 'Idempotency-Key': key },
    );

  it('posts with one key at the same time are one message', async () => {
    const answers = await Promise.all(
      Array.from({ length: 20 }, () => post('13800000001', 'same-time')),
    );
    const ids = new Set(answers.map((answer) => answer.body['id']));
    assert.deepEqual(
      answers.map((answer) => answer.status),
      answers.map(() => 202),
    );
    assert.equal(ids.size, 1);
    const [id] = ids;
    await system.untilStatus(String(id), ['sent', 'delivered']);
    assert.equal(shown('13800000001'), 1);
  });

  it('a repeat after the end is done already', async () => {
    const first = await post('13800000002', 'after-end');
    await system.untilStatus(String(first.body['id']), ['sent', 'delivered']);
    const second = await post('13800000002', 'after-end');
    assert.equal(second.body['id'], first.body['id']);
    // A message posted later has passed through the same lane when it is sent.
    const later = await post('13800000003', 'later');
    await system.untilStatus(String(later.body['id']), ['sent', 'delivered']);
    assert.equal(shown('13800000002'), 1);
  });

  it('a batch posted twice with its key is delivered once', async () => {
    const messages = Array.from({ length: 30 }, (_, index) => ({
      to: { phone: `1370000${String(index).padStart(4, '0')}` },
      template: 'order-shipped',
      variables: { orderId: `B-${index}` },
    }));
    const headers = { 'Idempotency-Key': 'batch-1' };
    const first = await system.call('POST', '/v1/messages/batch', { messages }, headers);
    const second = await system.call('POST', '/v1/messages/batch', { messages }, headers);
    const idsOf = (answer: typeof first) =>
      (answer.body['results'] as { id: string }[]).map((result) => result.id);
    assert.deepEqual(idsOf(first), idsOf(second));
    assert.equal(new Set(idsOf(first)).size, 30);
    for (const id of idsOf(first)) await system.untilStatus(id, ['sent', 'delivered']);
    for (const { to } of messages) assert.equal(shown(to.phone), 1);
  });

  it('another message under a used key is told as rejected, under an id of its own', async () => {
    const first = await post('13800000004', 'conflict', 'SO-4');
    await system.untilStatus(String(first.body['id']), ['sent', 'delivered']);
    const second = await post('13800000005', 'conflict', 'SO-5');
    assert.equal(second.body['id'], first.body['id']);
    const conflict = await until('the conflict is told', async () => {
      const { body } = await system.call(
        'GET',
        '/v1/messages?status=rejected&reason=idempotency-conflict',
      );
      return (body['items'] as { id: string; reason: { detail: string } }[])[0];
    });
    assert.notEqual(conflict.id, first.body['id']);
    assert.match(conflict.reason.detail, new RegExp(String(first.body['id'])));
    assert.equal(shown('13800000005'), 0);
    assert.equal(shown('13800000004'), 1);
  });
});
