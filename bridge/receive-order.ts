/** Stage 2 of messages with an ordering key: from the FIFO topic into the key's sequencer, in the order of their acceptance. */
import { WithStartWorkflowOperation, WorkflowUpdateFailedError } from '@temporalio/client';
import { ApplicationFailure, ApplicationFailureCategory, type Workflow } from '@temporalio/common';
import type { AcceptedMessage } from '../contracts/message.ts';
import {
  enqueueUpdate,
  queueFull,
  sequenceWorkflow,
  type OrderedRun,
  type SequenceActivities,
  type SequenceInput,
} from '../contracts/sequence.ts';
import type { DeliverMemo } from '../contracts/workflows.ts';
import { pause } from '../platform/lifecycle.ts';
import type { Metrics } from '../platform/metrics.ts';
import { sequencerId } from '../platform/ordering-group.ts';
import type { Delivery, Receiver } from '../platform/queue.ts';
import { searchAttributes } from '../platform/temporal-client.ts';
import type { Pace } from './pace.ts';
import { park } from './park.ts';
import { runOptions } from './run-options.ts';
import { readMessage, settleRepeat, startDeadlineMs, type StartDeps } from './start-workflow.ts';

export interface ReceiveOrderDeps {
  readonly receiver: Receiver;
  readonly start: StartDeps;
  readonly pace: Pick<Pace, 'isHealthy' | 'reportFailure'>;
  /** Whether the stops cannot be read: nothing is taken then. */
  readonly isBlind: () => boolean;
  readonly metrics: Metrics;
}

/** RocketMQ's proxy gives at most this many in one receive. */
const mostInReceive = 32;
const loopCount = 4;
const idleMs = 200;
const retryAfterFailureMs = 5000;
/** A key without room holds up those that share its queue of the topic: soon looked at again. */
const retryWhenFullMs = 2000;

/** Temporal takes 2 MiB in one update, encrypted and in base64. */
const mostBytesInUpdate = 512 * 1024;

interface Ordered {
  readonly delivery: Delivery;
  readonly message: AcceptedMessage;
}

/** Runs the loops until stopped; stop waits for what is in hand. */
export function receiveOrder(deps: ReceiveOrderDeps): { stop(): Promise<void> } {
  const { receiver, start, pace, metrics } = deps;
  const { names, logger } = start;
  const stopped = new AbortController();
  const ordered = metrics.counter(
    'messages_ordered_total',
    'Messages with an ordering key by what became of them at the bridge.',
    ['result'],
  );

  /** `work` gives how many of the deliveries, from the first on, are done; the others must come again. */
  const take = async (deliveries: readonly Delivery[], work: () => Promise<number>) => {
    let count = 0;
    let againMs = retryWhenFullMs;
    try {
      count = await work();
      ordered.inc({ result: 'done' }, count);
      ordered.inc({ result: 'full' }, deliveries.length - count);
    } catch (error) {
      againMs = retryAfterFailureMs;
      pace.reportFailure(error);
      ordered.inc({ result: 'postponed' }, deliveries.length);
      for (const { key } of deliveries) logger.warn({ messageId: key, error }, 'message.postponed');
    }
    // Acknowledged only here, after the sequencer holds them: killed before this line, they come again in the same order.
    if (count > 0) await receiver.acknowledge(deliveries.slice(0, count));
    for (const delivery of deliveries.slice(count))
      // Not able to say so: then it comes again when its invisible time is over.
      await receiver.retryLater(delivery, againMs).catch(() => {});
  };

  const takeAll = async (deliveries: readonly Delivery[]): Promise<void> => {
    const byKey = new Map<string, Ordered[]>();
    const works: Promise<void>[] = [];
    for (const delivery of deliveries) {
      const read = readOrdered(start, delivery);
      if ('reason' in read) {
        works.push(take([delivery], () => park(start, delivery, read).then(() => 1)));
        continue;
      }
      const { message } = read;
      const id = sequencerOf(start, message);
      byKey.set(id, [...(byKey.get(id) ?? []), { delivery, message }]);
    }
    for (const all of byKey.values())
      works.push(
        take(
          all.map(({ delivery }) => delivery),
          () => enqueueAll(start, all),
        ),
      );
    await Promise.all(works);
  };

  const loop = async () => {
    while (!stopped.signal.aborted) {
      if (!pace.isHealthy || deps.isBlind()) {
        await pause(idleMs, stopped.signal);
        continue;
      }
      try {
        await takeAll(await receiver.receive(names.order, mostInReceive));
      } catch (error) {
        logger.warn({ server: 'RocketMQ', topic: names.order, error }, 'waiting for RocketMQ');
        await pause(1000, stopped.signal);
      }
    }
  };
  const loops = Array.from({ length: loopCount }, loop);

  return {
    stop: async () => {
      stopped.abort();
      await Promise.all(loops);
    },
  };
}

