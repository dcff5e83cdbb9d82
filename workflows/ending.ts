/** How one way of a message ended, and whether another way may be tried after it. Pure, so that replay decides the same. */
import {
  ActivityFailure,
  ApplicationFailure,
  TemporalFailure,
  TimeoutFailure,
  isCancellation,
} from '@temporalio/workflow';
import { RetryState, TimeoutType } from '@temporalio/common';
import {
  accountAtFault,
  attemptsExhausted,
  outcomeUnknown,
  recalled,
  suppressed,
  type SendReport,
} from '../contracts/activities.ts';
import type { Kind, Route } from '../contracts/message.ts';
import type { Reason } from '../contracts/result.ts';
import type { DeliverResult, ReceiptSignal } from '../contracts/workflows.ts';

/** How far an end leads: to another account of the same connector too, or only to another connector. */
export type LeadsTo = 'any' | 'other-connector';

export type Ending = DeliverResult &
  Partial<SendReport> & {
    readonly content?: string;
    /** Absent: the message ends here. */
    readonly leadsTo?: LeadsTo;
  };

/** A receipt that says that the message arrived. */
export type Arrival = ReceiptSignal & { readonly status: 'delivered' | 'read' };

export const expired = (detail: string): Ending => ({
  status: 'expired',
  attempts: 0,
  reason: { code: 'expired', detail },
});

/** Why this way sent nothing, in our words, and where that leads. Errors: a defect of ours, which waits for a better deploy. */
export function giveUp(
  error: unknown,
  { kind, lifeMs }: { readonly kind: Kind; readonly lifeMs: number },
): Ending {
  if (!(error instanceof TemporalFailure)) throw error;
  if (isCancellation(error)) return { status: 'recalled', attempts: 0 };
  const cause = error instanceof ActivityFailure ? error.cause : error;
  const failure = applicationFailureIn(cause);
  const said = failure?.details?.[0] as SendReport | undefined;
  const tried = {
    attempts: said?.attempts ?? 0,
    told: said?.told ?? 0,
    ...(said?.tried !== undefined && { tried: said.tried }),
    ...(said?.attempt !== undefined && { attempt: said.attempt }),
  };
  const timeout = cause instanceof TimeoutFailure ? cause.timeoutType : undefined;
  const unknown = (reason: Reason): Ending => ({
    status: 'unknown',
    ...tried,
    reason,
    // A second channel may bring the same a second time: the kind says whether that is better than nothing.
    ...(kind === 'notice' && { leadsTo: 'other-connector' as const }),
  });
  // The last attempt began within the message's life and was never heard of again: it may have been sent.
  if (wasUnheard(cause))
    return unknown({ code: outcomeUnknown, detail: 'the last attempt did not conclude' });
  const reason = said?.reason ?? {
    code: failure?.type ?? 'failed',
    ...(failure !== undefined && { detail: failure.message }),
  };
  if (failure?.type === outcomeUnknown || said?.isInDoubt === true) return unknown(reason);
  if (failure?.type === recalled) return { status: 'recalled', ...tried, reason };
  if (failure?.type === suppressed)
    return { status: 'suppressed', ...tried, reason, leadsTo: 'other-connector' };
  // Without a stand-in this timeout and the one of its whole life fall together, and the server says the first.
  if (timeout === TimeoutType.SCHEDULE_TO_START && lifeMs > 0) {
    const detail = 'its turn did not come in time at this account';
    return { status: 'failed', ...tried, reason: { code: 'account-busy', detail }, leadsTo: 'any' };
  }
  if (failure === undefined) return { ...expired('its life ended before its turn came'), ...tried };
  const isLate =
    failure.type === 'expired' ||
    (error instanceof ActivityFailure && error.retryState === RetryState.TIMEOUT);
  if (isLate) return { status: 'expired', ...tried, reason };
  const isOfAccount = failure.type === accountAtFault || failure.type === attemptsExhausted;
  return { status: 'failed', ...tried, reason, leadsTo: isOfAccount ? 'any' : 'other-connector' };
}

/** Whether the last attempt never concluded. A life that ended after it has that as its cause. */
function wasUnheard(error: unknown): boolean {
  if (!(error instanceof TimeoutFailure)) return false;
  return error.timeoutType === TimeoutType.START_TO_CLOSE || wasUnheard(error.cause);
}

/** For an end whose attempt has been told: it must not be told again under another number. */
export function withoutAttempt({ attempt: _told, ...rest }: Ending): Ending {
  return rest;
}

/** The same end once a provider has said that the message arrived. */
export function arrivedBy(arrival: Arrival | undefined, ending: Ending): Ending {
  if (arrival === undefined) return ending;
  const { reason: _doubt, leadsTo: _next, ...rest } = ending;
  return { ...rest, status: arrival.status };
}

/** The failure that an activity threw, wherever in the chain of causes; of a timeout, the one of the attempt before it. */
export function applicationFailureIn(error: unknown): ApplicationFailure | undefined {
  if (error instanceof ApplicationFailure) return error;
  return error instanceof Error && error.cause !== undefined
    ? applicationFailureIn(error.cause)
    : undefined;
}

/** What the run returns, or fails with. */
export function toResult(ending: Ending, route: Route, attempts: number): DeliverResult {
  const { status, templateVersion, language, providerId, reason } = ending;
  const { connector, channel, accountId } = route;
  return {
    status,
    route: { connector, channel, accountId },
    attempts,
    ...(templateVersion !== undefined && { templateVersion }),
    ...(language !== undefined && { language }),
    ...(providerId !== undefined && { providerId }),
    ...(reason !== undefined && { reason }),
  };
}
