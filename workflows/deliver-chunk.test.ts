/** The real workflow of a chunk on Temporal's time-skipping server: every member ends once, or goes on alone once. */
import assert from 'node:assert/strict';
import { afterEach, before, describe, it } from 'node:test';
import { ApplicationFailure } from '@temporalio/common';
import { Context } from '@temporalio/activity';
import { TestWorkflowEnvironment } from '@temporalio/testing';
import { Worker, type WorkflowBundleWithSourceMap } from '@temporalio/worker';
import { paused, recalled } from '../contracts/activities.ts';
import {
  deliverChunkWorkflow,
  type AloneMember,
  type ChunkReport,
  type DeliverChunkInput,
  type DeliverChunkResult,
  type MemberEnd,
  type RenderChunkResult,
} from '../contracts/chunk-activities.ts';
import { toChunk } from '../platform/publish-chunk.ts';
import { fetchTemporalTestServer } from '../stack/fetch-servers.ts';
import { bundleWorkflows, dataConverter, installQuietRuntime } from '../tests/delivery-runs.ts';
import { sampleAccepted } from '../tests/message-samples.ts';
import { testServers, until } from '../tests/stack.ts';

const hourMs = 3_600_000;

let workflowBundle: WorkflowBundleWithSourceMap;
let path: string;
before(async () => {
  installQuietRuntime();
  [workflowBundle, path] = await Promise.all([
    bundleWorkflows(),
    fetchTemporalTestServer({ cacheDir: testServers().cacheDir, onProgress: console.log }),
  ]);
});

let stop: (() => Promise<void>) | undefined;
afterEach(async () => {
  await stop?.();
  stop = undefined;
});

interface Ran {
  readonly result: DeliverChunkResult;
  readonly reported: readonly MemberEnd[];
  readonly alone: readonly AloneMember[];
  readonly sends: number;
}

/** What one attempt of the batch call comes to. */
type Answer = (attempt: number) => ChunkReport;
const report = (more: Partial<ChunkReport> = {}): ChunkReport => ({
  attempts: 1,
  told: 0,
  ended: [],
  alone: [],
  ...more,
});
const sent = (place: number): MemberEnd => ({ place, status: 'sent', providerId: `p-${place}` });
const failure = (
  type: string,
  said: ChunkReport,
  more: { nonRetryable?: boolean; nextRetryDelay?: number } = {},
) => ApplicationFailure.create({ message: type, type, details: [said], ...more });

/** Runs a chunk of four members. `cancelled`: recalled by its batch while it waits. */
async function run(of: {
  readonly answer: Answer;
  readonly rendered?: Partial<RenderChunkResult>;
  readonly isCancelled?: true;
}): Promise<Ran> {
  const environment = await TestWorkflowEnvironment.createTimeSkipping({
    server: { executable: { type: 'existing-path', path } },
    client: { dataConverter },
  });
  const nowMs = await environment.currentTimeMs();
  const times = {
    acceptedAt: new Date(nowMs).toISOString(),
    expiresAt: new Date(nowMs + 24 * hourMs).toISOString(),
  };
  const chunk = toChunk(
    `chk_${'0'.repeat(26)}`,
    Array.from({ length: 4 }, () => sampleAccepted({ ...times, priority: 'bulk', kind: 'notice' })),
  );
  const reported: MemberEnd[] = [];
  const alone: AloneMember[] = [];
  let sends = 0;
  const common = { connection: environment.nativeConnection, namespace: 'default', dataConverter };
  const workers = await Promise.all([
    Worker.create({
      ...common,
      taskQueue: 'chunks',
      workflowBundle,
      activities: {
        renderChunk: async (): Promise<RenderChunkResult> => ({
          open: [0, 1, 2, 3],
          ended: [],
          alone: [],
          templateVersion: 7,
          attemptTimeoutMs: 20_000,
          ...of.rendered,
        }),
        reportChunk: async ({ ended }: { ended: readonly MemberEnd[] }) =>
          void reported.push(...ended),
        goAlone: async (input: { alone: readonly AloneMember[] }) =>
          void alone.push(...input.alone),
      },
    }),
    Worker.create({
      ...common,
      taskQueue: 'send',
      activities: {
        sendChunk: async () => {
          sends += 1;
          return of.answer(Context.current().info.attempt);
        },
      },
    }),
  ]);
  const running = Promise.all(workers.map((worker) => worker.run()));
  stop = async () => {
    for (const worker of workers) worker.shutdown();
    await running;
    await environment.teardown();
  };
  const input: DeliverChunkInput = { version: 1, chunk, sendQueue: 'send' };
  const handle = await environment.client.workflow.start(deliverChunkWorkflow, {
    workflowId: chunk.id,
    taskQueue: 'chunks',
    args: [input],
    // Without one the clock that skips jumps ten years once nothing else is due.
    workflowExecutionTimeout: '30 days',
  });
  if (of.isCancelled) {
    await until('it was tried', () => sends > 0 || undefined, { everyMs: 20 });
    await handle.cancel();
  }
  const result = (await handle.result()) as DeliverChunkResult;
  const places = [...reported, ...alone].map(({ place }) => place).toSorted((a, b) => a - b);
  assert.deepEqual(places, [0, 1, 2, 3], 'each member ends once, or goes on alone once');
  return { result, reported, alone, sends };
}

