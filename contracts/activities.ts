/** The activities of a delivery. Carried by: Temporal, workflow → activities. Types only: the workflow sandbox reads this file. */
import type { AcceptedMessage } from './message.ts';
import type { Attempt, Reason, Snapshot } from './result.ts';

export interface RenderInput {
  readonly message: AcceptedMessage;
}

export type RenderResult =
  | {
      readonly ok: true;
      /** The version that is sent from now on, whatever is published later. */
      readonly templateVersion: number;
      /** Longest time of one attempt: the connector's call and, after a lost answer, its question. */
      readonly attemptTimeoutMs: number;
      /** Only where the template says that its content may be searched. */
      readonly content?: string;
    }
  | { readonly ok: false; readonly reason: Reason };

export interface SendInput {
  readonly message: AcceptedMessage;
  readonly templateVersion: number;
  readonly redrive: number;
  /** Which channel of the message is tried, counted from 0; attempts are numbered within its range. */
  readonly leg: number;
}

/** What a send came to: the return value when the provider has it, the failure's details when not. */
export interface SendReport {
  /** Provider calls concluded so far. */
  readonly attempts: number;
  readonly attempt?: Attempt;
  readonly providerId?: string;
  readonly reason?: Reason;
}

/** Local activities: run inside the workflow's own worker, again when that worker dies; both are idempotent. */
export interface LocalActivities {
  /** Pins the template version and checks that it renders. */
  render(input: RenderInput): Promise<RenderResult>;
  /** Publishes a snapshot; retried until the broker has it. */
  report(snapshot: Snapshot): Promise<void>;
}

/** Runs on the channel account's own task queue, where its limit holds; the server retries it. */
export interface SendActivities {
  send(input: SendInput): Promise<SendReport>;
}

/** `type` of the failure with which send gives up although the message may have been sent. */
export const outcomeUnknown = 'outcome-unknown';
/** `type` of the failure with which send gives up after its last attempt. */
export const attemptsExhausted = 'attempts-exhausted';
