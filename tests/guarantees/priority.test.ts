/**
 * A campaign of one tenant waits, and one-time passwords do not: neither another tenant's, nor the same tenant's through the
 * same account. 4,000 messages wait, with MC_BIG=true 20,000.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import proto from '@temporalio/proto';
import { demoSmsAliyun } from '../../channels/sms-aliyun/demo.ts';
import { pause } from '../../platform/lifecycle.ts';
import { demoAccount, demoTemplates } from '../../stack/seed.ts';
import { until } from '../stack.ts';
import { startSystem } from '../system.ts';

const { EventType: eventTypes } = proto.temporal.api.enums.v1;
const waiting = process.env['MC_BIG'] === 'true' ? 20_000 : 4000;
const bulkPerSecond = 20;
const goalMs = 2000;
const forMs = 20_000;

const system = await startSystem({
  ratePerSecond: bulkPerSecond,
  slots: 2,
  sandbox: { smsAliyun: { settings: { windows: null, receiptsPaused: true } } },
});
const { smsAliyun } = system.sandbox;

/** A second tenant with an account of its own at the same provider. */
async function secondTenant(): Promise<{ readonly authorization: string }> {
  const tenantId = `second-${system.tenantId}`;
  await system.store.tenants.ensure(tenantId, 'Second');
  for (const template of demoTemplates) await system.store.templates.create(tenantId, template);
  const { urlOf } = system.sandbox;
  const edit = demoAccount(demoSmsAliyun, { urlOf, receiptToken: system.receiptToken });
  const { id } = await system.store.channelAccounts.create({ tenantId, channel: 'sms', edit });
  await until('its limit is in force', async () => {
    const account = await system.admin('GET', `/v1/channel-accounts/${id}`);
    return account.body['limitInForce'] === edit.ratePerSecond || undefined;
  });
  const { key } = await system.store.apiKeys.create(tenantId, { name: 'second' });
  return { authorization: `Bearer ${key}` };
}

interface Code {
  readonly id: string;
  readonly phone: string;
  readonly acceptedAt: number;
}

/** Where the time of a code went, in milliseconds, from its run's history. */
async function stages({ id, acceptedAt }: Code) {
  const { events } = await system.temporal.client.workflow.getHandle(id).fetchHistory();
  const at = (type: string) => {
    const event = (events ?? []).find(({ eventType }) => eventTypes[eventType ?? 0] === type);
    const { seconds = 0, nanos = 0 } = event?.eventTime ?? {};
    return Number(seconds) * 1000 + (nanos ?? 0) / 1e6;
  };
  const started = at('EVENT_TYPE_WORKFLOW_EXECUTION_STARTED');
  const scheduled = at('EVENT_TYPE_ACTIVITY_TASK_SCHEDULED');
  return {
    'to its run': started - acceptedAt,
    rendered: scheduled - started,
    'taken by a worker': at('EVENT_TYPE_ACTIVITY_TASK_STARTED') - scheduled,
  };
}

describe('a waiting campaign', () => {
  it(`of ${waiting} messages delays no one-time password`, async (t) => {
    const second = await secondTenant();
    const postedFrom = Date.now();
    for (let start = 0; start < waiting; start += 1000) {
      const messages = Array.from({ length: 1000 }, (_, index) => ({
        to: { phone: `130${String(start + index).padStart(8, '0')}` },
        template: 'order-shipped',
        priority: 'bulk',
        variables: { orderId: `C-${start + index}` },
      }));
      const { body } = await system.call('POST', '/v1/messages/batch', { messages });
      assert.equal(body['accepted'], 1000, JSON.stringify(body).slice(0, 500));
    }
    const postedMs = Date.now() - postedFrom;
    await until('the campaign is on its way', () => smsAliyun.accepted.total() > 0 || undefined);

    /** Posts codes at an even pace, and gives them in the end. */
    const postCodes = async (prefix: string, perSecond: number, headers = {}) => {
      const codes: Promise<Code>[] = [];
      const from = Date.now();
      for (let at = from; at < from + forMs; at += 1000 / perSecond) {
        await pause(at - Date.now());
        const phone = `${prefix}${String(codes.length).padStart(8, '0')}`;
        const message = { to: { phone }, template: 'login-code', variables: { code: '4711' } };
        codes.push(
          system.call('POST', '/v1/messages', message, headers).then(({ status, body }) => {
            assert.equal(status, 202, JSON.stringify(body));
            return { id: String(body['id']), phone, acceptedAt: Date.now() };
          }),
        );
      }
      return Promise.all(codes);
    };
    const groups = await Promise.all(
      [
        { whose: 'another tenant', codes: postCodes('131', 5, second) },
        { whose: 'the same tenant and account', codes: postCodes('132', 2) },
      ].map(async ({ whose, codes }) => ({ whose, codes: await codes })),
    );

    for (const { whose, codes } of groups) {
      const delays: number[] = [];
      for (const { phone, acceptedAt } of codes) {
        const [call] = await until(
          `the code of ${whose} is at the provider`,
          () => {
            const { matched, entries } = smsAliyun.accepted.find({ where: { phone } });
            return matched > 0 ? entries : undefined;
          },
          { timeoutMs: 120_000, everyMs: 20 },
        );
        // The answer may come after the call: then it took no time.
        delays.push(Math.max(0, (call?.at ?? 0) - acceptedAt));
        assert.equal(smsAliyun.device.count('phone', phone), 1);
      }
      const percentile = (share: number, of = delays) =>
        of.toSorted((a, b) => a - b)[Math.ceil(of.length * share) - 1];
      t.diagnostic(
        `${whose}: ${codes.length} codes, accepted to provider p50 ${percentile(0.5)} ms, ` +
          `p99 ${percentile(0.99)} ms (goal ${goalMs} ms), longest ${percentile(1)} ms`,
      );
      const parts = await Promise.all(codes.map(stages));
      for (const stage of ['to its run', 'rendered', 'taken by a worker'] as const) {
        const times = parts.map((part) => part[stage]);
        t.diagnostic(
          `  ${stage}: p50 ${percentile(0.5, times)?.toFixed()} ms, p99 ${percentile(0.99, times)?.toFixed()} ms`,
        );
      }
    }
    const left = waiting - smsAliyun.accepted.find({ where: { templateCode: 'SMS_1002' } }).matched;
    t.diagnostic(
      `${waiting} messages posted in ${(postedMs / 1000).toFixed(1)} s; ${left} of them waited to the end`,
    );
    assert.ok(left > waiting / 2, 'the campaign was over before the codes were');
  });
});
