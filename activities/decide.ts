/** The one place that decides what follows from a provider's answer. Pure. */
import type { SendOutcome } from '../contracts/outcome.ts';
import type { Reason } from '../contracts/result.ts';
import { attemptsExhausted } from '../contracts/activities.ts';

export type Decision =
  | { readonly next: 'done'; readonly providerId?: string }
  /** Call again after `delayMs`. `counts`: whether this call is taken from the attempt budget. `alert`: the account is at fault. */
  | {
      readonly next: 'retry';
      readonly delayMs: number;
      readonly counts: boolean;
      readonly alert: boolean;
      readonly reason: Reason;
    }
  /** Perhaps sent: find out before any new call. */
  | { readonly next: 'doubt'; readonly reason: Reason }
  | { readonly next: 'give-up'; readonly failureType: string; readonly reason: Reason };

export interface DecideInput {
  readonly outcome: SendOutcome;
  /** Concluded calls before this one. */
  readonly callsBefore: number;
  readonly attemptBudget: number;
  readonly nowMs: number;
  /** Whether the account's queue is held while the account is at fault. */
  readonly isHeld: boolean;
  /** 0 ≤ random < 1: jitter. */
  readonly random: number;
}

const firstBackoffMs = 1000;
const longestBackoffMs = 300_000;
/** How long an account that is at fault is left alone when the provider does not say. */
const accountPauseMs = 60_000;
/** The same where its queue is held meanwhile: what is due waits there, and goes as soon as it is let go. */
const heldPauseMs = 10_000;

/** Exponential back-off with equal jitter: half fixed, half random (AWS Architecture Blog, "Exponential Backoff and Jitter"). */
export function backoffMs(callsBefore: number, random: number): number {
  const full = Math.min(longestBackoffMs, firstBackoffMs * 2 ** Math.min(callsBefore, 20));
  return Math.round(full / 2 + (full / 2) * random);
}

/** What follows from one call's outcome. */
export function decide(input: DecideInput): Decision {
  const { outcome, callsBefore, attemptBudget, nowMs, random } = input;
  const reason: Reason = { code: outcome.class, ...detailOf(outcome) };
  const pauseMs = input.isHeld ? heldPauseMs : accountPauseMs;
  switch (outcome.class) {
    case 'accepted':
      return { next: 'done', providerId: outcome.providerId };
    case 'duplicate':
      return {
        next: 'done',
        ...(outcome.providerId !== undefined && { providerId: outcome.providerId }),
      };
    case 'ambiguous':
      return { next: 'doubt', reason };
    case 'transient':
      return callsBefore + 1 >= attemptBudget
        ? { next: 'give-up', failureType: attemptsExhausted, reason }
        : {
            next: 'retry',
            delayMs: Math.max(outcome.retryAfterMs ?? 0, backoffMs(callsBefore, random)),
            counts: true,
            alert: false,
            reason,
          };
    case 'rate-limited':
      // Spread, so that all who were refused together do not come back together.
      return {
        next: 'retry',
        delayMs: Math.round(outcome.retryAfterMs * (1 + 0.2 * random)),
        counts: false,
        alert: false,
        reason,
      };
    case 'auth-expired':
      return { next: 'retry', delayMs: firstBackoffMs, counts: false, alert: false, reason };
    case 'auth-invalid':
      return {
        next: 'retry',
        delayMs: Math.round(pauseMs * (1 + 0.2 * random)),
        counts: false,
        alert: true,
        reason,
      };
    case 'quota-exhausted': {
      const waitMs =
        outcome.resumeAt === undefined
          ? pauseMs
          : Math.max(1000, Date.parse(outcome.resumeAt) - nowMs);
      return {
        next: 'retry',
        delayMs: Math.round(waitMs + accountPauseMs * 0.2 * random),
        counts: false,
        alert: true,
        reason,
      };
    }
    case 'recipient-invalid':
    case 'recipient-refused':
    case 'content-rejected':
    case 'template-invalid':
      return { next: 'give-up', failureType: outcome.class, reason };
  }
}

function detailOf(outcome: SendOutcome): { detail?: string } {
  const said = [outcome.providerCode, outcome.providerMessage].filter(
    (part) => part !== undefined && part !== '',
  );
  return said.length === 0 ? {} : { detail: said.join(': ').slice(0, 500) };
}
