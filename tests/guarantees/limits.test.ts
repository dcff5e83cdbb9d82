/** Limits hold on the provider's side of the wire, and what does not fit waits where it costs nothing. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { until } from '../stack.ts';
import { startSystem } from '../system.ts';

const ratePerSecond = 20;

const system = await startSystem({
  ratePerSecond,
  env: { MC_PACE_SECONDS: '5' },
  sandbox: { smsAliyun: { settings: { receiptsPaused: true } } },
});

describe('limits', () => {
  const sms = () => system.sandbox.smsAliyun;
  const batch = async (count: number, template: string, prefix: string) => {
    const messages = Array.from({ length: count }, (_, index) => ({
      to: { phone: `${prefix}${String(index).padStart(11 - prefix.length, '0')}` },
      template,
      variables: template === 'login-code' ? { code: '1234' } : { orderId: `L-${index}` },
    }));
    const { body } = await system.call('POST', '/v1/messages/batch', { messages });
    assert.equal(body['accepted'], count, JSON.stringify(body));
  };

  it('at most the limit and one second of burst in any second; the rest waits in RocketMQ, not in Temporal', async (t) => {
    const total = 1000;
    await batch(total, 'order-shipped', '140');
    let mostOpen = 0;
    const firstAt = Date.now();
    while (Date.now() - firstAt < 25_000) {
      const { count } = await system.temporal.client.workflow.count(
        `McAccount = '${system.accountId}' AND ExecutionStatus = 'Running'`,
      );
      mostOpen = Math.max(mostOpen, count);
      await new Promise((resolve) => setTimeout(resolve, 500));
    }
    const times = sms()
      .accepted.find({ limit: total, order: 'oldest' })
      .entries.map((entry) => entry.at);
    const busiestIn = (seconds: number) =>
      Math.max(
        ...times.map(
          (from) => times.filter((at) => at >= from && at < from + seconds * 1000).length,
        ),
      );
    t.diagnostic(
      `of ${ratePerSecond}/s: busiest second ${busiestIn(1)}, busiest ten seconds ${busiestIn(10)}; ${times.length} sent in 25 s; at most ${mostOpen} runs open of ${total}`,
    );
    assert.ok(times.length > 0);
    // The server hands out the limit and a burst of one second; on the way to the provider calls bunch by a few.
    assert.ok(busiestIn(1) <= 2 * ratePerSecond * 1.2, `${busiestIn(1)} calls in one second`);
    assert.ok(busiestIn(10) <= 11 * ratePerSecond * 1.05, `${busiestIn(10)} calls in ten seconds`);
    // The window is 5 s of work; two receives of 32 may be on their way beside it.
    assert.ok(mostOpen <= 5 * ratePerSecond + 2 * 64, `${mostOpen} open runs`);
  });

  it('a one-time password overtakes the waiting messages', async (t) => {
    const { body } = await system.call('POST', '/v1/messages', {
      to: { phone: '14100000001' },
      template: 'login-code',
      variables: { code: '1' },
    });
    const postedAt = Date.now();
    await until(
      'it is sent',
      () => (sms().accepted.count('phone', '14100000001') === 1 ? true : undefined),
      { timeoutMs: 20_000, everyMs: 20 },
    );
    t.diagnostic(
      `accept to provider ${Date.now() - postedAt} ms with ${1000 - sms().accepted.total()} waiting`,
    );
    assert.ok(sms().accepted.total() < 1000, 'nothing was waiting any more');
    await system.untilStatus(String(body['id']), ['sent']);
  });

  it('stopping the account holds everything within two seconds; resuming sends on', async () => {
    const account = await system.admin('GET', `/v1/channel-accounts/${system.accountId}`);
    const { name, connector, settings } = account.body;
    const edit = (isStopped: boolean, etag: string) =>
      system.admin(
        'PUT',
        `/v1/channel-accounts/${system.accountId}`,
        { name, connector, settings, ratePerSecond, isStopped },
        { 'If-Match': etag },
      );
    const stopped = await edit(true, account.headers.get('etag') ?? '');
    assert.equal(stopped.status, 200, JSON.stringify(stopped.body));
    await new Promise((resolve) => setTimeout(resolve, 2500));
    const atStop = sms().accepted.total();
    await new Promise((resolve) => setTimeout(resolve, 3000));
    assert.equal(sms().accepted.total(), atStop);
    const resumed = await edit(false, stopped.headers.get('etag') ?? '');
    assert.equal(resumed.status, 200, JSON.stringify(resumed.body));
    await until('it sends on', () => (sms().accepted.total() > atStop ? true : undefined), {
      timeoutMs: 20_000,
    });
  });

  it('a recipient gets no more than the channel allows; who is refused waits without a provider call', async () => {
    const phone = '14200000001';
    const ids: string[] = [];
    for (let index = 0; index < 3; index++) {
      const { body } = await system.call('POST', '/v1/messages', {
        to: { phone },
        template: 'login-code',
        variables: { code: String(index) },
      });
      ids.push(String(body['id']));
    }
    await until(
      'the first is sent',
      () => (sms().accepted.count('phone', phone) === 1 ? true : undefined),
      { timeoutMs: 30_000 },
    );
    const waiting = await until('the others wait for their window', async () => {
      const statuses = await Promise.all(
        ids.map(async (id) => (await system.call('GET', `/v1/messages/${id}`)).body),
      );
      const held = statuses.filter(
        (status) =>
          (status['reason'] as { code?: string } | undefined)?.code === 'recipient-window',
      );
      return held.length === 2 ? held : undefined;
    });
    for (const status of waiting) assert.equal(status['attempts'], 0);
    assert.equal(sms().accepted.count('phone', phone), 1);
  });
});
