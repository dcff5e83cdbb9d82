/**
 * A batch ends exact: each recipient once, whoever dies meanwhile; what a recall kept back is told as recalled. 10,000 recipients,
 * with MC_BIG=true 100,000.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { deliverChunkWorkflow } from '../../contracts/chunk-activities.ts';
import { deliverWorkflow } from '../../contracts/workflows.ts';
import { pause } from '../../platform/lifecycle.ts';
import { until } from '../stack.ts';
import { startSystem } from '../system.ts';

const total = process.env['MC_BIG'] === 'true' ? 100_000 : 10_000;
const minuteMs = 60_000;
const mostMs = total > 10_000 ? 25 * minuteMs : 4 * minuteMs;
const ratePerSecond = 1000;

const system = await startSystem({
  ratePerSecond,
  env: { MC_INVISIBLE_SECONDS: '10' },
  sandbox: { smsAliyun: { settings: { windows: null, receiptsPaused: true } } },
});
const { smsAliyun } = system.sandbox;
const { device, accepted, faults } = smsAliyun;
const base = `http://127.0.0.1:${system.config.ingestPort}`;
const authorization = `Bearer ${system.key}`;

/** A draft with these recipients, of whom so many are not good. */
async function upload(request: object, lines: readonly string[], bad = 0): Promise<string> {
  const draft = await system.call('POST', '/v1/batches', { template: 'order-shipped', ...request });
  assert.equal(draft.status, 201, JSON.stringify(draft.body));
  const id = String(draft.body['id']);
  const answer = await fetch(`${base}/v1/batches/${id}/recipients`, {
    method: 'PUT',
    headers: { authorization, 'content-type': 'text/csv' },
    body: `phone,orderId\r\n${lines.join('\r\n')}\r\n`,
  });
  const batch = (await answer.json()) as Record<string, unknown>;
  assert.equal(answer.status, 200, JSON.stringify(batch));
  assert.deepEqual(
    [batch['state'], batch['total'], batch['faults']],
    ['ready', lines.length - bad, bad],
  );
  return id;
}
const start = async (id: string, how = {}) =>
  assert.equal((await system.call('POST', `/v1/batches/${id}/start`, how)).status, 200);
const batch = async (id: string) => (await system.call('GET', `/v1/batches/${id}`)).body;
const results = async (id: string) => {
  const answer = await fetch(`${base}/v1/batches/${id}/results?format=ndjson`, {
    headers: { authorization },
  });
  return (await answer.text())
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as { line: number; id?: string; status: string });
};
const untilState = (id: string, state: string, timeoutMs: number) => {
  let seen: unknown;
  return until(
    `${id} is ${state}`,
    async () => {
      const now = await batch(id);
      seen = now;
      return now['state'] === state ? now : undefined;
    },
    { timeoutMs, everyMs: 500, seen: () => seen },
  );
};

const runsOf = async (type: string) =>
  (
    await system.temporal.client.workflow.count(
      `WorkflowType = '${type}' AND McAccount = '${system.accountId}'`,
    )
  ).count;

/** Lines of the file that are no recipients. */
const faulty = new Set([2999, 3000, 7001]);
/** Whose number the provider knows as wrong, or wants nothing sent to. */
const refused = new Map([
  [1234, '19999990101'],
  [5678, '19999990102'],
]);
/** Who gets nothing through the call of their chunk, and must go alone. */
const throttled = [2345, 8765];
const suppressed = [50, 4321, 9999];
const phoneOf = (place: number) =>
  faulty.has(place)
    ? `nobody-${place}`
    : (refused.get(place) ?? `150${String(place).padStart(8, '0')}`);