function readOrdered({ retentionDays }: StartDeps, delivery: Delivery) {
  const read = readMessage(delivery, retentionDays);
  return 'reason' in read || read.message.orderingKey !== undefined
    ? read
    : { reason: 'unparsable' as const, detail: '/orderingKey is missing' };
}

function sequencerOf({ names }: StartDeps, { tenantId, orderingKey = '' }: AcceptedMessage) {
  return sequencerId(names, { tenantId, orderingKey });
}

/** Hands messages of one key to its sequencer, in their order. Gives how many it has taken, from the first on. */
async function enqueueAll(deps: StartDeps, all: readonly Ordered[]): Promise<number> {
  let count = 0;
  while (count < all.length) {
    let bytes = 0;
    const left = all.slice(count);
    const tooMany = left.findIndex(
      ({ delivery }, index) => (bytes += delivery.body.length) > mostBytesInUpdate && index > 0,
    );
    const chunk = tooMany === -1 ? left : left.slice(0, tooMany);
    const taken = chunk.slice(0, await enqueue(deps, chunk));
    for (const { delivery, message } of taken) {
      const { id: messageId, tenantId, channel, accountId, priority } = message;
      const { attempt: deliveryAttempt } = delivery;
      deps.logger.info(
        { messageId, tenantId, channel, accountId, priority, deliveryAttempt, isOrdered: true },
        'message.bridged',
      );
    }
    count += taken.length;
    if (taken.length < chunk.length) break;
  }
  return count;
}

/** One update; starts the sequencer where there is none. Gives how many it has taken; 0: it has no room now. */
async function enqueue(deps: StartDeps, chunk: readonly Ordered[]): Promise<number> {
  const { client, names } = deps;
  const [first] = chunk;
  if (first === undefined) return 0;
  const { tenantId, orderingKey = '' } = first.message;
  const fairnessWeight = await deps.weightOf(tenantId);
  const runs: readonly OrderedRun[] = chunk.map(({ message }) =>
    // Whether it is recalled is judged by render when its turn comes.
    runOptions(names, message, { isRecalled: false, fairnessWeight }),
  );
  const input: SequenceInput = { version: 1, orderingKey, waiting: [] };
  const startWorkflowOperation = new WithStartWorkflowOperation(sequenceWorkflow, {
    workflowId: sequencerOf(deps, first.message),
    taskQueue: names.deliverQueue,
    args: [input],
    workflowIdConflictPolicy: 'USE_EXISTING',
    memo: { orderingKey },
    staticSummary: `ordering key ${orderingKey}`,
    ...(runs[0] !== undefined && { priority: runs[0].priority }),
    typedSearchAttributes: [{ key: searchAttributes.tenant, value: tenantId }],
  });
  try {
    return await client.withDeadline(Date.now() + startDeadlineMs, () =>
      client.workflow.executeUpdateWithStart<Workflow, number, [readonly OrderedRun[]]>(
        enqueueUpdate,
        // The same one again finds the first, should its answer have been lost.
        {
          args: [runs],
          updateId: `${first.message.id}-${first.message.acceptedAt}-${chunk.length}`,
          startWorkflowOperation,
        },
      ),
    );
  } catch (error) {
    const cause = error instanceof WorkflowUpdateFailedError ? error.cause : undefined;
    if (cause instanceof ApplicationFailure && cause.type === queueFull) return 0;
    throw error;
  }
}

/** The sequencer's activity for a message whose id has a run already. */
export function createSettleRepeat(deps: StartDeps): SequenceActivities['settleRepeat'] {
  return async (message) => {
    const { status, memo } = await deps.client.workflow.getHandle(message.id).describe();
    const { requestHash = message.requestHash } = (memo ?? {}) as Partial<DeliverMemo>;
    if (status.name === 'RUNNING' && requestHash === message.requestHash)
      throw ApplicationFailure.create({
        message: `the run of ${message.id} goes on`,
        type: 'still-running',
        category: ApplicationFailureCategory.BENIGN,
      });
    await settleRepeat(deps, message);
  };
}
