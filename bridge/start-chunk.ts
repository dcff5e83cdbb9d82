/** Stage 2 of a chunk: one lane message, one run with the chunk's id; and runs for members that go on alone. */
import { createHash } from 'node:crypto';
import { WorkflowExecutionAlreadyStartedError } from '@temporalio/client';
import { decodeArrayFromPayloads } from '@temporalio/common/lib/internal-non-workflow/index.js';
import {
  deliverChunkWorkflow,
  type AloneMember,
  type DeliverChunkInput,
  type GoAloneInput,
} from '../contracts/chunk-activities.ts';
import {
  ChunkMessageSchema,
  chunkVersion,
  memberMessage,
  type ChunkMessage,
} from '../contracts/chunk.ts';
import type { Tried } from '../contracts/tried.ts';
import type { DeliverMemo } from '../contracts/workflows.ts';
import { publishSnapshot } from '../platform/publish-snapshot.ts';
import type { Delivery } from '../platform/queue.ts';
import { messageAttributes, runPriority } from '../platform/temporal-client.ts';
import { createValidator } from '../platform/validate.ts';
import { park } from './park.ts';
import {
  preferUnheld,
  readLane,
  settleAfter,
  start,
  startDeadlineMs,
  startedSnapshot,
  type StartDeps,
  type Started,
} from './start-workflow.ts';

export interface StartChunkDeps extends StartDeps {
  /** Ids of the members of a chunk that were recalled. Errors: the store does not answer. */
  readonly recalledOf: (chunkId: string) => Promise<ReadonlySet<string>>;
}

const validator = createValidator(ChunkMessageSchema);
/** Runs started at once. */
const atOnce = 20;

/** Whether a delivery of a lane is a chunk: its key is its id. */
export function isChunkDelivery({ key }: Delivery): boolean {
  return key.startsWith('chk_');
}

/**
 * Starts the run of one chunk; one that can never start is parked.
 * Errors: Temporal or RocketMQ does not answer; the chunk must then come again.
 */
export async function startChunk(deps: StartChunkDeps, delivery: Delivery): Promise<Started> {
  const read = readLane(delivery, {
    validator,
    newest: chunkVersion,
    retentionDays: deps.retentionDays,
  });
  if ('reason' in read) {
    await park(deps, delivery, read);
    return 'parked';
  }
  const chunk = read.value;
  const { id, tenantId, channel, accountId, priority, members } = chunk;
  deps.pace.starting({ id, priority, accountId, messages: members.length });
  const started = await startRun(deps, chunk).catch((error: unknown) => {
    deps.pace.notStarted(id);
    throw error;
  });
  if (!started) {
    deps.pace.notStarted(id);
    await settleRepeat(deps, chunk);
  }
  deps.logger.info(
    {
      chunkId: id,
      tenantId,
      channel,
      accountId,
      members: members.length,
      deliveryAttempt: delivery.attempt,
      repeat: !started,
    },
    'chunk.bridged',
  );
  return started ? 'started' : 'already-started';
}

/** Makes the activity: each member has one run, however often it is asked for. Errors: a server does not answer. */
export function createGoAlone(deps: StartChunkDeps) {
  return async function goAlone({ chunk, alone, tried = {} }: GoAloneInput): Promise<void> {
    // Recalled while its chunk was in hand, when nobody could say yet whether it would be sent.
    const recalled = await deps.recalledOf(chunk.id);
    const left = [...alone];
    const startNext = async (): Promise<void> => {
      for (let next = left.shift(); next !== undefined; next = left.shift())
        await startAlone(deps, { chunk, member: next, tried: tried[next.place], recalled });
    };
    await Promise.all(Array.from({ length: atOnce }, startNext));
  };
}

async function startAlone(
  deps: StartChunkDeps,
  of: {
    readonly chunk: ChunkMessage;
    readonly member: AloneMember;
    readonly tried?: Tried | undefined;
    readonly recalled: ReadonlySet<string>;
  },
): Promise<void> {
  const { place, told, attempts: calls } = of.member;
  const member = of.chunk.members[place];
  if (member === undefined) return;
  const message = await preferUnheld(deps, memberMessage(of.chunk, member));
  const isRecalled = of.recalled.has(message.id) || deps.stopOf(message).verdict === 'recalled';
  // The chunk has numbered in its first round.
  const { tried } = of;
  const before = { rounds: 1, told, calls, ...(tried !== undefined && { tried }) };
  await start(deps, message, { delayMs: 0, isRecalled, before });
  if (told === 0 && !isRecalled) await publishSnapshot(deps, startedSnapshot(message, false));
}

/** Whether this call started it; false: it was started before. */
async function startRun(deps: StartChunkDeps, chunk: ChunkMessage): Promise<boolean> {
  const { client, names, isEager } = deps;
  const input: DeliverChunkInput = {
    version: 1,
    chunk,
    sendQueue: names.chunkQueue(chunk.accountId),
  };
  const memo: DeliverMemo = {
    requestHash: digestOf(chunk),
    acceptedAt: chunk.acceptedAt,
    redrive: 0,
  };
  const fairnessWeight = await deps.weightOf(chunk.tenantId);
  try {
    await client.withDeadline(Date.now() + startDeadlineMs, () =>
      client.workflow.start(deliverChunkWorkflow, {
        workflowId: chunk.id,
        taskQueue: names.deliverQueue,
        args: [input],
        requestEagerStart: isEager,
        workflowIdReusePolicy: 'REJECT_DUPLICATE',
        workflowIdConflictPolicy: 'FAIL',
        memo: { ...memo },
        priority: { ...runPriority(chunk), fairnessWeight },
        typedSearchAttributes: messageAttributes(chunk),
      }),
    );
    return true;
  } catch (error) {
    if (error instanceof WorkflowExecutionAlreadyStartedError) return false;
    throw error;
  }
}

/**
 * What was posted again: members that the first chunk had are settled as repeats; one that was refused then and is accepted
 * now goes on alone.
 */
async function settleRepeat(deps: StartChunkDeps, chunk: ChunkMessage): Promise<void> {
  const handle = deps.client.workflow.getHandle(chunk.id);
  const { memo } = await handle.describe();
  const { requestHash, acceptedAt } = (memo ?? {}) as Partial<DeliverMemo>;
  const isSame = requestHash === digestOf(chunk);
  const first = isSame ? chunk : await firstChunk(deps, chunk.id);
  const known = new Map(first.members.map((member) => [member.id, member.requestHash]));
  const fresh: AloneMember[] = [];
  for (const [place, member] of chunk.members.entries()) {
    const hash = known.get(member.id);
    if (hash === undefined) fresh.push({ place, attempts: 0, told: 0 });
    else
      await settleAfter(deps, memberMessage(chunk, member), {
        requestHash: hash,
        ...(acceptedAt !== undefined && { acceptedAt }),
      });
  }
  if (fresh.length > 0) await createGoAlone(deps)({ chunk, alone: fresh });
}

/** The chunk that was started under this id. */
async function firstChunk({ client }: StartChunkDeps, chunkId: string): Promise<ChunkMessage> {
  const { events } = await client.workflow.getHandle(chunkId).fetchHistory();
  const [input] = (await decodeArrayFromPayloads(
    client.options.loadedDataConverter,
    events?.[0]?.workflowExecutionStartedEventAttributes?.input?.payloads,
  )) as [DeliverChunkInput];
  return input.chunk;
}

/** Of its members and what each was asked for. */
function digestOf({ members }: ChunkMessage): string {
  const hash = createHash('sha256');
  for (const { id, requestHash } of members) hash.update(`${id} ${requestHash}\n`);
  return hash.digest('hex');
}
