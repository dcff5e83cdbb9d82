/** The sequencer of one ordering key. Carried by: Temporal, bridge → workflow worker. Types only, for the sandbox. */
import type { AcceptedMessage } from './message.ts';
import type { DeliverInput, DeliverMemo } from './workflows.ts';

export const sequenceWorkflow = 'sequence';
/** Update: puts messages at the end of the key's queue, in their order; gives how many it took, from the first on. */
export const enqueueUpdate = 'enqueue';
/** Signal: a stopped key lets its next message go. */
export const goOnSignal = 'go-on';
/** `type` of the failure with which enqueue refuses when there is no room now, so that nothing is written. */
export const queueFull = 'queue-full';

/** How the run of one message is started: all that the sandbox cannot find out by itself. */
export interface OrderedRun {
  readonly taskQueue: string;
  readonly input: DeliverInput;
  readonly memo: DeliverMemo;
  readonly priority: {
    readonly priorityKey: number;
    readonly fairnessKey: string;
    readonly fairnessWeight?: number;
  };
  readonly attributes: readonly {
    readonly key: { readonly name: string; readonly type: 'KEYWORD' };
    readonly value: string;
  }[];
}

export interface SequenceInput {
  readonly version: 1;
  /** Not personal: shown to operators. */
  readonly orderingKey: string;
  /** What an earlier run of this sequencer has handed over, the next one first. */
  readonly waiting: readonly OrderedRun[];
}

/** Runs on the workflows' own queue. */
export interface SequenceActivities {
  /**
   * For a message whose id has a run already: waits until that has ended, and tells what became of the repeat.
   * Errors: a retryable one while the run goes on.
   */
  settleRepeat(message: AcceptedMessage): Promise<void>;
}
