/**
 * Sends one failed message again: a new run under its id, with a new life and the next redrive number. Temporal starts it
 * only where the last run failed, and once for each number, whoever asks and how often.
 */
import {
  WorkflowExecutionAlreadyStartedError,
  WorkflowNotFoundError,
  type Client,
} from '@temporalio/client';
import { InternalWorkflowStartOptionsSymbol } from '@temporalio/client/lib/internal.js';
import { acceptedMessageVersion, type AcceptedMessage } from '../contracts/message.ts';
import type { RedrivenStatus } from '../contracts/redrive.ts';
import { toEvent, type Snapshot } from '../contracts/result.ts';
import { sequences } from '../contracts/sequences.ts';
import { snapshotBase } from '../contracts/snapshot-base.ts';
import { isEnd } from '../contracts/status.ts';
import type { Names } from '../contracts/topics.ts';
import { deliverWorkflow, type DeliverInput, type DeliverMemo } from '../contracts/workflows.ts';
import { pause } from './lifecycle.ts';
import type { Publisher } from './queue.ts';
import { deliverRoutes, deliverStart } from './temporal-client.ts';

export interface RedriveDeps {
  readonly client: Client;
  readonly names: Names;
  readonly publisher: Publisher;
  /** The newest snapshot that the index holds. Errors: the index does not answer. */
  readonly snapshotOf: (messageId: string) => Promise<Snapshot | undefined>;
  /** What was asked, sealed, and for how long; undefined: it is no longer kept. */
  readonly firstRequestOf: (
    snapshot: Snapshot,
  ) => Promise<{ readonly sealed: string; readonly lifeMs?: number } | undefined>;
  /** False: its day key is destroyed, nobody can open it. Errors: the problem store-unavailable. */
  readonly isReadable: (sealed: string) => Promise<boolean>;
}

export interface RedriveOf {
  readonly messageId: string;
  /** Only a message of this tenant. */
  readonly tenantId?: string | undefined;
  /** Only from these ends. */
  readonly statuses: readonly RedrivenStatus[];
  /** The new life in milliseconds, from now; default: as long as the first one. */
  readonly lifeMs?: number | undefined;
  /** The redrive it is part of: a message that this one has started before counts as started. */
  readonly redriveId?: string;
  /** Waits for its turn, once it is sure that there is something to start. */
  readonly turn?: () => Promise<void>;
}

export type Redriven =
  /** `sending`: what was told of the new run. */
  | { readonly result: 'started'; readonly sending: Snapshot }
  | { readonly result: 'already-open' }
  /** `why`: its status, not-found, no-end, ended-well or request-gone. */
  | { readonly result: 'skipped'; readonly why: string };

/** What the memo of a redriven run holds beside the usual; what is not known any more is left out. */
type RedriveMemo = Partial<DeliverMemo> & {
  readonly redriveId?: string;
  readonly expiresAt?: string;
};

const temporalDeadlineMs = 5000;
const publishDeadlineMs = 5000;
/** The index follows a run's end by about a second. */
const indexWithinMs = 3000;

const skipped = (why: string): Redriven => ({ result: 'skipped', why });

/** Errors: Temporal, the index, MySQL or RocketMQ does not answer; asked again, it does what is left to do. */
export async function redriveMessage(deps: RedriveDeps, of: RedriveOf): Promise<Redriven> {
  const run = await lastRun(deps.client, of.messageId);
  const snapshot = await snapshotOfRun(deps, of.messageId, run);
  if (snapshot === undefined || (of.tenantId !== undefined && of.tenantId !== snapshot.tenantId))
    return skipped('not-found');
  if (run !== undefined && of.redriveId !== undefined && run.memo.redriveId === of.redriveId) {
    const { redrive = snapshot.redrive, expiresAt = snapshot.expiresAt } = run.memo;
    const sending = sendingSnapshot(messageOf(snapshot, { expiresAt, sealed: '' }), redrive);
    // Started before a kill, which may have come before this was told.
    if (snapshot.redrive < redrive) await tell(deps, sending);
    return { result: 'started', sending };
  }
  if (run?.status === 'RUNNING') return { result: 'already-open' };
  if (run !== undefined && run.status !== 'COMPLETED' && !isEnd(snapshot.status))
    return skipped('no-end');
  if (!(of.statuses as readonly string[]).includes(snapshot.status))
    return skipped(snapshot.status);
  if (run?.status === 'COMPLETED') return skipped('ended-well');
  const request = await deps.firstRequestOf(snapshot);
  if (request === undefined || !(await deps.isReadable(request.sealed)))
    return skipped('request-gone');
  await of.turn?.();

  const redrive = Math.max(snapshot.redrive, run?.memo.redrive ?? 0) + 1;
  const lifeMs = of.lifeMs ?? request.lifeMs ?? lifeOf(snapshot);
  const expiresAt = new Date(Date.now() + lifeMs).toISOString();
  const requestHash = run?.memo.requestHash;
  const message = messageOf(snapshot, { expiresAt, sealed: request.sealed, requestHash });
  const memo: RedriveMemo = {
    acceptedAt: message.acceptedAt,
    redrive,
    expiresAt,
    ...(requestHash !== undefined && { requestHash }),
    ...(of.redriveId !== undefined && { redriveId: of.redriveId }),
  };
  if (!(await start(deps, { message, redrive, memo }))) {
    const other = await lastRun(deps.client, of.messageId);
    return other?.status === 'RUNNING' ? { result: 'already-open' } : skipped('ended-well');
  }
  const sending = sendingSnapshot(message, redrive);
  await tell(deps, sending);
  return { result: 'started', sending };
}

