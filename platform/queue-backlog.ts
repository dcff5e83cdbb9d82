/** How much waits in a Temporal task queue of activities, by priority. */
import proto from '@temporalio/proto';
import type { Client } from '@temporalio/client';
import { priorities, priorityKeys, type Priority } from '../contracts/topics.ts';

const { TaskQueueType } = proto.temporal.api.enums.v1;

export type Counts = Record<Priority, number>;

export const noCounts = (): Counts => ({ critical: 0, normal: 0, bulk: 0 });

/** About how many tasks wait in an activity queue, as the server counts them. Errors: Temporal does not answer. */
export async function backlogOf(
  { client, namespace }: { readonly client: Client; readonly namespace: string },
  taskQueue: string,
): Promise<Counts> {
  const { statsByPriorityKey } = await client.workflowService.describeTaskQueue({
    namespace,
    taskQueue: { name: taskQueue },
    taskQueueType: TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY,
    reportStats: true,
  });
  const counts = noCounts();
  for (const priority of priorities)
    counts[priority] = Number(
      statsByPriorityKey?.[priorityKeys[priority]]?.approximateBacklogCount ?? 0,
    );
  return counts;
}

/** How many of them are served no later than this priority. */
export function atLeastAsUrgent(counts: Counts, priority: Priority): number {
  return priorities
    .filter((other) => priorityKeys[other] <= priorityKeys[priority])
    .reduce((sum, other) => sum + counts[other], 0);
}
