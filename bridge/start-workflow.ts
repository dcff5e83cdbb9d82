/** Stage 2: one lane message, one workflow run with the message's id. The caller acknowledges only after this returns. */
import { WorkflowExecutionAlreadyStartedError, type Client } from '@temporalio/client';
import {
  AcceptedMessageSchema,
  acceptedMessageVersion,
  type AcceptedMessage,
} from '../contracts/message.ts';
import type { ParkReason, Snapshot } from '../contracts/result.ts';
import { sequences } from '../contracts/sequences.ts';
import { snapshotBase } from '../contracts/snapshot-base.ts';
import type { Names } from '../contracts/topics.ts';
import { deliverWorkflow, type DeliverInput, type DeliverMemo } from '../contracts/workflows.ts';
import type { StopVerdict } from '../store/index.ts';
import type { Logger } from '../platform/logger.ts';
import { publishSnapshot } from '../platform/publish-snapshot.ts';
import type { Delivery, Publisher } from '../platform/queue.ts';
import { createValidator, type Validator } from '../platform/validate.ts';
import type { Pace } from './pace.ts';
import { park } from './park.ts';
import { runOptions } from './run-options.ts';

export interface StartDeps {
  readonly client: Client;
  readonly publisher: Publisher;
  readonly names: Names;
  readonly logger: Logger;
  readonly pace: Pick<Pace, 'starting' | 'notStarted'>;
  /** Whether people have recalled or paused it. */
  readonly stopOf: (message: AcceptedMessage) => StopVerdict;
  /** Days for which Temporal remembers a closed run: nothing older may start, its repeat could not be told from it. */
  readonly retentionDays: number;
  /** Whether runs may start on this very worker. Not while versioned: such a start ignores which version is current. */
  readonly isEager: boolean;
  /** Whether an account is stopped or at fault, so that another should take its messages. */
  readonly isHeld: (accountId: string) => Promise<boolean>;
  /** The tenant's share where several wait. */
  readonly weightOf: (tenantId: string) => Promise<number>;
  /** Makes an id for what is told of a message that may not use its own. */
  readonly createId: (tenantId: string) => string;
  /** Takes the later document of a message that was accepted again on another day out of the index. */
  readonly forgetRepeat: (messageId: string, acceptedAt: string) => Promise<void>;
}

/** Bound on one start call, so that a struggling server is met as an error and not as silence. */
export const startDeadlineMs = 10_000;
/** Temporal refuses payloads over 2 MiB; a lane message has 64 KiB and its envelope. */
const maxBodyBytes = 512 * 1024;

const validator = createValidator(AcceptedMessageSchema);

export type Started = 'started' | 'already-started' | 'parked' | 'set-aside';

/**
 * Starts the run of one lane message; a message that can never start is parked, one that people have recalled set aside.
 * Errors: Temporal or RocketMQ does not answer; the message must then come again.
 */
export async function startWorkflow(deps: StartDeps, delivery: Delivery): Promise<Started> {
  const read = readMessage(delivery, deps.retentionDays);
  if ('reason' in read) {
    await park(deps, delivery, read);
    return 'parked';
  }
  if (deps.stopOf(read.message).verdict !== 'recalled')
    return startRun(deps, delivery, { message: read.message, isRecalled: false });
  await deps.publisher.publish(deps.names.recalled, {
    key: read.message.id,
    body: delivery.body.toString('utf8'),
  });
  return 'set-aside';
}

/** Starts the run of one message that was set aside as recalled: it only ends. Errors: as above. */
export async function startRecalled(deps: StartDeps, delivery: Delivery): Promise<Started> {
  const read = readMessage(delivery, deps.retentionDays);
  if ('message' in read)
    return startRun(deps, delivery, { message: read.message, isRecalled: true });
  await park(deps, delivery, read);
  return 'parked';
}

async function startRun(
  deps: StartDeps,
  delivery: Delivery,
  of: { readonly message: AcceptedMessage; readonly isRecalled: boolean },
): Promise<Started> {
  const { isRecalled } = of;
  const message = await preferUnheld(deps, of.message);
  const delayMs =
    message.sendAt === undefined || isRecalled ? 0 : Date.parse(message.sendAt) - Date.now();
  // Recalled, it takes nothing of its account's room, only a place among the runs ahead of the worker, behind all others. What
  // waits for its time is nobody's work yet.
  const { id, tenantId, channel, accountId, priority } = message;
  if (isRecalled) deps.pace.starting({ id, priority: 'bulk' });
  else if (delayMs <= 0) deps.pace.starting({ id, priority, accountId });
  const started = await start(deps, message, { delayMs, isRecalled }).catch((error: unknown) => {
    deps.pace.notStarted(message.id);
    throw error;
  });
  if (!started) deps.pace.notStarted(message.id);
  if (!started) await settleRepeat(deps, message);
  else if (!isRecalled) await publishSnapshot(deps, startedSnapshot(message, delayMs > 0));
  deps.logger.info(
    {
      messageId: id,
      tenantId,
      channel,
      accountId,
      priority,
      deliveryAttempt: delivery.attempt,
      repeat: !started,
      isRecalled,
    },
    'message.bridged',
  );
  return started ? 'started' : 'already-started';
}

