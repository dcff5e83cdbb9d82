/** What nobody may do to a workflow that has open runs: a step more, without `patched()`. The replay must catch it. */
import { sleep } from '@temporalio/workflow';
import type { DeliverInput, DeliverResult } from '../../contracts/workflows.ts';
import { deliver as deliverBefore } from '../../workflows/deliver.ts';

export async function deliver(input: DeliverInput): Promise<DeliverResult> {
  const result = await deliverBefore(input);
  await sleep(1000);
  return result;
}
