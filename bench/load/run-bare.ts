/** Limit: starts bare runs, eager, and serves their workflow, as the bridge does in one process. */
import { fileURLToPath } from 'node:url';
import { Worker, type InjectedSinks } from '@temporalio/worker';
import type { AcceptedMessage } from '../../contracts/message.ts';
import { createLatencies, type Percentiles, type Point } from '../measure/latencies.ts';
import { messageAttributes, runPriority } from '../../platform/temporal-client.ts';
import { connectBare, type BareLinkOptions } from './bare-link.ts';
import { serveLoad } from './serve.ts';

export interface RunBareOptions extends BareLinkOptions {
  readonly queue: string;
  readonly sendQueue: string;
  /** JSON: what every run carries. */
  readonly payload: string;
  readonly runs: number;
  readonly warmUp: number;
  /** Runs open at once. */
  readonly open: number;
}

export interface RunBareResult {
  readonly runs: number;
  readonly seconds: number;
  readonly latency: Percentiles;
  readonly points: readonly Point[];
}

type Labelled = Pick<
  AcceptedMessage,
  'tenantId' | 'channel' | 'accountId' | 'template' | 'priority'
>;

serveLoad<{ options: RunBareOptions; result: RunBareResult }>(async (options, begin) => {
  const { queue, sendQueue, runs, warmUp, open } = options;
  const { connection, client, namespace, dataConverter } = await connectBare(options);
  const waiting = new Map<string, () => void>();
  const sinks: InjectedSinks<{ bare: { done(): void } }> = {
    bare: {
      done: { fn: ({ workflowId }) => waiting.get(workflowId)?.(), callDuringReplay: false },
    },
  };
  const worker = await Worker.create({
    connection,
    namespace,
    dataConverter,
    sinks,
    taskQueue: queue,
    workflowsPath: fileURLToPath(new URL('./bare-workflow.ts', import.meta.url)),
    maxConcurrentWorkflowTaskExecutions: 16,
    maxConcurrentWorkflowTaskPolls: 4,
  });
  const running = worker.run();
  const payload = JSON.parse(options.payload) as Labelled;
  const labels = {
    priority: runPriority(payload),
    typedSearchAttributes: messageAttributes(payload),
  };

  const runOne = async (workflowId: string) => {
    const done = new Promise<void>((resolve) => waiting.set(workflowId, resolve));
    await client.workflow.start('bare', {
      workflowId,
      taskQueue: queue,
      args: [{ payload, sendQueue }],
      requestEagerStart: true,
      ...labels,
    });
    await done;
    waiting.delete(workflowId);
  };
  const runAll = async (from: number, to: number) => {
    const latencies = createLatencies();
    const startedAt = performance.now();
    let next = from;
    const loop = async () => {
      while (next < to) {
        const begunAt = performance.now();
        await runOne(`${queue}-${next++}`);
        const now = performance.now();
        latencies.add(now - startedAt, now - begunAt);
      }
    };
    await Promise.all(Array.from({ length: open }, loop));
    const seconds = (performance.now() - startedAt) / 1000;
    return { runs: to - from, seconds, latency: latencies.all, points: latencies.points };
  };
  await runAll(0, warmUp);
  await begin();
  const result = await runAll(warmUp, warmUp + runs);
  // Its last tasks are answered, so that every run has closed.
  worker.shutdown();
  await running;
  return result;
});
