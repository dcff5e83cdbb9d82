/** The run of a chunk and its activities. Carried by: Temporal, bridge → workflow → activities. Types only, for the sandbox. */
import type { ChunkMessage } from './chunk.ts';
import type { UsedLocale } from './locale.ts';
import type { Attempt, Reason } from './result.ts';
import type { Status } from './status.ts';
import type { Tried } from './tried.ts';

/** What was tried for members that went on after an attempt, by their place. */
export type TriedMembers = Readonly<Record<number, Tried>>;

export const deliverChunkWorkflow = 'deliverChunk';

export interface DeliverChunkInput {
  readonly version: 1;
  readonly chunk: ChunkMessage;
  /** Temporal task queue of the account's chunks. */
  readonly sendQueue: string;
}

/** What a chunk came to, in members. */
export interface DeliverChunkResult {
  readonly ended: Readonly<Partial<Record<Status, number>>>;
  /** Members that went on in runs of their own. */
  readonly alone: number;
}

/** How one member ended; members are named by their place in the chunk, from 0. */
export interface MemberEnd {
  readonly place: number;
  readonly status: Status;
  readonly reason?: Reason;
  readonly providerId?: string;
  /** Provider calls concluded for it; absent: none. */
  readonly attempts?: number;
  readonly attempt?: Attempt;
}

/** A member that goes on in a run of its own, after so many provider calls and timeline entries. */
export interface AloneMember {
  readonly place: number;
  readonly attempts: number;
  readonly told: number;
}

/** Members that are rendered in one language. */
export interface ChunkLanguage extends UsedLocale {
  readonly places: readonly number[];
}

export interface RenderChunkResult {
  /** Members that go by the batch call. */
  readonly open: readonly number[];
  readonly ended: readonly MemberEnd[];
  readonly alone: readonly AloneMember[];
  readonly templateVersion?: number;
  /** Absent: the template does not name its languages. */
  readonly languages?: readonly ChunkLanguage[];
  /** Longest time of one attempt. */
  readonly attemptTimeoutMs: number;
}

export interface SendChunkInput {
  readonly chunk: ChunkMessage;
  readonly open: readonly number[];
  readonly templateVersion: number;
  readonly languages?: readonly ChunkLanguage[];
}

/** What the batch call came to: the return value, and the failure's details when it gives up. */
export interface ChunkReport {
  /** Provider calls concluded. */
  readonly attempts: number;
  /** Timeline entries of a member that went on to the last call. */
  readonly told: number;
  readonly ended: readonly MemberEnd[];
  readonly alone: readonly AloneMember[];
  readonly tried?: TriedMembers;
  readonly reason?: Reason;
  /** The provider may have taken a call that nothing was heard of. */
  readonly isInDoubt?: true;
}

export interface ReportChunkInput {
  readonly chunk: ChunkMessage;
  readonly ended: readonly MemberEnd[];
  readonly tried?: TriedMembers;
  readonly templateVersion?: number;
  readonly languages?: readonly ChunkLanguage[];
  /** ISO time, the same for every repeat. */
  readonly updatedAt: string;
}

export interface GoAloneInput {
  readonly chunk: ChunkMessage;
  readonly alone: readonly AloneMember[];
  readonly tried?: TriedMembers;
}

/** Local activities: run inside the workflow's own worker, again when that worker dies; all are idempotent. */
export interface ChunkLocalActivities {
  renderChunk(input: { readonly chunk: ChunkMessage }): Promise<RenderChunkResult>;
  /** Publishes how members ended; retried until the broker has all of it. */
  reportChunk(input: ReportChunkInput): Promise<void>;
  /** Starts a run for each of these members, once for each. */
  goAlone(input: GoAloneInput): Promise<void>;
}

/** Runs on the account's chunk queue, whose rate is what single messages leave of its limit; the server retries it. */
export interface SendChunkActivities {
  sendChunk(input: SendChunkInput): Promise<ChunkReport>;
}
