import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { SendOutcome } from '../contracts/outcome.ts';
import { createAccountHealth } from './account-health.ts';

const accountId = 'acc_1';
const transient: SendOutcome = { class: 'transient' };
const accepted: SendOutcome = { class: 'accepted', providerId: 'p' };
const throttled: SendOutcome = { class: 'rate-limited', scope: 'account', retryAfterMs: 700 };

function start() {
  const clock = { ms: 1_000_000 };
  const health = createAccountHealth(() => clock.ms);
  let serial = 0;
  const note = (outcome: SendOutcome, messageId = `m${(serial += 1)}`) =>
    health.note({ accountId, messageId, outcome });
  return {
    health,
    pass: (ms: number) => (clock.ms += ms),
    note,
    ask: (messageId = 'another') => health.ask(accountId, messageId),
    waitMs: () => {
      const leave = health.ask(accountId, 'another');
      assert.ok(!leave.mayCall);
      return leave.retryAfterMs;
    },
    /** One call that is let through when the wait is over. */
    probe: (outcome: SendOutcome) => {
      const leave = health.ask(accountId, 'another');
      assert.ok(leave.mayCall);
      const isDown = note(outcome);
      leave.done();
      return isDown;
    },
  };
}

describe('the health of an account', () => {
  it('is down after five messages in a row that failed over a second or more', () => {
    const { note, pass, ask } = start();
    for (let call = 0; call < 4; call++) {
      assert.equal(note(transient), false);
      pass(300);
    }
    assert.ok(ask().mayCall);
    assert.equal(note({ class: 'ambiguous' }), true);
    assert.ok(!ask().mayCall);
  });

  it('is not down for one message that fails again and again, nor for a blink of many', () => {
    const one = start();
    for (let call = 0; call < 20; call++) {
      assert.equal(one.note(transient, 'same'), false);
      one.pass(1000);
    }
    const blink = start();
    for (let call = 0; call < 50; call++) assert.equal(blink.note(transient), false);
    assert.equal(blink.note(accepted), false);
    blink.pass(2000);
    assert.equal(blink.note(transient), false);
  });

  it('is not down while the provider takes some, or refuses for reasons of the message', () => {
    for (const works of [
      accepted,
      { class: 'recipient-invalid' },
      { class: 'content-rejected' },
      { class: 'rate-limited', scope: 'recipient', retryAfterMs: 1 },
    ] satisfies SendOutcome[]) {
      const { note, pass } = start();
      for (let call = 0; call < 40; call++) {
        assert.equal(note(call % 5 === 4 ? works : transient), false);
        pass(500);
      }
    }
  });

  it('forgets failures of more than a minute ago', () => {
    const { note, pass } = start();
    for (let call = 0; call < 20; call++) {
      assert.equal(note(transient), false);
      pass(20_000);
    }
  });

  it('leaves its credentials’ and its quota’s faults to the rule that holds the queue for them', () => {
    const { note, pass, ask } = start();
    for (let call = 0; call < 20; call++) {
      assert.equal(note({ class: call % 2 === 0 ? 'auth-invalid' : 'quota-exhausted' }), false);
      pass(500);
    }
    assert.ok(ask().mayCall);
  });

  it('while it is down one call at a time looks, later and later; the first that is taken lets all go', () => {
    const { note, pass, ask, waitMs, probe } = start();
    for (let call = 0; call < 5; call++) {
      note(transient);
      pass(250);
    }
    assert.equal(waitMs(), 750);
    for (const nextMs of [2000, 4000, 8000, 16_000, 30_000, 30_000]) {
      pass(waitMs());
      const looking = ask();
      assert.ok(looking.mayCall);
      assert.ok(!ask().mayCall, 'one at a time');
      assert.equal(note(transient), false, 'the queue is held once');
      looking.done();
      assert.equal(waitMs(), nextMs);
    }
    pass(30_000);
    assert.equal(probe(accepted), false);
    assert.ok(ask().mayCall);
    assert.ok(ask().mayCall);
  });

  it('a look that called nobody gives its place back', () => {
    const { pass, note, ask, waitMs } = start();
    note(throttled);
    pass(waitMs());
    const looking = ask();
    assert.ok(looking.mayCall);
    looking.done();
    assert.ok(ask().mayCall);
  });

  it('waits as long as the provider says when it throttles the account, and longer when that was not enough', () => {
    const { note, pass, waitMs, probe } = start();
    assert.equal(note(throttled), false);
    assert.equal(note(throttled), false, 'calls that were under way change nothing');
    assert.equal(waitMs(), 700);
    for (const nextMs of [2000, 4000]) {
      pass(waitMs());
      assert.equal(probe(throttled), false);
      assert.equal(waitMs(), nextMs);
    }
    pass(waitMs());
    assert.equal(probe(transient), true, 'throttled for long, then failing: down');
    assert.equal(waitMs(), 8000);
  });

  it('a message that failed lets another look first', () => {
    const { note, pass, ask } = start();
    for (let call = 0; call < 5; call++) {
      note(transient, `m${call}`);
      pass(250);
    }
    pass(1000);
    assert.ok(!ask('m1').mayCall);
    assert.ok(ask('new').mayCall);
  });

  it('is left alone for five seconds at most when it throttles, whatever it asks for', () => {
    const { note, waitMs } = start();
    note({ class: 'rate-limited', scope: 'account', retryAfterMs: 600_000 });
    assert.equal(waitMs(), 5000);
  });

  it('knows each account by itself', () => {
    const { health, note } = start();
    note(throttled);
    assert.ok(health.ask('acc_2', 'another').mayCall);
  });
});
