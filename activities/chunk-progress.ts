/** Where a chunk stands between attempts, and what is told of its members. Left for the next attempt in heartbeat details. */
import { Context } from '@temporalio/activity';
import type {
  AloneMember,
  ChunkReport,
  MemberEnd,
  SendChunkInput,
  TriedMembers,
} from '../contracts/chunk-activities.ts';
import type { AcceptedMessage } from '../contracts/message.ts';
import { sequences, type Attempt, type Reason, type Snapshot } from '../contracts/result.ts';
import { triedAfter } from '../contracts/tried.ts';
import { snapshotBase } from '../contracts/snapshot-base.ts';
import { languageAt } from './chunk-languages.ts';
import type { Told, Waiting } from './timeline.ts';

export interface ChunkState {
  /** Temporal's number of the last attempt that concluded. */
  readonly lastAttempt: number;
  /** Batch calls concluded. */
  readonly calls: number;
  /** Entries in the timeline of each member that goes on. */
  readonly told: number;
  readonly ended: readonly MemberEnd[];
  readonly alone: readonly AloneMember[];
  readonly tried?: TriedMembers;
  /** A call whose answer was lost: who it was for, who of them is in doubt, and how often the provider was asked. */
  readonly doubt?: {
    readonly sentAt: string;
    readonly asked: number;
    readonly batch: readonly number[];
    readonly places: readonly number[];
  };
}

export const firstChunkProgress: ChunkState = {
  lastAttempt: 0,
  calls: 0,
  told: 0,
  ended: [],
  alone: [],
};

export class ChunkProgress {
  readonly #input: SendChunkInput;
  #state: ChunkState;
  #startedAt = new Date();

  constructor(input: SendChunkInput, state: ChunkState) {
    this.#input = input;
    this.#state = state;
  }

  get calls(): number {
    return this.#state.calls;
  }
  get doubt(): ChunkState['doubt'] {
    return this.#state.doubt;
  }
  get hasNoEnd(): boolean {
    return this.#state.ended.every(({ attempt }) => attempt === undefined);
  }
  /** Members that have neither ended nor gone on alone. */
  get open(): readonly number[] {
    const { ended, alone } = this.#state;
    const gone = new Set([...ended, ...alone].map(({ place }) => place));
    return this.#input.open.filter((place) => !gone.has(place));
  }

  /** Whether an attempt before this one never concluded. */
  isUnheard(attempt: number): boolean {
    // An operator has reset it: Temporal counts anew, and so must what the next attempt compares with.
    if (attempt === 1 && this.#state.lastAttempt > 0) {
      this.#state = { ...this.#state, lastAttempt: 0 };
      Context.current().heartbeat(this.#state);
    }
    return attempt - 1 > this.#state.lastAttempt;
  }

  end(place: number, end: Omit<MemberEnd, 'place' | 'attempts'>): void {
    const attempts = this.#state.calls === 0 ? {} : { attempts: this.#state.calls };
    const ended = this.#state.ended.filter((other) => other.place !== place);
    this.#state = { ...this.#state, ended: [...ended, { place, ...end, ...attempts }] };
  }
  /** `more`: entries of its timeline that are about to be told. */
  leaveAlone(place: number, more = 0): void {
    const { calls: attempts, told, alone } = this.#state;
    this.#state = { ...this.#state, alone: [...alone, { place, attempts, told: told + more }] };
  }
  /** A call for `batch` of which nothing is known for `places`. */
  noteDoubt(sentAt: string, batch: readonly number[], places: readonly number[]): void {
    const open = new Set(this.open);
    const left = places.filter((place) => open.has(place));
    if (left.length > 0)
      this.#state = { ...this.#state, doubt: { sentAt, asked: 0, batch, places: left } };
  }
  asked(times: number): void {
    const { doubt } = this.#state;
    if (doubt !== undefined) this.#state = { ...this.#state, doubt: { ...doubt, asked: times } };
  }
  settled(): void {
    const { doubt: _settled, ...rest } = this.#state;
    this.#state = rest;
  }
  countCall(): void {
    this.#state = { ...this.#state, calls: this.#state.calls + 1 };
  }
  countTold(): void {
    this.#state = { ...this.#state, told: this.#state.told + 1 };
  }
  /** Notes what a member that goes on has come to. */
  countTried(place: number, told: Told): void {
    const { tried = {} } = this.#state;
    this.#state = {
      ...this.#state,
      tried: { ...tried, [place]: triedAfter(tried[place] ?? {}, told) },
    };
  }
  beginsCall(): void {
    this.#startedAt = new Date();
  }

  /** The next entry of a member's timeline. */
  note(told: Told): Attempt {
    return {
      number: this.#state.told + 1,
      startedAt: this.#startedAt.toISOString(),
      durationMs: Date.now() - this.#startedAt.getTime(),
      accountId: this.#input.chunk.accountId,
      ...told,
    };
  }

  /** A member that goes on after an attempt. */
  snapshotOf(
    { place, message }: { readonly place: number; readonly message: AcceptedMessage },
    { told, waiting }: { readonly told: Told; readonly waiting?: Waiting },
  ): Snapshot {
    const nextAttemptAt =
      waiting === undefined
        ? {}
        : { nextAttemptAt: new Date(Date.now() + waiting.delayMs).toISOString() };
    return {
      ...snapshotBase(message),
      status: 'retrying',
      redrive: 0,
      sequence: sequences.attempt(0, this.#state.told + 1),
      updatedAt: new Date().toISOString(),
      templateVersion: this.#input.templateVersion,
      ...languageAt(this.#input.languages, place),
      attempts: this.#state.calls,
      ...this.#state.tried?.[place],
      ...(waiting !== undefined && { reason: waiting.reason }),
      ...nextAttemptAt,
      attempt: { ...this.note(told), ...nextAttemptAt },
    };
  }

  report(reason?: Reason): ChunkReport {
    const { calls, told, ended, alone, tried, doubt } = this.#state;
    return {
      attempts: calls,
      told,
      ended,
      alone,
      ...(tried !== undefined && { tried }),
      ...(reason !== undefined && { reason }),
      ...(doubt !== undefined && { isInDoubt: true as const }),
    };
  }
  /** Leaves what the next attempt must know. */
  leave(attempt: number): void {
    this.#state = { ...this.#state, lastAttempt: attempt };
    Context.current().heartbeat(this.#state);
  }
}
