/** What one run of the send activity tried: numbered, timed, told and logged. */
import type { SendInput } from '../contracts/activities.ts';
import type { SendOutcome } from '../contracts/outcome.ts';
import { sequences, type Attempt, type Reason, type Snapshot } from '../contracts/result.ts';
import { snapshotBase } from '../contracts/snapshot-base.ts';
import { triedAfter, triedTogether, type Tried } from '../contracts/tried.ts';
import type { Logger } from '../platform/logger.ts';
import type { Tell } from './tell.ts';

/** What a call came to, before it is numbered and timed. */
export type Told = Omit<Attempt, 'number' | 'startedAt' | 'durationMs' | 'accountId'>;

/** What a provider's answer says for the timeline. */
export function toTold({ class: outcome, providerCode, providerMessage }: SendOutcome): Told {
  return {
    outcome,
    ...(providerCode !== undefined && { providerCode }),
    ...(providerMessage !== undefined && { providerMessage }),
  };
}

/** What is waited for before the next call. */
export interface Waiting {
  readonly delayMs: number;
  readonly reason: Reason;
}

export interface TimelineOf {
  readonly input: SendInput;
  readonly tell: Tell;
  readonly logger: Logger;
  /** Temporal's number of this attempt. */
  readonly temporalAttempt: number;
  /** Entries that earlier attempts told of. */
  readonly before: number;
  /** What those came to. */
  readonly triedBefore: Tried;
}

export class Timeline {
  readonly #of: TimelineOf;
  readonly #startedAt = new Date();
  readonly #entries: Attempt[] = [];

  constructor(of: TimelineOf) {
    this.#of = of;
  }

  /** Entries of the message so far, over all its ways. */
  get told(): number {
    return this.#of.input.toldBefore + this.#of.before + this.#entries.length;
  }

  /** How many entries this attempt has. */
  get length(): number {
    return this.#entries.length;
  }

  /** What all entries on this way came to. */
  get tried(): Tried {
    return this.#entries.reduce(triedAfter, this.#of.triedBefore);
  }

  /** The newest entry: it travels with the run's end when this attempt is the last one. */
  get last(): Attempt | undefined {
    return this.#entries.at(-1);
  }

  /** Notes what was tried; `delayMs`: until it is tried again. */
  note(told: Told, delayMs?: number): void {
    this.#entries.push({
      number: this.told + 1,
      startedAt: this.#startedAt.toISOString(),
      durationMs: Date.now() - this.#startedAt.getTime(),
      accountId: this.#of.input.message.accountId,
      ...told,
      ...(delayMs !== undefined && { nextAttemptAt: new Date(Date.now() + delayMs).toISOString() }),
    });
  }

  /** Tells of everything; the message waits for its next attempt. `calls`: concluded so far. */
  async tellAll(calls: number, waiting?: Waiting): Promise<void> {
    for (const attempt of this.#entries) await this.#tell(attempt, calls, waiting);
  }

  /** Tells of everything but the last entry. */
  async tellAllButLast(calls: number): Promise<void> {
    for (const attempt of this.#entries.slice(0, -1)) await this.#tell(attempt, calls);
  }

  /** One log line for each entry, or one for an attempt that called nobody. */
  log(next: 'done' | 'retry' | 'give-up'): void {
    const { temporalAttempt, logger, input } = this.#of;
    const { id: messageId, tenantId, channel, accountId } = input.message;
    for (const attempt of this.#entries.length > 0 ? this.#entries : [undefined])
      logger.info(
        { messageId, tenantId, channel, accountId, temporalAttempt, ...attempt, next },
        'delivery.attempted',
      );
  }

  #tell(attempt: Attempt, calls: number, waiting?: Waiting): Promise<void> {
    const {
      message,
      redrive,
      round,
      toldBefore,
      callsBefore,
      triedBefore,
      templateVersion,
      language,
    } = this.#of.input;
    const snapshot: Snapshot = {
      ...snapshotBase(message),
      status: waiting === undefined ? 'sending' : 'retrying',
      redrive,
      sequence: sequences.attempt(round, attempt.number - toldBefore),
      updatedAt: new Date().toISOString(),
      templateVersion,
      ...language,
      attempts: callsBefore + calls,
      ...triedTogether(triedBefore ?? {}, this.tried),
      ...(waiting !== undefined && {
        reason: waiting.reason,
        nextAttemptAt: new Date(Date.now() + waiting.delayMs).toISOString(),
      }),
      attempt,
    };
    return this.#of.tell.attempt(snapshot);
  }
}
