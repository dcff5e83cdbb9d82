/**
 * The message queue as our code sees it. platform/rocketmq.ts is its adapter; another queue that keeps these promises
 * could take its place. At-least-once: everything published or received may come twice.
 */

/** One message to publish. `key` is the id of the message it is about, or those of all of them. */
export interface Outgoing {
  readonly key: string | readonly string[];
  readonly body: string | Uint8Array;
}

export interface PublishOptions {
  /** Default: 10 s. */
  readonly deadlineMs?: number;
  /**
   * For FIFO topics: messages of one group, at most 64 bytes, are stored in the order of the calls and received in that
   * order, each in a broker call of its own.
   */
  readonly orderingGroup?: string;
  /** The body is JSON, and who reads the topic takes an array of such bodies as well: those published together travel as one. */
  readonly isPackable?: boolean;
}

export interface Publisher {
  /**
   * Resolves once the broker has stored the message on disk; concurrent calls are merged into one broker call.
   * Errors: PublishError, after trying until the deadline.
   */
  publish(topic: string, message: Outgoing, options?: PublishOptions): Promise<void>;
  /** Waits for what is in hand, then closes. */
  close(): Promise<void>;
}

/** Publishing failed for good within its deadline. `stored`: whether the message may be there all the same. */
export class PublishError extends Error {
  readonly stored: 'no' | 'unknown';
  constructor(message: string, stored: 'no' | 'unknown', cause?: unknown) {
    super(message, { cause });
    this.name = 'PublishError';
    this.stored = stored;
  }
}

/** One received message; acknowledge it, or it comes again. */
export interface Delivery {
  readonly topic: string;
  readonly key: string;
  readonly body: Buffer;
  /** Counted from 1. */
  readonly attempt: number;
}

export interface Receiver {
  /**
   * Waits up to `awaitMs`, by default what the receiver was made with, for at most `max` (≤ 32) messages of one topic; may be
   * empty. Errors: the queue does not answer.
   */
  receive(topic: string, max: number, awaitMs?: number): Promise<readonly Delivery[]>;
  /** Acknowledges all in one call. What could not be acknowledged comes again. */
  acknowledge(deliveries: readonly Delivery[]): Promise<void>;
  /** Lets a message come again after `delayMs`. */
  retryLater(delivery: Delivery, delayMs: number): Promise<void>;
  close(): Promise<void>;
}
