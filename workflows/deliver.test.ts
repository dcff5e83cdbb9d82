/** The real workflow on Temporal's time-skipping server: days of retries, holds and receipts in a moment, each ending once. */
import assert from 'node:assert/strict';
import { afterEach, before, describe, it } from 'node:test';
import { TestWorkflowEnvironment } from '@temporalio/testing';
import type { WorkflowBundleWithSourceMap } from '@temporalio/worker';
import type { Snapshot } from '../contracts/result.ts';
import { mayMove, type Status } from '../contracts/status.ts';
import { lookAgainSignal, receiptSignal, type ReceiptSignal } from '../contracts/workflows.ts';
import { searchAttributes } from '../platform/temporal-client.ts';
import { fetchTemporalTestServer } from '../stack/fetch-servers.ts';
import {
  accepted,
  bundleWorkflows,
  dataConverter,
  installQuietRuntime,
  refused,
  rendered,
  startDelivery,
  type Delivery,
  type DeliveryOf,
} from '../tests/delivery-runs.ts';
import { testServers } from '../tests/stack.ts';

const hourMs = 3_600_000;
const dayMs = 24 * hourMs;

let workflowBundle: WorkflowBundleWithSourceMap;
let path: string;
before(async () => {
  installQuietRuntime();
  [workflowBundle, path] = await Promise.all([
    bundleWorkflows(),
    fetchTemporalTestServer({ cacheDir: testServers().cacheDir, onProgress: console.log }),
  ]);
});

let environment: TestWorkflowEnvironment;
let delivery: Delivery | undefined;
/** A clock of its own for each test: on a shared one they would skip each other's time. */
async function deliver(of: Omit<DeliveryOf, 'environment' | 'workflowBundle'>): Promise<Delivery> {
  environment = await TestWorkflowEnvironment.createTimeSkipping({
    server: { executable: { type: 'existing-path', path } },
    client: { dataConverter },
  });
  await environment.connection.operatorService.addSearchAttributes({
    namespace: 'default',
    searchAttributes: Object.fromEntries(
      Object.values(searchAttributes).map(({ name }) => [name, 2]),
    ),
  });
  delivery = await startDelivery({ ...of, environment, workflowBundle });
  return delivery;
}
async function stopAll(): Promise<void> {
  if (delivery === undefined) return;
  await delivery.stop();
  delivery = undefined;
  await environment.teardown();
}
afterEach(stopAll);

/** What holds for every run, however it ends; gives its last snapshot. */
function assertWellTold({ side }: Delivery): Snapshot {
  const { snapshots } = side;
  for (const [index, { sequence }] of snapshots.entries())
    assert.ok(
      index === 0 || sequence > (snapshots[index - 1]?.sequence ?? 0),
      `sequence ${sequence} after ${snapshots[index - 1]?.sequence}`,
    );
  let status: Status = snapshots[0]?.sendAt === undefined ? 'sending' : 'scheduled';
  let attempts = 0;
  for (const snapshot of snapshots) {
    assert.ok(
      snapshot.status === status || mayMove(status, snapshot.status),
      `${status} → ${snapshot.status}`,
    );
    // A cancelled send keeps nothing that its run could count; its attempts have been told.
    assert.ok(
      snapshot.attempts >= attempts || snapshot.status === 'recalled',
      `attempts ${snapshot.attempts} after ${attempts}`,
    );
    ({ status, attempts } = snapshot);
  }
  const made = side.sends.flatMap(({ attempt }) => attempt?.number ?? []);
  assert.deepEqual(
    made,
    made.map((_, index) => index + 1),
    'attempts are numbered over all ways',
  );
  const told = snapshots.flatMap(({ attempt }) => attempt?.number ?? []);
  assert.deepEqual(told, made, 'each attempt is told once');
  const last = snapshots.at(-1);
  assert.ok(last !== undefined);
  if (last.status !== 'recalled')
    assert.equal(last.attempts, side.calls, 'calls are counted over all ways');
  return last;
}
const runStatus = async ({ handle }: Delivery) => (await handle.describe()).status.name;
const statuses = ({ side }: Delivery) => side.snapshots.map(({ status }) => status);