/** The message of a delivery, or why it can never start. */
export function readMessage(
  delivery: Delivery,
  retentionDays: number,
): { message: AcceptedMessage } | LaneFault {
  const read = readLane(delivery, { validator, newest: acceptedMessageVersion, retentionDays });
  return 'reason' in read ? read : { message: read.value };
}

export interface LaneFault {
  readonly reason: ParkReason;
  readonly detail: string;
}

/** What a lane carries, checked; or why it can never start. */
export function readLane<T extends { readonly acceptedAt: string }>(
  delivery: Delivery,
  of: {
    readonly validator: Validator<T>;
    readonly newest: number;
    readonly retentionDays: number;
  },
): { value: T } | LaneFault {
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
  if (typeof version === 'number' && version > of.newest)
    return {
      reason: 'too-new',
      detail: `version ${version}; this bridge reads up to ${of.newest}`,
    };
  const [fault] = of.validator.faults(value);
  if (fault !== undefined || !of.validator.check(value))
    return {
      reason: 'unparsable',
      detail: `${fault?.pointer ?? ''} ${fault?.detail ?? ''}`.trim(),
    };
  const ageDays = (Date.now() - Date.parse(value.acceptedAt)) / 86_400_000;
  if (ageDays > of.retentionDays - 1)
    return { reason: 'too-old', detail: `accepted ${ageDays.toFixed(1)} days ago` };
  return { value };
}

/** The message with the accounts that are held behind those that are not, of the same connector. */
export async function preferUnheld(
  deps: StartDeps,
  message: AcceptedMessage,
): Promise<AcceptedMessage> {
  if (message.routes === undefined) return message;
  const connectors = [...new Set(message.routes.map(({ connector }) => connector))];
  const ways = await Promise.all(
    message.routes.map(async (route) => ({
      route,
      place: connectors.indexOf(route.connector),
      isHeld: await deps.isHeld(route.accountId),
    })),
  );
  const routes = ways
    .toSorted((a, b) => a.place - b.place || Number(a.isHeld) - Number(b.isHeld))
    .map(({ route }) => route);
  return { ...message, routes, ...routes[0] };
}

/** Whether this call started the run; false: there is one with this id already, running or closed. */
export async function start(
  { client, names, weightOf, isEager }: StartDeps,
  message: AcceptedMessage,
  {
    delayMs,
    isRecalled,
    before,
  }: {
    readonly delayMs: number;
    readonly isRecalled: boolean;
    readonly before?: DeliverInput['before'] | undefined;
  },
): Promise<boolean> {
  const { taskQueue, input, memo, priority, attributes } = runOptions(names, message, {
    isRecalled,
    before,
    fairnessWeight: await weightOf(message.tenantId),
  });
  try {
    await client.withDeadline(Date.now() + startDeadlineMs, () =>
      client.workflow.start(deliverWorkflow, {
        workflowId: message.id,
        taskQueue,
        args: [input],
        // A run that starts later cannot start here at once.
        ...(delayMs > 0 ? { startDelay: delayMs } : { requestEagerStart: isEager }),
        workflowIdReusePolicy: 'REJECT_DUPLICATE',
        workflowIdConflictPolicy: 'FAIL',
        memo: { ...memo },
        priority,
        typedSearchAttributes: attributes,
      }),
    );
    return true;
  } catch (error) {
    if (error instanceof WorkflowExecutionAlreadyStartedError) return false;
    throw error;
  }
}

/** A repeat is done already; another message under the same key is told as rejected, under an id of its own. */
export async function settleRepeat(deps: StartDeps, message: AcceptedMessage): Promise<void> {
  const { memo } = await deps.client.workflow.getHandle(message.id).describe();
  const first = memo as Partial<DeliverMemo> | undefined;
  await settleAfter(deps, message, first ?? {});
}

/** The same, for who knows what was accepted first. */
export async function settleAfter(
  deps: StartDeps,
  message: AcceptedMessage,
  first: Partial<Pick<DeliverMemo, 'requestHash' | 'acceptedAt'>>,
): Promise<void> {
  if (first.requestHash !== undefined && first.requestHash !== message.requestHash) {
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
    first.acceptedAt !== undefined &&
    first.acceptedAt.slice(0, 10) !== message.acceptedAt.slice(0, 10)
  )
    await deps.forgetRepeat(message.id, message.acceptedAt);
}

/** What is told of a run that has started. */
export function startedSnapshot(message: AcceptedMessage, isScheduled: boolean): Snapshot {
  return {
    ...snapshotBase(message),
    status: isScheduled ? 'scheduled' : 'sending',
    ...(isScheduled && message.sendAt !== undefined && { nextAttemptAt: message.sendAt }),
    redrive: 0,
    sequence: sequences.sending,
    updatedAt: new Date().toISOString(),
    attempts: 0,
  };
}
