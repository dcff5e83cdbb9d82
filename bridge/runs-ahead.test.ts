import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createRunsAhead } from './runs-ahead.ts';

const run = (id: string, accountId = 'one') => ({ id, accountId, priority: 'normal' as const });

describe('runs ahead of the workflow worker', () => {
  it('counts what was started and not rendered, and forgets what another bridge must have rendered', () => {
    let nowMs = 0;
    const ahead = createRunsAhead(() => nowMs);
    ahead.add(run('a'));
    nowMs = 6000;
    ahead.add(run('b'));
    ahead.add(run('c', 'two'));
    assert.equal(ahead.of('one').length, 2);
    assert.equal(ahead.remove('b')?.accountId, 'one');
    assert.equal(ahead.count, 2);
    nowMs = 10_000;
    assert.deepEqual(ahead.of('one'), []);
    assert.equal(ahead.count, 1);
    nowMs = 16_000;
    assert.equal(ahead.count, 0);
    assert.equal(ahead.remove('never added'), undefined);
  });

  it('says whether something more urgent is among them', () => {
    const ahead = createRunsAhead();
    ahead.add(run('a'));
    assert.equal(ahead.isAnyBefore('normal'), false);
    assert.equal(ahead.isAnyBefore('bulk'), true);
    ahead.remove('a');
    assert.equal(ahead.isAnyBefore('bulk'), false);
  });
});
