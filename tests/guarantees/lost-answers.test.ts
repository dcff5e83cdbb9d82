/** An answer that is lost leaves a doubt; the provider is asked before it is called again. Counted on the phones. */
import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { until } from '../stack.ts';
import { startSystem } from '../system.ts';
import type { FaultRule } from '../../channels/sandbox/faults.ts';

const system = await startSystem({
  isOneProcess: true,
  sandbox: { smsAliyun: { settings: { windows: null, receiptsPaused: true } } },
});

const sms = () => system.sandbox.smsAliyun;
const post = async (
  phone: string,
  template: 'login-code' | 'order-shipped' = 'order-shipped',
  more: object = {},
) => {
  const variables = template === 'login-code' ? { code: '4711' } : { orderId: 'SO-1' };
  const { body, status } = await system.call('POST', '/v1/messages', {
    to: { phone },
    template,
    variables,
    ...more,
  });
  assert.equal(status, 202, JSON.stringify(body));
  return String(body['id']);
};

// At the same time, each with a number of its own: most of what they do is wait.
describe('lost answers and retries', { concurrency: true }, () => {
  // The provider works for others all the while: what fails here fails for reasons of its own, and is not an outage.
  let others = 0;
  const traffic = setInterval(
    () => void post(`1619${String((others += 1)).padStart(7, '0')}`).catch(() => {}),
    1000,
  );
  after(() => clearInterval(traffic));

  for (const kind of [
    'accept-then-error',
    'accept-then-reset',
    'html-200',
  ] satisfies FaultRule['kind'][])
    for (const template of ['login-code', 'order-shipped'] as const)
      it(`${kind} for ${template}: asked about, found, not sent again`, async () => {
        const phone = `1611${String(['accept-then-error', 'accept-then-reset', 'html-200'].indexOf(kind))}${template === 'login-code' ? '1' : '2'}00000`;
        sms().faults.add({ kind, nextCalls: 1, to: phone, action: 'SendSms' });
        const id = await post(phone, template);
        const status = await system.untilStatus(id, ['sent'], 60_000);
        assert.equal(sms().device.count('phone', phone), 1);
        assert.equal(sms().accepted.count('phone', phone), 1);
        const timeline = await until('both attempts are told', async () => {
          const { body } = await system.call('GET', `/v1/messages/${id}`);
          const told = body['timeline'] as { outcome: string }[];
          return told.length === 2 ? told : undefined;
        });
        assert.deepEqual(
          timeline.map((attempt) => attempt.outcome),
          ['ambiguous', 'reconciled'],
          JSON.stringify(status),
        );
      });

  it('a reset before the provider took it: asked about, not found, sent again', async () => {
    const phone = '16120000001';
    sms().faults.add({ kind: 'reset', nextCalls: 1, to: phone, action: 'SendSms' });
    const id = await post(phone);
    await system.untilStatus(id, ['sent'], 60_000);
    assert.equal(sms().device.count('phone', phone), 1);
  });

  it('a provider that cannot be asked either: a one-time password ends as unknown and is not sent again', async () => {
    const phone = '16130000001';
    sms().faults.add({ kind: 'accept-then-reset', nextCalls: 1, to: phone, action: 'SendSms' });
    sms().faults.add({
      kind: 'error',
      status: 503,
      code: 'ServiceUnavailable',
      to: phone,
      action: 'QuerySendDetails',
    });
    const id = await post(phone, 'login-code');
    const status = await system.untilStatus(id, ['unknown'], 240_000);
    assert.equal((status['reason'] as { code: string }).code, 'outcome-unknown');
    assert.equal(sms().device.count('phone', phone), 1);
  });

  it('errors before acceptance are retried with back-off, then delivered; each attempt is told', async () => {
    const phone = '16140000001';
    sms().faults.add({
      kind: 'error',
      status: 200,
      code: 'isp.SYSTEM_ERROR',
      nextCalls: 2,
      to: phone,
      action: 'SendSms',
    });
    const id = await post(phone);
    await system.untilStatus(id, ['sent'], 60_000);
    const { body } = await until('three attempts are told', async () => {
      const answer = await system.call('GET', `/v1/messages/${id}`);
      return (answer.body['timeline'] as unknown[]).length === 3 ? answer : undefined;
    });
    const outcomes = (body['timeline'] as { outcome: string; nextAttemptAt?: string }[]).map(
      (attempt) => attempt.outcome,
    );
    assert.deepEqual(outcomes, ['transient', 'transient', 'accepted']);
    assert.equal(body['attempts'], 3);
  });

  it('a transient error without end ends with the life of the message: expired, and in the list of failed runs', async () => {
    const phone = '16150000001';
    sms().faults.add({
      kind: 'error',
      status: 200,
      code: 'isp.SYSTEM_ERROR',
      to: phone,
      action: 'SendSms',
    });
    const id = await post(phone, 'order-shipped', { expiresIn: 25 });
    const status = await system.untilStatus(id, ['failed', 'expired'], 90_000);
    assert.equal(status['status'], 'expired');
    const run = await system.temporal.client.workflow.getHandle(id).describe();
    assert.equal(run.status.name, 'FAILED');
    assert.equal(sms().device.count('phone', phone), 0);
  });

  it('a throttle burns no attempt', async () => {
    const phone = '16160000001';
    sms().faults.add({
      kind: 'error',
      status: 400,
      code: 'Throttling.User',
      headers: { 'x-acs-retry-after': '700' },
      nextCalls: 6,
      to: phone,
      action: 'SendSms',
    });
    const id = await post(phone);
    const status = await system.untilStatus(id, ['sent'], 120_000);
    assert.equal(status['attempts'], 1);
  });

  for (const [code, outcome, phone] of [
    ['isv.MOBILE_NUMBER_ILLEGAL', 'recipient-invalid', '16170000001'],
    ['isv.SMS_CONTENT_ILLEGAL', 'content-rejected', '16170000002'],
    ['isv.SMS_TEMPLATE_ILLEGAL', 'template-invalid', '16170000003'],
  ] as const)
    it(`${code} ends at once as failed: ${outcome}`, async () => {
      sms().faults.add({
        kind: 'error',
        status: 200,
        code,
        nextCalls: 1,
        to: phone,
        action: 'SendSms',
      });
      const id = await post(phone);
      const status = await system.untilStatus(id, ['failed', 'sent'], 30_000);
      assert.equal(status['status'], 'failed');
      assert.equal((status['reason'] as { code: string }).code, outcome);
      assert.equal(
        (await system.temporal.client.workflow.getHandle(id).describe()).status.name,
        'FAILED',
      );
    });
});

