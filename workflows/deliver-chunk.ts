/**
 * A bulk chunk: up to 100 messages rendered, sent in one batch call of the provider and reported together. Members that cannot
 * go that way, or were not accepted at once, go on in `deliver` runs of their own.
 */
import {
  ActivityFailure,
  CancellationScope,
  proxyActivities,
  proxyLocalActivities,
} from '@temporalio/workflow';
import { paused } from '../contracts/activities.ts';
import type {
  AloneMember,
  ChunkLanguage,
  ChunkLocalActivities,
  ChunkReport,
  DeliverChunkInput,
  DeliverChunkResult,
  MemberEnd,
  RenderChunkResult,
  SendChunkActivities,
  TriedMembers,
} from '../contracts/chunk-activities.ts';
import type { Status } from '../contracts/status.ts';
import { applicationFailureIn, giveUp } from './ending.ts';

const { renderChunk, reportChunk, goAlone } = proxyLocalActivities<ChunkLocalActivities>({
  startToCloseTimeout: '30 seconds',
  retry: { initialInterval: '200 milliseconds', maximumInterval: '10 seconds' },
});

interface Outcome {
  readonly ended: readonly MemberEnd[];
  readonly alone: readonly AloneMember[];
  readonly tried?: TriedMembers;
  readonly templateVersion?: number;
  readonly languages?: readonly ChunkLanguage[];
}

/** Delivers the members of one chunk and tells what became of each. Ends Completed: which members failed is in their snapshots. */
export async function deliverChunk(input: DeliverChunkInput): Promise<DeliverChunkResult> {
  const { chunk } = input;
  const { ended, alone, tried, templateVersion, languages } = await deliverAll(input);
  const known = tried === undefined ? {} : { tried };
  await CancellationScope.nonCancellable(async () => {
    if (ended.length > 0)
      await reportChunk({
        chunk,
        ended,
        ...known,
        updatedAt: new Date().toISOString(),
        ...(templateVersion !== undefined && { templateVersion }),
        ...(languages !== undefined && { languages }),
      });
    if (alone.length > 0) await goAlone({ chunk, alone, ...known });
  });
  const counts: Partial<Record<Status, number>> = {};
  for (const { status } of ended) counts[status] = (counts[status] ?? 0) + 1;
  return { ended: counts, alone: alone.length };
}

async function deliverAll(input: DeliverChunkInput): Promise<Outcome> {
  const everyone = input.chunk.members.map((_, place) => place);
  let rendered: RenderChunkResult;
  try {
    rendered = await renderChunk({ chunk: input.chunk });
  } catch (error) {
    return endOf(input, everyone, error);
  }
  const { open, templateVersion, languages } = rendered;
  if (open.length === 0 || templateVersion === undefined) return rendered;
  const sent = await send(input, { ...rendered, templateVersion }).catch((error) =>
    endOf(input, open, error),
  );
  return {
    ended: [...rendered.ended, ...sent.ended],
    alone: [...rendered.alone, ...sent.alone],
    ...(sent.tried !== undefined && { tried: sent.tried }),
    templateVersion,
    ...(languages !== undefined && { languages }),
  };
}

/** The server retries the batch call for as long as the chunk lives. */
function send(
  { chunk, sendQueue }: DeliverChunkInput,
  {
    open,
    templateVersion,
    languages,
    attemptTimeoutMs,
  }: RenderChunkResult & { readonly templateVersion: number },
): Promise<ChunkReport> {
  const lifeMs = Math.max(0, Date.parse(chunk.expiresAt) - Date.now());
  const { sendChunk } = proxyActivities<SendChunkActivities>({
    taskQueue: sendQueue,
    startToCloseTimeout: attemptTimeoutMs,
    // No attempt begins after the chunk's life; the margin lets the last one that began conclude.
    scheduleToCloseTimeout: lifeMs + attemptTimeoutMs,
    retry: { initialInterval: '1 second', maximumInterval: '5 minutes' },
    summary: `${open.length} messages by ${chunk.connector} through ${chunk.accountId}`,
  });
  return sendChunk({
    chunk,
    open,
    templateVersion,
    ...(languages !== undefined && { languages }),
  });
}

/** What a failure means for the members that it leaves without an end. */
function endOf({ chunk }: DeliverChunkInput, open: readonly number[], error: unknown): Outcome {
  const lifeMs = Date.parse(chunk.expiresAt) - Date.now();
  const { status, reason, attempts } = giveUp(error, { kind: chunk.messageKind, lifeMs });
  const failure = error instanceof ActivityFailure ? applicationFailureIn(error.cause) : undefined;
  const said = failure?.details?.[0] as Partial<ChunkReport> | undefined;
  const { ended = [], alone = [] } = said ?? {};
  const tried = said?.tried === undefined ? {} : { tried: said.tried };
  const known = new Set([...ended, ...alone].map(({ place }) => place));
  const left = open.filter((place) => !known.has(place));
  if (failure?.type === paused) {
    const { told = 0 } = said ?? {};
    return {
      ended,
      alone: [...alone, ...left.map((place) => ({ place, attempts, told }))],
      ...tried,
    };
  }
  const end = { status, attempts, ...(reason !== undefined && { reason }) };
  return { ended: [...ended, ...left.map((place) => ({ place, ...end }))], alone, ...tried };
}
