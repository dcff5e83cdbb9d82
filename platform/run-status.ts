/** What the run of a message says of it now: for the moments in which the index is behind. */
import {
  WorkflowFailedError,
  WorkflowNotFoundError,
  type Client,
  type WorkflowExecutionDescription,
} from '@temporalio/client';
import { ApplicationFailure } from '@temporalio/common';
import { decodeOptionalFailureToOptionalError } from '@temporalio/common/lib/internal-non-workflow/index.js';
import type { SendReport } from '../contracts/activities.ts';
import type { UsedLocale } from '../contracts/locale.ts';
import type { Reason } from '../contracts/result.ts';
import type { Status } from '../contracts/status.ts';
import type { DeliverMemo, DeliverResult } from '../contracts/workflows.ts';
import { withDeadline } from './lifecycle.ts';
import { searchAttributes } from './temporal-client.ts';

export interface RunStatus extends Partial<UsedLocale> {
  readonly status: Status;
  readonly acceptedAt?: string;
  readonly attempts: number;
  /** The way it went at last. */
  readonly connector?: string;
  readonly channel?: string;
  readonly accountId?: string;
  readonly templateVersion?: number;
  readonly providerId?: string;
  readonly reason?: Reason;
  readonly nextAttemptAt?: string;
  readonly runId: string;
}

/** Somebody waits for the status: left to itself, the SDK tries for 20 s and more before it says that a server is away. */
const deadlineMs = 3000;

/** Asks Temporal. undefined: there is no run yet, or no more. Errors: Temporal does not answer within 3 s. */
export function runStatus(client: Client, messageId: string): Promise<RunStatus | undefined> {
  const asked = client.withDeadline(Date.now() + deadlineMs, () => askRun(client, messageId));
  // The first connection has a deadline of its own, a longer one.
  return withDeadline(asked, deadlineMs, 'asking Temporal');
}

async function askRun(client: Client, messageId: string): Promise<RunStatus | undefined> {
  const handle = client.workflow.getHandle(messageId);
  let description: WorkflowExecutionDescription;
  try {
    description = await handle.describe();
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) return undefined;
    throw error;
  }
  const memo = description.memo as Partial<DeliverMemo> | undefined;
  const base = {
    runId: description.runId,
    ...(memo?.acceptedAt !== undefined && { acceptedAt: memo.acceptedAt }),
  };
  if (description.status.name === 'RUNNING')
    return { ...base, ...(await pendingStatus(client, description)) };
  try {
    return { ...base, ...flat((await handle.result()) as DeliverResult) };
  } catch (error) {
    const failure = error instanceof WorkflowFailedError ? error.cause : undefined;
    const said =
      failure instanceof ApplicationFailure
        ? (failure.details?.[0] as DeliverResult | undefined)
        : undefined;
    return {
      ...base,
      ...flat(
        said ?? {
          status: 'failed',
          attempts: 0,
          reason: { code: description.status.name.toLowerCase() },
        },
      ),
    };
  }
}

function flat({ route, language, ...result }: DeliverResult): Omit<RunStatus, 'runId'> {
  return { ...result, ...route, ...language };
}

async function pendingStatus(
  client: Client,
  description: WorkflowExecutionDescription,
): Promise<Pick<RunStatus, 'status' | 'attempts' | 'reason' | 'nextAttemptAt'>> {
  const { executionTime } = description;
  if (executionTime !== undefined && executionTime.getTime() > Date.now())
    return { status: 'scheduled', attempts: 0, nextAttemptAt: executionTime.toISOString() };
  const state = description.typedSearchAttributes.get(searchAttributes.state);
  // Why and until when is in the snapshot, which the index has.
  if (state === 'held' || state === 'scheduled') return { status: state, attempts: 0 };
  const [pending] = description.raw.pendingActivities ?? [];
  if (pending?.lastFailure == null) return { status: 'sending', attempts: 0 };
  const failure = await decodeOptionalFailureToOptionalError(
    client.options.loadedDataConverter,
    pending.lastFailure,
  );
  const said =
    failure instanceof ApplicationFailure
      ? (failure.details?.[0] as SendReport | undefined)
      : undefined;
  const next = pending.nextAttemptScheduleTime?.seconds;
  return {
    status: 'retrying',
    attempts: said?.attempts ?? 0,
    reason: said?.reason ?? {
      code: failure?.name ?? 'unknown',
      ...(failure !== undefined && { detail: failure.message }),
    },
    ...(next != null && { nextAttemptAt: new Date(Number(next) * 1000).toISOString() }),
  };
}
