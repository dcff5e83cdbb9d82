import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { until } from '../stack.ts';
import { startSystem } from '../system.ts';

const system = await startSystem({ isOneProcess: true, connectors: ['push-fcm'] });
const { pushFcm } = system.sandbox;
const register = async (userId: string, deviceToken: string) => {
  const answer = await system.call('POST', `/v1/users/${userId}/devices`, {
    connector: 'push-fcm',
    deviceToken,
  });
  assert.equal(answer.status, 200, JSON.stringify(answer.body));
  assert.ok(!JSON.stringify(answer.body).includes(deviceToken), 'tokens are masked');
  return String(answer.body['id']);
};
const devicesOf = async (userId: string) =>
  (await system.call('GET', `/v1/users/${userId}/devices`)).body['items'] as { id: string }[];
const post = async (userId: string, text: string) => {
  const answer = await system.call('POST', '/v1/messages', {
    to: { userId },
    channel: 'push',
    template: 'plain-notice',
    variables: { text },
  });
  assert.equal(answer.status, 202, JSON.stringify(answer.body));
  return String(answer.body['id']);
};
const seen = (token: string) => pushFcm.device.find({ where: { to: token } }).entries;

describe('push to a person', () => {
  it('rings every device; one that is dead is forgotten and sinks nobody else', async () => {
    const tokens = ['device-li-phone-0001', 'device-li-tablet-0001', 'sandbox-unregistered'];
    for (const token of tokens) await register('li', token);
    const id = await post('li', 'hello li');
    const status = await system.untilStatus(id, ['sent', 'failed']);
    assert.equal(status['status'], 'sent');
    assert.equal(status['attempts'], 3);
    await until('the timeline tells of all three calls', async () => {
      const { body } = await system.call('GET', `/v1/messages/${id}`);
      return (body['timeline'] as unknown[]).length === 3 || undefined;
    });
    for (const token of tokens.slice(0, 2)) assert.equal(seen(token).length, 1, token);
    assert.equal((await devicesOf('li')).length, 2);
  });

  it('a device that answers late is called again, the others are not', async () => {
    const [quick, slow] = ['device-han-quick-001', 'device-han-slow-0001'];
    for (const token of [quick, slow]) await register('han', token);
    pushFcm.faults.add({ kind: 'accept-then-reset', to: slow, nextCalls: 2, action: 'Send' });
    const id = await post('han', 'hello han');
    await system.untilStatus(id, ['sent']);
    assert.equal(pushFcm.accepted.find({ where: { to: quick } }).matched, 1);
    assert.equal(pushFcm.accepted.find({ where: { to: slow } }).matched, 3);
    assert.equal(seen(slow).length, 1, 'a repeat replaces the first on the device');
    assert.equal(seen(slow)[0]?.shown, 3);
  });

  it('nobody’s devices and dead ones alone end as failed, in words', async () => {
    const nobody = await system.untilStatus(await post('nobody-1', 'x'), ['failed']);
    assert.equal((nobody['reason'] as { code: string }).code, 'no-device');
    await register('ghost', 'sandbox-unregistered');
    const ghost = await system.untilStatus(await post('ghost', 'x'), ['failed']);
    assert.equal((ghost['reason'] as { code: string }).code, 'recipient-invalid');
    assert.equal((await devicesOf('ghost')).length, 0);
  });

  it('a device changes hands with its registration, and goes at logout', async () => {
    const id = await register('wang', 'device-shared-000001');
    await register('zhao', 'device-shared-000001');
    assert.equal((await devicesOf('wang')).length, 0);
    assert.equal((await system.call('DELETE', `/v1/users/wang/devices/${id}`)).status, 404);
    assert.equal((await system.call('DELETE', `/v1/users/zhao/devices/${id}`)).status, 204);
    assert.equal((await devicesOf('zhao')).length, 0);
  });

  it('what cannot be is refused with the field’s name', async () => {
    const call = async (userId: string, body: object) => {
      const answer = await system.call('POST', `/v1/users/${userId}/devices`, body);
      const [error] = answer.body['errors'] as { pointer: string }[];
      return [answer.status, error?.pointer];
    };
    const good = { connector: 'push-fcm', deviceToken: 'device-0000000001' };
    assert.deepEqual(await call('a%20b', good), [422, 'path/userId']);
    assert.deepEqual(await call('li', { ...good, connector: 'sms-aliyun' }), [422, '/connector']);
    assert.deepEqual(await call('li', { ...good, connector: 'push-apns' }), [422, '/connector']);
    assert.deepEqual(await call('li', { ...good, account: 'other' }), [422, '/account']);
    assert.deepEqual(await call('li', { ...good, deviceToken: 'x' }), [422, '/deviceToken']);
    assert.deepEqual(await call('li', { ...good, colour: 'red' }), [422, '/colour']);
    const wrong = await system.call('POST', '/v1/messages', {
      to: { email: 'li@example.com' },
      channel: 'push',
      template: 'plain-notice',
      variables: { text: 'x' },
    });
    assert.equal(wrong.status, 422);
    assert.match(String(wrong.body['detail']), /email does not fit.*userId or deviceToken/);
  });
});
