import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { pause } from '../../platform/lifecycle.ts';
import { until } from '../stack.ts';
import { startSystem } from '../system.ts';

const system = await startSystem({
  isOneProcess: true,
  ratePerSecond: 20,
  connectors: ['robot-dingtalk'],
  sandbox: { smsAliyun: { settings: { windows: null, receiptsPaused: true } } },
});
const { smsAliyun } = system.sandbox;
const account = `/v1/channel-accounts/${system.accountId}`;
const circuits = async () =>
  (await system.admin('GET', '/v1/circuits')).body['items'] as {
    accountId: string;
    reason: { code: string };
  }[];
const postMany = async (count: number, from: number) => {
  const { status, body } = await system.call('POST', '/v1/messages/batch', {
    messages: Array.from({ length: count }, (_, index) => ({
      to: { phone: `137000${String(from + index).padStart(5, '0')}` },
      template: 'plain-notice',
      variables: { text: 'circuit' },
    })),
  });
  assert.equal(status, 202);
  return (body['results'] as { id: string }[]).map(({ id }) => id);
};

describe('the circuit of a channel account', () => {
  it('opens when the account is at fault, spends nothing on it, and lets go by itself once it works', async (t) => {
    smsAliyun.revokeCredential('sandbox');
    const ids = await postMany(60, 0);
    await until('the circuit is open', async () => {
      const [open] = await circuits();
      return (
        (open?.accountId === system.accountId && open.reason.code === 'auth-invalid') || undefined
      );
    });
    await until('the queue is held', async () => {
      return (await system.admin('GET', account)).body['limitInForce'] === 0 || undefined;
    });
    // What was handed out before the limit was in force is still on its way on a busy machine.
    await pause(3000);
    const sends = () => smsAliyun.calls.find({ where: { action: 'SendSms' } }).matched;
    const calls = () => smsAliyun.calls.total();
    const [before, tried] = [calls(), sends()];
    await pause(5000);
    t.diagnostic(`${before} calls until it was held, ${calls() - before} tries in the 5 s after`);
    assert.equal(sends(), tried, 'no message is sent while it is held');
    assert.ok(calls() - before <= 2, 'only the circuit tries');
    smsAliyun.registerCredential('sandbox', 'sandbox-secret');
    for (const id of ids) {
      const status = await system.untilStatus(id, ['sent', 'failed', 'unknown'], 180_000);
      assert.equal(status['status'], 'sent');
      assert.equal(status['attempts'], 1, 'the refused calls burnt no attempt');
    }
    assert.deepEqual(await circuits(), []);
    assert.equal((await system.admin('GET', account)).body['limitInForce'], 20);
  });

  it('is closed by hand, and tried at once when the account is edited', async () => {
    smsAliyun.revokeCredential('sandbox');
    const [id = ''] = await postMany(1, 100);
    await until('it is open', async () => (await circuits()).length === 1 || undefined);
    assert.equal((await system.admin('DELETE', '/v1/circuits/acc_none')).status, 404);
    const closed = await system.admin('DELETE', `/v1/circuits/${system.accountId}`);
    assert.equal(closed.status, 204);
    assert.deepEqual(await circuits(), []);
    await postMany(1, 101);
    await until('it is open again', async () => (await circuits()).length === 1 || undefined, {
      timeoutMs: 60_000,
    });
    smsAliyun.registerCredential('another', 'another-secret');
    const read = await system.admin('GET', account);
    const { name, connector, settings, ratePerSecond } = read.body;
    const edit = {
      name,
      connector,
      settings,
      ratePerSecond,
      secrets: { accessKeyId: 'another', accessKeySecret: 'another-secret' },
    };
    const etag = read.headers.get('etag') ?? '';
    assert.equal((await system.admin('PUT', account, edit, { 'if-match': etag })).status, 200);
    const editedAt = Date.now();
    await until(
      'the new credentials were tried',
      async () => (await circuits()).length === 0 || undefined,
    );
    assert.ok(Date.now() - editedAt < 10_000);
    await system.untilStatus(id, ['sent'], 120_000);
  });

  it('stays closed where each recipient has credentials of its own', async () => {
    const control = `${system.sandbox.controlUrl}/robot-dingtalk/robots`;
    const robot = { group: 'ops', accessToken: 'another-token-000000', secret: 'SECother' };
    const put = { method: 'PUT', body: JSON.stringify(robot) };
    assert.equal((await fetch(control, put)).status, 200);
    const answer = await system.call('POST', '/v1/messages', {
      to: { group: 'ops' },
      channel: 'robot-dingtalk',
      template: 'plain-notice',
      variables: { text: 'x' },
    });
    await system.untilStatus(String(answer.body['id']), ['retrying']);
    assert.deepEqual(await circuits(), []);
  });
});
