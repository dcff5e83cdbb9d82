/** The least that a durable delivery can be: one activity on another queue, and its input. Runs in the workflow sandbox. */
import { proxyActivities, proxySinks } from '@temporalio/workflow';

interface Input {
  /** What a delivery's run carries too, sealed by the same codec. */
  readonly payload: unknown;
  readonly sendQueue: string;
}

const { bare: told } = proxySinks<{ bare: { done(): void } }>();

/** Runs the activity once. */
export async function bare({ payload, sendQueue }: Input): Promise<void> {
  const { send } = proxyActivities<{ send(payload: unknown): Promise<void> }>({
    taskQueue: sendQueue,
    startToCloseTimeout: '30 seconds',
  });
  await send(payload);
  told.done();
}