describe('a batch', () => {
  it('reaches each recipient once, by the hundred, through kills of those who hand over and send', async (t) => {
    const places = Array.from({ length: total + faulty.size }, (_, place) => place);
    const good = places.filter((place) => !faulty.has(place));
    for (const place of suppressed)
      assert.equal(
        (
          await system.call('PUT', '/v1/suppressions', {
            to: { phone: phoneOf(place) },
            reason: 'complaint',
          })
        ).status,
        200,
      );
    for (const place of throttled) {
      const to = phoneOf(place);
      faults.add({
        kind: 'error',
        status: 400,
        code: 'isv.BUSINESS_LIMIT_CONTROL',
        message: '触发分钟级流控Permits:1',
        action: 'SendBatchSms',
        to,
      });
      // In a call by itself, too, the first time.
      faults.add({
        kind: 'error',
        status: 400,
        code: 'isp.SYSTEM_ERROR',
        action: 'SendSms',
        to,
        nextCalls: 1,
      });
    }
    const lines = places.map((place) => `${phoneOf(place)},B-${place}`);
    const begunAt = performance.now();
    const secondsSince = (from: number) => ((performance.now() - from) / 1000).toFixed(1);
    const id = await upload({}, lines, faulty.size);
    t.diagnostic(`${lines.length} lines uploaded in ${secondsSince(begunAt)} s`);

    const startedAt = performance.now();
    await start(id, { allowFaults: true });
    await until(
      'some are handed over',
      async () => Number((await batch(id))['published']) >= total / 10 || undefined,
      { everyMs: 20, timeoutMs: mostMs },
    );
    await system.services.jobs.kill();
    const { published } = await batch(id);
    t.diagnostic(`jobs killed when ${String(published)} of ${total} were handed over`);
    assert.ok(Number(published) < total, 'killed too late to prove anything');
    await until('some are sent', () => accepted.total() >= total / 4 || undefined, {
      everyMs: 20,
      timeoutMs: mostMs,
    });
    // The provider takes it and the answer hangs: the worker dies inside the call.
    faults.add({ kind: 'accept-then-hang', action: 'SendBatchSms', nextCalls: 1 });
    await until('the call hangs', () => faults.played()['accept-then-hang'] ?? undefined, {
      everyMs: 10,
    });
    await system.services.worker.kill();
    t.diagnostic(`worker killed in a call when ${accepted.total()} were taken`);

    const done = await untilState(id, 'done', mostMs);
    const expected = total - refused.size - suppressed.length;
    const seconds = secondsSince(startedAt);
    const [chunks, singles] = [await runsOf(deliverChunkWorkflow), await runsOf(deliverWorkflow)];
    t.diagnostic(
      `${total} messages in ${chunks} chunks and ${singles} runs of their own, done in ${seconds} s: ${Math.round(total / Number(seconds))}/s with both kills`,
    );
    assert.deepEqual(device.repeated('phone'), [], 'nobody has it twice');
    assert.equal(device.distinct('phone'), expected);
    assert.deepEqual(done['messages'], {
      sent: expected,
      failed: refused.size,
      suppressed: suppressed.length,
    });
    assert.equal(done['published'], total);
    assert.equal(chunks, total / 100, 'the repeat of a block is the same chunk');
    assert.ok(singles >= throttled.length && singles < total / 10, `${singles} went alone`);

    const rows = await results(id);
    assert.deepEqual(
      rows.map(({ line }) => line),
      good.map((place) => place + 2),
    );
    const ends = new Map(rows.map(({ line, status }) => [line - 2, status]));
    const placesWith = (wanted: string) => good.filter((place) => ends.get(place) === wanted);
    assert.deepEqual(placesWith('failed'), [...refused.keys()]);
    assert.deepEqual(placesWith('suppressed'), suppressed);
    assert.equal(placesWith('sent').length, expected);
    assert.equal(new Set(rows.map((row) => row.id)).size, total);
    const { body } = await system.call('GET', `/v1/messages/${rows[0]?.id}`);
    assert.deepEqual([body['status'], body['batch']], ['sent', id]);
    assert.equal(device.count('phone', phoneOf(0)), 1);
  });

  for (const { how, pace, count, prefix } of [
    { how: 'one by one', pace: 10, count: 200, prefix: '151' },
    { how: 'by the hundred', pace: 100, count: 3000, prefix: '152' },
  ])
    it(`${how} it goes at its pace, waits while it is paused, and a recall ends it: every line is told`, async () => {
      const phones = Array.from(
        { length: count },
        (_, at) => `${prefix}${String(at).padStart(8, '0')}`,
      );
      const sentNow = () => phones.filter((phone) => device.count('phone', phone) > 0).length;
      const untilMore = (than: number) =>
        until(`more than ${than} are sent`, () => sentNow() > than || undefined);
      const runsBefore = await runsOf(deliverChunkWorkflow);
      const id = await upload(
        { ratePerSecond: pace },
        phones.map((phone, at) => `${phone},R-${at}`),
      );
      const before = performance.now();
      await start(id);
      await untilMore(0);
      assert.equal((await system.call('POST', `/v1/batches/${id}/pause`)).status, 200);
      assert.equal((await batch(id))['state'], 'paused');
      // Calls that were under way may still end.
      await pause(1000);
      const held = sentNow();
      await pause(1500);
      assert.equal(sentNow(), held, 'nothing is sent while it is paused');
      assert.equal((await system.call('POST', `/v1/batches/${id}/resume`)).status, 200);
      assert.equal((await batch(id))['state'], 'running');
      await untilMore(held);
      const recalled = await system.call('POST', `/v1/batches/${id}/recall`);
      assert.equal(recalled.status, 200, JSON.stringify(recalled.body));
      const seconds = Math.ceil((performance.now() - before) / 1000);
      assert.equal((await batch(id))['state'], 'stopped');
      const rows = await until(
        'every message has ended',
        async () => {
          const found = await results(id);
          return found.every(({ status }) => ['sent', 'recalled'].includes(status))
            ? found
            : undefined;
        },
        { timeoutMs: 120_000, everyMs: 500 },
      );
      assert.equal(rows.length, phones.length);
      const sent = rows.filter(({ status }) => status === 'sent');
      assert.equal(sent.length, sentNow());
      // Its pace, and a second's worth at once.
      assert.ok(sent.length <= pace * (seconds + 1), `${sent.length} sent in ${seconds} s`);
      const kept = rows.filter((row) => row.id === undefined);
      assert.ok(kept.length > 0 && kept.every(({ status }) => status === 'recalled'));
      assert.equal((await runsOf(deliverChunkWorkflow)) > runsBefore, pace >= 100);
      assert.equal(
        (await system.call('POST', `/v1/batches/${id}/start`, {})).body['state'],
        'stopped',
      );
    });
});
