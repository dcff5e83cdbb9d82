/** What Temporal knows of a message that waits: its run, the send that is pending, and what is ahead of it. */
import { WorkflowNotFoundError, type Client } from '@temporalio/client';
import { ApplicationFailure } from '@temporalio/common';
import { decodeOptionalFailureToOptionalError } from '@temporalio/common/lib/internal-non-workflow/index.js';
import proto from '@temporalio/proto';
import type { SendReport } from '../../contracts/activities.ts';
import type { Reason } from '../../contracts/result.ts';
import { priorities, type Names, type Priority } from '../../contracts/topics.ts';
import { sequencerId } from '../../platform/ordering-group.ts';
import { atLeastAsUrgent, backlogOf } from '../../platform/queue-backlog.ts';
import { searchAttributes } from '../../platform/temporal-client.ts';

/** A send that the server holds, hands out or tries again. */
export interface PendingSend {
  readonly accountId?: string;
  /** started: a worker has it; paused: by an operator, in Temporal. */
  readonly state: 'scheduled' | 'started' | 'paused';
  /** Counted by Temporal, from 1. */
  readonly attempt: number;
  readonly startedAt?: string;
  readonly lastFailure?: Reason;
  readonly nextAttemptAt?: string;
}

export interface RunFacts {
  readonly runId: string;
  readonly tenantId?: string;
  readonly accountId?: string;
  readonly priority?: Priority;
  readonly isRunning: boolean;
  /** ISO time at which it begins, when that is still to come. */
  readonly startsAt?: string;
  /** McState. */
  readonly state?: string;
  readonly send?: PendingSend;
}

const { PendingActivityState } = proto.temporal.api.enums.v1;

interface Timestamp {
  readonly seconds?: unknown;
  readonly nanos?: number | null;
}
const isoTime = (time: Timestamp | null | undefined) =>
  time?.seconds == null
    ? undefined
    : new Date(Number(time.seconds) * 1000 + Math.floor((time.nanos ?? 0) / 1e6)).toISOString();

/** undefined: there is none, or no more. Errors: Temporal does not answer. */
export async function readRun(
  client: Client,
  names: Names,
  messageId: string,
): Promise<RunFacts | undefined> {
  const description = await client.workflow
    .getHandle(messageId)
    .describe()
    .catch((error: unknown) => {
      if (error instanceof WorkflowNotFoundError) return undefined;
      throw error;
    });
  if (description === undefined) return undefined;
  const { runId, executionTime, typedSearchAttributes, raw, status } = description;
  const isRunning = status.name === 'RUNNING';
  const attributes = {
    tenantId: typedSearchAttributes.get(searchAttributes.tenant),
    accountId: typedSearchAttributes.get(searchAttributes.account),
    priority: priorities.find(
      (one) => one === typedSearchAttributes.get(searchAttributes.priority),
    ),
    state: typedSearchAttributes.get(searchAttributes.state),
  };
  const [pending] = raw.pendingActivities ?? [];
  const startsAt =
    isRunning && executionTime !== undefined && executionTime.getTime() > Date.now()
      ? executionTime.toISOString()
      : undefined;
  return {
    runId,
    isRunning,
    ...given(attributes),
    ...(startsAt !== undefined && { startsAt }),
    ...(pending !== undefined && { send: await readSend(client, names, pending) }),
  };
}

type Pending = proto.temporal.api.workflow.v1.IPendingActivityInfo;

async function readSend(client: Client, names: Names, pending: Pending): Promise<PendingSend> {
  const queue = pending.activityOptions?.taskQueue?.name;
  const prefix = names.sendQueue('');
  const failure = await decodeOptionalFailureToOptionalError(
    client.options.loadedDataConverter,
    pending.lastFailure,
  );
  const said =
    failure instanceof ApplicationFailure
      ? (failure.details?.[0] as SendReport | undefined)
      : undefined;
  return {
    state:
      pending.paused === true ||
      pending.state === PendingActivityState.PENDING_ACTIVITY_STATE_PAUSED
        ? 'paused'
        : pending.state === PendingActivityState.PENDING_ACTIVITY_STATE_SCHEDULED
          ? 'scheduled'
          : 'started',
    attempt: pending.attempt ?? 1,
    ...given({
      accountId: queue?.startsWith(prefix) === true ? queue.slice(prefix.length) : undefined,
      startedAt: isoTime(pending.lastStartedTime),
      nextAttemptAt: isoTime(pending.nextAttemptScheduleTime),
      lastFailure:
        failure === undefined
          ? undefined
          : (said?.reason ?? { code: failure.name, detail: failure.message }),
    }),
  };
}

/** Without what is missing. */
function given<T extends object>(facts: T) {
  return Object.fromEntries(
    Object.entries(facts).filter(([, value]) => value !== undefined && value !== null),
  ) as { [Name in keyof T]?: NonNullable<T[Name]> };
}

/** About how many wait in an account's queue that are at least as urgent. Errors: Temporal does not answer. */
export async function countAhead(
  client: Client,
  queue: { readonly namespace: string; readonly name: string },
  priority: Priority,
): Promise<number> {
  const { namespace, name } = queue;
  return atLeastAsUrgent(await backlogOf({ client, namespace }, name), priority);
}

/** Whether an ordering key has stopped behind a message that was not delivered. Errors: Temporal does not answer. */
export async function isKeyStopped(
  client: Client,
  names: Names,
  of: { readonly tenantId: string; readonly orderingKey: string },
): Promise<boolean> {
  try {
    const { status, typedSearchAttributes } = await client.workflow
      .getHandle(sequencerId(names, of))
      .describe();
    return (
      status.name === 'RUNNING' && typedSearchAttributes.get(searchAttributes.state) === 'stuck'
    );
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) return false;
    throw error;
  }
}
