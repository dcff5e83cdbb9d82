import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { outcomeClasses, type OutcomeClass, type SendOutcome } from '../contracts/outcome.ts';
import { backoffMs, decide, type Decision } from './decide.ts';

const nowMs = Date.parse('2026-11-21T12:00:00.000Z');
const decided = (outcome: SendOutcome, callsBefore = 0): Decision =>
  decide({ outcome, callsBefore, attemptBudget: 3, nowMs, isHeld: false, random: 0.5 });

describe('decide', () => {
  const samples: Record<OutcomeClass, SendOutcome> = {
    accepted: { class: 'accepted', providerId: 'p1' },
    duplicate: { class: 'duplicate' },
    transient: { class: 'transient' },
    ambiguous: { class: 'ambiguous' },
    'rate-limited': { class: 'rate-limited', scope: 'account', retryAfterMs: 700 },
    'auth-expired': { class: 'auth-expired' },
    'auth-invalid': { class: 'auth-invalid' },
    'quota-exhausted': { class: 'quota-exhausted' },
    'recipient-invalid': { class: 'recipient-invalid' },
    'recipient-refused': { class: 'recipient-refused' },
    'content-rejected': { class: 'content-rejected' },
    'template-invalid': { class: 'template-invalid' },
  };
  const next: Record<OutcomeClass, Decision['next']> = {
    accepted: 'done',
    duplicate: 'done',
    transient: 'retry',
    ambiguous: 'doubt',
    'rate-limited': 'retry',
    'auth-expired': 'retry',
    'auth-invalid': 'retry',
    'quota-exhausted': 'retry',
    'recipient-invalid': 'give-up',
    'recipient-refused': 'give-up',
    'content-rejected': 'give-up',
    'template-invalid': 'give-up',
  };
  for (const name of outcomeClasses)
    it(`${name} → ${next[name]}`, () => assert.equal(decided(samples[name]).next, next[name]));

  it('only a transient outcome is taken from the attempt budget among those that are retried', () => {
    for (const name of outcomeClasses) {
      const decision = decided(samples[name]);
      if (decision.next === 'retry') assert.equal(decision.counts, name === 'transient', name);
    }
  });

  it('gives up when the budget is spent', () => {
    assert.equal(decided(samples.transient, 1).next, 'retry');
    const last = decided(samples.transient, 2);
    assert.equal(last.next, 'give-up');
    assert.equal(last.next === 'give-up' && last.failureType, 'attempts-exhausted');
  });

  it('alerts when the account is at fault, and only then', () => {
    for (const name of outcomeClasses) {
      const decision = decided(samples[name]);
      const isAccounts = name === 'auth-invalid' || name === 'quota-exhausted';
      if (decision.next === 'retry') assert.equal(decision.alert, isAccounts, name);
    }
  });

  it('waits as long as the provider says, and never less than its word for a transient error', () => {
    const limited = decided({ class: 'rate-limited', scope: 'recipient', retryAfterMs: 60_000 });
    assert.ok(limited.next === 'retry' && limited.delayMs >= 60_000 && limited.delayMs <= 72_000);
    const transient = decided({ class: 'transient', retryAfterMs: 90_000 });
    assert.ok(transient.next === 'retry' && transient.delayMs === 90_000);
  });

  it('waits for the quota to return when the provider says when', () => {
    const decision = decided({ class: 'quota-exhausted', resumeAt: '2026-11-21T16:00:00.000Z' });
    assert.ok(
      decision.next === 'retry' &&
        decision.delayMs >= 4 * 3_600_000 &&
        decision.delayMs < 4.01 * 3_600_000,
    );
  });

  it('backs off exponentially with jitter, up to five minutes', () => {
    assert.deepEqual(
      [0, 1, 2, 3].map((calls) => backoffMs(calls, 1)),
      [1000, 2000, 4000, 8000],
    );
    assert.deepEqual(
      [0, 1, 2, 3].map((calls) => backoffMs(calls, 0)),
      [500, 1000, 2000, 4000],
    );
    assert.equal(backoffMs(100, 1), 300_000);
  });

  it("keeps the provider's words as the reason", () => {
    const decision = decided({
      class: 'content-rejected',
      providerCode: 'isv.X',
      providerMessage: 'no',
    });
    assert.deepEqual(decision, {
      next: 'give-up',
      failureType: 'content-rejected',
      reason: { code: 'content-rejected', detail: 'isv.X: no' },
    });
  });
});
