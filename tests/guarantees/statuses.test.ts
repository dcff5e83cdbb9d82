/** Every status with which a message can end is reached. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { demoChannels } from '../../channels/demo.ts';
import type { endStatuses } from '../../contracts/status.ts';
import { until } from '../stack.ts';
import { startSystem } from '../system.ts';

const system = await startSystem({
  isOneProcess: true,
  connectors: ['robot-dingtalk', 'inbox-builtin'],
  sandbox: { smsAliyun: { settings: { windows: null, receiptMedianMs: 500, receiptP99Ms: 1000 } } },
});
const { smsAliyun, robotDingtalk } = system.sandbox;

const post = async (to: object, more: object = {}, headers: Record<string, string> = {}) => {
  const { status, body } = await system.call(
    'POST',
    '/v1/messages',
    { to, template: 'plain-notice', variables: { text: 'statuses' }, ...more },
    headers,
  );
  assert.equal(status, 202, JSON.stringify(body));
  return String(body['id']);
};
/** The provider takes nothing for this number for now. */
const failing = (phone: string) =>
  smsAliyun.faults.add({ kind: 'error', status: 200, code: 'isp.SYSTEM_ERROR', to: phone });

/** Each gives the id of a message that ends so. */
const ways: Record<(typeof endStatuses)[number], () => Promise<string>> = {
  // No receipt comes from this number.
  sent: () => post({ phone: '19999990008' }),
  delivered: () => post({ phone: '13600000001' }),
  read: async () => {
    const userId = 'u-statuses-0001';
    const id = await post({ userId }, { channel: 'inbox' });
    const item = await until('it is in the inbox', async () => {
      const { body } = await system.call('GET', `/v1/inbox/${userId}/items`);
      return (body['items'] as { id: string }[])[0];
    });
    await system.call('POST', `/v1/inbox/${userId}/items/${item.id}/read`);
    return id;
  },
  // Nobody can say whether the robot's provider took it, and a one-time password is not sent twice.
  unknown: async () => {
    const contents = Object.fromEntries(
      demoChannels
        .filter(({ connector }) => connector === 'robot-dingtalk')
        .map(({ connector, plainNotice }) => [connector, plainNotice]),
    );
    await system.store.templates.create(system.tenantId, {
      name: 'group-code',
      kind: 'otp',
      variables: { text: { type: 'string' } },
      contents,
    });
    robotDingtalk.faults.add({ kind: 'accept-then-reset', nextCalls: 1 });
    return post({ group: 'ops' }, { template: 'group-code' });
  },
  failed: () => post({ phone: '19999990101' }),
  expired: () => {
    failing('13600000002');
    return post({ phone: '13600000002' }, { expiresIn: 10 });
  },
  recalled: async () => {
    failing('13600000003');
    const id = await post({ phone: '13600000003' });
    await system.untilStatus(id, ['retrying'], 60_000);
    await until('it is recalled', async () => {
      const { status } = await system.call('POST', `/v1/messages/${id}/recall`);
      return status === 200 || undefined;
    });
    return id;
  },
  suppressed: async () => {
    const to = { phone: '13600000006' };
    const { status, body } = await system.call('PUT', '/v1/suppressions', {
      to,
      channel: 'sms',
      reason: 'complaint',
    });
    assert.ok(status < 300, JSON.stringify(body));
    return post(to);
  },
  // Another message under a used key: told under an id of its own.
  rejected: async () => {
    const key = { 'Idempotency-Key': 'statuses' };
    const first = await post({ phone: '13600000004' }, {}, key);
    await system.untilStatus(first, ['sent', 'delivered'], 60_000);
    await post({ phone: '13600000005' }, {}, key);
    return until('the conflict is told', async () => {
      const { body } = await system.call('GET', '/v1/messages?status=rejected');
      return (body['items'] as { id: string }[])[0]?.id;
    });
  },
};

describe('every end', { concurrency: true }, () => {
  for (const [status, reach] of Object.entries(ways))
    it(status, async () => {
      const id = await reach();
      await system.untilStatus(id, [status], 120_000);
      await until('search shows it', async () => {
        const { body } = await system.call('GET', `/v1/messages?status=${status}`);
        return (body['items'] as { id: string }[]).some((item) => item.id === id) || undefined;
      });
    });
});
