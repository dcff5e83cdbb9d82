/** The workflows: names, inputs, results. Carried by: Temporal, bridge → workflow worker. Types only, for the sandbox. */
import type { AcceptedMessage } from './message.ts';
import type { Reason } from './result.ts';
import type { Status } from './status.ts';

export const deliverWorkflow = 'deliver';

export interface DeliverInput {
  readonly version: 1;
  readonly message: AcceptedMessage;
  /** 0 for the first delivery; counted up by operators who send again. */
  readonly redrive: number;
  readonly sendQueue: string;
  /** Taken back before its run began: it ends as recalled and calls nobody. */
  readonly isRecalled?: true;
}

export interface DeliverResult {
  readonly status: Status;
  readonly attempts: number;
  readonly templateVersion?: number;
  readonly providerId?: string;
  readonly reason?: Reason;
}

/** What a run's memo holds, to tell a repeat from another message under the same key. */
export interface DeliverMemo {
  readonly requestHash: string;
  readonly acceptedAt: string;
}

/** After this long without an end the run is marked McState=stuck, by kind of template. */
export const stuckAfterMs = { otp: 30_000, notice: 300_000, marketing: 1_800_000 } as const;
