/** What an operator sees of a delivery and does to it with Temporal's own CLI, whose calls are those of the Web UI. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { promisify } from 'node:util';
import { defaultPayloadConverter } from '@temporalio/common';
import proto from '@temporalio/proto';
import { pause } from '../../platform/lifecycle.ts';
import { createPayloadCodec } from '../../platform/payload-codec.ts';
import { fetchPrograms } from '../../stack/fetch-servers.ts';
import { testServers, until } from '../stack.ts';
import { startSystem } from '../system.ts';

const system = await startSystem({
  isOneProcess: true,
  sandbox: { smsAliyun: { settings: { windows: null, receiptsPaused: true } } },
});
const { smsAliyun } = system.sandbox;
const { client } = system.temporal;
const { temporal: program } = await fetchPrograms(['temporal'], {
  cacheDir: testServers().cacheDir,
  onProgress: console.log,
});
/** As an operator types it; the codec server of admin opens what is encrypted. */
const cli = async (...command: string[]) => {
  const { temporalAddress: address, temporalNamespace: namespace, adminPort } = system.config;
  const codec = [
    '--codec-endpoint',
    `http://127.0.0.1:${adminPort}/codec`,
    '--codec-auth',
    `Bearer ${system.adminToken}`,
  ];
  const at = ['--address', address, '--namespace', namespace, ...codec];
  return (await promisify(execFile)(program, [...command, ...at], { timeout: 30_000 })).stdout;
};

let serial = 0;
const phoneNumber = () => `1390000${String((serial += 1)).padStart(4, '0')}`;
async function post(phone: string): Promise<string> {
  const { body, status } = await system.call('POST', '/v1/messages', {
    to: { phone },
    template: 'order-shipped',
    variables: { orderId: 'SO-1' },
  });
  assert.equal(status, 202, JSON.stringify(body));
  return String(body['id']);
}
/** A message whose first `calls` calls are refused: with this code, one that is tried again an hour later. */
async function refused(calls: number, code = 'isv.BUSINESS_LIMIT_CONTROL') {
  const phone = phoneNumber();
  const action = 'SendSms';
  smsAliyun.faults.add({ kind: 'error', status: 200, code, nextCalls: calls, to: phone, action });
  return { phone, id: await post(phone) };
}
const pending = async (id: string) =>
  (await client.workflow.getHandle(id).describe()).raw.pendingActivities?.[0];
/** Waits for the delivery to be between two attempts; gives the id of its activity. */
const inBackoff = (id: string, failure: string) =>
  until(`${id} is between two attempts`, async () => {
    const found = await pending(id);
    return found?.lastFailure?.applicationFailureInfo?.type === failure
      ? String(found.activityId)
      : undefined;
  });
const activity = (id: string, activityId: string) => [
  '--workflow-id',
  id,
  '--activity-id',
  activityId,
];

