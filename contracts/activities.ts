/** The activities of a delivery. Carried by: Temporal, workflow → activities. Types only: the workflow sandbox reads this file. */
import type { UsedLocale } from './locale.ts';
import type { AcceptedMessage } from './message.ts';
import type { Attempt, Reason, Snapshot } from './result.ts';
import type { Tried } from './tried.ts';

export interface RenderInput {
  readonly message: AcceptedMessage;
}

/** What a message may do now on one way. */
export type RenderResult =
  | {
      readonly next: 'send';
      /** The version that is sent from now on, whatever is published later. */
      readonly templateVersion: number;
      /** Absent: the template does not name its languages. */
      readonly language?: UsedLocale;
      /** Longest time of one attempt: the connector's call and, after a lost answer, its question. */
      readonly attemptTimeoutMs: number;
      /** Only where the template says that its content may be searched. */
      readonly content?: string;
    }
  /** Not now: quiet hours, a pause. Its life stands still. `until`: ISO time; absent: until somebody resumes it. */
  | { readonly next: 'hold'; readonly until?: string; readonly reason: Reason }
  /** Not on this way; another channel may do. */
  | { readonly next: 'skip'; readonly status: 'failed' | 'suppressed'; readonly reason: Reason }
  /** Not at all. */
  | {
      readonly next: 'end';
      readonly status: 'failed' | 'suppressed' | 'recalled';
      readonly reason: Reason;
    };

export interface SendInput {
  readonly message: AcceptedMessage;
  readonly templateVersion: number;
  readonly language?: UsedLocale;
  readonly redrive: number;
  /** The range of sequence numbers in which its attempts are told. */
  readonly round: number;
  /** Entries of the timeline that other ways have made before. */
  readonly toldBefore: number;
  /** Provider calls that other ways have concluded before. */
  readonly callsBefore: number;
  /** What those have come to. */
  readonly triedBefore?: Tried;
  /** Another account of the same channel can take over when this one is at fault. */
  readonly hasStandIn: boolean;
}

/** What a send came to: the return value when the provider has it, the failure's details when not. */
export interface SendReport {
  /** Provider calls concluded so far on this way. */
  readonly attempts: number;
  /** Entries of the message's timeline so far, over all its ways. */
  readonly told: number;
  /** What those entries have come to. */
  readonly tried?: Tried;
  readonly attempt?: Attempt;
  readonly providerId?: string;
  readonly reason?: Reason;
  /** The provider may have taken a call that nothing was heard of. */
  readonly isInDoubt?: true;
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
/** `type` of the failure with which send hands over to another account: this one is at fault, and the provider has nothing. */
export const accountAtFault = 'account-at-fault';
/** `type` of the failure with which send hands a message back that was paused before any call. */
export const paused = 'paused';
/** `type` of the failure with which send ends a message that was recalled by its batch, template, tenant or account. */
export const recalled = 'recalled';
/** `type` of the failure with which a message ends whose day key is destroyed: nobody can open what it is about. */
export const dataExpired = 'data-expired';
/** `type` of the failure with which send ends a message that its recipient does not want through this channel. */
export const suppressed = 'suppressed';
