/** Limit: serves the activity of the bare runs, which does nothing, with the settings of an account's worker. */
import { Worker } from '@temporalio/worker';
import { connectBare, type BareLinkOptions } from './bare-link.ts';
import { serveLoad } from './serve.ts';

export interface ServeBareOptions extends BareLinkOptions {
  readonly sendQueue: string;
}

serveLoad<{ options: ServeBareOptions; result: null }>(async (options, begin) => {
  const { connection, namespace, dataConverter } = await connectBare(options);
  const worker = await Worker.create({
    connection,
    namespace,
    dataConverter,
    taskQueue: options.sendQueue,
    activities: { send: async () => {} },
    maxConcurrentActivityTaskExecutions: 50,
    activityTaskPollerBehavior: { type: 'autoscaling', minimum: 1, initial: 2, maximum: 10 },
  });
  const running = worker.run();
  await begin();
  // Serves until it is killed.
  await running;
  return null;
});
