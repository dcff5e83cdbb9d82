import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ActivityFailure, RetryState, TimeoutFailure, TimeoutType } from '@temporalio/common';
import { giveUp } from './ending.ts';

const unheard = new TimeoutFailure('no answer', undefined, TimeoutType.START_TO_CLOSE);
/** As Temporal has it when nobody serves the queue after `before`. */
const lifeOver = (before?: Error) => {
  const timeout = new TimeoutFailure('its life ended', undefined, TimeoutType.SCHEDULE_TO_CLOSE);
  return failed(Object.assign(timeout, { cause: before }));
};
const isOver = { lifeMs: -1000 };
const failed = (cause: Error) =>
  new ActivityFailure('send failed', 'send', '2', RetryState.TIMEOUT, 'worker', cause);

describe('the end of a way', () => {
  it('is unknown when its last attempt never concluded, even if its life ended much later', () => {
    for (const failure of [failed(unheard), lifeOver(unheard)])
      assert.equal(giveUp(failure, { kind: 'otp', ...isOver }).status, 'unknown');
  });

  it('after an attempt that never concluded leads a notice to another channel, a one-time password nowhere', () => {
    assert.equal(
      giveUp(lifeOver(unheard), { kind: 'notice', ...isOver }).leadsTo,
      'other-connector',
    );
    assert.equal(giveUp(lifeOver(unheard), { kind: 'otp', ...isOver }).leadsTo, undefined);
  });

  it('leads to a stand-in when its turn did not come, unless its life was over then', () => {
    const late = failed(new TimeoutFailure('waited', undefined, TimeoutType.SCHEDULE_TO_START));
    assert.equal(giveUp(late, { kind: 'otp', lifeMs: 1000 }).leadsTo, 'any');
    assert.equal(giveUp(late, { kind: 'otp', ...isOver }).status, 'expired');
  });

  it('is expired when no attempt ever began', () => {
    assert.equal(giveUp(lifeOver(), { kind: 'otp', ...isOver }).status, 'expired');
  });
});
