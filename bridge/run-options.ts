/** How the run of a message starts, whether the bridge starts it or the sequencer of its ordering key. */
import type { AcceptedMessage } from '../contracts/message.ts';
import type { Names } from '../contracts/topics.ts';
import type { DeliverInput, DeliverMemo } from '../contracts/workflows.ts';
import { deliverRoutes, messageAttributes, runPriority } from '../platform/temporal-client.ts';

/** `fairnessWeight`: the tenant's share where several wait. */
export function runOptions(
  names: Names,
  message: AcceptedMessage,
  {
    isRecalled,
    fairnessWeight,
    before,
  }: {
    readonly isRecalled: boolean;
    readonly fairnessWeight: number;
    readonly before?: DeliverInput['before'] | undefined;
  },
) {
  const { requestHash, acceptedAt } = message;
  const input: DeliverInput = {
    version: 1,
    message,
    redrive: 0,
    routes: deliverRoutes(names, message),
    ...(before !== undefined && { before }),
    ...(isRecalled && { isRecalled: true as const }),
  };
  const memo: DeliverMemo = {
    requestHash,
    acceptedAt,
    redrive: 0,
    ...(isRecalled && { isRecalled: true as const }),
  };
  return {
    taskQueue: names.deliverQueue,
    input,
    memo,
    priority: { ...runPriority(message), fairnessWeight },
    attributes: messageAttributes(message),
  };
}
