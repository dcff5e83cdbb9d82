import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { pause } from '../../platform/lifecycle.ts';
import { until } from '../stack.ts';
import { startSystem } from '../system.ts';

const system = await startSystem({
  connectors: ['wecom-app', 'inbox-builtin'],
  sandbox: { smsAliyun: { settings: { windows: null, receiptsPaused: true } } },
});
const { smsAliyun, wecom } = system.sandbox;
let serial = 0;
const phone = () => `1370000${String((serial += 1)).padStart(4, '0')}`;
const post = async (to: object, more: object = {}) => {
  const answer = await system.call('POST', '/v1/messages', {
    to,
    template: 'plain-notice',
    variables: { text: `recall ${serial}` },
    ...more,
  });
  assert.equal(answer.status, 202, JSON.stringify(answer.body));
  return String(answer.body['id']);
};
/** Repeated while the index is behind, as the answer asks for. */
const recall = (id: string) =>
  until(
    `an answer to the recall of ${id}`,
    async () => {
      const answer = await system.call('POST', `/v1/messages/${id}/recall`);
      return answer.status === 503 ? undefined : answer;
    },
    { timeoutMs: 30_000 },
  );
const statusOf = async (id: string) =>
  (await system.call('GET', `/v1/messages/${id}`)).body['status'];

describe('recall of one message', () => {
  it('between two attempts: it is never tried again', async () => {
    const to = phone();
    smsAliyun.faults.add({
      kind: 'error',
      status: 400,
      code: 'Throttling.User',
      headers: { 'x-acs-retry-after': '8000' },
      to,
      action: 'SendSms',
    });
    const id = await post({ phone: to });
    await system.untilStatus(id, ['retrying']);
    const answer = await recall(id);
    assert.deepEqual([answer.status, answer.body['status']], [200, 'recalled']);
    const calls = smsAliyun.calls.total();
    await pause(10_000);
    assert.equal(smsAliyun.calls.total(), calls);
    assert.equal(await statusOf(id), 'recalled');
    assert.equal((await recall(id)).status, 200, 'again the same');
  });

  it('behind a stop valve: it is gone when the valve opens', async () => {
    const accounts = `/v1/channel-accounts/${system.accountId}`;
    const before = await system.admin('GET', accounts);
    const { name, connector, settings, ratePerSecond } = before.body;
    const valve = async (isStopped: boolean) => {
      const etag = (await system.admin('GET', accounts)).headers.get('etag') ?? '';
      const edit = { name, connector, settings, ratePerSecond, isStopped };
      assert.equal((await system.admin('PUT', accounts, edit, { 'if-match': etag })).status, 200);
      await until('the limit is in force', async () => {
        const { body } = await system.admin('GET', accounts);
        return body['limitInForce'] === (isStopped ? 0 : ratePerSecond) || undefined;
      });
    };
    await valve(true);
    const [recalled, kept] = [phone(), phone()];
    const ids = [await post({ phone: recalled }), await post({ phone: kept })];
    for (const id of ids) await system.untilStatus(id, ['sending']);
    assert.equal((await recall(ids[0] ?? '')).body['status'], 'recalled');
    await valve(false);
    await system.untilStatus(ids[1] ?? '', ['sent'], 60_000);
    assert.equal(smsAliyun.device.count('phone', recalled), 0);
  });

  it('still in RocketMQ: the bridge finds it done', async () => {
    await system.services.bridge.stop();
    const log = readFileSync(join(system.logDir, 'bridge.log'), 'utf8');
    assert.doesNotMatch(log, /part\.stop-failed/, 'every part of it ends in its time');
    const to = phone();
    const id = await post({ phone: to });
    const asked = recall(id);
    // The run that ends as recalled needs somebody to run it.
    await pause(1500);
    system.services.bridge.start();
    await system.services.bridge.ready(90_000);
    assert.equal((await asked).status, 200, JSON.stringify((await asked).body));
    const later = await post({ phone: phone() });
    await system.untilStatus(later, ['sent'], 60_000);
    await system.untilStatus(id, ['recalled'], 30_000);
    assert.equal(smsAliyun.device.count('phone', to), 0);
  });

  it('after it was sent: the provider takes it back, where it can', async () => {
    const id = await post({ wecomUserId: 'recall-member' });
    await system.untilStatus(id, ['sent']);
    const onDevice = () => wecom.device.find({ where: { to: 'recall-member' } }).entries;
    assert.deepEqual(
      onDevice().map(({ isGone }) => isGone),
      [false],
    );
    const answer = await recall(id);
    assert.deepEqual([answer.status, answer.body['status']], [200, 'recalled']);
    assert.deepEqual(
      onDevice().map(({ isGone }) => isGone),
      [true],
    );
    await system.untilStatus(id, ['recalled']);

    const userId = 'u-recall-0001';
    const inInbox = await post({ userId }, { channel: 'inbox' });
    await system.untilStatus(inInbox, ['sent']);
    const items = async () =>
      (await system.call('GET', `/v1/inbox/${userId}/items`)).body['items'] as unknown[];
    assert.equal((await items()).length, 1);
    assert.equal((await recall(inInbox)).body['status'], 'recalled');
    assert.equal((await items()).length, 0);
  });

  it('too late, or of nobody: a clear answer, and nothing changes', async () => {
    const id = await post({ phone: phone() });
    await system.untilStatus(id, ['sent']);
    const late = await recall(id);
    assert.equal(late.status, 409, JSON.stringify(late.body));
    assert.match(String(late.body['detail']), /sms-aliyun takes nothing back/);
    assert.equal(await statusOf(id), 'sent');
    const failed = await post({ phone: '19999990101' });
    await system.untilStatus(failed, ['failed']);
    assert.match(
      String((await recall(failed)).body['detail']),
      /has ended as (failed|not delivered)/,
    );
    assert.equal((await recall('msg_00000000000000000000000000')).status, 404);
  });
});