describe('operators', { concurrency: true }, () => {
  it('find a waiting delivery by filters, and read what it waits for', async () => {
    const { id } = await refused(1);
    await inBackoff(id, 'rate-limited');
    const filters = {
      McTenant: system.tenantId,
      McChannel: 'sms',
      McAccount: system.accountId,
      McTemplate: 'order-shipped',
      McPriority: 'normal',
      ExecutionStatus: 'Running',
    };
    for (const [name, value] of Object.entries(filters)) {
      const query = `${name}="${value}" AND McAccount="${system.accountId}"`;
      await until(`${id} is listed by ${name}`, async () =>
        (await cli('workflow', 'list', '--query', query)).includes(id) ? true : undefined,
      );
    }
    const described = await cli('workflow', 'describe', '--workflow-id', id);
    assert.match(
      described,
      /rate-limited: isv\.BUSINESS_LIMIT_CONTROL/,
      'the last failure in words',
    );
    assert.match(described, /next attempt at 20\d\d-/);
    const found = await pending(id);
    assert.ok(Number(found?.nextAttemptScheduleTime?.seconds) * 1000 > Date.now());
    const { events } = await client.workflow.getHandle(id).fetchHistory();
    const summaries = (events ?? []).flatMap(({ userMetadata }) => userMetadata?.summary ?? []);
    assert.deepEqual(
      (await createPayloadCodec(system.sealer).decode(summaries)).map((summary) =>
        defaultPayloadConverter.fromPayload(summary),
      ),
      [`sms-aliyun through ${system.accountId}`, 'marks the run as stuck'],
    );
    const { currentDetails } = await client.workflow
      .getHandle(id)
      .query<{ currentDetails: string }>('__temporal_workflow_metadata');
    assert.equal(currentDetails, `waiting for sms-aliyun through account ${system.accountId}`);
    await client.workflow.getHandle(id).cancel();
    await system.untilStatus(id, ['recalled']);
  });

  it('can use every filter of docs/operations.md', async () => {
    const page = readFileSync('docs/operations.md', 'utf8');
    const [, lists = ''] = page.split('## Lists in the Temporal UI');
    const rows = [...(lists.split('\n## ')[0] ?? '').matchAll(/^\|[^|]+\| `([^`]+)`/gm)];
    const filters = rows.flatMap(([, filter]) => filter ?? []);
    assert.ok(filters.length >= 10, `${filters.length} filters`);
    for (const filter of filters)
      // An unknown attribute or a slip in a filter is an error of the server's.
      await client.workflow.count(filter.replace('<now>', new Date().toISOString()));
  });

  it('pause a delivery: it is not tried until it goes on, and is sent once', async () => {
    const { id, phone } = await refused(3, 'isp.SYSTEM_ERROR');
    const activityId = await inBackoff(id, 'transient');
    await cli('activity', 'pause', ...activity(id, activityId));
    // An attempt that had begun before goes on to its end.
    const { attempt } = await until('it is paused between two attempts', async () => {
      const found = await pending(id);
      const { PENDING_ACTIVITY_STATE_STARTED, PENDING_ACTIVITY_STATE_PAUSE_REQUESTED } =
        proto.temporal.api.enums.v1.PendingActivityState;
      const isTried = [PENDING_ACTIVITY_STATE_STARTED, PENDING_ACTIVITY_STATE_PAUSE_REQUESTED].some(
        (state) => state === found?.state,
      );
      return found?.paused === true && !isTried ? found : undefined;
    });
    await pause(9000);
    assert.equal((await pending(id))?.attempt, attempt);
    assert.equal(smsAliyun.accepted.count('phone', phone), 0);
    await cli('activity', 'unpause', ...activity(id, activityId));
    assert.equal((await system.untilStatus(id, ['sent', 'failed']))['status'], 'sent');
    assert.equal(smsAliyun.accepted.count('phone', phone), 1);
  });

  it('reset a delivery: it is tried at once, and is sent once', async () => {
    const { id, phone } = await refused(1);
    const activityId = await inBackoff(id, 'rate-limited');
    await cli('activity', 'reset', ...activity(id, activityId));
    assert.equal((await system.untilStatus(id, ['sent', 'failed']))['status'], 'sent');
    assert.equal(smsAliyun.accepted.count('phone', phone), 1);
  });

  it('reset a delivery that is in doubt: the provider is still asked before it is called again', async () => {
    const phone = phoneNumber();
    smsAliyun.faults.add({ kind: 'accept-then-reset', nextCalls: 1, to: phone, action: 'SendSms' });
    const id = await post(phone);
    const activityId = await inBackoff(id, 'ambiguous');
    await cli('activity', 'reset', ...activity(id, activityId));
    assert.equal((await system.untilStatus(id, ['sent', 'unknown', 'failed']))['status'], 'sent');
    assert.equal(smsAliyun.accepted.count('phone', phone), 1);
    assert.equal(smsAliyun.device.count('phone', phone), 1);
  });

  it('give a delivery a last attempt: it ends as failed with the reason of that one', async () => {
    const { id, phone } = await refused(100);
    const activityId = await inBackoff(id, 'rate-limited');
    const only = ['--retry-maximum-attempts', '1'];
    await cli('activity', 'update-options', ...activity(id, activityId), ...only);
    await cli('activity', 'reset', ...activity(id, activityId));
    const status = await system.untilStatus(id, ['sent', 'failed', 'expired'], 40_000);
    assert.equal(status['status'], 'failed');
    assert.equal((status['reason'] as { code: string }).code, 'rate-limited');
    assert.equal(smsAliyun.accepted.count('phone', phone), 0);
  });
});
