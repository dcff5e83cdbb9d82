/** Before any new call after a lost answer: was that one taken? The provider is asked, or the kind's policy decides. */
import { attemptsExhausted, outcomeUnknown } from '../contracts/activities.ts';
import type {
  ChannelCapabilities,
  Connector,
  ConnectorClient,
  SendRequest,
} from '../contracts/channel.ts';
import type { ReconcileOutcome } from '../contracts/outcome.ts';
import { kindDefaults, type Kind, type To } from '../contracts/message.ts';
import type { Reason } from '../contracts/result.ts';
import { backoffMs } from './decide.ts';
import type { TargetProgress } from './progress.ts';

/** Questions to the provider after a lost answer before the kind's policy decides. */
const questions = 5;

export type DoubtAnswer =
  /** It was taken. */
  | { readonly next: 'taken'; readonly providerId?: string }
  /** It was not, or a repeat does no harm. */
  | { readonly next: 'send' }
  /** Too early to say. `detail`: what the provider said when it was asked. */
  | {
      readonly next: 'wait';
      readonly delayMs: number;
      readonly asked: number;
      readonly detail?: string;
    }
  | { readonly next: 'give-up'; readonly failureType: string };

export const doubtReason: Reason = {
  code: outcomeUnknown,
  detail: 'the answer to a call was lost, and the provider could not say whether it took it',
};

/** Whether the same call again reaches nobody a second time. */
function isRepeatHarmless({ dedupe }: ChannelCapabilities, sentAtMs: number): boolean {
  return (
    dedupe.by === 'overwrite' || (dedupe.by === 'key' && Date.now() - sentAtMs < dedupe.windowMs)
  );
}

/** Settles the doubt of one address. Errors: none of the provider's. */
export async function settleDoubt(options: {
  readonly connector: Connector;
  readonly client: ConnectorClient;
  readonly kind: Kind;
  readonly to: To;
  readonly deliveryKey: string;
  readonly target: TargetProgress;
  readonly signal: AbortSignal;
  /** Told when the provider was asked in vain. */
  readonly onNoAnswer: () => Promise<void>;
}): Promise<DoubtAnswer> {
  const { connector, client, kind, to, deliveryKey, target, signal } = options;
  const { capabilities } = connector;
  const { doubt } = target;
  if (doubt === undefined) return { next: 'send' };
  const sentAtMs = Date.parse(doubt.sentAt);
  if (isRepeatHarmless(capabilities, sentAtMs))
    return target.calls < capabilities.attemptBudget
      ? { next: 'send' }
      : { next: 'give-up', failureType: outcomeUnknown };

  if (client.reconcile !== undefined && doubt.asked < questions) {
    const trustedFromMs = sentAtMs + capabilities.reconcileAfterMs;
    if (Date.now() < trustedFromMs)
      return { next: 'wait', delayMs: trustedFromMs - Date.now(), asked: doubt.asked };
    const answer = await client.reconcile({ to, deliveryKey, sentAt: doubt.sentAt, signal });
    if (answer.found === 'yes')
      return {
        next: 'taken',
        ...(answer.providerId !== undefined && { providerId: answer.providerId }),
      };
    if (answer.found === 'no') return { next: 'send' };
    await options.onNoAnswer();
    const asked = doubt.asked + 1;
    if (asked < questions) {
      const delayMs = backoffMs(doubt.asked + 3, Math.random());
      return { next: 'wait', delayMs, asked, detail: answer.detail };
    }
  }
  if (!isSentAgain(kind)) return { next: 'give-up', failureType: outcomeUnknown };
  if (target.calls >= capabilities.attemptBudget)
    return { next: 'give-up', failureType: attemptsExhausted };
  return { next: 'send' };
}

/** A batch call whose answer was lost. */
export interface LostBatch {
  readonly messages: readonly Omit<SendRequest, 'signal'>[];
  /** Places in `messages` of those in doubt. */
  readonly asked: readonly number[];
  readonly sentAt: string;
  /** Questions asked about it so far. */
  readonly questions: number;
  /** Batch calls concluded so far. */
  readonly calls: number;
}

export type BatchDoubtAnswer =
  /** The very same batch again: only that is known as a repeat. */
  | { readonly next: 'repeat' }
  | { readonly next: 'wait'; readonly delayMs: number; readonly questions: number }
  /** What is known of each of `asked`; where that is nothing, the kind decides. */
  | { readonly next: 'settled'; readonly answers: readonly ReconcileOutcome[] };

/** The same for a batch call. Errors: none of the provider's. */
export async function settleBatchDoubt(options: {
  readonly connector: Connector;
  readonly client: ConnectorClient;
  readonly lost: LostBatch;
  readonly signal: AbortSignal;
  readonly onNoAnswer: () => Promise<void>;
}): Promise<BatchDoubtAnswer> {
  const { connector, client, lost, signal } = options;
  const { capabilities } = connector;
  const { messages, asked, sentAt } = lost;
  const sentAtMs = Date.parse(sentAt);
  const nobodyKnows = asked.map(() => ({ found: 'cannot-tell' as const, detail: '' }));
  if (isRepeatHarmless(capabilities, sentAtMs))
    return lost.calls < capabilities.attemptBudget
      ? { next: 'repeat' }
      : { next: 'settled', answers: nobodyKnows };
  if (client.reconcileBatch === undefined || lost.questions >= questions)
    return { next: 'settled', answers: nobodyKnows };
  const trustedFromMs = sentAtMs + capabilities.reconcileAfterMs;
  if (Date.now() < trustedFromMs)
    return { next: 'wait', delayMs: trustedFromMs - Date.now(), questions: lost.questions };
  const answers = await client.reconcileBatch({ messages, asked, sentAt, signal });
  const isSure = answers.every(({ found }) => found !== 'cannot-tell');
  if (!isSure) await options.onNoAnswer();
  return isSure || lost.questions + 1 >= questions
    ? { next: 'settled', answers }
    : {
        next: 'wait',
        delayMs: backoffMs(lost.questions + 3, Math.random()),
        questions: lost.questions + 1,
      };
}

/** Whether a message of this kind is sent again when nobody can say whether it was taken. */
export function isSentAgain(kind: Kind): boolean {
  return kindDefaults[kind].onAmbiguous === 'resend';
}
