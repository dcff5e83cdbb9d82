/** What failed is sent again when it is asked for: once, at the rate that was chosen, and never beside a delivery under way. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { createElasticsearch } from '../../platform/elasticsearch.ts';
import { createLogger } from '../../platform/logger.ts';
import { createMessageIndex } from '../../store/message-index.ts';
import { runProgram } from '../../stack/tools.ts';
import { versions } from '../../stack/versions.ts';
import { testServers, until } from '../stack.ts';
import { startSystem } from '../system.ts';

const system = await startSystem({
  sandbox: { smsAliyun: { settings: { windows: null, receiptsPaused: true } } },
});
const { smsAliyun } = system.sandbox;
const elasticsearch = createElasticsearch({ url: system.config.elasticsearchUrl });
after(() => elasticsearch.close());
const index = createMessageIndex({
  client: elasticsearch,
  names: system.names,
  logger: createLogger('test', 'error'),
});

interface Failed {
  readonly ids: readonly string[];
  readonly prefix: string;
  /** Finds these and no others. */
  readonly filter: object;
}

/** Messages that the provider refused for their template, which is mended now. */
async function fail(prefix: string, count: number): Promise<Failed> {
  const acceptedFrom = new Date().toISOString();
  smsAliyun.faults.add({
    kind: 'error',
    status: 400,
    code: 'isv.SMS_TEMPLATE_ILLEGAL',
    action: 'SendSms',
  });
  const messages = Array.from({ length: count }, (_, number) => ({
    to: { phone: `${prefix}${String(number).padStart(11 - prefix.length, '0')}` },
    template: 'plain-notice',
    variables: { text: `redrive ${number}` },
  }));
  const { body } = await system.call('POST', '/v1/messages/batch', { messages });
  assert.equal(body['accepted'], count, JSON.stringify(body));
  const ids = (body['results'] as { id: string }[]).map(({ id }) => id);
  await until(
    'all are indexed as failed',
    async () => {
      const { tenantId } = system;
      const { total } = await index.search({
        tenantId,
        status: 'failed',
        from: acceptedFrom,
        limit: 1,
      });
      return total.value === count ? true : undefined;
    },
    { everyMs: 500, timeoutMs: 120_000 },
  );
  smsAliyun.faults.clear();
  return { ids, prefix, filter: { acceptedFrom, reason: 'template-invalid' } };
}

const redrive = async (request: object) => {
  const answer = await system.admin('POST', '/v1/redrives', { reason: 'a test', ...request });
  assert.equal(answer.status, 202, JSON.stringify(answer.body));
  return answer.headers.get('location') ?? '';
};
const untilDone = (location: string) => {
  let last: Record<string, unknown> = {};
  return until(
    `${location} is done`,
    async () => {
      last = (await system.admin('GET', location)).body;
      return last['state'] === 'done' ? last : undefined;
    },
    { seen: () => last },
  );
};
const counts = ({ found, started, alreadyOpen, skipped }: Record<string, unknown>) => ({
  found,
  started,
  alreadyOpen,
  skipped,
});
/** When the provider took messages to these numbers. */
const takenAt = (prefix: string) =>
  smsAliyun.accepted
    .find({ limit: 10_000, order: 'oldest' })
    .entries.filter(({ phone }) => phone.startsWith(prefix))
    .map(({ at }) => at);

