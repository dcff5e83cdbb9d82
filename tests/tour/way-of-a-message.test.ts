/** The way of one message, stage by stage, on the real servers. Reads in order; each chapter leans on the one before. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { until } from '../stack.ts';
import { startSystem } from '../system.ts';

const system = await startSystem({
  sandbox: { smsAliyun: { settings: { receiptMedianMs: 1500, receiptP99Ms: 2000 } } },
});

describe('the way of a message', () => {
  let id: string;
  const phone = '13911112222';

  it('1. accept: 202 with an id once the broker has stored it, and a status from that moment', async () => {
    const answer = await system.call('POST', '/v1/messages', {
      to: { phone },
      template: 'order-shipped',
      variables: { orderId: 'SO-1001' },
      metadata: { orderId: 'SO-1001' },
    });
    assert.equal(answer.status, 202, JSON.stringify(answer.body));
    id = String(answer.body['id']);
    assert.match(id, /^msg_[0-9a-z]{26}$/);
    const at = await system.call('GET', `/v1/messages/${id}`);
    assert.equal(at.status, 200);
    assert.ok(
      ['accepted', 'sending', 'sent', 'delivered'].includes(String(at.body['status'])),
      JSON.stringify(at.body),
    );
  });

  it('2. bridge: one workflow run has the message id', async () => {
    const run = await until('the run exists', async () => {
      try {
        return await system.temporal.client.workflow.getHandle(id).describe();
      } catch {
        return undefined;
      }
    });
    assert.equal(run.type, 'deliver');
    const attributes = run.typedSearchAttributes.getAll();
    const values = Object.fromEntries(attributes.map(({ key, value }) => [key.name, value]));
    assert.equal(values['McTenant'], system.tenantId);
    assert.equal(values['McChannel'], 'sms');
    assert.equal(values['McAccount'], system.accountId);
    assert.equal(values['McTemplate'], 'order-shipped');
    assert.equal(values['McPriority'], 'normal');
  });

  it('3. send: the phone shows the rendered text, once', async () => {
    const found = await until('the phone shows it', () => {
      const { matched, entries } = system.sandbox.smsAliyun.device.find({ where: { phone } });
      return matched > 0 ? entries : undefined;
    });
    assert.equal(found.length, 1);
    assert.equal(found[0]?.text, '【消息中心】您的订单SO-1001已发货。');
    assert.ok(found[0]?.outId.startsWith(`${id}.0.`));
  });

  it('4. report: the run has ended, and says sent', async () => {
    const result = (await system.temporal.client.workflow.getHandle(id).result()) as {
      status: string;
      attempts: number;
    };
    assert.equal(result.status, 'sent');
    assert.equal(result.attempts, 1);
  });

  it('4b. local render and report around one normal activity cost six state transitions', async () => {
    const transitionsOf = async (messageId: string) => {
      const { raw } = await system.temporal.client.workflow.getHandle(messageId).describe();
      return Number(raw.workflowExecutionInfo?.stateTransitionCount);
    };
    const seen = [await transitionsOf(id)];
    // A start is eager, and saves one, only while the worker has a slot to spare at that very moment.
    for (let number = 0; number < 8 && !seen.includes(6); number++) {
      const message = {
        to: { phone: `1392222000${number}` },
        template: 'order-shipped',
        variables: { orderId: 'SO-6' },
      };
      const messageId = String((await system.call('POST', '/v1/messages', message)).body['id']);
      await system.untilStatus(messageId, ['sent', 'delivered']);
      await system.temporal.client.workflow.getHandle(messageId).result();
      seen.push(await transitionsOf(messageId));
    }
    assert.ok(seen.includes(6), `transitions of ${seen.length} runs: ${seen.join(', ')}`);
    assert.ok(Math.max(...seen) <= 7, seen.join(', '));
  });

  it('5. receipt: the provider says delivered, and the status follows', async () => {
    const status = await system.untilStatus(id, ['delivered']);
    assert.equal(status['attempts'], 1);
    const timeline = status['timeline'] as {
      number: number;
      outcome: string;
      providerCode: string;
    }[];
    await until('the attempt is in the timeline', async () => {
      const { body } = await system.call('GET', `/v1/messages/${id}`);
      return (body['timeline'] as unknown[]).length === 1 ? true : undefined;
    });
    assert.ok(timeline.length <= 1);
  });

  it('6. query: found by status, template, recipient, business key and text; by another tenant never', async () => {
    const filters = [
      'status=delivered',
      'template=order-shipped&channel=sms',
      `to=${phone}`,
      `to=${encodeURIComponent(`+86${phone}`)}`,
      `metadata=${encodeURIComponent('orderId:SO-1001')}`,
      `text=${encodeURIComponent('已发货')}`,
      `from=${encodeURIComponent(new Date(Date.now() - 3_600_000).toISOString())}`,
    ];
    for (const filter of filters) {
      const items = await until(
        `found by ${filter}`,
        async () => {
          const { body, status } = await system.call('GET', `/v1/messages?${filter}`);
          assert.equal(status, 200, JSON.stringify(body));
          const found = body['items'] as { id: string; to: string }[];
          return found.some((item) => item.id === id) ? found : undefined;
        },
        { timeoutMs: 10_000 },
      );
      const item = items.find((found) => found.id === id);
      assert.equal(item?.to, '139****2222', filter);
    }
    const nothing = await system.call('GET', '/v1/messages?to=13900000009');
    assert.deepEqual(nothing.body['items'], []);

    const other = `other-${system.tenantId}`;
    await system.store.tenants.ensure(other, 'Other');
    const { key } = await system.store.apiKeys.create(other, { name: 'test' });
    const headers = { authorization: `Bearer ${key}` };
    assert.deepEqual(
      (await system.call('GET', `/v1/messages?to=${phone}`, undefined, headers)).body['items'],
      [],
    );
    assert.equal((await system.call('GET', `/v1/messages/${id}`, undefined, headers)).status, 404);
  });

  it('7. administer: a new tenant, account, template and key by REST, and a message through them at once', async () => {
    const tenantId = `new-${system.tenantId}`;
    const created = async (path: string, body: unknown) => {
      const answer = await system.admin('POST', path, body);
      assert.equal(answer.status, 201, JSON.stringify(answer.body));
      return answer.body;
    };
    await created('/v1/tenants', { id: tenantId, name: 'New' });
    await created('/v1/channel-accounts', {
      tenantId,
      name: 'sms',
      connector: 'sms-aliyun',
      settings: { endpoint: `${system.sandbox.url}/sms-aliyun/` },
      secrets: { accessKeyId: 'sandbox', accessKeySecret: 'sandbox-secret' },
      ratePerSecond: 50,
    });
    await created('/v1/templates', {
      tenantId,
      name: 'welcome',
      kind: 'notice',
      variables: { name: { type: 'string' } },
      contents: {
        'sms-aliyun': {
          signName: '消息中心',
          templateCode: 'SMS_1003',
          params: { text: '{{name}}，欢迎！' },
        },
      },
    });
    const { key } = await created(`/v1/tenants/${tenantId}/api-keys`, { name: 'service' });
    const headers = { authorization: `Bearer ${String(key)}` };
    const message = {
      to: { phone: '13933334444' },
      template: 'welcome',
      variables: { name: '王芳' },
    };
    const { status, body } = await system.call('POST', '/v1/messages', message, headers);
    assert.equal(status, 202, JSON.stringify(body));
    const [shown] = await until('the phone shows it', () => {
      const { matched, entries } = system.sandbox.smsAliyun.device.find({
        where: { phone: '13933334444' },
      });
      return matched > 0 ? entries : undefined;
    });
    assert.equal(shown?.text, '【消息中心】王芳，欢迎！');
  });
});
