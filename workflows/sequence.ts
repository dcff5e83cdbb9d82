/**
 * The messages of one ordering key, one after the other, each as a `deliver` run of its own. What is here has been
 * acknowledged in RocketMQ: this run ends only when it holds nothing, and a cancel of it changes nothing.
 */
import {
  ApplicationFailure,
  CancellationScope,
  ChildWorkflowFailure,
  condition,
  continueAsNew,
  defineSignal,
  defineUpdate,
  proxyActivities,
  proxyLocalActivities,
  setCurrentDetails,
  setHandler,
  startChild,
  upsertSearchAttributes,
  workflowInfo,
} from '@temporalio/workflow';
import {
  SearchAttributeType,
  WorkflowExecutionAlreadyStartedError,
  defineSearchAttributeKey,
} from '@temporalio/common';
import type { LocalActivities } from '../contracts/activities.ts';
import {
  enqueueUpdate,
  goOnSignal,
  queueFull,
  type OrderedRun,
  type SequenceActivities,
  type SequenceInput,
} from '../contracts/sequence.ts';
import { sequences } from '../contracts/sequences.ts';
import { deliverWorkflow } from '../contracts/workflows.ts';
import type { deliver } from './deliver.ts';
import { toSnapshot } from './snapshot.ts';

/** Together with the messages of one run these stay below the 2,000 updates that Temporal allows a run. */
const mostWaiting = 1000;
const messagesOfRun = 500;
/** Temporal takes 2 MiB as the input of the next run, encrypted and in base64. In characters of JSON. */
const mostWaitingSize = 1024 * 1024;
const idleMs = 60_000;

export const enqueue = defineUpdate<number, [readonly OrderedRun[]]>(enqueueUpdate);
export const goOn = defineSignal(goOnSignal);

const { report } = proxyLocalActivities<Pick<LocalActivities, 'report'>>({
  startToCloseTimeout: '15 seconds',
  retry: { initialInterval: '200 milliseconds', maximumInterval: '10 seconds' },
});
const { settleRepeat } = proxyActivities<SequenceActivities>({
  startToCloseTimeout: '15 seconds',
  retry: { initialInterval: '1 second', maximumInterval: '1 minute' },
  summary: 'waits for an earlier run of this message',
});

const stateAttribute = defineSearchAttributeKey('McState', SearchAttributeType.KEYWORD);

/** Runs until no message has come for a minute. */
export function sequence(input: SequenceInput): Promise<void> {
  return CancellationScope.nonCancellable(() => new Sequencer(input).run());
}

class Sequencer {
  readonly #input: SequenceInput;
  readonly #waiting: OrderedRun[];
  #waitingSize: number;
  #head: OrderedRun | undefined;
  #isStopped = false;

  constructor(input: SequenceInput) {
    this.#input = input;
    this.#waiting = [...input.waiting];
    this.#waitingSize = sizeOf(...input.waiting);
    // Both handlers are done within one activation, so that no end of this run cuts one short.
    setHandler(enqueue, (runs) => this.#enqueue(runs), { validator: (runs) => this.#admit(runs) });
    setHandler(goOn, () => {
      this.#isStopped = false;
    });
  }

  async run(): Promise<void> {
    for (let count = 0; count < messagesOfRun && !workflowInfo().continueAsNewSuggested; count++) {
      await condition(() => this.#waiting.length > 0, idleMs);
      const head = this.#waiting.shift();
      if (head === undefined) return;
      this.#head = head;
      this.#waitingSize -= sizeOf(head);
      const isDelivered = await deliverOne(head);
      if (!isDelivered && head.input.message.onOrderFailure === 'stop') await this.#stop(head);
      this.#head = undefined;
    }
    await continueAsNew<typeof sequence>({ ...this.#input, waiting: this.#waiting });
  }

  #enqueue(runs: readonly OrderedRun[]): number {
    for (const [index, run] of runs.entries()) {
      if (this.#holds(run)) continue;
      if (!this.#hasRoomFor(run)) return index;
      this.#waiting.push(run);
      this.#waitingSize += sizeOf(run);
    }
    return runs.length;
  }

  #admit([first]: readonly OrderedRun[]): void {
    if (first === undefined || this.#holds(first) || this.#hasRoomFor(first)) return;
    throw ApplicationFailure.nonRetryable(
      `${this.#waiting.length} messages of this key wait already`,
      queueFull,
    );
  }

  #hasRoomFor(run: OrderedRun): boolean {
    const { length } = this.#waiting;
    if (length === 0) return true;
    return length < mostWaiting && this.#waitingSize + sizeOf(run) <= mostWaitingSize;
  }

  /** Whether RocketMQ has brought this very message again. A service's repeat is accepted anew, and settled in its turn. */
  #holds({ input: { message } }: OrderedRun): boolean {
    return [this.#head, ...this.#waiting].some(
      (other) =>
        other?.input.message.id === message.id &&
        other.input.message.acceptedAt === message.acceptedAt &&
        other.input.message.requestHash === message.requestHash,
    );
  }

  /** Holds the key until somebody lets it go on. */
  async #stop({ input: { message } }: OrderedRun): Promise<void> {
    const { orderingKey } = this.#input;
    this.#isStopped = true;
    upsertSearchAttributes([{ key: stateAttribute, value: 'stuck' }]);
    setCurrentDetails(
      `stopped behind ${message.id}, which was not delivered; POST /v1/ordering-keys/${orderingKey}/resume lets the next one go`,
    );
    await condition(() => !this.#isStopped);
    upsertSearchAttributes([{ key: stateAttribute, value: null }]);
    setCurrentDetails('');
  }
}

const sizeOf = (...runs: readonly OrderedRun[]): number =>
  runs.reduce((size, run) => size + JSON.stringify(run).length, 0);

/** Runs one message to its end. False: it was not delivered. */
async function deliverOne(run: OrderedRun): Promise<boolean> {
  const { input, memo, taskQueue, priority, attributes } = run;
  const { message } = input;
  setCurrentDetails(`its turn: ${message.id}`);
  try {
    const child = await startChild<typeof deliver>(deliverWorkflow, {
      workflowId: message.id,
      taskQueue,
      args: [input],
      memo: { ...memo },
      priority,
      typedSearchAttributes: attributes.map(({ key, value }) => ({
        key: defineSearchAttributeKey(key.name, SearchAttributeType.KEYWORD),
        value,
      })),
      workflowIdReusePolicy: 'REJECT_DUPLICATE',
      // It is a delivery like any other, and outlives whatever happens to this run.
      parentClosePolicy: 'ABANDON',
    });
    await report(startedSnapshot(run));
    await child.result();
    return true;
  } catch (error) {
    if (error instanceof ChildWorkflowFailure) return false;
    if (!(error instanceof WorkflowExecutionAlreadyStartedError)) throw error;
    // Recalled before its turn, or a repeat: in either case what there is to decide has been decided by the first run.
    await settleRepeat(message);
    return true;
  } finally {
    setCurrentDetails('');
  }
}

function startedSnapshot({ input: { message, redrive } }: OrderedRun) {
  const { sendAt } = message;
  const isScheduled = sendAt !== undefined && Date.parse(sendAt) > Date.now();
  return toSnapshot(
    message,
    isScheduled
      ? { status: 'scheduled', attempts: 0, nextAttemptAt: sendAt }
      : { status: 'sending', attempts: 0 },
    { redrive, sequence: sequences.sending, updatedAt: new Date().toISOString() },
  );
}