interface LastRun {
  readonly status: string;
  readonly memo: RedriveMemo;
}

/** undefined: Temporal knows none, or none any more. */
async function lastRun(client: Client, messageId: string): Promise<LastRun | undefined> {
  try {
    const { status, memo } = await client.withDeadline(Date.now() + temporalDeadlineMs, () =>
      client.workflow.getHandle(messageId).describe(),
    );
    return { status: status.name, memo: memo ?? {} };
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) return undefined;
    throw error;
  }
}

/** The newest snapshot; after a run has ended the one that tells its end, as soon as the index has it. */
async function snapshotOfRun(
  { snapshotOf }: RedriveDeps,
  messageId: string,
  run: LastRun | undefined,
): Promise<Snapshot | undefined> {
  const deadlineMs = Date.now() + indexWithinMs;
  for (;;) {
    const snapshot = await snapshotOf(messageId);
    const isBehind =
      run !== undefined &&
      run.status !== 'RUNNING' &&
      (snapshot === undefined ||
        !isEnd(snapshot.status) ||
        snapshot.redrive < (run.memo.redrive ?? 0));
    if (!isBehind || Date.now() > deadlineMs) return snapshot;
    await pause(200);
  }
}

/** False: the last run is open, or has ended well. */
async function start(
  { client, names }: RedriveDeps,
  {
    message,
    redrive,
    memo,
  }: { readonly message: AcceptedMessage; readonly redrive: number; readonly memo: RedriveMemo },
): Promise<boolean> {
  const input: DeliverInput = {
    version: 1,
    message,
    redrive,
    routes: deliverRoutes(names, message),
  };
  const options = {
    ...deliverStart(names, input),
    workflowIdReusePolicy: 'ALLOW_DUPLICATE_FAILED_ONLY' as const,
    memo: { ...memo },
    // Two that ask at once have read the same number: for Temporal they are one request, even after its run has failed.
    [InternalWorkflowStartOptionsSymbol]: { requestId: `${message.id}.${redrive}` },
  };
  try {
    await client.withDeadline(Date.now() + temporalDeadlineMs, () =>
      client.workflow.start(deliverWorkflow, options),
    );
    return true;
  } catch (error) {
    if (error instanceof WorkflowExecutionAlreadyStartedError) return false;
    throw error;
  }
}

/** The message as it was accepted, with a new life: at once and out of its order, beginning with its first way. */
function messageOf(
  snapshot: Snapshot,
  given: {
    readonly expiresAt: string;
    readonly sealed: string;
    readonly requestHash?: string | undefined;
  },
): AcceptedMessage {
  const { messageId, routes, fallbackAfter, timeZone, wantedLocale, batch } = snapshot;
  const { connector, channel, accountId } = routes?.[0] ?? snapshot;
  return {
    version: acceptedMessageVersion,
    id: messageId,
    tenantId: snapshot.tenantId,
    acceptedAt: snapshot.acceptedAt,
    expiresAt: given.expiresAt,
    requestHash: given.requestHash ?? '',
    template: snapshot.template,
    kind: snapshot.kind,
    connector,
    channel,
    accountId,
    ...(routes !== undefined && { routes }),
    ...(fallbackAfter !== undefined && { fallbackAfter }),
    ...(timeZone !== undefined && { timeZone }),
    ...(wantedLocale !== undefined && { locale: wantedLocale }),
    ...(batch !== undefined && { batch }),
    priority: snapshot.priority,
    recipientHash: snapshot.recipientHash,
    recipientMasked: snapshot.recipientMasked,
    metadata: snapshot.metadata,
    sealed: given.sealed,
  };
}

function lifeOf({ expiresAt, sendAt, acceptedAt }: Snapshot): number {
  return Date.parse(expiresAt) - Date.parse(sendAt ?? acceptedAt);
}

function sendingSnapshot(message: AcceptedMessage, redrive: number): Snapshot {
  return {
    ...snapshotBase(message),
    status: 'sending',
    redrive,
    sequence: sequences.sending,
    updatedAt: new Date().toISOString(),
    attempts: 0,
  };
}

async function tell({ publisher, names }: RedriveDeps, snapshot: Snapshot): Promise<void> {
  await publisher.publish(
    names.results,
    { key: snapshot.messageId, body: JSON.stringify(toEvent(snapshot)) },
    { deadlineMs: publishDeadlineMs },
  );
}
