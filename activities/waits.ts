/** The times of an attempt: how long it may take, and what it waits for when it may not call a provider now. */
import { providerDown, type Reason } from '../contracts/result.ts';
import type { Leave } from './account-health.ts';
import type { Waiting } from './timeline.ts';

/** Room for everything in an attempt that is not the provider's call, or the questions after a lost one. */
export const attemptMarginMs = 5_000;
/** A paused message whose provider was called before looks again after this, or up to twice as long. */
export const pausedRetryMs = 15_000;
/** While the stops cannot be read. */
export const blindRetryMs = 2000;

export const providerAwayReason = {
  code: providerDown,
  detail: 'call after call to the provider has failed',
} as const satisfies Reason;

/** Spread, so that all who wait do not come back together. */
export const providerAway = ({
  why,
  retryAfterMs,
}: Extract<Leave, { mayCall: false }>): Waiting => ({
  delayMs: retryAfterMs * (1 + 0.2 * Math.random()),
  reason:
    why === 'down'
      ? providerAwayReason
      : { code: 'rate-limited', detail: 'the provider asked this account to wait' },
});

/** A reason in one line. */
export const inWords = ({ code, detail }: Reason) =>
  detail === undefined ? code : `${code}: ${detail}`;
