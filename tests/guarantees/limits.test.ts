/** Limits hold on the provider's side of the wire, and what does not fit waits where it costs nothing. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { pause } from '../../platform/lifecycle.ts';
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

  /** Changes the account as an administrator does. */
  const edit = async (change: object) => {
    const path = `/v1/channel-accounts/${system.accountId}`;
    const { body, headers } = await system.admin('GET', path);
    const { name, connector, settings } = body;
    const edited = { name, connector, settings, ratePerSecond, ...change };
    const answer = await system.admin('PUT', path, edited, {
      'If-Match': headers.get('etag') ?? '',
    });
    assert.equal(answer.status, 200, JSON.stringify(answer.body));
  };
  const total = 1000;

  it('at most the limit and one second of burst in any second, with four workers and one of them killed; the rest waits in RocketMQ, not in Temporal', async (t) => {
    await Promise.all([2, 3, 4].map(() => system.startAnother('worker')));
    await batch(total, 'order-shipped', '140');
    let mostOpen = 0;
    const firstAt = Date.now();
    let isKilled = false;
    while (Date.now() - firstAt < 25_000) {
      if (!isKilled && Date.now() - firstAt > 10_000) {
        isKilled = true;
        await system.services.worker.kill();
      }
      const { count } = await system.temporal.client.workflow.count(
        `McAccount = '${system.accountId}' AND ExecutionStatus = 'Running'`,
      );
      mostOpen = Math.max(mostOpen, count);
      await pause(500);
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
      `accept to provider ${Date.now() - postedAt} ms with ${total - sms().accepted.total()} waiting`,
    );
    assert.ok(sms().accepted.total() < total, 'nothing was waiting any more');
    await system.untilStatus(String(body['id']), ['sent']);
  });

  it('stopping the account holds everything within two seconds; resuming sends on', async () => {
    await edit({ isStopped: true });
    await pause(2500);
    const atStop = sms().accepted.total();
    await pause(3000);
    assert.equal(sms().accepted.total(), atStop);
    await edit({ isStopped: false });
    await until('it sends on', () => (sms().accepted.total() > atStop ? true : undefined), {
      timeoutMs: 20_000,
    });
  });

  it('a changed limit is in force within two seconds on all workers; in the end nothing is lost and nothing there twice', async (t) => {
    const changed = async (to: number) => {
      await edit({ ratePerSecond: to });
      const from = Date.now();
      await until('the limit is in force', async () => {
        const { body } = await system.admin('GET', `/v1/channel-accounts/${system.accountId}`);
        return body['limitInForce'] === to || undefined;
      });
      return Date.now() - from;
    };
    const lower = 5;
    const loweredMs = await changed(lower);
    await pause(2000 - loweredMs);
    const before = sms().accepted.total();
    await pause(5000);
    const sent = sms().accepted.total() - before;
    const raisedMs = await changed(200);
    t.diagnostic(
      `${ratePerSecond}/s to ${lower}/s in force after ${loweredMs} ms, ${sent} calls in the five seconds from 2 s on; to 200/s after ${raisedMs} ms`,
    );
    assert.ok(sent <= lower * 6 * 1.2, `${sent} calls in five seconds`);
    // What the killed worker had in hand comes again when its time is over.
    await until(
      'each is on its phone',
      () => sms().device.count('templateCode', 'SMS_1002') >= total || undefined,
      { timeoutMs: 240_000, seen: () => sms().device.count('templateCode', 'SMS_1002') },
    );
    for (let index = 0; index < total; index++)
      assert.equal(sms().device.count('phone', `140${String(index).padStart(8, '0')}`), 1);
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
