/** Several processes behind one port: a first one that keeps the others running, and they that do the work. */
import cluster, { type Worker } from 'node:cluster';
import { once } from 'node:events';
import { AggregatorRegistry } from 'prom-client';
import { runProcess, type Lifecycle } from './lifecycle.ts';
import { answerOthers, type Answers } from './first-process.ts';
import type { Logger } from './logger.ts';

export interface PerCoreOptions {
  readonly logger: Logger;
  /** How many do the work. With 1 there is no other process than this. */
  readonly processes: number;
  /** What the first process is asked for by the others. */
  readonly answers: Answers;
}

const restartAfterMs = 1000;
/** A worker ends itself within 28 s of being told to. */
const killAfterMs = 29_000;

/**
 * Runs `start` as `runProcess` does, in several processes. They share the ports they listen on; callers
 * are dealt out connection by connection. One that ends is started again; when the first one dies, so do all.
 */
export async function runPerCore(
  { logger, processes, answers }: PerCoreOptions,
  start: (life: Lifecycle) => Promise<void>,
): Promise<void> {
  if (processes === 1 || cluster.isWorker) return runProcess(logger, start);
  await runProcess(logger, async (life) => {
    const registry = new AggregatorRegistry();
    // Whoever of them is asked for metrics answers with those of all.
    answerOthers({ ...answers, metrics: () => registry.clusterMetrics() }, logger);
    let isStopping = false;
    cluster.on('exit', ({ process: { pid } }: Worker, code, signal) => {
      if (isStopping) return;
      logger.error({ pid, code, signal }, 'process.ended; it is started again');
      setTimeout(() => isStopping || cluster.fork(), restartAfterMs);
    });
    life.add('processes', async () => {
      isStopping = true;
      await Promise.all(Object.values(cluster.workers ?? {}).map(stopWorker));
    });
    for (let started = 0; started < processes; started++) cluster.fork();
  });
}

async function stopWorker(worker: Worker | undefined): Promise<void> {
  if (worker === undefined || worker.isDead()) return;
  const exited = once(worker, 'exit');
  worker.process.kill('SIGTERM');
  const timer = setTimeout(() => worker.process.kill('SIGKILL'), killAfterMs);
  await exited;
  clearTimeout(timer);
}
