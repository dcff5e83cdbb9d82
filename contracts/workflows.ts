/** The workflows: names, inputs, results. Carried by: Temporal, bridge → workflow worker. Types only, for the sandbox. */
import type { UsedLocale } from './locale.ts';
import type { AcceptedMessage, Route } from './message.ts';
import type { Reason } from './result.ts';
import type { Status } from './status.ts';
import type { Tried } from './tried.ts';

export const deliverWorkflow = 'deliver';

/** A way and the Temporal task queue of its account. */
export interface DeliverRoute extends Route {
  readonly sendQueue: string;
}

export interface DeliverInput {
  readonly version: 1;
  readonly message: AcceptedMessage;
  /** 0 for the first delivery; counted up by operators who send again. */
  readonly redrive: number;
  /** Every way that may be tried, in this order; at least one. */
  readonly routes: readonly DeliverRoute[];
  /** Taken back before its run began: it ends as recalled and calls nobody. */
  readonly isRecalled?: true;
  /** What a chunk that it fell out of has numbered and called before. */
  readonly before?: {
    readonly rounds: number;
    readonly told: number;
    readonly calls: number;
    readonly tried?: Tried;
  };
}

export interface DeliverResult {
  readonly status: Status;
  /** The way it went at last. */
  readonly route?: Route;
  readonly attempts: number;
  readonly templateVersion?: number;
  readonly language?: UsedLocale;
  readonly providerId?: string;
  readonly reason?: Reason;
}

/** What a run's memo holds, to tell a repeat from another message under the same key. */
export interface DeliverMemo {
  readonly requestHash: string;
  readonly acceptedAt: string;
  readonly redrive: number;
  /** It was started only to end: nobody needs to cancel it. */
  readonly isRecalled?: true;
}

/** Provider news that a run which waits for a receipt is told. */
export interface ReceiptSignal {
  readonly accountId: string;
  readonly status: 'delivered' | 'read' | 'failed';
  readonly detail?: string;
  readonly code?: string;
}
/** Signals of a run: a receipt came; what held it is over and it looks again. */
export const receiptSignal = 'receipt';
export const lookAgainSignal = 'look-again';

/** After this long without an end the run is marked McState=stuck, by kind of template. */
export const stuckAfterMs = { otp: 30_000, notice: 300_000, marketing: 1_800_000 } as const;

/**
 * After this long in an account's queue another account takes the message over, where there is one; by priority. A queue
 * that flows holds about 30 s of work, which the urgent overtakes.
 */
export const standInAfterMs = { critical: 5_000, normal: 40_000, bulk: 300_000 } as const;
