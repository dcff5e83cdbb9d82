/** Processes die; messages do not. Each test kills with SIGKILL while work is in hand. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { until } from '../stack.ts';
import { startSystem } from '../system.ts';

// Redelivery of what a killed bridge had in hand comes after this time.
const system = await startSystem({
  env: { MC_INVISIBLE_SECONDS: '10' },
  sandbox: { smsAliyun: { settings: { windows: null } } },
});

describe('recovery after a kill', () => {
  const device = () => system.sandbox.smsAliyun.device;

  it('kill -9 of the bridge while 1,000 messages are on their way loses none and doubles none', async (t) => {
    const total = 1000;
    const ids: string[] = [];
    for (let start = 0; start < total; start += 250) {
      const messages = Array.from({ length: 250 }, (_, offset) => ({
        to: { phone: `150${String(start + offset).padStart(8, '0')}` },
        template: 'order-shipped',
        variables: { orderId: `K-${start + offset}` },
      }));
      const { body } = await system.call('POST', '/v1/messages/batch', { messages });
      assert.equal(body['accepted'], 250);
      ids.push(...(body['results'] as { id: string }[]).map((result) => result.id));
    }
    await until('some are delivered', () => (device().total() >= 100 ? true : undefined));
    const atKill = device().total();
    await system.services.bridge.kill();
    await until(
      'a fifth more is delivered',
      () => (device().total() >= Math.min(total, atKill + 200) ? true : undefined),
      { timeoutMs: 120_000 },
    );
    await system.services.bridge.kill();
    t.diagnostic(`killed at ${atKill} and again later, of ${total}`);
    await until(
      'each is delivered',
      () => (device().distinct('phone') >= total ? true : undefined),
      {
        timeoutMs: 240_000,
        seen: () => `${device().distinct('phone')} phones of ${total}`,
      },
    );
    assert.equal(device().distinct('phone'), total);
    assert.deepEqual(device().repeated('phone'), []);
    for (const id of ids) await system.untilStatus(id, ['sent', 'delivered'], 60_000);
  });

  it('kill -9 of the worker in the middle of a provider call sends no one-time password twice', async () => {
    const phone = '15100000001';
    // The provider takes it and the answer hangs: the worker dies inside the call.
    system.sandbox.smsAliyun.faults.add({ kind: 'accept-then-hang', nextCalls: 1, to: phone });
    const { body } = await system.call('POST', '/v1/messages', {
      to: { phone },
      template: 'login-code',
      variables: { code: '4711' },
    });
    await until('the provider has it', () =>
      system.sandbox.smsAliyun.accepted.find({ where: { phone } }).matched > 0 ? true : undefined,
    );
    await system.services.worker.kill();
    const status = await system.untilStatus(
      String(body['id']),
      ['sent', 'delivered', 'unknown', 'failed'],
      120_000,
    );
    assert.ok(['sent', 'delivered'].includes(String(status['status'])), JSON.stringify(status));
    assert.equal(device().count('phone', phone), 1);
    assert.equal(system.sandbox.smsAliyun.accepted.count('phone', phone), 1);
  });

  it('kill -9 of the indexer and of ingest loses no accepted message and no event', async () => {
    const post = async (number: number) =>
      system.call('POST', '/v1/messages', {
        to: { phone: `1520000${String(number).padStart(4, '0')}` },
        template: 'order-shipped',
        variables: { orderId: `I-${number}` },
      });
    const ids: string[] = [];
    for (let number = 0; number < 20; number++) ids.push(String((await post(number)).body['id']));
    await system.services.indexer.kill();
    await system.services.ingest.kill();
    await system.services.ingest.ready();
    for (let number = 20; number < 40; number++) ids.push(String((await post(number)).body['id']));
    await until(
      'the index has all ends',
      async () => {
        const { body } = await system.call('GET', '/v1/messages?template=order-shipped&limit=100');
        const found = new Map(
          (body['items'] as { id: string; status: string }[]).map((item) => [item.id, item.status]),
        );
        return ids.every((id) => ['sent', 'delivered'].includes(found.get(id) ?? ''))
          ? true
          : undefined;
      },
      { timeoutMs: 90_000 },
    );
  });
});
