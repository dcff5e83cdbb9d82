/** The same step more as in `incompatible.ts`, as it has to be done: only runs that come to it anew take it. */
import { patched, sleep } from '@temporalio/workflow';
import type { DeliverInput, DeliverResult } from '../../contracts/workflows.ts';
import { deliver as deliverBefore } from '../../workflows/deliver.ts';

export async function deliver(input: DeliverInput): Promise<DeliverResult> {
  const result = await deliverBefore(input);
  if (patched('a-step-more')) await sleep(1000);
  return result;
}