describe('a delivery, its time skipped', () => {
  it('is retried over six days, for as long as it lives, and then is expired', async () => {
    const run = await deliver({
      lifeMs: 6 * dayMs,
      script: { answers: { acc_sms: [{ is: 'transient', delayMs: 6 * hourMs }] } },
    });
    await run.ended();
    const last = assertWellTold(run);
    assert.equal(last.status, 'expired');
    assert.equal(last.attempts, 24);
    assert.equal(await runStatus(run), 'FAILED');
    const first = Date.parse(run.side.snapshots[0]?.updatedAt ?? '');
    const lifeMs = Date.parse(last.updatedAt) - first;
    console.log(`# ${last.attempts} attempts in ${(lifeMs / dayMs).toFixed(2)} skipped days`);
    assert.ok(Math.abs(lifeMs - 6 * dayMs) < 60_000, `${lifeMs} ms`);
  });

  it('waits as long as a throttle says, and spends no attempt on it', async () => {
    const run = await deliver({
      lifeMs: 2 * dayMs,
      script: {
        answers: {
          acc_sms: [
            { is: 'rate-limited', delayMs: 20 * hourMs },
            { is: 'rate-limited', delayMs: 20 * hourMs },
            accepted('p-1'),
          ],
        },
      },
    });
    await run.ended();
    const last = assertWellTold(run);
    assert.deepEqual([last.status, last.attempts, last.providerId], ['sent', 1, 'p-1']);
    const [first] = run.side.snapshots;
    const tookMs = Date.parse(last.updatedAt) - Date.parse(first?.updatedAt ?? '');
    assert.ok(Math.abs(tookMs - 40 * hourMs) < 60_000, `${tookMs} ms`);
    assert.equal(await runStatus(run), 'COMPLETED');
  });

  it('failed: refused for good, at once', async () => {
    const run = await deliver({ script: { answers: { acc_sms: [refused()] } } });
    await run.ended();
    const last = assertWellTold(run);
    assert.deepEqual([last.status, last.reason?.code], ['failed', 'recipient-invalid']);
    assert.equal(await runStatus(run), 'FAILED');
  });

  it('failed or suppressed: render ends it, and nobody is called', async () => {
    for (const status of ['failed', 'suppressed'] as const) {
      const reason = { code: `render-says-${status}` };
      const run = await deliver({
        script: { renders: [{ next: 'end', status, reason }], answers: {} },
      });
      await run.ended();
      const last = assertWellTold(run);
      assert.deepEqual([last.status, last.reason], [status, reason]);
      assert.equal(await runStatus(run), status === 'failed' ? 'FAILED' : 'COMPLETED');
      if (status === 'failed') await stopAll();
    }
  });

  it('expired: its life was over before it was rendered', async () => {
    const run = await deliver({ lifeMs: -1000, script: { answers: { acc_sms: [accepted('p')] } } });
    await run.ended();
    assert.equal(assertWellTold(run).status, 'expired');
    assert.equal(run.side.sends.length, 0);
  });

  it('expired: nobody serves the queue of its account', async () => {
    // The clock of this server stands while an activity waits to be taken: these seconds are real ones.
    const run = await deliver({
      lifeMs: 4000,
      script: { renders: [rendered(1, 1000)], answers: {} },
    });
    await run.ended();
    const last = assertWellTold(run);
    assert.deepEqual([last.status, last.attempts], ['expired', 0]);
    assert.equal(await runStatus(run), 'FAILED');
  });

  it('unknown: in doubt at the end of its life', async () => {
    const run = await deliver({
      script: { answers: { acc_sms: [{ is: 'ambiguous', delayMs: 30 * hourMs }] } },
    });
    await run.ended();
    const last = assertWellTold(run);
    assert.deepEqual([last.status, last.attempts], ['unknown', 1]);
    assert.equal(await runStatus(run), 'FAILED');
  });

  it('recalled: days into its retries, and never called again', async () => {
    const run = await deliver({
      lifeMs: 6 * dayMs,
      script: { answers: { acc_sms: [{ is: 'transient', delayMs: 10 * hourMs }] } },
    });
    await environment.sleep(2 * dayMs + hourMs);
    const { calls } = run.side;
    await run.handle.cancel();
    await run.ended();
    const last = assertWellTold(run);
    assert.equal(last.status, 'recalled');
    assert.deepEqual([calls, run.side.calls], [5, 5]);
    assert.equal(await runStatus(run), 'COMPLETED');
  });

  it('recalled: before its run began, by render, or by send before any call', async () => {
    const reason = { code: 'recalled-by-batch' };
    const answers = { acc_sms: [{ is: 'recalled' } as const] };
    for (const of of [
      { isRecalled: true as const, script: { answers } },
      {
        script: {
          renders: [{ next: 'end' as const, status: 'recalled' as const, reason }],
          answers,
        },
      },
      { script: { answers } },
    ]) {
      const run = await deliver(of);
      await run.ended();
      assert.equal(assertWellTold(run).status, 'recalled');
      assert.equal(run.side.calls, 0);
      assert.equal(await runStatus(run), 'COMPLETED');
      await stopAll();
    }
  });

  it('held until a time, then sent; its life stood still meanwhile', async () => {
    const environmentNow = Date.now();
    const until = new Date(environmentNow + 10 * hourMs).toISOString();
    const run = await deliver({
      lifeMs: hourMs,
      script: {
        renders: [{ next: 'hold', until, reason: { code: 'quiet-hours' } }, rendered()],
        answers: { acc_sms: [{ is: 'transient', delayMs: hourMs / 2 }, accepted('p')] },
      },
    });
    await run.ended();
    const last = assertWellTold(run);
    assert.deepEqual(statuses(run), ['held', 'sending', 'retrying', 'sent']);
    assert.equal(run.side.snapshots[0]?.nextAttemptAt, until);
    const lengthenedMs = Date.parse(last.expiresAt) - Date.parse(last.acceptedAt) - hourMs;
    assert.ok(Math.abs(lengthenedMs - 10 * hourMs) < 60_000, `${lengthenedMs} ms longer`);
  });

  it('held without end: it waits days, and goes on when it is told to look again', async () => {
    const hold = { next: 'hold', reason: { code: 'paused' } } as const;
    const run = await deliver({
      lifeMs: hourMs,
      script: { renders: [hold], answers: { acc_sms: [accepted('p')] } },
    });
    await environment.sleep(3 * dayMs);
    assert.deepEqual(statuses(run), ['held'], 'told once, however often it looked');
    assert.ok(run.side.renders.length > 200, 'it looks by itself, too');
    run.side.script.renders = [rendered(2)];
    await run.handle.signal(lookAgainSignal);
    await run.ended();
    assert.deepEqual(statuses(run), ['held', 'sending', 'sent']);
    assert.equal(assertWellTold(run).templateVersion, 2);
  });

  it('paused when it is about to be sent: held, then sent with the newest template', async () => {
    const run = await deliver({
      script: {
        renders: [rendered(1), { next: 'hold', reason: { code: 'paused' } }, rendered(7)],
        answers: { acc_sms: [{ is: 'paused' }, accepted('p')] },
      },
    });
    await run.ended();
    const last = assertWellTold(run);
    assert.deepEqual([last.status, last.templateVersion, last.attempts], ['sent', 7, 1]);
    assert.deepEqual(
      run.side.sends.map(({ input }) => input.templateVersion),
      [7],
    );
  });
});

