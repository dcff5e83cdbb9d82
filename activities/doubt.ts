/** Before any new call after a lost answer: was that one taken? The provider is asked, or the kind's policy decides. */
import { attemptsExhausted, outcomeUnknown } from '../contracts/activities.ts';
import type { Connector, ConnectorClient } from '../contracts/channel.ts';
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

/** Settles the doubt of one address. Errors: none of the provider's. */
export async function settleDoubt(options: {
  readonly connector: Connector;
  readonly client: ConnectorClient;
  readonly kind: Kind;
  readonly to: To;
  readonly deliveryKey: string;
  readonly target: TargetProgress;
  readonly signal: AbortSignal;
}): Promise<DoubtAnswer> {
  const { connector, client, kind, to, deliveryKey, target, signal } = options;
  const { capabilities } = connector;
  const { doubt } = target;
  if (doubt === undefined) return { next: 'send' };
  const sentAtMs = Date.parse(doubt.sentAt);
  const { dedupe } = capabilities;
  const isHarmless =
    dedupe.by === 'overwrite' || (dedupe.by === 'key' && Date.now() - sentAtMs < dedupe.windowMs);
  if (isHarmless)
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
    const asked = doubt.asked + 1;
    if (asked < questions) {
      const delayMs = backoffMs(doubt.asked + 3, Math.random());
      return { next: 'wait', delayMs, asked, detail: answer.detail };
    }
  }
  if (kindDefaults[kind].onAmbiguous === 'give-up')
    return { next: 'give-up', failureType: outcomeUnknown };
  if (target.calls >= capabilities.attemptBudget)
    return { next: 'give-up', failureType: attemptsExhausted };
  return { next: 'send' };
}
