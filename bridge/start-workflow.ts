/** Stage 2: one lane message, one workflow run with the message's id. The caller acknowledges only after this returns. */
import { WorkflowExecutionAlreadyStartedError, type Client } from '@temporalio/client';
import {
  AcceptedMessageSchema,
  acceptedMessageVersion,
  type AcceptedMessage,
} from '../contracts/message.ts';
import { toEvent, type Snapshot } from '../contracts/result.ts';
import { sequences } from '../contracts/sequences.ts';
import { snapshotBase } from '../contracts/snapshot-base.ts';
import { priorityKeys, type Names } from '../contracts/topics.ts';
import { deliverWorkflow, type DeliverInput, type DeliverMemo } from '../contracts/workflows.ts';
import type { Logger } from '../platform/logger.ts';
import type { Delivery, Publisher } from '../platform/queue.ts';
import { messageAttributes } from '../platform/temporal-client.ts';
import { createValidator } from '../platform/validate.ts';
import type { Pace } from './pace.ts';
import { park, type ParkReason } from './park.ts';

export interface StartDeps {
  readonly client: Client;
  readonly publisher: Publisher;
  readonly names: Names;
  readonly logger: Logger;
  readonly pace: Pick<Pace, 'starting' | 'notStarted'>;
  /** Days for which Temporal remembers a closed run: nothing older may start, its repeat could not be told from it. */
  readonly retentionDays: number;
  /** Makes an id for what is told of a message that may not use its own. */
  readonly createId: (tenantId: string) => string;
  /** Takes the later document of a message that was accepted again on another day out of the index. */
  readonly forgetRepeat: (messageId: string, acceptedAt: string) => Promise<void>;
}

/** Bound on one start call, so that a struggling server is met as an error and not as silence. */
const startDeadlineMs = 10_000;
/** Temporal refuses payloads over 2 MiB; a lane message has 64 KiB and its envelope. */
const maxBodyBytes = 512 * 1024;

const validator = createValidator(AcceptedMessageSchema);

export type Started = 'started' | 'already-started' | 'parked';

/**
 * Starts the run of one lane message; a message that can never start is parked.
 * Errors: Temporal or RocketMQ does not answer; the message must then come again.
 */
export async function startWorkflow(deps: StartDeps, delivery: Delivery): Promise<Started> {
  const read = readMessage(delivery, deps.retentionDays);
  if ('reason' in read) {
    await park(deps, delivery, read);
    return 'parked';
  }
  const { message } = read;
  deps.pace.starting(message);
  const started = await start(deps, message).catch((error: unknown) => {
    deps.pace.notStarted(message.id);
    throw error;
  });
  if (!started) deps.pace.notStarted(message.id);
  if (started) await publishSnapshot(deps, sendingSnapshot(message));
  else await settleRepeat(deps, message);
  const { id, tenantId, channel, accountId, priority } = message;
  deps.logger.info(
    {
      messageId: id,
      tenantId,
      channel,
      accountId,
      priority,
      deliveryAttempt: delivery.attempt,
      repeat: !started,
    },
    'message.bridged',
  );
  return started ? 'started' : 'already-started';
}

function readMessage(
  delivery: Delivery,
  retentionDays: number,
): { message: AcceptedMessage } | { reason: ParkReason; detail: string } {
  if (delivery.body.length > maxBodyBytes)
    return { reason: 'too-large', detail: `${delivery.body.length} bytes` };
  let value: unknown;
  try {
    value = JSON.parse(delivery.body.toString('utf8'));
  } catch {
    // The parser's own words quote the body, which may be personal.
    return { reason: 'unparsable', detail: 'the body is not JSON' };
  }
  const version = (value as { version?: unknown } | null)?.version;
  if (typeof version === 'number' && version > acceptedMessageVersion)
    return {
      reason: 'too-new',
      detail: `version ${version}; this bridge reads up to ${acceptedMessageVersion}`,
    };
  const [fault] = validator.faults(value);
  if (fault !== undefined || !validator.check(value))
    return {
      reason: 'unparsable',
      detail: `${fault?.pointer ?? ''} ${fault?.detail ?? ''}`.trim(),
    };
  const ageDays = (Date.now() - Date.parse(value.acceptedAt)) / 86_400_000;
  if (ageDays > retentionDays - 1)
    return { reason: 'too-old', detail: `accepted ${ageDays.toFixed(1)} days ago` };
  return { message: value };
}

/** Whether this call started the run; false: there is one with this id already, running or closed. */
async function start({ client, names }: StartDeps, message: AcceptedMessage): Promise<boolean> {
  const input: DeliverInput = {
    version: 1,
    message,
    redrive: 0,
    sendQueue: names.sendQueue(message.accountId),
  };
  const memo: DeliverMemo = { requestHash: message.requestHash, acceptedAt: message.acceptedAt };
  try {
    await client.withDeadline(Date.now() + startDeadlineMs, () =>
      client.workflow.start(deliverWorkflow, {
        workflowId: message.id,
        taskQueue: names.deliverQueue,
        args: [input],
        requestEagerStart: true,
        workflowIdReusePolicy: 'REJECT_DUPLICATE',
        workflowIdConflictPolicy: 'FAIL',
        memo: { ...memo },
        priority: {
          priorityKey: priorityKeys[message.priority],
          fairnessKey: message.tenantId.slice(0, 64),
        },
        typedSearchAttributes: messageAttributes(message),
      }),
    );
    return true;
  } catch (error) {
    if (error instanceof WorkflowExecutionAlreadyStartedError) return false;
    throw error;
  }
}

/** A repeat is done already; another message under the same key is told as rejected, under an id of its own. */
async function settleRepeat(deps: StartDeps, message: AcceptedMessage): Promise<void> {
  const { memo } = await deps.client.workflow.getHandle(message.id).describe();
  const first = memo as Partial<DeliverMemo> | undefined;
  if (first?.requestHash !== undefined && first.requestHash !== message.requestHash) {
    const now = new Date().toISOString();
    await publishSnapshot(deps, {
      ...snapshotBase(message),
      messageId: deps.createId(message.tenantId),
      status: 'rejected',
      redrive: 0,
      sequence: sequences.end,
      updatedAt: now,
      attempts: 0,
      reason: {
        code: 'idempotency-conflict',
        detail: `another message was accepted under the key of ${message.id}`,
      },
    });
    return;
  }
  if (
    first?.acceptedAt !== undefined &&
    first.acceptedAt.slice(0, 10) !== message.acceptedAt.slice(0, 10)
  )
    await deps.forgetRepeat(message.id, message.acceptedAt);
}

function sendingSnapshot(message: AcceptedMessage): Snapshot {
  return {
    ...snapshotBase(message),
    status: 'sending',
    redrive: 0,
    sequence: sequences.sending,
    updatedAt: new Date().toISOString(),
    attempts: 0,
  };
}

async function publishSnapshot({ publisher, names }: StartDeps, snapshot: Snapshot): Promise<void> {
  await publisher.publish(names.results, {
    key: snapshot.messageId,
    body: JSON.stringify(toEvent(snapshot)),
  });
}
