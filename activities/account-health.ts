/**
 * Whether a channel account's provider takes anything at present, as this process sees it. While it does not, one call at a
 * time finds out whether it does again, and everything else waits without a call. Pure but for the clock it is given.
 */
import type { SendOutcome } from '../contracts/outcome.ts';

/** Leave for one attempt, or how long it must wait for the next look. */
export type Leave =
  | {
      readonly mayCall: true;
      /** Called once, when the attempt has come to its end, whatever that is. */
      readonly done: () => void;
    }
  | { readonly mayCall: false; readonly retryAfterMs: number; readonly why: 'down' | 'throttled' };

export interface AccountHealth {
  /** Asks for leave for one attempt. A message that has just failed lets others look first. */
  ask(accountId: string, messageId: string): Leave;
  /** Notes what a call came to. True: the provider is down, so that the account's queue is better held. */
  note(call: { accountId: string; messageId: string; outcome: SendOutcome }): boolean;
}

/** Messages that fail one after the other, nothing taken in between, before the fault is the provider's and not theirs. */
const streakOf = 5;
/** They must lie at least this far apart: one reset of a shared connection is over before it is noticed. */
const streakSpanMs = 1000;
/** What failed longer ago says nothing of now. */
const streakWithinMs = 60_000;
/** A throttled provider that then fails is down after as many looks in vain. */
const throttledTries = 3;
const firstWaitMs = 1000;
const longestWaitMs = 30_000;
/** One that throttles serves others, and soon us again. */
const longestThrottledMs = 5_000;
/** While somebody's call finds out; calls end sooner than this again. */
const probeWaitMs = 1000;
/** While another message may look whether it is the provider or the message. */
const suspectWaitMs = 2000;

interface State {
  /** Message → when its call failed, since anything was taken. */
  readonly failedAt: Map<string, number>;
  held?: {
    readonly why: 'down' | 'throttled';
    readonly untilMs: number;
    /** Looks in vain. */
    readonly tries: number;
    isProbing: boolean;
  };
}

/** What a call says of the provider; undefined: nothing, or something that another rule follows. */
function meaningOf(outcome: SendOutcome): 'works' | 'fails' | 'throttled' | undefined {
  switch (outcome.class) {
    case 'transient':
    case 'ambiguous':
      return 'fails';
    case 'rate-limited':
      return outcome.scope === 'account' || outcome.scope === 'channel-app' ? 'throttled' : 'works';
    case 'auth-expired':
    case 'auth-invalid':
    case 'quota-exhausted':
      return undefined;
    case 'accepted':
    case 'duplicate':
    case 'recipient-invalid':
    case 'recipient-refused':
    case 'content-rejected':
    case 'template-invalid':
      return 'works';
  }
}

/** Makes one for all accounts of a process. `now`: epoch milliseconds. */
export function createAccountHealth(now: () => number = Date.now): AccountHealth {
  const states = new Map<string, State>();

  const ask = (accountId: string, messageId: string): Leave => {
    const state = states.get(accountId);
    const held = state?.held;
    if (held === undefined) return { mayCall: true, done: () => {} };
    const { why, untilMs } = held;
    // One that fails for a reason of its own would keep all the others waiting.
    const isSuspect = state?.failedAt.has(messageId) === true;
    const waitMs = untilMs - now() + (isSuspect ? suspectWaitMs : 0);
    if (waitMs > 0) return { mayCall: false, retryAfterMs: waitMs, why };
    if (held.isProbing) return { mayCall: false, retryAfterMs: probeWaitMs, why };
    held.isProbing = true;
    return { mayCall: true, done: () => (held.isProbing = false) };
  };

  const note: AccountHealth['note'] = ({ accountId, messageId, outcome }) => {
    const meaning = meaningOf(outcome);
    if (meaning === undefined) return false;
    if (meaning === 'works') {
      states.delete(accountId);
      return false;
    }
    const state: State = states.get(accountId) ?? { failedAt: new Map() };
    states.set(accountId, state);
    const { held, failedAt } = state;
    // Calls that were under way when it was held say nothing new.
    if (held !== undefined && !held.isProbing) return false;
    const tries = held === undefined ? 0 : held.tries + 1;
    const hold = (why: 'down' | 'throttled', waitMs: number) => {
      state.held = { why, untilMs: now() + waitMs, tries, isProbing: false };
    };
    const patienceMs = Math.min(longestWaitMs, firstWaitMs * 2 ** tries);
    if (outcome.class === 'rate-limited') {
      // The provider's own word, within bounds: the message that it was said to waits for all of it, the others look sooner.
      const askedMs = Math.max(outcome.retryAfterMs, tries === 0 ? 0 : patienceMs);
      hold('throttled', Math.min(longestThrottledMs, askedMs));
      return false;
    }
    const sinceMs = oldest(failedAt, now() - streakWithinMs) ?? now();
    if (!failedAt.has(messageId)) failedAt.set(messageId, now());
    const isStreak = failedAt.size >= streakOf && now() - sinceMs >= streakSpanMs;
    if (held === undefined && !isStreak) return false;
    const isDown = isStreak || held?.why === 'down' || tries >= throttledTries;
    hold(isDown ? 'down' : 'throttled', patienceMs);
    // A look in vain holds nothing more: who looks next may find that it was that message's fault.
    return isDown && held?.why !== 'down';
  };

  return { ask, note };
}

/** Forgets what is older than `fromMs`, and gives the time of the oldest that is left. */
function oldest(times: Map<string, number>, fromMs: number): number | undefined {
  for (const [key, at] of times) {
    if (at >= fromMs) return at;
    times.delete(key);
  }
  return undefined;
}
