import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createRunsAhead } from './runs-ahead.ts';

describe('runs ahead of the workflow worker', () => {
  it('counts what was started and not rendered, and forgets what another bridge must have rendered', () => {
    let nowMs = 0;
    const ahead = createRunsAhead(() => nowMs);
    ahead.add('a');
    nowMs = 6000;
    ahead.add('b');
    ahead.add('c');
    ahead.remove('b');
    assert.equal(ahead.count, 2);
    nowMs = 10_000;
    assert.equal(ahead.count, 1);
    nowMs = 16_000;
    assert.equal(ahead.count, 0);
    ahead.remove('never added');
    assert.equal(ahead.count, 0);
  });
});