describe('a chunk, its time skipped', () => {
  it('sends, reports, and lets go alone who cannot go by the call', async () => {
    const { result, alone } = await run({
      rendered: {
        open: [0, 1],
        ended: [{ place: 2, status: 'suppressed', reason: { code: 'suppressed' } }],
        alone: [{ place: 3, attempts: 0, told: 0 }],
      },
      answer: () => report({ ended: [sent(0)], alone: [{ place: 1, attempts: 1, told: 1 }] }),
    });
    assert.deepEqual(result, { ended: { suppressed: 1, sent: 1 }, alone: 2 });
    assert.deepEqual(
      alone.map(({ place, told }) => [place, told]),
      [
        [3, 0],
        [1, 1],
      ],
    );
  });

  it('is retried whole for as long as it lives, and then its members are expired', async () => {
    const { result, reported, sends } = await run({
      answer: () => {
        throw failure('transient', report({ reason: { code: 'transient' } }), {
          nextRetryDelay: 10 * hourMs,
        });
      },
    });
    assert.deepEqual(result.ended, { expired: 4 });
    assert.equal(sends, 3);
    assert.equal(reported[0]?.attempts, 1);
  });

  it('what ended before it gave up keeps its end; the others are told why', async () => {
    const { result } = await run({
      answer: () => {
        const said = report({ ended: [sent(0)], reason: { code: recalled } });
        throw failure(recalled, said, { nonRetryable: true });
      },
    });
    assert.deepEqual(result.ended, { sent: 1, recalled: 3 });
  });

  it('a doubt at the end is unknown, never expired', async () => {
    const { result } = await run({
      answer: () => {
        const said = report({ ended: [sent(0)], isInDoubt: true, reason: { code: 'unknown' } });
        throw failure('expired', said, { nonRetryable: true });
      },
    });
    assert.deepEqual(result.ended, { sent: 1, unknown: 3 });
  });

  it('a pause before any call holds each member in a run of its own', async () => {
    const { result, alone } = await run({
      answer: () => {
        throw failure(paused, report({ attempts: 0 }), { nonRetryable: true });
      },
    });
    assert.deepEqual(result, { ended: {}, alone: 4 });
    assert.ok(alone.every(({ attempts, told }) => attempts === 0 && told === 0));
  });

  it('cancelled between two attempts, its members are recalled', async () => {
    const { result, sends } = await run({
      isCancelled: true,
      answer: () => {
        throw failure('transient', report(), { nextRetryDelay: 10 * hourMs });
      },
    });
    assert.deepEqual(result.ended, { recalled: 4 });
    assert.equal(sends, 1);
  });
});