describe('redrive', () => {
  it('by filter: each is sent once, no faster than asked; again there is nothing to do', async (t) => {
    const { ids, prefix, filter } = await fail('1380001', 40);
    const ratePerSecond = 10;
    const first = await redrive({ filter, ratePerSecond });
    assert.deepEqual(counts(await untilDone(first)), {
      found: 40,
      started: 40,
      alreadyOpen: 0,
      skipped: {},
    });
    for (const id of ids) await system.untilStatus(id, ['sent']);

    const times = takenAt(prefix);
    assert.equal(times.length, 40);
    assert.equal(
      new Set(smsAliyun.accepted.find({ limit: 10_000 }).entries.map(({ phone }) => phone)).size,
      40,
    );
    const busiest = Math.max(
      ...times.map((from) => times.filter((at) => at >= from && at < from + 1000).length),
    );
    const seconds = ((times.at(-1) ?? 0) - (times[0] ?? 0)) / 1000;
    t.diagnostic(`40 at ${ratePerSecond}/s in ${seconds.toFixed(1)} s, busiest second ${busiest}`);
    // Even at the start; on the way to the provider some bunch.
    assert.ok(busiest <= 2 * ratePerSecond, `${busiest} in one second`);
    assert.ok(seconds >= 0.8 * (40 / ratePerSecond - 1), `all within ${seconds} s`);

    const [id = ''] = ids;
    await until('the index has the end', async () =>
      (await index.get(id))?.status === 'sent' ? true : undefined,
    );
    assert.equal((await index.get(id))?.redrive, 1);
    const { body } = await system.call('GET', `/v1/messages/${id}`);
    assert.deepEqual(
      (body['timeline'] as { outcome: string }[]).map(({ outcome }) => outcome),
      ['template-invalid', 'accepted'],
    );
    assert.match(
      smsAliyun.accepted.find({ where: { phone: `${prefix}0000` } }).entries[0]?.outId ?? '',
      /\.1\./,
    );

    const again = counts(await untilDone(await redrive({ filter, ratePerSecond })));
    assert.deepEqual(again, { found: 0, started: 0, alreadyOpen: 0, skipped: {} });
    const byId = counts(await untilDone(await redrive({ ids, ratePerSecond: 1000 })));
    assert.deepEqual(byId, { found: 40, started: 0, alreadyOpen: 0, skipped: { sent: 40 } });
    assert.equal(takenAt(prefix).length, 40);
  });

  it('while a delivery of it is open: nothing happens, whoever asks', async () => {
    const { ids, prefix } = await fail('1380002', 1);
    const [id = ''] = ids;
    await valve(true);
    const first = await system.call('POST', `/v1/messages/${id}/redrive`);
    assert.deepEqual([first.status, first.body['redrive']], [202, 1], JSON.stringify(first.body));
    assert.equal((await system.call('GET', `/v1/messages/${id}`)).body['status'], 'sending');
    const second = await system.call('POST', `/v1/messages/${id}/redrive`);
    assert.deepEqual(
      [second.status, second.body['detail']],
      [409, 'A delivery of it is under way.'],
    );
    assert.deepEqual(counts(await untilDone(await redrive({ ids, ratePerSecond: 10 }))), {
      found: 1,
      started: 0,
      alreadyOpen: 1,
      skipped: {},
    });
    await valve(false);
    await system.untilStatus(id, ['sent'], 60_000);
    assert.equal(takenAt(prefix).length, 1);
    const third = await system.call('POST', `/v1/messages/${id}/redrive`);
    assert.equal(third.status, 409);
    assert.match(String(third.body['detail']), /its status is sent/);
    const unknown = await system.call(
      'POST',
      '/v1/messages/msg_00000000000000000000000000/redrive',
    );
    assert.equal(unknown.status, 404);
  });

  it('asked for by many at once: one delivery', async () => {
    const { ids, prefix } = await fail('1380003', 1);
    const [id = ''] = ids;
    const answers = await Promise.all(
      Array.from({ length: 8 }, () => system.call('POST', `/v1/messages/${id}/redrive`)),
    );
    for (const { status, body } of answers)
      assert.ok(status === 409 || (status === 202 && body['redrive'] === 1), JSON.stringify(body));
    assert.ok(answers.some(({ status }) => status === 202));
    await system.untilStatus(id, ['sent']);
    assert.equal(takenAt(prefix).length, 1);
  });

  it('jobs killed in the middle: it goes on, nothing is lost and nothing goes twice', async (t) => {
    const { ids, prefix, filter } = await fail('1380004', 60);
    const location = await redrive({ filter, ratePerSecond: 20 });
    await until('a third is sent', () => (takenAt(prefix).length >= 20 ? true : undefined));
    await system.services.jobs.kill();
    t.diagnostic(`killed after ${takenAt(prefix).length} of 60`);
    assert.deepEqual(counts(await untilDone(location)), {
      found: 60,
      started: 60,
      alreadyOpen: 0,
      skipped: {},
    });
    for (const id of ids) await system.untilStatus(id, ['sent']);
    assert.equal(takenAt(prefix).length, 60);
  });

  it('in Temporal: the failed are listed by account; a run that was terminated while it waited ends right after a reset', async () => {
    const { ids } = await fail('1380006', 2);
    const query = `ExecutionStatus="Failed" AND McAccount="${system.accountId}"`;
    await until('both are listed', async () => {
      const listed: string[] = [];
      for await (const { workflowId } of system.temporal.client.workflow.list({ query }))
        listed.push(workflowId);
      return ids.every((id) => listed.includes(id)) || undefined;
    });

    const phone = '13800070000';
    smsAliyun.faults.add({
      kind: 'error',
      status: 400,
      code: 'Throttling.User',
      headers: { 'x-acs-retry-after': '600000' },
      to: phone,
    });
    const { body } = await system.call('POST', '/v1/messages', {
      to: { phone },
      template: 'plain-notice',
      variables: { text: 'terminated' },
    });
    const id = String(body['id']);
    await system.untilStatus(id, ['retrying']);
    smsAliyun.faults.clear();
    await system.temporal.client.workflow.getHandle(id).terminate('a test');
    const refused = await system.call('POST', `/v1/messages/${id}/redrive`);
    assert.equal(refused.status, 409);
    assert.match(String(refused.body['detail']), /not known how/);
    const { cacheDir, temporalAddress } = testServers();
    const program = join(cacheDir, `temporal-${versions.temporal}`, 'temporal');
    const command = `workflow reset --workflow-id ${id} --type FirstWorkflowTask --reason test`;
    const server = `--address ${temporalAddress} --namespace ${system.config.temporalNamespace}`;
    const reset = await runProgram(program, `${command} ${server}`.split(' '));
    assert.equal(reset.code, 0, reset.stderr);
    await system.untilStatus(id, ['sent'], 60_000);
    await until('the index has the end', async () =>
      (await index.get(id))?.status === 'sent' ? true : undefined,
    );
    assert.equal(smsAliyun.accepted.count('phone', phone), 1);
  });

  it('cancelled: no more are started', async () => {
    const { prefix, filter } = await fail('1380005', 10);
    const location = await redrive({ filter, ratePerSecond: 1 });
    await until('one is sent', () => (takenAt(prefix).length >= 1 ? true : undefined));
    const cancelled = await system.admin('POST', `${location}/cancel`);
    assert.deepEqual([cancelled.status, cancelled.body['state']], [200, 'cancelled']);
    await until('nothing more comes', async () => {
      const before = takenAt(prefix).length;
      await new Promise((resolve) => setTimeout(resolve, 2500));
      return takenAt(prefix).length === before ? true : undefined;
    });
    assert.ok(takenAt(prefix).length <= 3, `${takenAt(prefix).length} were sent`);
    assert.equal((await system.admin('GET', location)).body['state'], 'cancelled');
  });
});

async function valve(isStopped: boolean): Promise<void> {
  const path = `/v1/channel-accounts/${system.accountId}`;
  const { headers, body } = await system.admin('GET', path);
  const { name, connector, settings, ratePerSecond } = body;
  const edit = { name, connector, settings, ratePerSecond, isStopped };
  const etag = headers.get('etag') ?? '';
  assert.equal((await system.admin('PUT', path, edit, { 'if-match': etag })).status, 200);
  await until('the limit is in force', async () => {
    const account = (await system.admin('GET', path)).body;
    return account['limitInForce'] === (isStopped ? 0 : ratePerSecond) || undefined;
  });
}