describe('a delivery with several ways', () => {
  const pushThenSms = [
    ['push-apns', 'acc_push'],
    ['sms-aliyun', 'acc_sms'],
  ] as const;

  it('goes to the next channel when one refuses; attempts are counted over both', async () => {
    const run = await deliver({
      ways: pushThenSms,
      script: {
        answers: {
          acc_push: [{ is: 'transient', delayMs: 1000 }, refused()],
          acc_sms: [{ is: 'transient', delayMs: 2000 }, accepted('p-sms')],
        },
      },
    });
    await run.ended();
    const last = assertWellTold(run);
    assert.deepEqual(
      [last.status, last.connector, last.providerId, last.attempts],
      ['sent', 'sms-aliyun', 'p-sms', 4],
    );
  });

  it('fails when all of them fail', async () => {
    const run = await deliver({
      ways: pushThenSms,
      script: { answers: { acc_push: [refused()], acc_sms: [refused('recipient-refused')] } },
    });
    await run.ended();
    const last = assertWellTold(run);
    assert.deepEqual([last.status, last.reason?.code], ['failed', 'recipient-refused']);
    assert.equal(last.attempts, 2);
  });

  it('skips a way that render rules out', async () => {
    const reason = { code: 'opted-out' };
    const run = await deliver({
      ways: pushThenSms,
      script: {
        renders: [{ next: 'skip', status: 'suppressed', reason }, rendered()],
        answers: { acc_sms: [accepted('p-sms')] },
      },
    });
    await run.ended();
    assert.equal(assertWellTold(run).status, 'sent');
  });

  const fallbackAfter = 6 * 3600;

  it('sends again through the next channel when no receipt comes', async () => {
    const run = await deliver({
      ways: pushThenSms,
      message: { fallbackAfter },
      script: { answers: { acc_push: [accepted('p-push')], acc_sms: [accepted('p-sms')] } },
    });
    await run.ended();
    const last = assertWellTold(run);
    assert.deepEqual([last.status, last.connector, last.attempts], ['sent', 'sms-aliyun', 2]);
    const [first] = run.side.sends;
    const waitedMs = Date.parse(last.updatedAt) - Date.parse(first?.attempt?.startedAt ?? '');
    assert.ok(Math.abs(waitedMs - fallbackAfter * 1000) < 60_000, `${waitedMs} ms`);
  });

  it('is sent, by the first channel, when the second fails after a missing receipt', async () => {
    const run = await deliver({
      ways: pushThenSms,
      message: { fallbackAfter },
      script: { answers: { acc_push: [accepted('p-push')], acc_sms: [refused()] } },
    });
    await run.ended();
    const last = assertWellTold(run);
    assert.deepEqual(
      [last.status, last.connector, last.providerId, last.attempts],
      ['sent', 'push-apns', 'p-push', 2],
    );
    assert.equal(await runStatus(run), 'COMPLETED');
  });

  const hear = async (run: Delivery, news: ReceiptSignal) => {
    await environment.sleep(hourMs);
    await run.handle.signal(receiptSignal, news);
    await run.ended();
    return assertWellTold(run);
  };

  it('ends as delivered or read with its receipt, and calls nobody else', async () => {
    for (const status of ['delivered', 'read'] as const) {
      const run = await deliver({
        ways: pushThenSms,
        message: { fallbackAfter },
        script: { answers: { acc_push: [accepted('p-push')], acc_sms: [accepted('p-sms')] } },
      });
      const last = await hear(run, { accountId: 'acc_push', status });
      assert.deepEqual([last.status, last.attempts], [status, 1]);
      await stopAll();
    }
  });

  it('goes on at once when the receipt says failed', async () => {
    const run = await deliver({
      ways: pushThenSms,
      message: { fallbackAfter },
      script: { answers: { acc_push: [accepted('p-push')], acc_sms: [accepted('p-sms')] } },
    });
    const last = await hear(run, { accountId: 'acc_push', status: 'failed', code: 'bounced' });
    assert.deepEqual([last.status, last.connector, last.attempts], ['sent', 'sms-aliyun', 2]);
    const livedMs = Date.parse(last.updatedAt) - Date.parse(last.acceptedAt);
    assert.ok(livedMs < 2 * hourMs, `${livedMs} ms`);
  });

  it('is delivered when the first receipt comes while the second channel is retried', async () => {
    const run = await deliver({
      ways: pushThenSms,
      message: { fallbackAfter },
      script: {
        answers: {
          acc_push: [accepted('p-push')],
          acc_sms: [{ is: 'transient', delayMs: 4 * hourMs }, accepted('p-sms')],
        },
      },
    });
    await environment.sleep(8 * hourMs);
    assert.equal(statuses(run).at(-1), 'retrying');
    const last = await hear(run, { accountId: 'acc_push', status: 'delivered' });
    assert.equal(last.status, 'delivered');
  });

  it('is sent when it is recalled while its receipt is waited for', async () => {
    const run = await deliver({
      ways: pushThenSms,
      message: { fallbackAfter },
      script: { answers: { acc_push: [accepted('p-push')], acc_sms: [accepted('p-sms')] } },
    });
    await environment.sleep(hourMs);
    await run.handle.cancel();
    await run.ended();
    const last = assertWellTold(run);
    assert.deepEqual([last.status, last.connector, last.attempts], ['sent', 'push-apns', 1]);
  });

  const twoOfSms = [
    ['sms-aliyun', 'acc_a'],
    ['sms-aliyun', 'acc_b'],
  ] as const;

  it('takes a stand-in account when its own is at fault', async () => {
    const run = await deliver({
      ways: twoOfSms,
      script: { answers: { acc_a: [{ is: 'account-at-fault' }], acc_b: [accepted('p-b')] } },
    });
    await run.ended();
    const last = assertWellTold(run);
    assert.deepEqual([last.status, last.accountId, last.attempts], ['sent', 'acc_b', 1]);
    assert.deepEqual(
      run.side.sends.map(({ input }) => input.hasStandIn),
      [false],
    );
  });

  it('does not send through another account what the recipient refused', async () => {
    const run = await deliver({
      ways: twoOfSms,
      script: { answers: { acc_a: [refused()], acc_b: [accepted('p-b')] } },
    });
    await run.ended();
    assert.equal(assertWellTold(run).status, 'failed');
    assert.equal(run.side.calls, 1);
  });
});