// Alone: its credential fails, so the account's queue is held for longer and longer, and everybody's messages with it.
describe('a credential that is refused', () => {
  it('a stuck delivery is found in Temporal by McState, with its attempt, last failure and next retry', async () => {
    const phone = '16180000001';
    sms().faults.add({
      kind: 'error',
      status: 403,
      code: 'InvalidAccessKeyId.Inactive',
      to: phone,
      action: 'SendSms',
    });
    const id = await post(phone, 'login-code');
    const stuck = await until(
      'listed as stuck',
      async () => {
        const query = `McState = 'stuck' AND McAccount = '${system.accountId}' AND ExecutionStatus = 'Running'`;
        for await (const run of system.temporal.client.workflow.list({ query }))
          if (run.workflowId === id) return run;
        return undefined;
      },
      { timeoutMs: 60_000 },
    );
    assert.equal(stuck.type, 'deliver');
    // In between it may have waited for an account that was held.
    const pending = await until('its last failure is told', async () => {
      const { raw } = await system.temporal.client.workflow.getHandle(id).describe();
      const [activity] = raw.pendingActivities ?? [];
      const type = activity?.lastFailure?.applicationFailureInfo?.type;
      return type === 'auth-invalid' && activity?.nextAttemptScheduleTime ? activity : undefined;
    });
    assert.ok(Number(pending?.attempt) >= 2);
    assert.ok(Number(pending?.nextAttemptScheduleTime?.seconds) * 1000 > Date.now());
    const { body } = await system.call('GET', `/v1/messages/${id}`);
    assert.equal(body['status'], 'retrying');
    assert.equal((body['reason'] as { code: string }).code, 'auth-invalid');
    await system.temporal.client.workflow.getHandle(id).cancel();
    await system.untilStatus(id, ['recalled']);
  });
});
